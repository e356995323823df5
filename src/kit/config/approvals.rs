//! `approvals:` of the operator's configuration: what needs no question, and whose word counts.

use crate::{
    kit::{
        findings::Findings,
        problem::{Code, Span, quoted},
        spanned::Spanned,
        wire::config as wire,
    },
    model::{
        config::{ApprovalsConfig, TrustedRef, WrittenGrant, YesApproves},
        remote::RemoteName,
        signer::Signer,
    },
};

/// What they come to.
pub(super) fn approvals(written: &wire::Approvals, findings: &mut Findings) -> ApprovalsConfig {
    let grants = |list: &[Spanned<String>]| {
        let grant = |at: &Spanned<String>| WrittenGrant {
            text: at.value.clone(),
            line: at.span.line,
            column: at.span.column,
        };
        list.iter().map(grant).collect()
    };
    ApprovalsConfig {
        yes: match written.yes {
            Some(wire::Yes::None) => YesApproves::None,
            Some(wire::Yes::Any) => YesApproves::Any,
            Some(wire::Yes::Personal) | None => YesApproves::Personal,
        },
        baseline: grants(&written.baseline),
        never: grants(&written.never),
        trust: written.trust.iter().filter_map(|written| trusted(written, findings)).collect(),
    }
}

/// A ref that is trusted, where all of it reads.
fn trusted(written: &wire::Trust, findings: &mut Findings) -> Option<TrustedRef> {
    let before = findings.errors();
    let mut wrong = |at: Span, what: String, help: String| {
        findings.push(findings.at(Code::WrongValue, at, what).help(help));
    };
    let reference = &written.reference;
    let steps = reference.split('/').all(|step| !matches!(step, "" | "." | ".."));
    if !reference.starts_with("refs/") || !steps || reference.contains(char::is_control) {
        let help = "write it whole: refs/remotes/origin/main";
        wrong(reference.span, format!("{} is no ref", quoted(reference)), help.to_owned());
    }
    let repository = written.repository.parse::<RemoteName>();
    if let Err(error) = &repository {
        let what = format!("{} is no repository", quoted(&written.repository));
        wrong(written.repository.span, what, error.to_string());
    }
    let mut signers = Vec::new();
    for line in &written.signers {
        match line.parse::<Signer>() {
            Ok(signer) => signers.push(signer),
            Err(error) => wrong(line.span, format!("{} is no signer", quoted(line)), error.to_string()),
        }
    }
    if let Some(since) = &written.since {
        let hex = since.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !hex || since.len() != 40 {
            let help = "write all 40 digits of its id, as `git rev-parse` shows them";
            wrong(since.span, format!("{} is no commit", quoted(since)), help.to_owned());
        }
    }
    let since = written.since.as_ref().map(|since| since.value.clone());
    let reference = reference.value.clone();
    let trusted = TrustedRef { reference, repository: repository.ok()?, signers, since };
    (findings.errors() == before).then_some(trusted)
}
