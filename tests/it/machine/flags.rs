//! Every flag of `create` and `run`, as the guest sees what was asked for; the task of a file; and what `run --rm` leaves.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use super::rig::{Authority, Certificate, Home, Processes, Terminal, Upstream, launchers, piped};

const HELPER: &str = r#"apiVersion: cofferdam.dev/v1alpha1
kind: Agent
metadata: {name: helper}
spec:
  args: {level: {default: lax, enum: [lax, strict]}}
  env: {LEVEL: "${{ args.level }}"}
  command: {interactive: [bash, --norc], task: [bash, -c, "${{ task.prompt }}"]}
"#;
const EXTRA: &str =
    "apiVersion: cofferdam.dev/v1alpha1\nkind: Mixin\nmetadata: {name: extra}\nspec: {env: {EXTRA: extra}}\n";

/// A repository of a user's with an agent and a mixin of its own, and a server that flags let it reach.
fn stage(story: &str) -> (Home, Upstream) {
    let authority = Authority::new();
    let mut home = Home::new(story);
    let server = Upstream::https(&authority, &["api.test", "closed.test"], Certificate::Good);
    for (below, text) in [
        ("config/authority.pem", authority.pem().as_str()),
        ("ws/kits/helper/kit.yaml", HELPER),
        ("ws/kits/extra/kit.yaml", EXTRA),
        ("ws/vars", "# ours\r\nFROM_FILE=\"a b\"\r\nBOTH=file"),
        ("other/note", "other\n"),
        ("data/set", "data\n"),
        ("shared/set", "shared\n"),
    ] {
        let path = home.path(below);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("ours");
        std::fs::write(path, text).expect("ours");
    }
    let address = server.address;
    home.configure(&format!(
        "egress:\n  upstreamCa: [./authority.pem]\n  resolve: {{\"api.test:443\": \"{address}\", \"closed.test:443\": \"{address}\"}}\n\
         secrets: {{sources: {{openai: {{env: OPENAI_KEY}}}}}}\n"
    ));
    home.export("OPENAI_KEY", "the-real-key");
    home.export("OWN", "mine");
    (home, server)
}

#[test]
fn what_the_flags_ask_for_is_what_the_guest_sees() {
    let (home, _server) = stage("flags");
    let made = home.run(&[
        "create",
        "--name=box",
        "helper",
        ".",
        "../other:ro",
        "--mode",
        "direct",
        "--workdir",
        "kits",
        "--kit",
        "extra",
        "--arg",
        "level=strict",
        "--template",
        "debian-12",
        "-e",
        "BOTH=flag",
        "-e",
        "OWN",
        "--env-file",
        "vars",
        "--secret",
        "openai",
        "--allow",
        "api.test",
        "--allow",
        "api.openai.com",
        "--deny",
        "closed.test",
        "--mount",
        "../data:/data:ro",
        "--mount",
        "../shared:/shared",
        "-p",
        "3000",
        "--cpus",
        "1",
        "-m",
        "640MiB",
        "--disk",
        "2GiB",
        "--no-input",
        "--yes",
        "-o",
        "json",
    ]);
    assert_eq!(made.json()["sandboxes"][0]["name"], "box", "{made:#?}");
    assert_eq!(made.code, 0, "{made:#?}");
    let script = "echo $(id -un) $(nproc); pwd; echo \"$LEVEL|$EXTRA|$FROM_FILE|$BOTH|$OWN\"; \
                  awk '/MemTotal/ {print ($2 > 500000 && $2 < 655360)}' /proc/meminfo; \
                  df --output=size -BM /home | tail -1 | tr -d ' '; cat ../../other/note /data/set; \
                  for to in x ../../other/x /data/x /shared/x; do touch $to 2>/dev/null && echo wrote $to; done; \
                  [ -n \"$OPENAI_API_KEY\" ] && [ \"$OPENAI_API_KEY\" != the-real-key ] && echo placeholder; \
                  for to in api closed; do curl -s -o /dev/null -w '%{http_code} ' https://$to.test/; done";
    let shown = home.run(&["run", "box", "--", "-c", script]).ok();
    let ws = home.path("ws");
    let expected = format!("agent 1\n{}/kits\nstrict|extra|\"a b\"|flag|mine\n1\n", ws.display());
    assert!(shown.starts_with(&expected), "{shown}");
    let rest: Vec<&str> = shown[expected.len()..].lines().collect();
    let size: u64 = rest[0].trim_end_matches('M').parse().expect("a size");
    assert!((1800..2100).contains(&size), "{rest:?}");
    assert_eq!(rest[1..], ["other", "data", "wrote x", "wrote /shared/x", "placeholder", "200 403 "]);
    assert!(home.run(&["ports", "box"]).ok().contains("3000"));

    // A session's own: variables and folder; arguments that begin with `-` are appended, others replace.
    let own = home.run(&[
        "run",
        "box",
        "-e",
        "BOTH=once",
        "--workdir",
        "/tmp",
        "--",
        "sh",
        "-c",
        "pwd; echo $BOTH",
    ]);
    assert_eq!(own.ok(), "/tmp\nonce\n");
    assert_eq!(home.feed("ws", &["run", "box", "--", "cat"], b"a\0b").ok().as_bytes(), b"a\0b");
    assert_eq!(home.run(&["run", "box", "-d"]).ok(), "box\n");
    let detached = home.run(&["run", "box", "-d", "-o", "json"]);
    assert_eq!(detached.json()["name"], "box");
    for flags in
        [&["--cpus", "2"][..], &["--name", "box", "."], &["--mount", "../data:/x"], &["--allow", "b.test"]]
    {
        assert_eq!(home.run(&[&["run", "box"], flags].concat()).code, 2, "{flags:?} are for a new one");
    }
    // One thing at a time is asked for wrongly, and nothing is made.
    for (flags, code) in [
        (&["--mount", "../home/.ssh:/x"][..], 4),
        (&["--mount", "../home/.aws:/x:ro"], 4),
        (&["-p", "127.0.0.1:80:80"], 2),
        (&["-e", "PATH=/x"], 2),
        (&["--env-file", "nothing"], 3),
        (&["--branch", "x"], 2),
        (&["--mode", "overlay"], 2),
    ] {
        let refused = home.run(&[&["create", "shell", ".", "--name", "no", "--yes"], flags].concat());
        assert_eq!(refused.code, code, "{flags:?}: {refused:#?}");
    }
    let floor = home.run(&["create", "shell", ".", "--name", "no", "--mount", "../home/.ssh:/x", "--yes"]);
    assert!(floor.stderr.contains("floor."), "the rule is named: {floor:#?}");
    let all = home.run(&["ls", "-o", "json"]).json();
    assert_eq!(all["sandboxes"].as_array().map(Vec::len), Some(1), "{all:#}");
    home.run(&["rm", "box", "--force"]).ok();
}

#[test]
fn a_files_task_is_carried_out_and_rm_leaves_nothing_in_every_ending() {
    let home = Home::new("task");
    std::fs::create_dir_all(home.path("ws/tasks")).expect("ours");
    let prompt = |text: &str| std::fs::write(home.path("ws/tasks/nightly.md"), text).expect("ours");
    prompt("echo '\"it is ${{ here }}' >&2; cat; echo done; exit 7\n");
    let spec = "  workspace: {mode: direct}\n  task: {promptFile: ./tasks/nightly.md, timeout: 20s}\n";
    home.define("ws", "nightly", spec);
    let run =
        |arguments: &[&str]| home.feed("ws", &[&["run", "nightly"], arguments].concat(), b"not for the task");
    let ran = run(&["--yes"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (7, "done\n"), "{ran:#?}");
    assert!(
        ran.stderr.contains("nightly carries out the task of tasks/nightly.md, for at most 20s"),
        "{ran:#?}"
    );
    assert_eq!(home.status()["task"]["exitCode"], 7);
    // Flags win.
    assert_eq!(run(&["--task", "exit 5"]).code, 5);
    assert_eq!(run(&["--", "-c", "exit 6"]).code, 6);
    let opened = home.feed("ws", &["run", "nightly", "--no-task"], b"exit 4\n");
    assert_eq!(opened.code, 4, "{opened:#?}");
    assert_eq!(run(&["-d"]).ok(), "nightly\n");
    // It changes without a restart or a question, when it is applied, and not before.
    let booted = home.guest("nightly", "cat /proc/sys/kernel/random/boot_id").ok();
    prompt("sleep 60\n");
    let before = run(&[]);
    assert!(before.code == 7 && before.stderr.contains("another task by now"), "{before:#?}");
    home.run(&["apply"]).ok();
    let late = run(&["--timeout", "1s", "-o", "json"]);
    let result = late.json();
    assert_eq!(
        (late.code, &result["exitCode"], &result["timedOut"]),
        (124, &json!(124), &json!(true)),
        "{late:#?}"
    );
    assert_eq!(home.guest("nightly", "cat /proc/sys/kernel/random/boot_id").ok(), booted);
    home.run(&["rm", "nightly", "--force"]).ok();

    // `--rm`: its session ends, it is killed while it boots, its set-up fails, its guest is lost.
    let nothing = |what: &str| {
        let left = home.run(&["ls", "-o", "json"]).json();
        assert_eq!(left["sandboxes"], json!([]), "{what}");
    };
    prompt("exit 3\n");
    let ran = run(&["--yes", "--rm"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    nothing("after its session");
    home.define("ws", "nightly", &format!("{spec}  setup: {{create: [sleep 100]}}\n"));
    let state = home.path("state");
    // At once, when its processes are there, and in its set-up.
    let boots = || while launchers(&state).is_empty() {};
    let sets_up = || {
        boots();
        while home.status()["setup"]["state"] != "running" {}
    };
    let moments: [(Signal, &dyn Fn()); 3] =
        [(Signal::INT, &|| ()), (Signal::TERM, &boots), (Signal::HUP, &sets_up)];
    for (signal, moment) in moments {
        let mut command = home.command("ws", &["run", "nightly", "--yes", "--rm"]);
        let mut child = piped(&mut command).spawn().expect("the program starts");
        let talk = BufReader::new(child.stderr.take().expect("it is piped"));
        let mut lines = talk.lines().map(|line| line.expect("text"));
        lines.find(|line| line == "nightly is made and started").expect("it says so");
        moment();
        kill_process(Pid::from_child(&child), signal).expect("it runs");
        lines.for_each(drop);
        assert_eq!(child.wait().expect("it ends").code(), Some(128 + signal.as_raw()));
        nothing("after a signal");
        assert!(launchers(&state).is_empty(), "after {signal:?}");
    }
    home.define("ws", "nightly", &format!("{spec}  setup: {{create: [\"false\"]}}\n"));
    let failed = run(&["--yes", "--rm", "-o", "json"]).refused(1);
    assert_eq!(failed["code"], "setup_failed");
    nothing("after a set-up that failed");
    home.define("ws", "nightly", spec);
    prompt("echo here; sleep 60\n");
    let mut command = home.command("ws", &["run", "nightly", "--yes", "--rm"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "here");
    Processes::of(&home.sandbox_folder()).kill("vmm");
    assert_eq!(child.wait().expect("it ends").code(), Some(125));
    nothing("after its guest was lost");
}

/// The transcript of a first run is that of the real program with a real machine: what is asked, what is granted, what was
/// denied, and what comes next.
#[test]
fn the_first_run_of_an_agent_is_as_its_transcript_says() {
    let authority = Authority::new();
    let home = Home::new("first");
    let server = Upstream::https(&authority, &["npm.corp.example"], Certificate::Good);
    std::fs::write(home.path("config/authority.pem"), authority.pem()).expect("ours");
    home.configure(&format!(
        "registries: {{npm: [\"https://npm.corp.example/\"]}}\n\
         egress: {{upstreamCa: [./authority.pem], resolve: {{\"npm.corp.example:443\": \"{}\"}}}}\n",
        server.address
    ));
    std::fs::create_dir_all(home.path("shop")).expect("ours");
    std::fs::write(home.path("shop/package-lock.json"), "{}").expect("ours");
    let transcript = include_str!("../../data/transcripts/run.txt");
    // Nobody is asked at the second run.
    for story in transcript.split("$ cofferdam run shell\n").skip(1).take(2) {
        let mut terminal =
            Terminal::start(50, 400, &mut home.wrapped("shop", &["setsid", "--ctty"], &["run", "shell"]));
        let story = story.split("\n$ ").next().unwrap_or_default();
        for line in story.lines().filter_map(|line| line.strip_prefix("! ")) {
            if line.starts_with("shell-shop: requests") {
                terminal.await_text("$ ");
                terminal.enter(
                    "curl -s https://npm.corp.example/left-pad; curl -s https://paste.example/; curl -s https://paste.example/; exit 3\n",
                );
                terminal.await_text("exit 3");
            }
            match line.strip_suffix("[y/N] y") {
                Some(question) => {
                    terminal.await_text(question);
                    terminal.enter("y\n");
                }
                None => terminal.await_text(line),
            }
        }
        assert_eq!(terminal.close().wait().expect("it ends").code(), Some(3));
    }
    home.run_in("shop", &["rm", "shell-shop", "--force"]).ok();
}
