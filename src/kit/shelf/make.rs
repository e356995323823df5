//! What a kit contributes, with its arguments filled in and what it extends below it.

use std::rc::Rc;

use sha2::{Digest, Sha256};

use super::{CHAIN_MAX, Kit, Shelf, arguments::Values, fill::fill};
use crate::kit::{
    document::{shape, typed_beside},
    findings::Findings,
    merge::{At, Join, Part, Placed, merge, set_paths},
    near::{listed, similar},
    problem::{Code, quoted},
    resolve::{agent_part, check_parts, mixin_part},
    rule::{Rule, holds},
    schema::SchemaName,
    shape::{Further, Shape},
    spanned::Spanned,
    tree::Node,
    wire::{
        agent::{Agent, Mixin},
        envelope::{AgentKind, Document, MixinKind},
        kitref::KitRef,
    },
};

/// A kit while it is made.
struct Making<'a> {
    kit: &'a Kit,
    at: At,
    hasher: Sha256,
    findings: Findings,
}

/// What a kit's document says.
struct Said {
    part: Part,
    extends: Option<KitRef>,
    locked: Vec<Spanned<String>>,
}

impl Shelf<'_> {
    /// Makes a kit, or takes what was made for the same arguments. `chain` are the kits that are being made.
    pub(super) fn make(&mut self, id: usize, values: &Values, chain: &mut Vec<usize>) -> Option<Rc<Part>> {
        let key = (id, format!("{values:?}"));
        if let Some(made) = self.made.get(&key) {
            return made.clone();
        }
        let kit = Rc::clone(&self.kits[id]);
        let span = kit.document.name.as_ref().map_or(kit.document.node.head(), |name| name.span);
        let at = At { source: kit.source.clone(), span, layer: kit.layer };
        let findings = Findings::new(kit.source.clone());
        let mut making = Making { kit: &kit, at, hasher: Sha256::new(), findings };
        let written = kit.document.node.span;
        let part = if self.budget.take((written.end - written.start) as usize) {
            chain.push(id);
            let part = self.made_of(&mut making, values, chain);
            chain.pop();
            part
        } else {
            let message = "this kit is used with too many different arguments";
            making
                .findings
                .push(making.at.problem(Code::TooLarge, message).help("check fewer files at once"));
            None
        };
        self.report(making.findings);
        let part = part.map(Rc::new);
        self.made.insert(key, part.clone());
        part
    }

    fn made_of(&mut self, making: &mut Making<'_>, values: &Values, chain: &mut Vec<usize>) -> Option<Part> {
        let kit = making.kit;
        let (node, open) = fill(&kit.document.node, values, &self.budget, &mut making.findings);
        let Said { mut part, extends, locked } = self.said(kit, &node, open, &mut making.findings)?;
        part.names = vec![kit.name.clone()];
        part.locked = locks(&locked, making);
        part.sets = node.get("spec").map(|spec| set_paths(spec, false, &making.at)).unwrap_or_default();
        making.hasher.update(kit.source.slice(kit.document.node.span));
        making.hasher.update(format!("{values:?}"));
        if let Some(file) = kit.file.as_deref().filter(|_| kit.folder) {
            let Making { at, hasher, findings, .. } = making;
            part.files.extend(self.files_of(file, values, at, hasher, findings));
        }
        if let Some(extends) = extends {
            part = self.extended(making, part, &extends, chain)?;
        }
        let digest = making.hasher.clone().finalize();
        part.digest = kit.file.is_some().then(|| digest.iter().map(|byte| format!("{byte:02x}")).collect());
        part.broken |= making.findings.errors() > 0;
        if kit.kind == SchemaName::Agent && part.command.is_none() && !part.broken {
            let problem = making.at.problem(Code::MissingKey, format!("{} has no command", part.shown));
            let help = "add `command: {interactive: […]}` (program and arguments of a session)";
            making.findings.push(problem.help(help));
            part.broken = true;
        }
        Some(part)
    }

    fn said(&self, kit: &Kit, node: &Node, open: Vec<u32>, findings: &mut Findings) -> Option<Said> {
        let here = self.here(kit);
        check_parts(node, &here, findings);
        if kit.kind == SchemaName::Agent {
            let read = typed_beside::<Document<AgentKind, Agent>>(node, kit.kind, open, findings)?;
            let part = agent_part(&kit.name, &read.spec, &here, findings);
            return Some(Said { part, extends: read.spec.extends, locked: read.spec.locked });
        }
        let read = typed_beside::<Document<MixinKind, Mixin>>(node, kit.kind, open, findings)?;
        let part = mixin_part(&kit.name, &read.spec, &here, findings);
        Some(Said { part, extends: read.spec.extends, locked: read.spec.locked })
    }

    /// A kit's part on top of the one that it extends.
    fn extended(
        &mut self,
        making: &mut Making<'_>,
        part: Part,
        extends: &KitRef,
        chain: &mut Vec<usize>,
    ) -> Option<Part> {
        let kit = making.kit;
        let at = At { span: extends.kit.span, ..making.at.clone() };
        let Some(base) = self.find(kit.kind, &extends.kit, &at, kit.file.as_deref()) else {
            return Some(Part { broken: true, ..part });
        };
        let again = chain.iter().position(|id| *id == base && holds(Rule::Cycle));
        if again.is_some() || chain.len() >= CHAIN_MAX {
            let links = chain[again.unwrap_or_default()..].iter().chain([&base]);
            let names: Vec<_> = links.map(|id| self.kits[*id].name.as_str()).collect();
            let what = match again {
                Some(_) => "the kit extends itself".to_owned(),
                None => format!("kits extend each other more than {CHAIN_MAX} deep"),
            };
            let problem = at.problem(Code::Kit, format!("{what}: {}", names.join(" → ")));
            making.findings.push(problem.help("remove one `extends`"));
            return None;
        }
        let Some(below) = self.instance(base, &extends.args, &at, chain) else {
            return Some(Part { broken: true, ..part });
        };
        making.hasher.update(below.digest.as_deref().unwrap_or_default());
        let mut joined = merge(&[&below, &part], Join::Extend, &mut making.findings);
        // Its own name first: that is what others call it.
        joined.names.rotate_left(below.names.len());
        Some(joined)
    }
}

/// Locked paths, of which each must be one of the format.
fn locks(locked: &[Spanned<String>], making: &mut Making<'_>) -> Vec<Placed<String>> {
    let spec = shape(making.kit.kind).keys.get("spec");
    let mut kept = Vec::new();
    for path in locked {
        let at = At { span: path.span, ..making.at.clone() };
        let mut found = spec;
        for part in path.value.split('.') {
            let Some(above) = found else { break };
            found = above.keys.get(part).or(match &above.further {
                Further::Of(value) if !part.is_empty() => Some(value),
                _ => None,
            });
            if found.is_none() {
                let message = format!("{} names nothing that can be locked", quoted(&path.value));
                making.findings.push(at.problem(Code::UnknownName, message).help(known(part, above)));
            }
        }
        if found.is_some() {
            kept.push(Placed { value: path.value.clone(), at });
        }
    }
    kept
}

fn known(part: &str, shape: &Shape) -> String {
    let keys = || shape.keys.keys().map(String::as_str);
    match similar(part, keys()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if shape.keys.is_empty() => {
            "what lies below a list or a plain value cannot be locked alone".to_owned()
        }
        None => format!("known here: {}", listed(keys())),
    }
}
