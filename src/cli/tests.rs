//! Command lines as users type them, against a scripted rest of the program.

mod against;
mod answers;
pub(super) mod commits;
mod init;
pub(super) mod keeper;
mod rehearsal;
mod scripted;
mod sets;
mod transcripts;
mod trusted;

use std::{cell::RefCell, io::Write, rc::Rc};

use serde_json::{Value, json};

use self::scripted::Scripted;
use super::*;
use crate::model::api::PolicyRevision;

#[derive(Clone, Default)]
pub(in crate::cli) struct Sink(Rc<RefCell<Vec<u8>>>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Sink {
    pub(in crate::cli) fn text(&self) -> String {
        String::from_utf8(self.0.borrow().clone()).unwrap()
    }
}

/// Exit code, standard output, standard error.
fn cofferdam(ops: &Scripted, line: &str) -> (u8, String, String) {
    let cli = parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    let (data, talk) = (Sink::default(), Sink::default());
    let out = Output::to(cli.output.format(), data.clone(), talk.clone());
    let context = Context { out, prompt: Prompt::new(true, None, false), ops };
    let code = end(cli.command.run(&context), &context.out);
    (code, data.text(), talk.text())
}

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(std::iter::once("cofferdam").chain(line.split_whitespace()))
}

#[test]
fn the_command_line_is_consistent() {
    use clap::CommandFactory as _;
    Cli::command().debug_assert();
}

#[test]
fn the_forms_that_scripts_rely_on_are_read() {
    for line in [
        "check -f sandbox.yaml",
        "check -f -",
        "apply -f . --yes --wait",
        "apply plan.json",
        "apply --wait --timeout 10m --prune --now --require-approved",
        "apply --yes --when-idle --timeout 1h",
        "suspend dev web/dev",
        "resume dev",
        "status dev --wait-for !Busy",
        "pending",
        "pending web/dev --all -o json",
        "approve dev 0123456789ab --until 2026-12-31",
        "approve dev --yes",
        "reject dev 0123456789ab",
        "status",
        "template build",
        "template build -f . dev",
        "template ls -o json",
        "template rm 0123456789ab --unused",
        "status dev --wait-for Ready --timeout 2m -o json",
        "ls --output json",
        "create --name=X-1 shell .", /* upper case is refused below */
        "run dev",
        "run shell . -- -c true",
        "exec dev -- cat /proc/version",
        "exec -it dev bash",
        "exec -it dev",
        "exec -u root -w /tmp -e A=b -e HOME --env-file f --timeout 5s dev -- sh -c true",
        "rm dev --force",
        "delete -f sandbox.yaml --yes",
        "policy ls --preset balanced",
        "policy allow network a.example",
        "policy deny network a.example,b.example --sandbox dev",
        "policy allow -g network a.example --method GET,HEAD --path /x/**",
        "policy rm network a.example",
        "policy check network https://a.example/x --sandbox dev",
        "policy explain network a.example:8443",
        "policy log dev --follow",
        "policy reset --preset open --yes",
        "audit verify",
        "audit tail dev",
        "audit query --action net.* --decision deny --since 1h -n 5",
        "secret ls",
        "doctor --fix --yes",
        "doctor --output json",
        "demo --yes --output json",
        "schema --write schemas",
        "completion bash",
        "version",
        "start dev web/dev",
        "stop dev --grace 5s --force",
        "restart dev",
        "logs dev --console -n 20",
    ] {
        let result = parse(&line.replace("X-1", "x-1"));
        assert!(result.is_ok(), "{line}: {}", result.unwrap_err());
    }
    for line in [
        "",
        "nonsense",
        "create",
        "create --name=X shell .",
        "exec dev",
        "status --wait-for Ready",
        "status dev --wait-for ready",
        "status dev --wait-for ReviewPending",
        "apply --when-idle --now",
        "rm",
        "audit tail",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn exec_leaves_the_commands_own_flags_alone() {
    for (line, words) in [
        ("exec dev ls -o json", &["ls", "-o", "json"][..]),
        ("exec dev -- ls --output json", &["ls", "--output", "json"]),
        ("exec dev -- sh -c -- x", &["sh", "-c", "--", "x"]),
    ] {
        let cli = parse(line).unwrap();
        let command::Command::Exec(args) = cli.command else { panic!("{line}") };
        assert_eq!(
            (args.command.as_slice(), cli.output.format()),
            (&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()[..], Format::Text),
            "{line}"
        );
    }
}

#[test]
fn what_comes_later_is_refused_by_name() {
    let ops = Scripted::default();
    for (line, flag) in [
        ("run shell --branch=B", "--branch"),
        ("run dev --branch B", "--branch"),
        ("create shell . --mode branch", "--mode branch"),
    ] {
        let (code, out, err) = cofferdam(&ops, line);
        let first = err.lines().next();
        assert_eq!(
            (code, out.as_str(), first),
            (2, "", Some(format!("error: {flag} is not available yet").as_str())),
            "{line}"
        );
    }
    assert_eq!(*ops.calls.borrow(), Vec::<String>::new());
}

#[test]
fn errors_are_one_json_object() {
    let (code, out, err) = cofferdam(&Scripted::default(), "start nothing -o json");
    assert_eq!((code, out.as_str()), (6, ""));
    let object: Value = serde_json::from_str(&err).unwrap();
    let keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["code", "kind", "message", "file", "line", "column", "hint", "causes"]);
    assert_eq!((&object["code"], &object["kind"]), (&json!("sandbox_not_found"), &json!("not_found")));
}

#[test]
fn a_wrong_command_line_is_a_failure_like_any_other() {
    let failure = usage(&parse("exec").unwrap_err());
    assert_eq!((failure.code(), failure.exit_code()), ("usage", 2));
    let message = &failure.object().message;
    assert!(
        message.starts_with("the following required arguments") && message.contains("<NAME>"),
        "{message}"
    );
    for (line, format) in [
        ("exec -o json", Format::Json),
        ("exec --output=json", Format::Json),
        ("-ojson nonsense", Format::Json),
        ("exec dev -- -o json", Format::Text),
        ("exec -o text", Format::Text),
    ] {
        let words: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        assert_eq!(wanted_format(&words), format, "{line}");
    }
}

#[test]
fn a_slip_is_told_with_what_to_type() {
    for (line, message, hint) in [
        ("inspect dev", "`cofferdam inspect` is not available yet", "cofferdam export NAME"),
        ("attach dev", "`cofferdam attach` is not available yet", "cofferdam run NAME"),
        ("secret set anthropic", "`cofferdam secret set` is not available yet", "secrets: {sources:"),
        ("audit export", "`cofferdam audit export` is not available yet", "audit query -o json"),
        ("diff dev", "`cofferdam diff` is not available yet", ""),
        ("check sandbox.yaml", "`sandbox.yaml` has no place here", "`cofferdam check -f sandbox.yaml`"),
        ("plan ./web", "`./web` has no place here", "`cofferdam plan -f ./web`"),
    ] {
        let words: Vec<OsString> = format!("cofferdam {line}").split(' ').map(OsString::from).collect();
        let failure = slip::told(&parse(line).unwrap_err(), &words).unwrap_or_else(|| panic!("{line}"));
        let shown = failure.object();
        assert_eq!((shown.message.as_str(), failure.exit_code()), (message, 2), "{line}");
        assert!(shown.hint.as_deref().unwrap_or_default().contains(hint), "{line}: {shown:?}");
    }
    for line in ["exec", "status --nope", "nonsense", "logs dev sandbox.yaml"] {
        let words: Vec<OsString> = format!("cofferdam {line}").split(' ').map(OsString::from).collect();
        assert!(slip::told(&parse(line).unwrap_err(), &words).is_none(), "{line}");
    }
    // What comes later and is here by now is no slip.
    slip::assert_none_is_here(&<Cli as clap::CommandFactory>::command());
    let hint = usage(&parse("staus").unwrap_err()).object().hint.clone().unwrap();
    assert!(!hint.contains("tip:") && !hint.contains('\n') && hint.contains("status"), "{hint}");
}

#[test]
fn what_was_not_there_is_not_removed() {
    let (code, out, err) = cofferdam(&Scripted::default(), "policy rm network docs.example");
    assert_eq!((code, out.as_str()), (6, ""));
    assert!(err.contains("no rule of a command is `docs.example` for all"), "{err}");
}

#[test]
fn of_several_failures_the_documented_code_counts() {
    // 6 for `nothing`, 8 for `dev`, whose start fails: 8 comes first.
    let (code, _, err) = cofferdam(&Scripted::default(), "start nothing dev");
    assert_eq!(code, 8);
    assert!(err.contains("lacks QEMU") && err.contains("no sandbox `nothing`"), "{err}");
}

#[test]
fn what_nobody_approved_is_parked_and_the_rest_starts() {
    let grants = vec!["mount ~/datasets read".into(), "reveal anthropic".into()];
    let ops = Scripted { grants: grants.clone(), ..Scripted::default() };
    let (code, out, err) = cofferdam(&ops, "apply -o json");
    assert_eq!((code, err.as_str()), (5, ""));
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["sandboxes"][0]["phase"], "running");
    assert_eq!(answer["pending"].as_array().map(Vec::len), Some(2));
    // --yes covers what the operator lets it cover, and no more.
    let (code, _, err) = cofferdam(&ops, "apply --yes --wait");
    assert_eq!(code, 5);
    assert!(err.contains("1 grant waits for an approval"), "{err}");
    let id = crate::store::approvals::id("mount ~/datasets read");
    let expected = [
        "apply wait=false when_idle=false".to_owned(),
        format!("approve {id} Yes"),
        "apply wait=true when_idle=false".to_owned(),
    ];
    assert_eq!(*ops.calls.borrow(), expected);
    let ops = Scripted { grants: grants[..1].to_vec(), ..Scripted::default() };
    assert_eq!(cofferdam(&ops, "apply --yes").0, 0);
}

#[test]
fn who_requires_approval_starts_nothing_without_it() {
    let ops = Scripted { grants: vec!["port 3000".into()], ..Scripted::default() };
    let (code, out, err) = cofferdam(&ops, "apply --require-approved");
    assert_eq!((code, out.as_str()), (5, ""));
    assert!(
        err.contains("port 3000  (tests)  sandbox.yaml:7") && err.contains("nothing was started"),
        "{err}"
    );
    assert_eq!(*ops.calls.borrow(), ["park"]);
}

#[test]
fn the_inbox_is_answered_by_id() {
    let grants = vec!["port 3000".to_owned(), "reveal anthropic".to_owned()];
    let id = crate::store::approvals::id;
    let ops = Scripted { grants: grants.clone(), ..Scripted::default() };
    let (code, out, _) = cofferdam(&ops, "pending");
    let expected = format!(
        "/src/web/dev\n  {}  port 3000  (tests)  sandbox.yaml:7\n  {}  reveal anthropic  (tests)  sandbox.yaml:7  [not covered by --yes]\n",
        &id(&grants[0])[..12],
        &id(&grants[1])[..12]
    );
    assert_eq!((code, out), (0, expected));
    assert_eq!(cofferdam(&ops, &format!("approve dev {} --until 2099-12-31", id(&grants[1]))).0, 0);
    assert_eq!(cofferdam(&ops, "approve dev --yes").0, 5);
    assert_eq!(cofferdam(&ops, &format!("reject dev {}", id(&grants[0]))).0, 0);
    assert_eq!(cofferdam(&ops, "reject dev").0, 0);
    let calls = [
        "Approve { until: Some(\"2100-01-01T00:00:00Z\") } reveal anthropic",
        "Approve { until: None } port 3000",
        "Reject port 3000",
        "Reject port 3000 | reveal anthropic",
    ];
    assert_eq!(*ops.calls.borrow(), calls);
    // What --yes covers nothing of still waits.
    let revealing = Scripted { grants: grants[1..].to_vec(), ..Scripted::default() };
    let (code, _, err) = cofferdam(&revealing, "approve dev --yes");
    assert_eq!((code, err.as_str()), (5, "1 waits: --yes does not cover that; approve it by id\n"));
    for (line, code) in [
        ("approve dev 000000000000", 6),
        ("approve dev 2faa", 2),
        ("approve nothing", 6),
        ("approve dev", 2),
        ("approve dev --yes --until 2020-01-01", 2),
        ("approve dev --commit", 2),
        ("reject dev 000000000000", 6),
    ] {
        assert_eq!(cofferdam(&ops, line).0, code, "{line}");
    }
}

#[test]
fn what_shapes_a_new_sandbox_is_not_dropped_for_one_that_exists() {
    for line in ["run dev --memory 2GiB", "run dev .", "run shell --name dev --allow a.example"] {
        let (code, _, err) = cofferdam(&Scripted::default(), line);
        assert_eq!(code, 2, "{line}");
        assert!(err.contains("dev exists already"), "{line}: {err}");
    }
    for line in ["run dev -d -e A=1", "run dev -d --workdir /x", "run dev -d -- --verbose"] {
        assert_eq!(cofferdam(&Scripted::default(), line).0, 2, "{line}: nobody would have it");
    }
    let defined = Scripted { defined: true, ..Scripted::default() };
    for line in [
        "run web --cpus 2",
        "run web .",
        "run web --name web-2",
        "run web --allow a.example",
        "run web -d -e A=1",
    ] {
        let (code, _, err) = cofferdam(&defined, line);
        assert_eq!(code, 2, "{line}");
        assert!(err.contains("web is defined here"), "{line}: {err}");
    }
}

#[test]
fn create_is_a_document() {
    let ops = Scripted::default();
    let line = "create --name=x shell /src:ro /data --allow a.example --deny b.example --memory 2GiB -e K=V --mount /d:/d:ro -p 8080:3000 -p 4000";
    assert_eq!(cofferdam(&ops, line).0, 0);
    let calls = ops.calls.borrow();
    let document: Value = serde_json::from_str(calls[0].strip_prefix("propose ").unwrap()).unwrap();
    assert_eq!(document["metadata"]["name"], "x");
    let spec = &document["spec"];
    assert_eq!(spec["workspace"], json!({ "path": "/src", "mode": "read" }));
    assert_eq!(spec["mounts"][0]["target"], "/data");
    assert_eq!(spec["mounts"][1]["access"], "read");
    assert_eq!(spec["ports"], json!([{ "guest": 3000, "host": 8080 }, { "guest": 4000 }]));
    assert_eq!(spec["network"]["rules"][1]["deny"], "b.example");
    assert_eq!((&spec["resources"]["memory"], &spec["env"]["K"]), (&json!("2GiB"), &json!("V")));
}

#[test]
fn ports_are_published_and_withdrawn_by_the_sandboxs_number() {
    let ops = Scripted::default();
    let (code, out, _) = cofferdam(&ops, "ports dev --publish 8080:3000 -p 4000 --unpublish 5432 -o json");
    let open = |guest: u16, host: u16| json!({ "guest": guest, "host": host, "address": "127.0.0.1" });
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &shown["ports"]), (0, &json!([open(3000, 8080), open(4000, 4000)])));
    assert!(ops.calls.borrow()[0].contains("withdraw: [5432]"), "{:?}", ops.calls.borrow());
    let (code, out, _) = cofferdam(&ops, "ports dev -p 8080:3000");
    assert_eq!((code, out.as_str()), (0, "HOST            SANDBOX\n127.0.0.1:8080  3000\n"));
}

#[test]
fn an_agent_without_a_command_for_tasks_says_what_to_do() {
    let (code, out, err) = cofferdam(&Scripted::default(), "run dev --task fix");
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("has no command for a task") && err.contains("task.prompt"), "{err}");
    for wrong in ["run dev --timeout 5s", "run dev --task fix --detach", "run dev --task fix -- vim"] {
        assert_eq!(cofferdam(&Scripted::default(), wrong).0, 2, "{wrong}");
    }
}

#[test]
fn loss_is_never_silent() {
    let ops = Scripted::default();
    for line in ["rm dev", "delete -f x.yaml", "delete", "policy reset", "rm nothing dev --force"] {
        assert_ne!(cofferdam(&ops, line).0, 0, "{line}");
    }
    assert_eq!(*ops.calls.borrow(), Vec::<String>::new());
    assert_eq!(cofferdam(&ops, "rm dev --force").0, 0);
    assert_eq!(cofferdam(&ops, "delete -f x.yaml --yes").0, 0);
    assert_eq!(*ops.calls.borrow(), ["remove dev", "apply wait=false when_idle=false"]);
}

#[test]
fn rules_of_the_command_line_have_the_contracts_meaning() {
    let ops = Scripted::default();
    assert_eq!(cofferdam(&ops, "policy allow -g network a.example,**.b.example:80").0, 0);
    assert_eq!(cofferdam(&ops, "policy deny network a.example").0, 0);
    assert_eq!(cofferdam(&ops, "policy allow network db.example:5432 --protocol tcp").0, 0);
    let expected = [
        "Allow a.example Some(Https) global=true",
        "Allow **.b.example:80 Some(Http) global=true",
        // Every port, every protocol.
        "Deny a.example None global=false",
        "Allow db.example:5432 Some(Tcp) global=false",
    ];
    assert_eq!(*ops.calls.borrow(), expected);
    for line in [
        "policy allow network db.example:5432",
        "policy allow network bad_/host",
        "policy allow network a.example --protocol tcp --method GET",
    ] {
        assert_eq!(cofferdam(&ops, line).0, 2, "{line}");
    }
}

#[test]
fn check_of_a_denied_host_answers_with_4() {
    let ops = Scripted::default();
    let (code, out, err) = cofferdam(&ops, "policy check network paste.example -o json");
    assert_eq!((code, err.as_str()), (4, ""));
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&answer["allowed"], &answer["reason"]), (&json!(false), &json!("no_rule")));
    let ops = Scripted::default();
    cofferdam(&ops, "policy allow network a.example");
    let rule: crate::model::rule::NetworkRule = serde_json::from_value(json!({
        "id": "user/1", "effect": "allow", "host": { "exact": "a.example" }, "ports": { "first": 443, "last": 443 },
        "protocol": "https", "addresses": "public", "why": "test", "origin": { "layer": "user" },
    }))
    .unwrap();
    let ops = Scripted { rules: PolicyRevision { rules: vec![rule], ..PolicyRevision::default() }, ..ops };
    let (code, out, _) = cofferdam(&ops, "policy check network https://a.example/x");
    assert_eq!((code, out.as_str()), (0, "allowed: rule user/1 allows GET https://a.example/x\n"));
    let (code, out, _) = cofferdam(&ops, "policy explain network a.example:444");
    assert_eq!(code, 4);
    assert!(out.contains("user/1"), "{out}");
}

#[test]
fn a_trail_that_nothing_was_written_to_is_empty_not_broken() {
    let ops = Scripted { trail: "/nonexistent/trail".into(), ..Scripted::default() };
    assert_eq!(cofferdam(&ops, "policy log dev -o json").0, 0);
    assert_eq!(cofferdam(&ops, "audit query").0, 0);
    let (code, out, _) = cofferdam(&ops, "audit verify -o json");
    assert_eq!(code, 0);
    assert_eq!(serde_json::from_str::<Value>(&out).unwrap()["verified"], true);
}

#[test]
fn a_trail_that_was_changed_fails_and_says_where() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("00000001.jsonl"), "{\"seq\":1}\n").unwrap();
    let ops = Scripted { trail: directory.path().to_owned(), ..Scripted::default() };
    let (code, out, err) = cofferdam(&ops, "audit verify -o json");
    assert_eq!(code, 1);
    let (out, err): (Value, Value) =
        (serde_json::from_str(&out).unwrap(), serde_json::from_str(&err).unwrap());
    assert_eq!((&out["verified"], &out["trails"][0]["bad"]["line"]), (&json!(false), &json!(1)));
    assert_eq!((&err["code"], &err["line"]), (&json!("audit_bad"), &json!(1)));
    assert_eq!(cofferdam(&ops, "policy log").0, 1);
}

#[test]
fn a_console_cannot_drive_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("console.log"), "boot\n\u{1b}]0;x\u{7}\n").unwrap();
    let ops = Scripted { trail: directory.path().to_owned(), ..Scripted::default() };
    assert_eq!(cofferdam(&ops, "logs dev").1, "boot\n\\u{1b}]0;x\\u{7}\n");
    assert_eq!(cofferdam(&ops, "logs dev -n 1 -o json").1, "{\"line\":\"\\u001b]0;x\\u0007\"}\n");
}

#[test]
fn exec_keeps_125_for_our_own_failures() {
    // `dev` is stopped and does not start: 8 elsewhere, 125 here.
    let ops = Scripted::default();
    assert_eq!(cofferdam(&ops, "exec dev -- true").0, 125);
    assert_eq!(cofferdam(&ops, "exec nothing -- true").0, 125);
    assert_eq!(cofferdam(&ops, "start dev").0, 8);
    assert_eq!(*ops.calls.borrow(), ["start dev", "start dev"]);
}

#[test]
fn stop_passes_its_grace_on() {
    let ops = Scripted::default();
    assert_eq!(cofferdam(&ops, "stop dev --grace 3s").0, 0);
    assert_eq!(*ops.calls.borrow(), ["stop dev 3s false"]);
}

#[test]
fn templates_are_built_listed_and_removed() {
    let ops = Scripted::default();
    let (code, text, _) = cofferdam(&ops, "template build -f kits dev");
    assert_eq!((code, text.lines().last().unwrap()), (0, "dev      aaaaaaaaaaaa  bbbbbbbbbbbb"));
    let (_, text, _) = cofferdam(&ops, "template ls");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "KEY           KIND      SIZE    CREATED               USED BY  HOLDS",
            "aaaaaaaaaaaa  packages  200MiB                                 g++=4:12 jq=1.6",
            "bbbbbbbbbbbb  steps     3MiB    2026-01-02T03:04:05Z  dev      make install…",
        ]
    );
    let (_, text, _) = cofferdam(&ops, "template ls -o json");
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["templates"][1]["usedBy"], json!(["dev"]));
    assert_eq!(cofferdam(&ops, "template rm --unused").0, 0);
    assert!(parse("template rm").is_err(), "nothing is removed by default");
    let expected = ["build Path(\"kits\") Some(\"dev\") false", "remove templates [] unused=true"];
    assert_eq!(*ops.calls.borrow(), expected);
}
