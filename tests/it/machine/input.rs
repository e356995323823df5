//! What people get wrong, and what they are told. Nothing is half-made afterwards.

use serde_json::{Value, json};

use super::rig::{Home, shared};

const HEAD: &str =
    "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: dev}\nspec:\n  agent: shell\n";

/// What `apply` says about a file; with it nothing may have been made.
#[track_caller]
fn apply(home: &Home, text: &str, code: i32) -> Value {
    std::fs::write(home.path("ws/sandbox.yaml"), text).expect("ours");
    let error = home.run(&["apply", "--yes", "--wait", "-o", "json"]).refused(code);
    assert_eq!(home.run(&["ls", "-o", "json"]).json()["sandboxes"], json!([]), "something was made");
    error
}

#[track_caller]
fn says(error: &Value, words: &[&str]) {
    let all = error.to_string();
    assert!(words.iter().all(|word| all.contains(word)), "{words:?} are not all in {error:#}");
}

#[test]
fn files_that_are_wrong_are_refused_at_their_line() {
    let home = Home::new("wrong-files");
    let error = apply(&home, &format!("{HEAD}  netwrok: {{}}\n"), 3);
    says(&error, &["netwrok", "network"]);
    assert_eq!(
        (error["kind"].as_str(), error["line"].as_u64(), error["column"].as_u64()),
        (Some("file"), Some(6), Some(3))
    );

    let error = apply(&home, &format!("{HEAD}\tenv: {{}}\n"), 3);
    says(&error, &["tab"]);
    assert_eq!(error["line"], 6);

    let error = apply(&home, &format!("{HEAD}---\n{HEAD}"), 3);
    says(&error, &["dev"]);

    let error = apply(&home, &format!("{HEAD}  mounts: [{{source: ./not-there, target: /x, why: y}}]\n"), 3);
    says(&error, &["not-there"]);

    std::fs::write(home.path("ws/plain.txt"), "x").expect("ours");
    let error = apply(&home, &format!("{HEAD}  mounts: [{{source: ./plain.txt, target: /x, why: y}}]\n"), 3);
    says(&error, &["plain.txt"]);

    let error = apply(&home, &format!("{HEAD}  template: {{image: debian-21}}\n"), 3);
    says(&error, &["debian-21", "debian-12"]);

    let error = apply(&home, &format!("{HEAD}  mcp: {{servers: {{x: {{command: [y]}}}}}}\n"), 3);
    says(&error, &["not available yet"]);
}

#[test]
fn a_secret_without_a_value_keeps_the_sandbox_from_starting() {
    let home = Home::new("secret-missing");
    let secret = "  network: {rules: [{allow: \"a.test:443\", why: x}]}\n  \
                  secrets: [{name: tickets, env: T, inject: [{host: a.test, header: authorization}], why: x}]\n";
    std::fs::write(home.path("ws/sandbox.yaml"), format!("{HEAD}{secret}")).expect("ours");
    let error = home.run(&["apply", "--yes", "--wait", "-o", "json"]).refused(8);
    says(&error, &["tickets", "secret_missing", "sources"]);
    // With a source that fails, the words of the broker are passed on.
    home.configure("secrets: {sources: {tickets: {file: ./no-such-file}}}\n");
    let error = home.run(&["apply", "--yes", "--wait", "-o", "json"]).refused(8);
    says(&error, &["tickets", "no-such-file"]);
    let status = home.run(&["status", "-o", "json"]).json();
    assert!(
        status["sandboxes"].as_array().is_some_and(|all| all.iter().all(|it| it["phase"] != "running")),
        "{status:#}"
    );
}

#[test]
fn the_operators_own_file_is_held_to_the_same() {
    let home = Home::new("wrong-configuration");
    home.configure("egres: {}\n");
    let error = home.run(&["ls", "-o", "json"]).refused(3);
    says(&error, &["egres", "egress", "config.yaml"]);
}

#[test]
fn what_is_not_there_is_not_found() {
    let home = &shared().home;
    for command in [
        &["stop", "nobody", "-o", "json"][..],
        &["rm", "--force", "nobody", "-o", "json"],
        &["logs", "nobody", "--console", "-o", "json"],
        &["policy", "log", "nobody", "-o", "json"],
    ] {
        let error = home.run(command).refused(6);
        assert_eq!(
            (error["kind"].as_str(), error["code"].as_str()),
            (Some("not_found"), Some("sandbox_not_found")),
            "{command:?}"
        );
    }
    // `exec` keeps 6 for the command inside.
    let error = home.run(&["exec", "-o", "json", "nobody", "--", "true"]).refused(125);
    assert_eq!(error["kind"], "not_found");
}

#[test]
fn a_command_line_that_is_wrong_is_usage() {
    let home = &shared().home;
    for command in [
        &["frobnicate"][..],
        &["exec"],
        &["exec", "dev"],
        &["apply", "--no-such-flag"],
        &["policy", "allow", "network"],
        &["policy", "allow", "network", "https://a.test/"],
        &["stop", "Not A Name"],
        &["create", "--name", "UPPER", "shell"],
    ] {
        let output = home.run(command);
        assert_eq!(output.code, 2, "{command:?}: {output:#?}");
        assert_eq!(output.stdout, "");
    }
    let error = home.run(&["policy", "check", "network", "ftp://a.test/", "-o", "json"]).refused(2);
    assert_eq!(error["kind"], "usage", "{error:#}");
}

#[test]
fn without_a_terminal_nothing_is_granted_by_silence() {
    let home = Home::new("no-terminal");
    std::fs::write(home.path("ws/sandbox.yaml"), HEAD).expect("ours");
    let refused = home.run(&["apply", "--wait"]);
    assert!(refused.stderr.contains("--yes"), "{refused:#?}");
    assert_ne!(refused.code, 0);
    assert_eq!(home.run(&["ls", "-o", "json"]).json()["sandboxes"], json!([]));
}
