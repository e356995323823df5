//! Who approves what: each mode of the operator against each way of answering, at a terminal and without one.

use std::{ffi::OsString, fs};

use clap::Parser as _;

use super::{
    Sink, end,
    rehearsal::{Made, Rehearsal},
};
use crate::{
    cli::{Cli, context::Context, host::Host, output::Output, prompt::Prompt},
    store::How,
};

const NET: &str = "net * a.example:443";
const ISOLATION: &str = "isolation emulation-ok";

#[derive(Debug, Clone, Copy)]
struct Case {
    /// `approvals.yes`.
    mode: &'static str,
    /// `--yes`.
    yes: bool,
    /// What a person answers; none: there is no terminal.
    person: Option<&'static str>,
    /// Whether `approvals.never` lists [`NET`].
    never: bool,
    /// Whether `approvals.baseline` does.
    baseline: bool,
    /// Whether the file asks for a secret's value.
    reveal: bool,
}

/// Exit code, and the grants with how they were approved; those that wait with none.
fn play(case: Case) -> (u8, Vec<(String, Option<How>)>) {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("web");
    for place in ["home", "config", "web/.git/objects", "web/.git/refs"] {
        fs::create_dir_all(root.path().join(place)).unwrap();
    }
    fs::write(folder.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    let secrets = if case.reveal { "  secrets: [{name: staging, reveal: true, why: tests}]\n" } else { "" };
    let file = format!(
        "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {{name: dev}}\nspec:\n  agent: shell\n  \
         workspace: {{mode: read}}\n{secrets}  network: {{rules: [{{allow: \"a.example:443\", why: first}}]}}\n"
    );
    fs::write(folder.join("sandbox.yaml"), file).unwrap();
    let list = |listed: bool| if listed { format!("[\"{NET}\"]") } else { "[]".to_owned() };
    let (never, baseline) = (list(case.never), list(case.baseline));
    let config = format!("approvals: {{yes: {}, never: {never}, baseline: {baseline}}}\n", case.mode);
    fs::write(root.path().join("config/config.yaml"), config).unwrap();
    let env = |name: &str| match name {
        "HOME" => Some(OsString::from(root.path().join("home"))),
        "COFFERDAM_CONFIG" => Some(OsString::from(root.path().join("config/config.yaml"))),
        "COFFERDAM_STATE" => Some(OsString::from(root.path().join("state"))),
        _ => None,
    };
    let host = Host::with(&env, &folder).unwrap();
    let ops = Rehearsal { host, made: Made::default(), trails: root.path().join("trails"), machines: None };
    let words: &[&str] = if case.yes { &["cofferdam", "apply", "--yes"] } else { &["cofferdam", "apply"] };
    let cli = Cli::try_parse_from(words).unwrap();
    let talk = Sink::default();
    let prompt = match case.person {
        None => Prompt::new(true, None, false),
        Some(answer) => Prompt::script([answer.to_owned()], talk.clone()),
    };
    let out = Output::to(cli.output.format(), Sink::default(), talk);
    let context = Context { out, prompt, ops: &ops };
    let code = end(cli.command.run(&context), &context.out);
    let Ok(mut inboxes) = context.ops.approvals().inboxes(Some("dev")) else { return (code, Vec::new()) };
    let inbox = inboxes.remove(0);
    let approved = inbox.approved.into_iter().map(|approval| (approval.grant, Some(approval.how)));
    let mut all: Vec<_> = approved.chain(inbox.asked.into_iter().map(|asked| (asked.grant, None))).collect();
    all.sort_by(|left, right| left.0.cmp(&right.0));
    (code, all)
}

/// What the contract says.
fn expected(case: Case) -> (u8, Vec<(String, Option<How>)>) {
    if case.reveal {
        // Not available yet: nobody's yes stands for it.
        return (3, Vec::new());
    }
    let answered = |grant: &str| match (case.yes, case.mode, case.person) {
        (true, "any", _) => Some(How::Yes),
        (true, "personal", _) => (grant != NET || !case.never).then_some(How::Yes),
        (true, ..) => None,
        (false, _, Some("y")) => Some(How::Asked),
        (false, ..) => None,
    };
    let grants = [ISOLATION, NET].into_iter().filter(|grant| *grant != NET || !case.baseline);
    let all: Vec<_> = grants.map(|grant| (grant.to_owned(), answered(grant))).collect();
    let open = all.iter().any(|(_, how)| how.is_none());
    (if open { 5 } else { 0 }, all)
}

#[test]
fn every_mode_meets_every_answer() {
    let both = [false, true];
    let mut played = 0;
    for mode in ["none", "personal", "any"] {
        for (yes, person) in both.iter().flat_map(|yes| [None, Some("y"), Some("n")].map(|it| (*yes, it))) {
            for (never, baseline) in both.iter().flat_map(|never| both.map(|baseline| (*never, baseline))) {
                for reveal in both {
                    let case = Case { mode, yes, person, never, baseline, reveal };
                    assert_eq!(play(case), expected(case), "{case:?}");
                    played += 1;
                }
            }
        }
    }
    assert_eq!(played, 3 * 2 * 3 * 2 * 2 * 2);
}
