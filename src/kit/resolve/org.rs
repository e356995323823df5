//! An organisation's policy: what its schema cannot say about patterns and paths. Nothing is made of it yet.

use std::path::{Component, Path};

use super::{Here, network, text};
use crate::{
    kit::{
        findings::Findings,
        problem::{Code, quoted},
        spanned::{OneOrMany, Spanned},
        wire::{org as wire, text::Glob},
    },
    model::pattern,
};

/// Checks an organisation's policy.
pub(in crate::kit) fn check_policy(spec: &wire::OrgPolicy, here: &Here<'_>, findings: &mut Findings) {
    if let Some(network) = &spec.network {
        network::rules(&network.rules, "organisation", here, findings);
        for written in network.delegate.iter().filter(|written| pattern::named_set(written).is_none()) {
            if let Err(error) = pattern::parse(written) {
                let span = text::inside(findings, written, error.at);
                let message = format!("{} is not a pattern", quoted(written));
                let problem = findings.at(Code::Pattern, span, message);
                findings.push(problem.label("here").help(error.message));
            }
        }
    }
    if let Some(filesystem) = &spec.filesystem {
        let ruled = filesystem.rules.iter().flat_map(|rule| [&rule.allow, &rule.deny]).flatten();
        let ruled = ruled.flat_map(|OneOrMany(paths)| paths);
        filesystem.delegate.iter().chain(ruled).for_each(|path| check_glob(path, findings));
    }
}

/// A folder's pattern is absolute or begins at a home, and has no `..`.
fn check_glob(written: &Spanned<Glob>, findings: &mut Findings) {
    let path = written.value.0.strip_prefix('~').unwrap_or(&written.value.0);
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    if !Path::new(path).components().all(plain) {
        let message = format!("{} is not a plain path", quoted(&written.value.0));
        let problem = findings.at(Code::Path, written.span, message);
        findings.push(problem.help("write it without `..`: ~/src/** or /srv/data"));
    }
}
