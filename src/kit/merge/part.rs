//! One contribution to a sandbox: what a kit, a document of kind Sandbox, its local file or the user's mixin says, each
//! value with its place.

use std::{collections::BTreeMap, path::PathBuf};

use crate::{
    kit::{
        problem::{Code, Problem, Source, Span},
        typed::line_of,
    },
    model::{
        desired::{BuildStep, File, IsolationWish, Mount, Port, Preset, SetupStep, Start, WorkspaceMode},
        rule::{HostService, Layer, NetworkRule, Origin},
        secret::SecretBinding,
        unit::Bytes,
    },
};

/// A place in a file.
#[derive(Debug, Clone)]
pub(in crate::kit) struct At {
    pub(in crate::kit) source: Source,
    pub(in crate::kit) span: Span,
    pub(in crate::kit) layer: Layer,
}

impl At {
    /// For policy, audit and provenance.
    pub(in crate::kit) fn origin(&self) -> Origin {
        let (source, span) = self.source.told(self.span);
        let file = source.name();
        Origin { layer: self.layer, file: Some(file.to_owned()), line: line_of(file, span.line) }
    }

    /// `file:line`, for messages.
    pub(in crate::kit) fn place(&self) -> String {
        let (source, span) = self.source.told(self.span);
        format!("{}:{}", source.name(), span.line)
    }

    /// A finding here.
    pub(in crate::kit) fn problem(&self, code: Code, message: impl Into<String>) -> Problem {
        Problem::new(code, &self.source, self.span, message)
    }
}

/// A value and its place.
#[derive(Debug, Clone)]
pub(in crate::kit) struct Placed<T> {
    pub(in crate::kit) value: T,
    pub(in crate::kit) at: At,
}

/// What the agent is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::kit) struct Prompt {
    pub(in crate::kit) text: String,
    /// The file that it was read from, from the repository's root.
    pub(in crate::kit) file: Option<String>,
}

/// Whose contribution it is, in the order of the merge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(in crate::kit) enum Rank {
    Agent,
    Mixin,
    #[default]
    Sandbox,
    /// `sandbox.local.yaml`.
    Local,
    /// The user's own mixin.
    User,
}

/// One contribution. What is `None` or empty, it says nothing about.
#[derive(Debug, Clone, Default)]
pub(in crate::kit) struct Part {
    pub(in crate::kit) rank: Rank,
    /// In words: ``kit `review` ``.
    pub(in crate::kit) shown: String,
    pub(in crate::kit) start: Option<Placed<Start>>,
    pub(in crate::kit) command: Option<Placed<Vec<String>>>,
    pub(in crate::kit) task: Option<Placed<Vec<String>>>,
    pub(in crate::kit) resume: Option<Placed<Vec<String>>>,
    pub(in crate::kit) args: Option<Placed<Vec<String>>>,
    pub(in crate::kit) tty: Option<Placed<bool>>,
    pub(in crate::kit) image: Option<Placed<String>>,
    pub(in crate::kit) workspace: Option<Placed<PathBuf>>,
    pub(in crate::kit) mode: Option<Placed<WorkspaceMode>>,
    pub(in crate::kit) working_dir: Option<Placed<String>>,
    pub(in crate::kit) prompt: Option<Placed<Prompt>>,
    /// In seconds.
    pub(in crate::kit) task_timeout: Option<Placed<u64>>,
    pub(in crate::kit) preset: Option<Placed<Preset>>,
    pub(in crate::kit) cpus: Option<Placed<u8>>,
    pub(in crate::kit) memory: Option<Placed<Bytes>>,
    pub(in crate::kit) disk: Option<Placed<Bytes>>,
    pub(in crate::kit) isolation: Option<Placed<IsolationWish>>,
    pub(in crate::kit) env: BTreeMap<String, Placed<String>>,
    pub(in crate::kit) packages: Vec<Placed<String>>,
    pub(in crate::kit) steps: Vec<Placed<BuildStep>>,
    pub(in crate::kit) create: Vec<Placed<SetupStep>>,
    pub(in crate::kit) start_steps: Vec<Placed<SetupStep>>,
    pub(in crate::kit) files: Vec<Placed<File>>,
    pub(in crate::kit) ports: Vec<Placed<Port>>,
    pub(in crate::kit) mounts: Vec<Placed<Mount>>,
    pub(in crate::kit) rules: Vec<Placed<NetworkRule>>,
    pub(in crate::kit) host_services: Vec<Placed<HostService>>,
    pub(in crate::kit) secrets: Vec<Placed<SecretBinding>>,
    /// What nothing after it may change, as dotted paths.
    pub(in crate::kit) locked: Vec<Placed<String>>,
    /// What it sets, as dotted paths of an agent's kit.
    pub(in crate::kit) sets: Vec<Placed<String>>,
    /// Agents that a mixin works with; empty: all.
    pub(in crate::kit) requires: Vec<Placed<String>>,
    /// Its own name and those of the kits that it extends.
    pub(in crate::kit) names: Vec<String>,
    /// SHA-256 over what was read of a kit.
    pub(in crate::kit) digest: Option<String>,
    /// Whether something of it is wrong, so that nothing follows from what is absent.
    pub(in crate::kit) broken: bool,
}
