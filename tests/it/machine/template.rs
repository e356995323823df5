//! Templates: packages, build steps in machines that are thrown away, and what is left when one fails or is killed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::rig::{Authority, Certificate, Home, KEY, Processes, Upstream, boot_files, memory_holds};

/// A home with a cache of its own: the caller's kernel and base, and nothing else.
fn home(name: &str) -> Home {
    let mut home = Home::new(name);
    let cache = home.path("cache");
    link(&boot_files(), &cache);
    home.export("COFFERDAM_CACHE", cache.to_str().expect("a path of ours"));
    home
}

/// Links kernel and base into another cache.
fn link(from: &Path, to: &Path) {
    for kind in ["kernel", "base"] {
        for folder in fs::read_dir(from.join("v1").join(kind)).expect("the cache is there") {
            let folder = folder.expect("it stays").path();
            let copy = to.join("v1").join(kind).join(folder.file_name().expect("a key"));
            fs::create_dir_all(&copy).expect("our own folder");
            for file in fs::read_dir(&folder).expect("a folder") {
                let file = file.expect("it stays");
                let copy = copy.join(file.file_name());
                fs::hard_link(file.path(), &copy)
                    .or_else(|_| fs::copy(file.path(), &copy).map(drop))
                    .expect("room");
            }
        }
        let record = format!("v1/{kind}.json");
        fs::copy(from.join(&record), to.join(&record)).expect("the cache is whole");
    }
}

fn kept(home: &Home) -> Vec<Value> {
    home.run(&["template", "ls", "-o", "json"]).json()["templates"].as_array().expect("a list").clone()
}

fn keys(home: &Home, kind: &str) -> Vec<String> {
    let kept = kept(home);
    let of_kind = kept.iter().filter(|one| one["kind"] == kind);
    of_kind.map(|one| one["key"].as_str().expect("a key").to_owned()).collect()
}

/// What builds leave behind while they run.
fn at_work(home: &Home) -> usize {
    fs::read_dir(home.path("cache/v1/building")).expect("a folder").count()
}

#[test]
fn a_template_is_built_once_and_stood_on_by_all_who_want_it() {
    let mut home = home("template");
    home.export("TICKETS_KEY", KEY);
    home.configure("secrets:\n  sources: {tickets: {env: TICKETS_KEY}}\n");
    let spec = r#"
  template:
    packages: [jq]
    run:
      - "id -u > /etc/built; env > /etc/built-env; ls -A /home/agent /mnt > /etc/built-folders; mv /usr/share/perl5 /opt/moved"
      - "rm -r /usr/share/zoneinfo; mkdir -p /home/agent/.tool; echo v1 > /home/agent/.tool/version; echo more >> /etc/built"
  env: {FLAVOUR: plain}
  network: {rules: [{allow: "api.test:443", why: the key's host}]}
  secrets: [{name: tickets, env: TICKETS_TOKEN, inject: [{host: api.test, header: authorization, format: "Bearer {}"}], why: x}]
"#;
    home.define("ws", "dev", spec);
    home.run(&["apply", "--yes", "--wait"]).ok();
    assert_eq!(
        home.guest("dev", "cat /etc/built; cat ~/.tool/version; echo '{\"a\":1}' | jq .a").ok(),
        "0\nmore\nv1\n1\n"
    );
    assert_eq!(
        home.guest("dev", "test -e /usr/share/zoneinfo; echo $?").ok(),
        "1\n",
        "what a step removed is gone"
    );
    let inside = home.guest("dev", "stat -c %U ~/.tool/version; touch ~/.tool/mine /etc/x 2>/dev/null; sudo touch /etc/x && echo wide").ok();
    assert_eq!(inside, "agent\nwide\n");
    // The builder had neither secret nor anything else of the user.
    let env = home.guest("dev", "cat /etc/built-env /etc/built-folders").ok();
    assert!(!env.contains("TICKETS") && !env.contains("FLAVOUR") && env.contains("HOME=/root"), "{env}");
    let placeholder = home.guest("dev", "printf %s \"$TICKETS_TOKEN\"").ok();
    assert!(!placeholder.is_empty() && !env.contains(&placeholder), "the sandbox itself has it");

    // Who stands on it keeps it.
    let before = kept(&home);
    assert_eq!((keys(&home, "packages").len(), keys(&home, "steps").len(), at_work(&home)), (1, 2, 0));
    for key in [keys(&home, "packages"), keys(&home, "steps")].concat() {
        let refused = home.run(&["template", "rm", &key[..12], "-o", "json"]).refused(1);
        assert!(refused["message"].as_str().is_some_and(|it| it.ends_with("in use by dev")), "{refused:#}");
    }
    // The second time nothing is built, for this sandbox or another.
    let began = Instant::now();
    let built = home.run(&["template", "build", "-o", "json"]).json();
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    assert_eq!(built["templates"][0]["layers"].as_array().map(Vec::len), Some(2));
    home.run(&["stop", "dev"]).ok();
    home.run(&["start", "dev"]).ok();
    assert_eq!(home.guest("dev", "cat ~/.tool/version; ls /etc/x").ok(), "v1\n/etc/x\n");
    assert_eq!(kept(&home), before);
    // A cache may be deleted: what is lost is made again, and the disk stands on the same as before.
    home.run(&["stop", "dev"]).ok();
    let lost = keys(&home, "steps").pop().expect("the last step's");
    fs::remove_dir_all(home.path("cache/v1/layer").join(&lost)).expect("ours");
    let started = home.run(&["start", "dev"]);
    assert!(started.code == 0 && !started.stderr.contains("differs"), "{started:#?}");
    assert_eq!(home.guest("dev", "cat ~/.tool/version; ls /etc/x").ok(), "v1\n/etc/x\n");
    assert!(keys(&home, "steps").contains(&lost));
    home.run(&["rm", "--force", "dev"]).ok();
    home.run(&["template", "rm", "--unused"]).ok();
    assert_eq!(
        (keys(&home, "packages").len(), keys(&home, "steps").len(), keys(&home, "base").len()),
        (0, 0, 1)
    );
}

#[test]
fn a_failing_step_tells_its_end_and_line_and_keeps_what_came_before() {
    let home = home("template-fails");
    let spec = "  template:\n    run:\n      - echo one > /etc/one\n      - \"echo first words; echo last words >&2; exit 7\"\n";
    home.define("ws", "dev", spec);
    let line = fs::read_to_string(home.path("ws/sandbox.yaml")).expect("ours");
    let line = 1 + line.lines().position(|line| line.contains("exit 7")).expect("it is there");
    for _ in 0..2 {
        let refused = home.run(&["apply", "--yes", "--wait", "-o", "json"]).refused(1);
        let message = refused["message"].as_str().expect("a message");
        assert!(message.starts_with("step 2 of the template failed with exit code 7"), "{message}");
        assert!(message.contains("first words") && message.contains("last words"), "{message}");
        assert_eq!(
            (refused["code"].as_str(), refused["line"].as_u64()),
            (Some("template_failed"), Some(line as u64))
        );
        assert!(refused["file"].as_str().is_some_and(|file| file.ends_with("sandbox.yaml")), "{refused:#}");
        assert_eq!((keys(&home, "steps").len(), at_work(&home)), (1, 0));
    }
    let shown = home.run(&["ls", "-o", "json"]).json();
    assert_eq!(shown["sandboxes"][0]["id"], "", "it is waited for, and there is nothing of it: {shown:#}");
    home.define("ws", "dev", "  template: {packages: [no-such-package-here]}\n");
    let refused = home.run(&["template", "build", "-o", "json"]).refused(3);
    assert_eq!(refused["code"], "unknown_package", "{refused:#}");
}

#[test]
fn a_step_reaches_what_the_sandbox_may_reach_and_nothing_else() {
    let authority = Authority::new();
    let open = Upstream::https(&authority, &["open.test"], Certificate::Good);
    let evil = Upstream::https(&authority, &["closed.test", "denied.test"], Certificate::Good);
    let mut home = home("template-network");
    home.export("TICKETS_KEY", KEY);
    fs::write(home.path("config/authority.pem"), authority.pem()).expect("ours");
    home.configure(&format!(
        "egress:\n  upstreamCa: [./authority.pem]\n  resolve: {{\"open.test:443\": \"{}\", \"closed.test:443\": \"{}\", \
         \"denied.test:443\": \"{}\"}}\nsecrets:\n  sources: {{tickets: {{env: TICKETS_KEY}}}}\n",
        open.address, evil.address, evil.address
    ));
    let spec = |run: &str| {
        format!(
            "  template: {{run: [\"curl -sS -H 'authorization: Bearer x' https://open.test/ > /etc/open\", \"{run}\"]}}\n  network:\n    \
             rules: [{{allow: [\"open.test:443\", \"denied.test:443\"], why: a server}}]\n  secrets: [{{name: tickets, env: \
             TICKETS_TOKEN, inject: [{{host: denied.test, header: authorization, format: \"Bearer {{}}\"}}], why: x}}]\n"
        )
    };
    home.define("ws", "dev", &spec("curl -sSi --fail-with-body https://closed.test/"));
    let refused = home.run(&["template", "build", "-o", "json"]).refused(5);
    assert!(
        refused["message"].as_str().is_some_and(|it| it.contains("open.test")),
        "nobody agreed: {refused:#}"
    );
    let refused = home.run(&["template", "build", "--yes", "-o", "json"]).refused(1);
    let message = refused["message"].as_str().expect("a message");
    assert!(message.contains("403 Blocked by sandbox policy: no rule allows closed.test:443"), "{message}");
    assert!(refused["hint"].as_str().is_some_and(|it| it.contains("closed.test")), "{refused:#}");
    // A user's own denial holds for a build too.
    home.run(&["policy", "deny", "network", "denied.test"]).ok();
    home.define("ws", "dev", &spec("curl -sSi --fail-with-body https://denied.test/"));
    let refused = home.run(&["template", "build", "--yes", "-o", "json"]).refused(1);
    assert!(refused["message"].as_str().is_some_and(|it| it.contains("403 Blocked")), "{refused:#}");
    assert_eq!((evil.connections(), open.received(KEY)), (0, false));
    // What was tried is in the trail, although the machines are gone.
    let events = home.events(None);
    let decision = |host: &str| {
        let about = |event: &&Value| event["resource"].as_str().is_some_and(|it| it.contains(host));
        events
            .iter()
            .filter(about)
            .filter_map(|event| event["decision"].as_str())
            .next_back()
            .map(str::to_owned)
    };
    assert_eq!(decision("open.test").as_deref(), Some("allow"), "{events:#?}");
    assert_eq!(decision("closed.test").as_deref(), Some("deny"));
    assert_eq!(home.run(&["audit", "verify"]).code, 0);
}

#[test]
fn a_killed_build_leaves_nothing_that_runs_and_nothing_that_is_used() {
    let mut home = home("template-killed");
    home.export("TICKETS_KEY", KEY);
    let server = Upstream::http();
    home.configure(&format!(
        "egress: {{resolve: {{\"held.test:80\": \"{}\"}}}}\nsecrets: {{sources: {{tickets: {{env: TICKETS_KEY}}}}}}\n",
        server.address
    ));
    let spec = |run: &str| {
        format!(
            "  template: {{run: [\"{run}\"]}}\n  network: {{rules: [{{allow: [\"held.test:80\", \"held.test:443\"], why: a server}}]}}\n  secrets: \
             [{{name: tickets, env: TICKETS_TOKEN, inject: [{{host: held.test, header: authorization, format: \"Bearer {{}}\"}}], why: x}}]\n"
        )
    };
    home.define("ws", "dev", &spec("curl -sSN http://held.test/hold"));
    let mut command = home.command("ws", &["template", "build", "--yes"]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = quiet.spawn().expect("it starts");
    server.await_received("GET /hold");
    assert_eq!(at_work(&home), 1);
    // No process of it has the key: where there is one, the same search finds it (`secrets`).
    let processes = Processes::of(&machine_of_build(&home));
    for pid in processes.all() {
        assert_ne!(memory_holds(pid, KEY), Some(true), "{processes:?}");
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    // The machine ends with the command, although nobody told it to.
    processes.wait_for_end(Duration::from_secs(20));
    server.await_closed();
    // The next build clears away what was left.
    home.define("ws", "dev", &spec("echo done > /etc/done"));
    home.run(&["template", "build", "--yes"]).ok();
    assert_eq!((keys(&home, "steps").len(), at_work(&home)), (1, 0));
}

#[test]
fn a_denial_reaches_a_step_that_runs_and_its_layer_is_not_kept() {
    let home = home("template-denied");
    let server = Upstream::http();
    home.configure(&format!("egress: {{resolve: {{\"held.test:80\": \"{}\"}}}}\n", server.address));
    let spec = "  template: {run: [\"curl -sSN http://held.test/hold || true\"]}\n  network: {rules: [{allow: \"held.test:80\", why: a server}]}\n";
    home.define("ws", "dev", spec);
    let mut command = home.command("ws", &["template", "build", "--yes", "-o", "json"]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let child = quiet.spawn().expect("it starts");
    server.await_received("GET /hold");
    let said = home.run(&["policy", "deny", "network", "held.test"]);
    assert!(said.code == 0 && said.stderr.contains("in force in dev-template"), "{said:#?}");
    // The connection is closed although the step was let through before, and the step goes on without it.
    server.await_closed();
    let output = child.wait_with_output().expect("it ends");
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("were changed while its template was built"), "{told}");
    assert_eq!((keys(&home, "steps").len(), at_work(&home)), (0, 0));
}

/// The state of the one machine that runs a step now.
fn machine_of_build(home: &Home) -> PathBuf {
    let only = |folder: PathBuf, prefix: &str| {
        let entries = fs::read_dir(&folder).expect("a folder").flatten();
        let found = entries
            .map(|entry| entry.path())
            .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)));
        found.unwrap_or_else(|| panic!("nothing in {}", folder.display()))
    };
    only(only(home.path("cache/v1/building"), "bench-").join("state/sandboxes"), "")
}
