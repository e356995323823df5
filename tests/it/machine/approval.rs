//! What a file asks for and nobody approved does not happen; what a saved plan says happens, or nothing; what disappears
//! from the files is stopped and kept.

use std::fs;

use super::rig::{Home, Upstream};

const SPEC: &str =
    "  workspace: {mode: direct}\n  network: {rules: [{allow: \"api.test:80\", why: a server}]}\n";

/// A status code of the guest's request to the server of the file's rule.
fn answer(home: &Home) -> String {
    home.guest("dev", "curl -s -m 20 -o /dev/null -w '%{http_code}' http://api.test/").ok()
}

fn none_was_made(home: &Home) {
    let status = home.run(&["status", "-o", "json"]).json();
    assert_eq!(status["sandboxes"].as_array().map(Vec::len), Some(0), "{status:#}");
}

#[test]
fn a_saved_plan_happens_as_it_was_shown_and_the_rest_waits_for_a_person() {
    let server = Upstream::http();
    let home = Home::new("saved-plan");
    // What is needed to start at all is no question here; the rule is.
    home.configure(&format!(
        "egress: {{resolve: {{\"api.test:80\": \"{}\"}}}}\napprovals: {{baseline: [isolation emulation-ok, workspace . \
         direct]}}\n",
        server.address
    ));
    home.define("ws", "dev", SPEC);
    let plan = home.path("plan.json");
    let plan = plan.to_str().expect("a test's path is text");
    let shown = home.run(&["plan", "--out", plan]);
    assert_eq!(shown.code, 5, "{shown:#?}");
    assert!(
        shown.stdout.contains("dev is made and started") && shown.stdout.contains("api.test:80"),
        "{shown:#?}"
    );

    // A plan that somebody wrote, and one under which the file has moved: nothing happens.
    let written = fs::read_to_string(plan).expect("it was just saved");
    fs::write(plan, written.replace("\"access\"", "\"axess\"").replace("dev", "evil")).expect("ours");
    assert!([1, 3].contains(&home.run(&["apply", plan]).code));
    none_was_made(&home);
    // One that reads, and says another host: somebody has shown one thing and would have another done.
    fs::write(plan, written.replace("api.test", "evil.test")).expect("ours");
    let error = home.run(&["apply", plan, "-o", "json"]).refused(1);
    assert!(error["message"].as_str().is_some_and(|message| message.contains("stale")), "{error:#}");
    none_was_made(&home);
    assert_eq!(home.run(&["pending"]).ok(), "", "nothing of it is remembered");
    fs::write(plan, &written).expect("ours");
    home.define("ws", "dev", &SPEC.replace("api.test", "other.test"));
    let error = home.run(&["apply", plan, "-o", "json"]).refused(1);
    assert!(error["message"].as_str().is_some_and(|message| message.contains("stale")), "{error:#}");
    none_was_made(&home);

    // As it was shown: it runs, and what nobody approved waits.
    home.define("ws", "dev", SPEC);
    assert_eq!(home.run(&["apply", plan]).code, 5);
    assert_eq!(home.status()["phase"], "running");
    assert_eq!(answer(&home), "403");
    let waiting = home.run(&["pending"]).ok();
    assert!(waiting.contains("api.test:80"), "{waiting}");
    home.run(&["approve", "dev", "--yes", "--commit"]).ok();
    let committed = fs::read_to_string(home.path("ws/.cofferdam/approvals.yaml")).expect("it was written");
    assert!(committed.contains("kind: Approvals") && committed.contains("api.test:80"), "{committed}");
    assert_eq!(answer(&home), "200", "in force without a restart");
    assert_eq!(home.run(&["pending"]).ok(), "");

    // The document goes: the sandbox is stopped and keeps what the agent made, until somebody says otherwise.
    home.guest("dev", "echo kept > ~/note").ok();
    home.define("ws", "another", "  start: onDemand\n  workspace: {mode: direct}\n");
    assert_eq!(home.run(&["apply", "--yes"]).code, 0);
    let status = home.run(&["status", "-o", "json"]).json();
    let dev = status["sandboxes"].as_array().expect("a list").iter().find(|it| it["name"] == "dev");
    let dev = dev.unwrap_or_else(|| panic!("dev is kept: {status:#}"));
    assert_eq!(dev["phase"], "stopped", "{dev:#}");
    assert!(dev.to_string().contains("Orphaned"), "{dev:#}");
    home.define("ws", "dev", SPEC);
    home.run(&["apply", "--yes"]).ok();
    assert_eq!(home.guest("dev", "cat ~/note").ok(), "kept\n");
    home.define("ws", "another", "  start: onDemand\n  workspace: {mode: direct}\n");
    home.run(&["apply", "--yes", "--prune"]).ok();
    none_was_made(&home);
}
