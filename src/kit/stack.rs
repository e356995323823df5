//! One sandbox: its agent, its mixins, its document, its local file and the user's own mixin, put together.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    rc::Rc,
};

use super::{
    Context,
    beside::Beside,
    discover::SourceFile,
    document::{AnyDocument, SandboxDocument, Soundness},
    findings::Findings,
    lints,
    merge::{At, Join, Part, Placed, Rank, merge, set_paths},
    problem::{Code, quoted},
    resolve::{Budget, Whole, check_parts, check_policy, finish, sandbox_part},
    shelf::Shelf,
    wire::{
        envelope::{Document, OrgPolicyKind},
        kitref::KitRef,
        org::OrgPolicy,
    },
};
use crate::model::{
    desired::{KitName, KitUse, Sandbox},
    name::Name,
    rule::Layer,
};

/// What an entry of a list takes at least in memory, in bytes.
const ENTRY: usize = 300;

/// What sandboxes are put together of.
pub(super) struct Stack<'s, 'a> {
    pub(super) shelf: &'s mut Shelf<'a>,
    pub(super) context: &'a Context,
    pub(super) locals: &'s mut HashMap<PathBuf, Beside>,
    pub(super) user: Option<Rc<Part>>,
    /// How much all sandboxes of this load may hold: a kit's entries are in each one that names it.
    pub(super) budget: Budget,
    /// Whether that was too much: no further one is put together.
    pub(super) full: bool,
}

impl Stack<'_, '_> {
    /// Puts one sandbox together.
    pub(super) fn sandbox(
        &mut self,
        written: &SandboxDocument,
        file: &SourceFile,
        findings: &mut Findings,
    ) -> Option<Sandbox> {
        if self.full {
            return None;
        }
        let metadata = &written.document.metadata;
        let spec = &written.document.spec;
        let at = At { source: findings.source().clone(), span: metadata.name.span, layer: Layer::Repository };
        let here = self.shelf.around(file, Layer::Repository);
        let mut own = sandbox_part(&metadata.name.0, spec, Rank::Sandbox, &here, findings);
        check_parts(&written.node, &here, findings);
        own.broken = written.soundness == Soundness::Partial;
        let mut labels = labels(written);
        let local = self.local(&metadata.name.0, file);
        if let Some(local) = &local {
            labels.extend(local.labels.clone());
        }

        let agent = spec.agent.as_ref().map(|agent| (agent, &at));
        let local_agent = local.as_ref().and_then(|local| Some((local.agent.as_ref()?, &local.at)));
        let (agent_ref, agent_at) = local_agent.or(agent)?;
        let agent_at = At { span: agent_ref.kit.span, ..agent_at.clone() };
        let agent = self.shelf.agent(&agent_ref.kit, &agent_ref.args, &agent_at, file);
        let (agent_id, agent) = agent.unzip();
        let kits = spec.kits.iter().map(|kit| (kit, &at));
        let local_kits = local.iter().flat_map(|local| local.kits.iter().map(|kit| (kit, &local.at)));
        let kits: Vec<_> = kits.chain(local_kits).collect();
        let of_agent = agent.as_deref();
        let (mut uses, mixins, complete) = self.mixins(&kits, of_agent, file, findings);
        let agent = agent?;
        if let Some(id) = agent_id.filter(|_| agent.digest.is_some()) {
            let (name, source) = self.shelf.shown(id);
            // How the agent is written stands with the agent.
            uses.insert(0, KitUse { name, source, digest: agent.digest.clone(), written: None });
        }
        if std::iter::once(&agent).chain(&mixins).any(|part| !part.locked.is_empty()) {
            own.sets = written.node.get("spec").map(|spec| set_paths(spec, true, &at)).unwrap_or_default();
        }

        let mut parts: Vec<&Part> = vec![&agent];
        parts.extend(mixins.iter().map(Rc::as_ref));
        parts.push(&own);
        parts.extend(local.iter().map(|local| &local.part));
        parts.extend(self.user.as_deref());
        // Before they are put together: that is the work.
        if !self.budget.take(parts.iter().map(|part| size(part)).sum()) {
            self.full = true;
            let message = "the sandboxes of these files hold too much together";
            findings.push(at.problem(Code::TooLarge, message).help("check fewer files at once"));
            return None;
        }
        let merged = merge(&parts, Join::Stack, findings);
        let sound = complete && !merged.broken;
        let soundness = if sound { Soundness::Whole } else { Soundness::Partial };
        lints::check(&merged, findings);
        let agent = Placed { value: agent.names.first()?.clone(), at: agent_at };
        let plain = KitName { kit: agent.value.clone(), args: BTreeMap::new() };
        let agent_written = agent_id.and_then(|id| self.shelf.written(id, agent_ref, file));
        let agent_written = agent_written.filter(|written| *written != plain);
        let name: Name = metadata.name.0.parse().ok()?;
        let context = self.context;
        let kits = uses;
        let whole = Whole { name, labels, at, agent, agent_written, kits, merged, soundness, file, context };
        finish(whole, findings)
    }

    /// Checks an organisation's policy, which nothing is made of yet.
    pub(super) fn policy(
        &self,
        written: &Document<OrgPolicyKind, OrgPolicy>,
        file: &SourceFile,
        findings: &mut Findings,
    ) {
        let here = self.shelf.around(file, Layer::Organisation);
        check_policy(&written.spec, &here, findings);
    }

    /// What the file beside a sandbox's says about it.
    fn local(&mut self, name: &str, file: &SourceFile) -> Option<Local> {
        let beside = self.locals.get_mut(file.folder())?;
        let source = beside.read.findings.source().clone();
        let documents = std::mem::take(&mut beside.read.documents);
        let found = documents.iter().find_map(|document| match document {
            AnyDocument::Sandbox(written) if written.document.metadata.name.0 == name => Some(written),
            _ => None,
        });
        let local = found.map(|written| {
            let metadata = &written.document.metadata;
            let at = At { source, span: metadata.name.span, layer: Layer::Repository };
            let here = self.shelf.around(&beside.file, Layer::Repository);
            let spec = &written.document.spec;
            let mut part = sandbox_part(name, spec, Rank::Local, &here, &mut beside.read.findings);
            check_parts(&written.node, &here, &mut beside.read.findings);
            part.broken = written.soundness == Soundness::Partial;
            part.sets = written.node.get("spec").map(|spec| set_paths(spec, true, &at)).unwrap_or_default();
            Local { part, at, agent: spec.agent.clone(), kits: spec.kits.clone(), labels: labels(written) }
        });
        beside.read.documents = documents;
        local
    }

    /// The mixins that are named, and whether all of them could be used.
    fn mixins(
        &mut self,
        named: &[(&KitRef, &At)],
        agent: Option<&Part>,
        file: &SourceFile,
        findings: &mut Findings,
    ) -> (Vec<KitUse>, Vec<Rc<Part>>, bool) {
        let (mut uses, mut mixins, mut complete) = (Vec::new(), Vec::new(), true);
        let mut ids: Vec<(usize, At)> = Vec::new();
        for (kit, at) in named {
            let at = At { span: kit.kit.span, ..(*at).clone() };
            let Some((id, part)) = self.shelf.mixin(&kit.kit, &kit.args, &at, file) else {
                complete = false;
                continue;
            };
            let (name, source) = self.shelf.shown(id);
            if let Some((_, other)) = ids.iter().find(|(other, _)| *other == id) {
                let problem =
                    at.problem(Code::DuplicateName, format!("the kit {} stands twice", quoted(&name)));
                findings
                    .push(problem.label(format!("the other: {}", other.place())).help("keep one of the two"));
                continue;
            }
            if let Some(agent) = agent {
                check_agent(&part, agent, &at, findings);
            }
            let written = self.shelf.written(id, kit, file);
            uses.push(KitUse { name, source, digest: part.digest.clone(), written });
            mixins.push(part);
            ids.push((id, at));
        }
        (uses, mixins, complete)
    }
}

/// What a local file says about one sandbox.
struct Local {
    part: Part,
    at: At,
    agent: Option<KitRef>,
    kits: Vec<KitRef>,
    labels: std::collections::BTreeMap<String, String>,
}

fn labels(written: &SandboxDocument) -> std::collections::BTreeMap<String, String> {
    let labels = written.document.metadata.labels.iter();
    labels.map(|(key, value)| (key.0.clone(), value.0.clone())).collect()
}

/// Reports a mixin that does not work with the agent.
fn check_agent(mixin: &Part, agent: &Part, at: &At, findings: &mut Findings) {
    let works = |wanted: &Placed<String>| agent.names.contains(&wanted.value);
    let Some(first) = mixin.requires.first() else { return };
    if mixin.requires.iter().any(works) {
        return;
    }
    let names: Vec<_> = mixin.requires.iter().map(|wanted| wanted.value.as_str()).collect();
    let message = format!("{} does not work with {}", mixin.shown, agent.shown);
    let label = format!("required in {}", first.at.place());
    let help = format!("it works with {}; leave it out, or choose such an agent", names.join(", "));
    findings.push(at.problem(Code::Kit, message).label(label).help(help));
}

/// About how much a contribution holds, in bytes.
fn size(part: &Part) -> usize {
    let lists = part.rules.len()
        + part.packages.len()
        + part.steps.len()
        + part.create.len()
        + part.start_steps.len()
        + part.env.len()
        + part.secrets.len();
    let files: usize = part.files.iter().map(|file| file.value.content.len() + ENTRY).sum();
    lists * ENTRY + files
}
