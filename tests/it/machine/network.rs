//! Rules: what is denied and how it says so, and that changing them takes effect without a restart.

use std::process::Stdio;

use super::rig::shared;

#[test]
fn an_unlisted_host_is_denied_in_words() {
    let shared = shared();
    let denied = shared.guest("curl -sS -i https://closed.test/").ok();
    assert!(
        denied.starts_with("HTTP/1.1 403 Blocked by sandbox policy: no rule allows closed.test:443\r\n"),
        "{denied}"
    );
    assert!(
        denied.contains("cofferdam-decision: deny\r\n") && denied.contains("This is deliberate."),
        "{denied}"
    );
    assert!(shared.curl("https://other.test/").starts_with("200 reached"));
    shared.nothing_leaked();
}

#[test]
fn the_explicit_proxy_gives_the_same_answer() {
    let shared = shared();
    let proxy = "-x http://gateway.cofferdam.internal:3128";
    let denied = shared.curl(&format!("{proxy} https://closed.test/"));
    assert!(denied.starts_with("403 Blocked by sandbox policy: no rule allows closed.test:443"), "{denied}");
    assert!(shared.curl(&format!("{proxy} http://closed.test/")).starts_with("403 Blocked"));
    assert!(shared.curl(&format!("{proxy} https://other.test/")).starts_with("200 reached"));
    shared.nothing_leaked();
}

#[test]
fn allowing_and_denying_take_effect_at_once() {
    let (shared, home) = (shared(), &shared().home);
    let status = || home.status()["bootMs"].clone();
    let booted = status();
    let check = || home.run(&["policy", "check", "network", "live.test", "--sandbox", "dev"]).code;
    assert!(shared.curl("https://live.test/").starts_with("403"));
    assert_eq!(check(), 4);

    home.run(&["policy", "allow", "network", "live.test", "--sandbox", "dev"]).ok();
    assert!(shared.curl("https://live.test/").starts_with("200 reached"));
    assert_eq!(check(), 0);

    home.run(&["policy", "deny", "network", "live.test", "--sandbox", "dev"]).ok();
    assert!(shared.curl("https://live.test/").starts_with("403"));
    assert_eq!((check(), status()), (4, booted));
    let rule = shared.last_event("live.test")["rule"].clone();
    assert_eq!(rule["layer"], "session", "{rule:#}");
}

#[test]
fn a_rule_for_the_repository_reaches_its_running_sandboxes() {
    let (shared, home) = (shared(), &shared().home);
    assert!(shared.curl("https://repository.test/").starts_with("403"));
    home.run(&["policy", "allow", "network", "repository.test"]).ok();
    assert!(shared.curl("https://repository.test/").starts_with("200"));
    home.run(&["policy", "rm", "network", "repository.test"]).ok();
    assert!(shared.curl("https://repository.test/").starts_with("403"));
}

#[test]
fn a_deny_wins_over_a_broader_allow() {
    let (shared, home) = (shared(), &shared().home);
    assert!(shared.curl("https://wide.wild.test/").starts_with("200"));
    let denied = shared.curl("https://closed.wild.test/");
    assert!(denied.starts_with("403") && denied.contains("sandbox.yaml:"), "the rule's place: {denied}");
    // A command cannot lift it, and says whose rule it is.
    let lifted =
        home.run(&["policy", "allow", "network", "closed.wild.test", "--sandbox", "dev", "-o", "json"]);
    let error = lifted.refused(4);
    assert!(error["hint"].as_str().is_some_and(|hint| hint.contains("sandbox.yaml")), "{error:#}");
    // And a deny of a command wins over the file.
    home.run(&["policy", "deny", "network", "narrow.wild.test", "--sandbox", "dev"]).ok();
    assert!(shared.curl("https://narrow.wild.test/").starts_with("403"));
    assert!(shared.curl("https://wide.wild.test/").starts_with("200"));
    shared.nothing_leaked();
}

#[test]
fn the_log_counts_what_was_allowed_and_denied() {
    let (shared, home) = (shared(), &shared().home);
    for _ in 0..3 {
        assert!(shared.curl("https://counted.test/yes").starts_with("200"));
        assert!(shared.curl("https://closed.test/counted").starts_with("403"));
    }
    let log = home.run(&["policy", "log", "dev", "-o", "json"]).json();
    let rows = log["rows"].as_array().expect("rows");
    let row =
        |part: &str| rows.iter().find(|row| row["resource"].as_str().is_some_and(|it| it.contains(part)));
    let (allowed, denied) =
        (row("counted.test/yes").expect("a row"), row("closed.test/counted").expect("a row"));
    assert_eq!(
        (allowed["decision"].as_str(), allowed["count"].as_u64()),
        (Some("allow"), Some(3)),
        "{allowed:#}"
    );
    assert_eq!(
        (denied["decision"].as_str(), denied["count"].as_u64()),
        (Some("deny"), Some(3)),
        "{denied:#}"
    );
    assert!(allowed["rule"]["line"].is_u64(), "{allowed:#}");
    assert_eq!(denied["reason"], "no_rule");
    let text = home.run(&["policy", "log", "dev"]).ok();
    assert!(text.lines().any(|line| line.contains("closed.test/counted") && line.contains("3×")), "{text}");
}

#[test]
fn raw_tcp_passes_by_name_and_port_only() {
    let shared = shared();
    let send = |host: &str, port: u16| {
        let script = format!("exec 3<>/dev/tcp/{host}/{port} && echo ping >&3 && timeout 10 head -c 5 <&3");
        shared.guest(&script).stdout
    };
    assert_eq!(send("db.test", 5432), "ping\n");
    assert_eq!(send("closed.test", 5432), "");
    shared.nothing_leaked();
}

#[test]
fn a18_an_open_connection_ends_when_its_host_is_denied() {
    let (shared, home) = (shared(), &shared().home);
    let script = "curl -sS -N https://held.test/hold; echo ended";
    let mut command = home.command("ws", &["exec", "dev", "--", "sh", "-c", script]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().expect("it is piped")));
    assert_eq!(lines.next().expect("a line").expect("text"), "held");
    home.run(&["policy", "deny", "network", "held.test", "--sandbox", "dev"]).ok();
    assert_eq!(lines.next().expect("a line").expect("text"), "ended");
    child.wait().expect("it ends");
    shared.other.await_closed();
    assert!(shared.curl("https://held.test/").starts_with("403"));
}
