//! What is allowed for a time ends at its time, in a machine that runs: the open connection as well as the next one.

use std::{
    io::{BufRead as _, BufReader},
    process::Stdio,
};

use jiff::{SignedDuration, Timestamp, Unit};

use super::rig::{Home, Upstream};

/// So many seconds from now, as a person would write it.
fn soon(seconds: i64) -> (Timestamp, String) {
    let then = Timestamp::now() + SignedDuration::from_secs(seconds);
    let then = then.round(Unit::Second).expect("it has a next second");
    (then, then.to_string())
}

/// Holds a connection to `held.test` until somebody else ends it; gives when that was.
fn held_until(home: &Home, server: &Upstream) -> Timestamp {
    let script = "curl -sS -N http://held.test/hold; echo ended";
    let mut command = home.command("ws", &["exec", "dev", "--", "sh", "-c", script]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = quiet.spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    assert_eq!(lines.next().expect("a line").expect("text"), "held");
    assert_eq!(lines.next().expect("a line").expect("text"), "ended");
    let ended = Timestamp::now();
    child.wait().expect("it ends");
    server.await_closed();
    ended
}

fn answer(home: &Home) -> String {
    home.guest("dev", "curl -s -m 20 -o /dev/null -w '%{http_code}' http://held.test/").ok()
}

#[test]
fn what_is_allowed_for_a_time_ends_in_a_running_sandbox() {
    let server = Upstream::http();
    let home = Home::new("ends");
    home.configure(&format!(
        "egress: {{resolve: {{\"held.test:80\": \"{}\"}}}}\napprovals: {{baseline: [isolation emulation-ok, workspace . \
         direct]}}\n",
        server.address
    ));
    home.define(
        "ws",
        "dev",
        "  workspace: {mode: direct}\n  network: {rules: [{allow: \"held.test:80\", why: a server}]}\n",
    );
    assert_eq!(home.run(&["apply", "--wait"]).code, 5);
    assert_eq!(answer(&home), "403");

    // A rule of a command.
    let (then, text) = soon(25);
    home.run(&["policy", "allow", "network", "held.test:80", "--until", &text]).ok();
    assert_eq!(answer(&home), "200");
    assert!(held_until(&home, &server) >= then);
    assert_eq!(answer(&home), "403");

    // An approval.
    let (then, text) = soon(25);
    let waiting = home.run(&["pending", "dev", "-o", "json"]).json();
    let id = waiting["pending"][0]["asked"][0]["id"].as_str().expect("one waits").to_owned();
    home.run(&["approve", "dev", &id, "--until", &text]).ok();
    assert_eq!(answer(&home), "200");
    assert!(held_until(&home, &server) >= then);
    assert_eq!(answer(&home), "403");
    let ended = home.events(Some("dev")).into_iter().filter(|event| event["reason"] == "ended").count();
    assert_eq!(ended, 2, "one event for each");

    // What has ended asks again.
    home.run(&["apply"]);
    let waiting = home.run(&["pending", "dev", "-o", "json"]).json();
    assert_eq!(waiting["pending"][0]["asked"][0]["id"], id.as_str(), "it asks again: {waiting:#}");
    home.run(&["approve", "dev", &id]).ok();
    assert_eq!(answer(&home), "200");

    // What is approved gets an end, and another that is sooner: for nothing waits, by its name alone.
    let (_, late) = soon(3_600);
    home.run(&["approve", "dev", &id, "--until", &late]).ok();
    let (then, text) = soon(25);
    let said = home.run(&["approve", "dev", "--yes", "--until", &text]).ok();
    assert!(said.contains("held.test:80") && said.contains(&text), "{said}");
    let shown = home.run(&["pending", "dev", "--all"]).ok();
    assert!(shown.contains(&format!("until {text}")), "{shown}");
    assert_eq!(answer(&home), "200");
    assert!(held_until(&home, &server) >= then);
    assert_eq!(answer(&home), "403");
    // And none: by its id, although it has ended.
    home.run(&["approve", "dev", &id]).ok();
    assert_eq!(answer(&home), "200");
}
