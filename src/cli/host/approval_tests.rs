//! What an agent that can write the repository gets out of it without a person. No machine is started here.

use std::{ffi::OsString, fs, path::PathBuf};

use super::*;
use crate::{
    cli::ops::{Action, Answer, Approvals, Machines, Plans, Progress, Source, Wish},
    store::{NewSandbox, Record},
};

pub(in crate::cli::host) const FILE: &str = "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: dev}\nspec:\n  agent: shell\n  \
                    network: {rules: [{allow: \"a.example:443\", why: first}]}\n";
const WIDER: &str = "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: dev}\nspec:\n  agent: shell\n  \
                     network: {rules: [{allow: [\"a.example:443\", \"b.example:443\"], why: wider}]}\n  \
                     ports: [{guest: 3000}]\n";

pub(in crate::cli::host) struct Silent;

impl Progress for Silent {
    fn step(&self, _: &str, _: Option<u16>, _: &str) {}
}

/// A home with a configuration, and repositories below it.
pub(in crate::cli::host) struct Stage {
    _root: tempfile::TempDir,
    pub(in crate::cli::host) root: PathBuf,
}

impl Stage {
    pub(in crate::cli::host) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for folder in ["home", "web", "other"] {
            fs::create_dir(root.join(folder)).unwrap();
        }
        let stage = Self { _root: directory, root };
        stage.repository("web");
        stage.repository("other");
        stage.write("web/sandbox.yaml", FILE);
        stage
    }

    fn repository(&self, name: &str) {
        let folder = self.root.join(name);
        fs::create_dir_all(folder.join(".git/objects")).unwrap();
        fs::write(folder.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    }

    pub(in crate::cli::host) fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    pub(in crate::cli::host) fn host(&self, folder: &str) -> Host {
        let env = |name: &str| match name {
            "HOME" => Some(OsString::from(self.root.join("home"))),
            "COFFERDAM_CONFIG" => Some(OsString::from(self.root.join("config/config.yaml"))),
            "COFFERDAM_STATE" => Some(OsString::from(self.root.join("state"))),
            "COFFERDAM_CACHE" => Some(OsString::from(self.root.join("cache"))),
            _ => None,
        };
        if !self.root.join("config/config.yaml").exists() {
            self.write("config/config.yaml", "# nothing\n");
        }
        Host::with(&env, &self.root.join(folder)).unwrap()
    }
}

pub(in crate::cli::host) fn proposal(host: &Host, source: &Source) -> Proposal {
    host.propose(source, &Wish::default()).unwrap()
}

fn asked(host: &Host) -> Vec<String> {
    grants(&proposal(host, &Source::Search))
}

fn grants(proposal: &Proposal) -> Vec<String> {
    proposal.asked.iter().map(|asked| asked.grant.clone()).collect()
}

/// Somebody says yes to everything.
pub(in crate::cli::host) fn approve_all(host: &Host) {
    let open = proposal(host, &Source::Search);
    let ids: Vec<String> = open.asked.iter().map(|asked| asked.id.clone()).collect();
    let settled = host.approve(&open, &ids, How::Asked).unwrap();
    assert_eq!(settled.asked, []);
    Plans::park(host, &settled).unwrap();
}

/// A stopped sandbox, as its plan has it.
pub(in crate::cli::host) fn make(host: &Host) -> Record {
    let proposal = proposal(host, &Source::Search);
    let desired = proposal.plan.unwrap().wanted().remove(0);
    let (name, owner) = (desired.name.clone(), proposal.owner.unwrap());
    let record = host.store.create(NewSandbox { name, owner, created_at: now(), desired }).unwrap();
    host.store.reach(&record.id, record.generation, None).unwrap()
}

fn hosts(record: &Record) -> Vec<String> {
    record.desired.network.rules.iter().map(|rule| rule.host.to_string()).collect()
}

#[test]
fn g04_what_a_file_adds_waits_and_the_rest_is_planned() {
    let stage = Stage::new();
    let host = stage.host("web");
    assert_eq!(asked(&host), ["isolation emulation-ok", "net * a.example:443"]);
    approve_all(&host);
    assert_eq!(asked(&host), Vec::<String>::new());
    // The agent edits the file that describes its cage.
    stage.write("web/sandbox.yaml", WIDER);
    let open = proposal(&host, &Source::Search);
    assert_eq!(grants(&open), ["net * b.example:443", "port 3000"]);
    let wanted = open.plan.unwrap().wanted().remove(0);
    assert_eq!((wanted.network.rules.len(), wanted.ports.len()), (1, 0));
    // The break: where everything needs no question, the wider file is planned as it stands.
    stage.write("config/config.yaml", "approvals: {baseline: [\"net * b.example:443\", \"port 3000\"]}\n");
    let wanted = proposal(&stage.host("web"), &Source::Search).plan.unwrap().wanted().remove(0);
    assert_eq!((wanted.network.rules.len(), wanted.ports.len()), (2, 1));
}

#[test]
fn a_name_that_is_defined_here_never_means_another_repositorys_sandbox() {
    let stage = Stage::new();
    approve_all(&stage.host("web"));
    make(&stage.host("web"));
    stage.repository("api");
    stage.write("api/sandbox.yaml", &FILE.replace("why: first", "whi: first"));
    let found = |folder: &str, name: &str| stage.host(folder).find(name).map(|found| found.id);
    // Also where the file says something wrong: `rm dev` must not take the other one for it.
    let failure = found("api", "dev").unwrap_err();
    assert_eq!((failure.kind(), failure.code()), (Kind::NotFound, "sandbox_not_made"));
    let hint = failure.object().hint.clone().unwrap();
    assert!(hint.contains("run dev") && hint.contains("web/dev"), "{hint}");
    // Where nothing defines it, it is the only one of that name; and the exact name is always exact.
    let only = found("web", "dev").unwrap();
    assert_eq!(found("other", "dev").unwrap(), only);
    assert_eq!(found("api", "web/dev").unwrap(), only);
}

#[test]
fn g04_a_borrowed_git_file_borrows_no_approval() {
    let stage = Stage::new();
    approve_all(&stage.host("web"));
    stage.write("thief/sandbox.yaml", FILE);
    stage.write("thief/.git", "gitdir: ../web/.git\n");
    assert_eq!(asked(&stage.host("thief")).len(), 2);
    // The break: a working tree that the repository knows has its approvals, by the same kind of file.
    stage.write("tree/sandbox.yaml", FILE);
    let linked = stage.root.join("web/.git/worktrees/tree");
    stage.write("tree/.git", &format!("gitdir: {}\n", linked.display()));
    stage.write("web/.git/worktrees/tree/gitdir", &format!("{}\n", stage.root.join("tree/.git").display()));
    stage.write("web/.git/worktrees/tree/commondir", "../..\n");
    stage.write("web/.git/worktrees/tree/HEAD", "ref: refs/heads/tree\n");
    assert_eq!(asked(&stage.host("tree")), Vec::<String>::new());
}

#[test]
fn g04_standing_in_a_trusted_repository_lends_another_files_nothing() {
    let stage = Stage::new();
    approve_all(&stage.host("web"));
    stage.write("other/sandbox.yaml", FILE);
    let other = proposal(&stage.host("web"), &Source::Path("../other/sandbox.yaml".into()));
    assert_eq!(grants(&other).len(), 2);
    assert_eq!(other.owner.unwrap().place(), stage.root.join("other"));
    // The break: the same bytes in the repository itself ask nothing.
    assert_eq!(
        grants(&proposal(&stage.host("web"), &Source::Path("sandbox.yaml".into()))),
        Vec::<String>::new()
    );
}

#[test]
fn g04_a_repository_put_in_the_place_of_another_starts_from_nothing() {
    let stage = Stage::new();
    approve_all(&stage.host("web"));
    fs::rename(stage.root.join("web"), stage.root.join("kept")).unwrap();
    stage.repository("web");
    stage.write("web/sandbox.yaml", FILE);
    assert_eq!(asked(&stage.host("web")).len(), 2);
    // The break: put back, it has what it had.
    fs::rename(stage.root.join("web"), stage.root.join("swapped")).unwrap();
    fs::rename(stage.root.join("kept"), stage.root.join("web")).unwrap();
    assert_eq!(asked(&stage.host("web")), Vec::<String>::new());
}

#[test]
fn g04_approvals_in_the_repository_count_for_nothing() {
    let stage = Stage::new();
    let forged = "apiVersion: cofferdam.dev/v1alpha1\nkind: Approvals\ngrants: [\"net * a.example:443\", \"isolation emulation-ok\"]\n";
    stage.write("web/.cofferdam/approvals.yaml", forged);
    stage.write("web/.cofferdam/approvals.json", forged);
    assert_eq!(asked(&stage.host("web")).len(), 2);
    // The break: the same grants in the operator's own file need no question.
    stage.write(
        "config/config.yaml",
        "approvals: {baseline: [\"net * a.example:443\", \"isolation emulation-ok\"]}\n",
    );
    assert_eq!(asked(&stage.host("web")), Vec::<String>::new());
    // A ref alone is no reason to trust it.
    stage.write("config/config.yaml", "approvals: {trust: [\"refs/heads/main\"]}\n");
    let env = |name: &str| {
        (name == "COFFERDAM_CONFIG").then(|| OsString::from(stage.root.join("config/config.yaml")))
    };
    let refused = Host::with(&env, &stage.root.join("web")).err().unwrap();
    assert_eq!(refused.kind(), Kind::File);
}

#[test]
fn g09_the_one_word_yes_stops_where_the_operator_says() {
    let stage = Stage::new();
    let covered = |config: &str| {
        stage.write("config/config.yaml", config);
        let open = proposal(&stage.host("web"), &Source::Search);
        open.asked.iter().map(|asked| asked.yes).collect::<Vec<_>>()
    };
    assert_eq!(covered("# nothing\n"), [true, true]);
    assert_eq!(covered("approvals: {yes: none}\n"), [false, false]);
    assert_eq!(covered("approvals: {never: [\"net * a.example:443\"]}\n"), [true, false]);
    // What is wider than what is listed would bring it along.
    assert_eq!(covered("approvals: {never: [\"net GET a.example:443 /x\"]}\n"), [true, false]);
    assert_eq!(covered("approvals: {yes: any, never: [\"net * a.example:443\"]}\n"), [true, true]);
    stage.write("config/config.yaml", "approvals:\n  never: [mount everything]\n");
    let env = |name: &str| {
        (name == "COFFERDAM_CONFIG").then(|| OsString::from(stage.root.join("config/config.yaml")))
    };
    let wrong = Host::with(&env, &stage.root.join("web")).err().unwrap();
    assert_eq!((wrong.kind(), wrong.object().line), (Kind::File, Some(2)));
}

#[test]
fn an_answer_is_followed_at_once_and_remembered() {
    let stage = Stage::new();
    let host = stage.host("web");
    approve_all(&host);
    let record = make(&host);
    assert_eq!(hosts(&record), ["a.example"]);
    stage.write("web/sandbox.yaml", WIDER);
    let open = proposal(&host, &Source::Search);
    Plans::park(&host, &open).unwrap();
    let waiting = |host: &Host| host.inboxes(Some("dev")).unwrap().remove(0);
    let inbox = waiting(&host);
    assert_eq!(inbox.asked.len(), 2);
    // What is approved is what was asked for, whatever the file says by now.
    stage.write("web/sandbox.yaml", &WIDER.replace("b.example", "evil.example"));
    let approve = Answer::Approve { until: None };
    host.answer(&inbox, &["net * b.example:443".into()], &approve, &Silent).unwrap();
    let now = host.store.load(&record.id).unwrap();
    assert_eq!((hosts(&now), now.desired.ports.len()), (vec!["a.example".into(), "b.example".into()], 0));
    assert_eq!(waiting(&host).asked.len(), 1);
    // Refused, and not asked for again; what was approved and is withdrawn goes at once.
    host.answer(&waiting(&host), &["port 3000".into()], &Answer::Reject, &Silent).unwrap();
    host.answer(&waiting(&host), &["net * a.example:443".into()], &Answer::Reject, &Silent).unwrap();
    assert_eq!(hosts(&host.store.load(&record.id).unwrap()), ["b.example"]);
    stage.write("web/sandbox.yaml", WIDER);
    assert_eq!(asked(&host), Vec::<String>::new());
    let again = proposal(&host, &Source::Search).plan.unwrap();
    let (parked, rejected) = (again.steps[0].parked.len(), again.steps[0].rejected.len());
    assert_eq!((parked, rejected), (0, 2), "rejected is not approved");
    let trail = fs::read_dir(host.store.audit()).unwrap();
    let text: String =
        trail.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap_or_default()).collect();
    for action in ["\"action\":\"approve\"", "\"action\":\"reject\""] {
        assert!(text.contains(action), "{text}");
    }
}

#[test]
fn a_refusal_is_taken_back_although_its_sandbox_is_gone() {
    let stage = Stage::new();
    let host = stage.host("web");
    approve_all(&host);
    let record = make(&host);
    stage.write("web/sandbox.yaml", WIDER);
    Plans::park(&host, &proposal(&host, &Source::Search)).unwrap();
    let inbox = || Approvals::inboxes(&host, Some("dev")).unwrap().remove(0);
    let refused = ["port 3000".to_owned()];
    host.answer(&inbox(), &refused, &Answer::Reject, &Silent).unwrap();
    host.remove_record(&record).unwrap();
    let approve = Answer::Approve { until: None };
    // What was never answered has nobody who asked for it any more.
    let other = ["net * b.example:443".to_owned()];
    assert_eq!(host.answer(&inbox(), &other, &approve, &Silent).unwrap_err().code(), "nothing_asked");
    host.answer(&inbox(), &refused, &approve, &Silent).unwrap();
    assert_eq!(inbox().rejected, []);
    assert_eq!(asked(&host), ["net * b.example:443"]);
}

#[test]
fn what_is_refused_keeps_nothing_waiting() {
    let stage = Stage::new();
    let host = stage.host("web");
    approve_all(&host);
    stage.write("web/sandbox.yaml", WIDER);
    let open = proposal(&host, &Source::Search);
    Plans::park(&host, &open).unwrap();
    let inbox = Approvals::inboxes(&host, Some("dev")).unwrap().remove(0);
    host.answer(&inbox, &grants(&open), &Answer::Reject, &Silent).unwrap();
    let refused = proposal(&host, &Source::Search);
    let plan = refused.plan.as_ref().unwrap();
    let texts: Vec<String> = plan.steps[0].rejected.iter().map(|it| it.asked.grant.to_string()).collect();
    assert_eq!((texts, plan.is_pending(), refused.asked.len()), (grants(&open), false, 0));
    // The saved input has it, and plans the same anywhere.
    let saved = crate::plan::input_text(refused.input.as_ref().unwrap());
    assert_eq!(crate::plan::make(&crate::plan::input_from(saved.as_bytes()).unwrap()), *plan);
}

#[test]
fn another_file_that_defines_a_sandbox_of_this_name_is_named() {
    let stage = Stage::new();
    let host = stage.host("web");
    approve_all(&host);
    make(&host);
    stage.write("web/b/sandbox.yaml", FILE);
    let words = |source: &Source| proposal(&host, source).changes[0].notes.join("\n");
    let moved = words(&Source::Path("b/sandbox.yaml".into()));
    assert!(moved.contains("its definition is in b/sandbox.yaml now, and was in sandbox.yaml"), "{moved}");
    assert!(!words(&Source::Search).contains("definition"));
}

#[test]
fn an_approval_that_has_ended_is_not_there() {
    let stage = Stage::new();
    let host = stage.host("web");
    Plans::park(&host, &proposal(&host, &Source::Search)).unwrap();
    let inbox = host.inboxes(Some("dev")).unwrap().remove(0);
    let all: Vec<String> = inbox.asked.iter().map(|asked| asked.grant.clone()).collect();
    let until = |day: &str| Answer::Approve { until: Some(format!("{day}T00:00:00Z")) };
    host.answer(&inbox, &all, &until("2999-01-01"), &Silent).unwrap();
    assert_eq!(asked(&host), Vec::<String>::new());
    host.answer(&inbox, &all, &until("2001-01-01"), &Silent).unwrap();
    assert_eq!(asked(&host), all);
}

#[test]
fn what_is_typed_is_approved_for_that_sandbox_and_no_file() {
    let stage = Stage::new();
    let host = stage.host("web");
    let document = |name: &str| {
        Source::CommandLine(Box::new(serde_json::json!({
            "apiVersion": "cofferdam.dev/v1alpha1", "kind": "Sandbox", "metadata": { "name": name },
            "spec": { "agent": "shell", "network": { "rules": [{ "allow": "a.example", "why": "typed" }] } },
        })))
    };
    let typed = proposal(&host, &document("dev"));
    assert_eq!(typed.asked, []);
    Plans::park(&host, &typed).unwrap();
    let known = host.store.approvals(&host.here).unwrap();
    assert!(known.definitions["dev"].is_typed());
    // The file of the same name has to ask for itself.
    let file = proposal(&host, &Source::Search);
    assert_eq!(grants(&file).len(), 2);
    Plans::park(&host, &file).unwrap();
    assert!(!host.store.approvals(&host.here).unwrap().definitions["dev"].is_typed());
    // And what was typed goes with its sandbox.
    Plans::park(&host, &proposal(&host, &document("mine"))).unwrap();
    host.forget_typed(&host.here, "mine").unwrap();
    assert!(!host.store.approvals(&host.here).unwrap().definitions.contains_key("mine"));
}

#[test]
fn what_a_kit_of_the_repository_says_was_typed_by_nobody() {
    let origin = |file: Option<&str>| Origin {
        layer: crate::model::rule::Layer::Repository,
        file: file.map(str::to_owned),
        line: Some(1),
    };
    for (file, expected) in [
        (None, true),
        (Some("the command line"), true),
        (Some("standard input"), false),
        (Some("kit shell"), true),
        (Some("kits/shell/kit.yaml"), false),
        (Some("kit evil/kit.yaml"), false),
        (Some("kit evil.sandbox.yaml"), false),
        (Some(".cofferdam/kits/shell/kit.yaml"), false),
        (Some("sandbox.yaml"), false),
    ] {
        assert_eq!(is_typed(Some(&origin(file))), expected, "{file:?}");
    }
}

#[test]
fn a_document_that_disappears_leaves_an_orphan_of_its_own_file_only() {
    let stage = Stage::new();
    let host = stage.host("web");
    approve_all(&host);
    let record = make(&host);
    let step = |source: &Source, prune: bool| {
        let wish = Wish { prune, ..Wish::default() };
        let changes = host.propose(source, &wish).unwrap().changes;
        changes.into_iter().find(|change| change.sandbox == "dev").map(|change| change.action)
    };
    stage.write("web/more/sandbox.yaml", &FILE.replace("name: dev", "name: ci"));
    assert_eq!(step(&Source::Path("more/sandbox.yaml".into()), false), None);
    stage.write("web/sandbox.yaml", &FILE.replace("name: dev", "name: ci"));
    assert_eq!(step(&Source::Search, false), Some(Action::Stop));
    assert_eq!(step(&Source::Search, true), Some(Action::Delete));
    assert_eq!(step(&Source::Path("more".into()), true), None);
    host.store.orphan(&record.id, record.generation, "2026-01-01T00:00:00Z").unwrap();
    assert_eq!(step(&Source::Search, false), Some(Action::Keep));
    let status = host.status_of(&host.store.load(&record.id).unwrap()).unwrap();
    assert_eq!(status.conditions[0].reason.as_deref(), Some("Orphaned"));
}

/// Events of the host's trail by what they are about, and the files that hold them.
fn trail(host: &Host) -> (Vec<String>, usize) {
    let files = fs::read_dir(host.store.audit()).unwrap().map(|entry| entry.unwrap().path());
    let segments: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().contains(".jsonl")).collect();
    let text: String = segments.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let event = |line: &str| {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        format!("{} {}", event["action"].as_str().unwrap(), event["resource"].as_str().unwrap())
    };
    (text.lines().map(event).collect(), segments.len())
}

#[test]
fn nothing_is_approved_that_the_trail_does_not_take() {
    let stage = Stage::new();
    stage.write("web/sandbox.yaml", WIDER);
    let host = stage.host("web");
    let open = proposal(&host, &Source::Search);
    Plans::park(&host, &open).unwrap();
    let ids: Vec<String> = open.asked.iter().map(|asked| asked.id.clone()).collect();
    let inbox = || Approvals::inboxes(&host, Some("dev")).unwrap().remove(0);
    // A file in the place of the trail's folder takes no event.
    fs::write(host.store.audit(), "").unwrap();
    assert_eq!(host.approve(&open, &ids, How::Yes).unwrap_err().code(), "audit");
    let answer = Answer::Approve { until: None };
    let refused = host.answer(&inbox(), &grants(&open), &answer, &Silent).unwrap_err();
    assert_eq!((refused.code(), inbox().approved), ("audit", Vec::new()));
    assert_eq!(asked(&host), grants(&open));
    // A refusal stands all the same.
    let one = grants(&open)[..1].to_vec();
    assert!(host.answer(&inbox(), &one, &Answer::Reject, &Silent).is_err());
    assert_eq!(inbox().rejected[0].grant, one[0]);
    // The break: with a trail it is approved, and one writer wrote every event.
    fs::remove_file(host.store.audit()).unwrap();
    let open = proposal(&host, &Source::Search);
    host.approve(&open, &ids, How::Yes).unwrap();
    let approved: Vec<String> = grants(&open).iter().map(|grant| format!("approve {grant}")).collect();
    assert!(approved.len() > 1);
    assert_eq!(trail(&host), (approved, 1));
}

/// Events of one action, whole.
fn events(host: &Host, action: &str) -> Vec<serde_json::Value> {
    let files = fs::read_dir(host.store.audit()).unwrap().map(|entry| entry.unwrap().path());
    let mut segments: Vec<PathBuf> = files.filter(|path| path.to_string_lossy().contains(".jsonl")).collect();
    segments.sort();
    let text: String = segments.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let events = text.lines().map(|line| serde_json::from_str(line).unwrap());
    events.filter(|event: &serde_json::Value| event["action"] == action).collect()
}

#[test]
fn what_is_approved_gets_another_end_sooner_or_later() {
    let stage = Stage::new();
    let host = stage.host("web");
    approve_all(&host);
    let record = make(&host);
    let inbox = || host.inboxes(Some("dev")).unwrap().remove(0);
    let net = ["net * a.example:443".to_owned()];
    let commit = || Some("4be0643f1d98".repeat(3) + "4be0");
    host.edit_definition(&host.here, "dev", |definition| {
        definition.wanted.as_mut().unwrap().provenance.commit = commit();
    })
    .unwrap();
    let before = events(&host, "approve").len();
    let ends = [Some("2999-12-31"), Some("2998-12-31"), Some("2999-06-30"), None];
    for (number, until) in ends.into_iter().enumerate() {
        let end: Option<crate::model::end::End> = until.map(|until| until.parse().unwrap());
        let answer = Answer::Approve { until: end.map(|end| end.moment().to_string()) };
        host.answer(&inbox(), &net, &answer, &Silent).unwrap();
        // In force, in the record, in the event: who, when, for which commit, until when.
        assert_eq!(host.store.load(&record.id).unwrap().desired.network.rules[0].until, end);
        let known = inbox().approved;
        let approval = known.iter().find(|approval| approval.grant == net[0]).unwrap();
        assert_eq!((approval.end(), &approval.by, &approval.commit), (end, &host.user, &commit()));
        assert!(approval.at.parse::<Timestamp>().is_ok() && approval.how == How::Asked);
        let all = events(&host, "approve");
        let event = all.last().unwrap();
        assert_eq!((all.len(), event["resource"].as_str()), (before + number + 1, Some(net[0].as_str())));
        let moment = end.map_or(serde_json::Value::Null, |end| json!(end.moment().to_string()));
        assert_eq!((&event["detail"]["until"], &event["detail"]["how"]), (&moment, &json!("asked")));
        assert_eq!(event["provenance"]["commit"], json!(commit()));
        assert_eq!(event["user"], json!(host.user));
        assert_eq!(event["detail"]["grant_id"], json!(approvals::id(&net[0])));
    }
    assert_eq!((inbox().approved.len(), asked(&host)), (2, Vec::new()));
}

#[test]
fn an_end_of_what_was_typed_leaves_it_typed() {
    let stage = Stage::new();
    let host = stage.host("web");
    let document = Source::CommandLine(Box::new(serde_json::json!({
        "apiVersion": "cofferdam.dev/v1alpha1", "kind": "Sandbox", "metadata": { "name": "mine" },
        "spec": { "agent": "shell", "network": { "rules": [{ "allow": "a.example", "why": "typed" }] } },
    })));
    Plans::park(&host, &proposal(&host, &document)).unwrap();
    let inbox = || host.inboxes(Some("mine")).unwrap().remove(0);
    let all: Vec<String> = inbox().approved.iter().map(|approval| approval.grant.clone()).collect();
    let answer = Answer::Approve { until: Some("2999-01-01T00:00:00Z".into()) };
    host.answer(&inbox(), &all, &answer, &Silent).unwrap();
    let typed = |approval: &Approval| approval.how == How::Typed && approval.until.is_some();
    assert!(!all.is_empty() && inbox().approved.iter().all(typed));
}

#[test]
fn what_was_approved_for_a_sandbox_that_is_gone_can_be_ended_and_withdrawn() {
    let stage = Stage::new();
    let host = stage.host("web");
    approve_all(&host);
    host.forget_typed(&host.here, "dev").unwrap();
    let inbox = || host.inboxes(Some("dev")).unwrap().remove(0);
    let net = ["net * a.example:443".to_owned()];
    let answer = Answer::Approve { until: Some("2999-01-01T00:00:00Z".into()) };
    host.answer(&inbox(), &net, &answer, &Silent).unwrap();
    assert!(inbox().approved.iter().any(|approval| approval.grant == net[0] && approval.until.is_some()));
    host.answer(&inbox(), &net, &Answer::Reject, &Silent).unwrap();
    assert_eq!((inbox().approved.len(), inbox().rejected.len()), (1, 1));
    // The break: nothing else is approved that nobody asks for.
    let refused = host.answer(&inbox(), &["net * b.example:443".into()], &answer, &Silent).unwrap_err();
    assert_eq!(refused.code(), "nothing_asked");
}

#[test]
fn the_operators_lists_are_bounded_with_their_lines() {
    let stage = Stage::new();
    let lines: String = (0..=4_096).map(|port| format!("    - port {}\n", port + 1)).collect();
    for list in ["baseline", "never"] {
        stage.write("config/config.yaml", &format!("approvals:\n  {list}:\n{lines}"));
        let env = |name: &str| {
            (name == "COFFERDAM_CONFIG").then(|| OsString::from(stage.root.join("config/config.yaml")))
        };
        let wrong = Host::with(&env, &stage.root.join("web")).err().unwrap();
        assert_eq!((wrong.kind(), wrong.object().line), (Kind::File, Some(4_096 + 3)), "{list}");
        assert!(wrong.object().message.contains("more than 4096"), "{wrong:?}");
    }
}
