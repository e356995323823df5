//! From what is written to what shall be: the semantic checks, each with its place, and the model they yield.
//!
//! Nothing here reads a clock, an environment variable or the content of a file; that folders exist is looked up
//! (`folders`). One file per part of a sandbox, in the order of `sandbox`.

mod agent;
mod env;
mod folders;
mod guest;
mod here;
mod machine;
mod network;
mod sandbox;
mod secret;
mod setup;
mod text;

use std::{collections::BTreeMap, path::Path};

use super::{
    Context,
    discover::SourceFile,
    sets::{Facts, Sets},
};
use crate::model::{
    rule::{Layer, Origin},
    unit::Bytes,
};

pub(super) use agent::{AgentKit, agent};
pub(super) use here::{Budget, Here};
pub(super) use network::resolve_target;
pub(super) use sandbox::sandbox;
pub(super) use secret::{ServiceKit, service};
pub(super) use setup::{TIMEOUT_S, name_of};

/// What documents may name: agents and services, of these files and built in.
#[derive(Debug, Clone, Default)]
pub(super) struct Library {
    pub(super) agents: BTreeMap<String, AgentKit>,
    pub(super) services: BTreeMap<String, ServiceKit>,
}

/// Where a document stands.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub(super) file: &'a SourceFile,
    pub(super) library: &'a Library,
    pub(super) context: &'a Context,
    pub(super) facts: Facts<'a>,
    pub(super) budget: &'a Budget,
}

impl Around<'_> {
    /// The same for what needs no more.
    pub(super) fn here(&self) -> Here<'_> {
        Here { name: &self.file.name, file: Some(self.file), budget: self.budget }
    }

    /// The origin of something on a line of the file.
    pub(super) fn origin(&self, line: u32) -> Origin {
        Origin { layer: Layer::Repository, file: Some(self.file.name.clone()), line: Some(line) }
    }

    /// What named sets mean here.
    pub(super) fn sets(&self) -> Sets<'_> {
        Sets { services: &self.library.services, facts: self.facts }
    }

    /// The folder that the file lies in.
    pub(super) fn folder(&self) -> &Path {
        self.file.path.parent().unwrap_or(&self.file.base)
    }

    /// Memory of a sandbox that says nothing about it.
    pub(super) fn default_memory(&self) -> Bytes {
        self.context.default_memory
    }
}
