//! What happens in the guest before the agent's first command: files, set-up steps; and tasks after it.

use super::{lifecycle::Machine, rig::Home};

const SPEC: &str = r##"
  env: {GREETING: hello, FROM_ENV: "${{ secrets.tickets.placeholder }}"}
  secrets:
    - {name: tickets, env: TICKETS_TOKEN, inject: [{host: api.test, header: authorization, format: "Bearer {}"}], why: x}
  network: {rules: [{allow: "api.test:443", why: the key's host}]}
  files:
    - {path: ~/.npmrc, content: "token=${{ secrets.tickets.placeholder }}\n"}
    - {path: ~/.config/app/settings.json, content: '{"ours": {"a": 1}}', merge: json}
    - {path: /etc/motd, content: "welcome\n"}
    - {path: ~/bin/tool, content: "#!/bin/sh\necho tool\n", mode: "0755"}
  setup:
    create:
      - echo "$GREETING $(id -un) $(pwd)" >> ~/steps
      - {name: needs go, run: "test -e ~/go || { echo there is no go >&2; exit 3; }"}
      - echo created >> ~/steps
    start: ["echo started >> ~/steps"]
"##;

fn home(story: &str) -> Home {
    let mut home = Home::new(story);
    home.export("TICKETS_KEY", "the-real-key");
    home.configure("secrets:\n  sources: {tickets: {env: TICKETS_KEY}}\n");
    home
}

#[test]
fn a_step_that_fails_leaves_the_machine_up_and_the_next_start_goes_on_with_it() {
    let home = home("setup");
    home.define("ws", "dev", &format!("  workspace: {{mode: direct}}\n{SPEC}"));
    let error = home.run(&["apply", "--yes", "--wait", "-o", "json"]).refused(1);
    let message = error["message"].as_str().expect("a message").to_owned();
    for part in ["SetupFailed", "`needs go`", "exit code 3", "there is no go", "sandbox.yaml:"] {
        assert!(message.contains(part), "{part} is not in {error:#}");
    }
    let machine = Machine::of(home);
    let home = &machine.home;
    let status = home.status();
    assert_eq!(
        (status["phase"].as_str(), status["setup"]["state"].as_str()),
        (Some("running"), Some("failed"))
    );
    let log = home.run(&["logs", "dev", "--setup"]).ok();
    assert!(log.contains("==> setup.create: needs go") && log.contains("there is no go"), "{log}");
    let refused = home.run(&["run", "dev", "--task", "true", "-o", "json"]).refused(1);
    assert_eq!(refused["code"], "setup_failed", "the agent does not begin: {refused:#}");
    assert_eq!(home.run(&["status", "dev", "--wait-for", "Ready"]).code, 1);
    // Nothing changes in the file, and still a pass does not end as if all were well.
    assert_eq!(home.run(&["apply", "--yes", "-o", "json"]).refused(1)["code"], "setup_failed");

    // What was missing is put right from outside, and the next start goes on behind what was done.
    machine.guest("touch ~/go").ok();
    home.run(&["restart", "dev"]).ok();
    let steps = format!("hello agent {}\ncreated\nstarted\n", home.path("ws").display());
    assert_eq!(machine.guest("cat ~/steps").ok(), steps);
    assert_eq!(home.status()["setup"]["state"], "done");
    home.run(&["restart", "dev"]).ok();
    assert_eq!(machine.guest("cat ~/steps").ok(), steps + "started\n", "create steps run once per disk");
}

#[test]
fn files_are_there_before_anything_runs_and_tasks_exit_with_the_agents_code() {
    let home = home("files");
    let spec = SPEC.replace("test -e ~/go", "test -e ~/.npmrc -a -x ~/bin/tool");
    home.define("ws", "dev", &spec);
    home.run(&["apply", "--yes", "--wait"]).ok();
    let machine = Machine::of(home);
    let (home, read) = (&machine.home, |path: &str| machine.guest(&format!("cat {path}")).ok());
    let placeholder = machine.guest("printf %s \"$TICKETS_TOKEN\"").ok();
    assert!(placeholder.len() > 10);
    assert_eq!(read("~/.npmrc"), format!("token={placeholder}\n"));
    assert_eq!(machine.guest("printf %s \"$FROM_ENV\"").ok(), placeholder);
    assert_eq!(
        machine.guest("~/bin/tool; stat -c '%U %a' ~/.npmrc /etc/motd").ok(),
        "tool\nagent 644\nroot 644\n"
    );
    // JSON is merged at each start: what the agent added stays, what is ours comes back.
    machine
        .guest("echo '{\"ours\": {\"a\": 2, \"b\": 3}, \"theirs\": true}' > ~/.config/app/settings.json")
        .ok();
    // What lies in the way of a plain file is replaced and never followed.
    machine.guest("ln -sf ~/victim ~/.npmrc; echo kept > ~/victim").ok();
    home.run(&["restart", "dev"]).ok();
    let merged: serde_json::Value =
        serde_json::from_str(&read("~/.config/app/settings.json")).expect("it is JSON");
    assert_eq!(merged, serde_json::json!({"ours": {"a": 1, "b": 3}, "theirs": true}));
    assert_eq!(read("~/victim"), "kept\n");
    // A pipe in the way of a merge is an error that says so, and holds nothing up.
    machine.guest("rm ~/.config/app/settings.json; mkfifo ~/.config/app/settings.json").ok();
    let failed = home.run(&["restart", "dev", "-o", "json"]).refused(1);
    assert!(
        failed["message"].as_str().is_some_and(|it| it.contains("settings.json") && it.contains("no file"))
    );
    machine.guest("rm ~/.config/app/settings.json").ok();
    home.run(&["restart", "dev"]).ok();
    tasks(home);
}

/// The agent `shell` takes a task for a script.
fn tasks(home: &Home) {
    let passed = home.run(&["run", "dev", "--task", "echo out; echo err >&2; exit 7"]);
    assert_eq!((passed.code, passed.stdout.as_str()), (7, "out\n"), "{passed:#?}");
    std::fs::write(home.path("ws/task.sh"), "echo \"$0 $#\"; echo '${{ task.prompt }}'\n").expect("ours");
    let file = home.run(&["run", "dev", "--task-file", "task.sh"]);
    assert_eq!((file.code, file.stdout.as_str()), (0, "bash 0\n${{ task.prompt }}\n"), "{file:#?}");
    let late = home.run(&["run", "dev", "--task", "echo out; sleep 60", "--timeout", "1s", "-o", "json"]);
    let result = late.json();
    assert_eq!(
        (late.code, &result["exitCode"], &result["timedOut"]),
        (124, &124.into(), &true.into()),
        "{late:#?}"
    );
    assert_eq!((&result["sandbox"], &result["stdoutBytes"]), (&"dev".into(), &4.into()));
    assert_eq!(home.run(&["run", "dev", "--task", ""]).code, 2);
}
