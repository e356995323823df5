//! Rules for set-up steps: in force for them, gone before anybody else runs a command, with the connections that they let
//! pass. And steps in the background, which are heard of when they fail.

use std::time::Duration;

use cofferdam::{
    cli::client::{Client, block_on},
    model::{name::SandboxId, session::SessionKind},
    store::Store,
    wire::ExecRequest,
};

use tokio::io::AsyncReadExt as _;

use super::{
    lifecycle::Machine,
    rig::{Home, Upstream},
};

const SPEC: &str = r#"
  network:
    rules:
      - {allow: "plain.test:80", during: setup, why: packages}
      - {allow: "db.test:5432", protocol: tcp, during: setup, why: seeds}
  setup:
    create: ["curl -sSf http://plain.test/create"]
    start:
      - name: held
        run: "bash -c 'exec 3<>/dev/tcp/db.test/5432; echo seed >&3; cat <&3 > ~/held; echo closed >> ~/held; sleep 600'"
        background: true
      - {name: fetch, run: "curl -sS -m 5 http://plain.test/hold > ~/fetched || true"}
      - {name: server, run: "test -e ~/go || { echo there is no go >&2; exit 9; }; sleep 600", background: true}
"#;

/// For set-up to end and a request to be answered.
const SESSION_LIMIT: Duration = Duration::from_secs(60);

struct World {
    plain: Upstream,
    database: Upstream,
    home: Home,
}

fn world(story: &str) -> World {
    let (home, plain, database) = (Home::new(story), Upstream::http(), Upstream::echo());
    home.configure(&format!(
        "egress: {{resolve: {{\"plain.test:80\": \"{}\", \"db.test:5432\": \"{}\"}}}}\n",
        plain.address, database.address
    ));
    home.define("ws", "dev", SPEC);
    World { plain, database, home }
}

/// `exec` as the program asks its keeper for it, without waiting for anything first; gives what the guest sent.
fn exec_at_once(home: &Home, script: &str) -> String {
    let id = SandboxId::try_from(home.status()["id"].as_str().expect("an id").to_owned()).expect("its own");
    let folder = Store::open(&home.path("state")).expect("a state").sandbox(&id).socket_folder();
    let socket = folder.expect("it is noted").expect("it runs").join("control");
    let request = ExecRequest {
        version: cofferdam::wire::VERSION,
        argv: vec!["sh".to_owned(), "-c".to_owned(), script.to_owned()],
        env: Default::default(),
        working_dir: None,
        user: None,
        tty: None,
        stdin: false,
    };
    let conversation = async {
        let mut exec = Client::new(socket).exec(SessionKind::Exec, &request).await?;
        let mut sent = exec.early.to_vec();
        exec.stream.read_to_end(&mut sent).await.expect("it answers");
        Ok(String::from_utf8_lossy(&sent).into_owned())
    };
    let limited = async { tokio::time::timeout(SESSION_LIMIT, conversation).await.expect("in time") };
    block_on(limited).expect("the keeper answers")
}

#[test]
fn what_set_up_may_reach_the_agent_may_not() {
    let World { plain, database, home } = world("during");
    let grants = home.run(&["plan", "-o", "json"]).stdout;
    assert!(grants.contains("net * plain.test:80 during setup"), "{grants}");
    // A step in the background fails at once: said where the command waits, with its last lines.
    let error = home.run(&["apply", "--yes", "--wait", "-o", "json"]).refused(1);
    let message = error["message"].as_str().expect("a message").to_owned();
    for part in ["SetupFailed", "`server`", "exit code 9", "in the background", "there is no go"] {
        assert!(message.contains(part), "{part} is not in {error:#}");
    }
    assert!(plain.received("GET /create "), "a request passes in set-up");
    let machine = Machine::of(home);
    let (home, curl) = (&machine.home, "curl -sS -i -m 20 http://plain.test/agent");
    // Whether it succeeded or not, what set-up may reach is over.
    let denied = machine.guest(curl).ok();
    assert!(denied.starts_with("HTTP/1.1 403") && denied.contains("during set-up only"), "{denied}");

    machine.guest("touch ~/go").ok();
    home.run(&["restart", "dev"]).ok();
    assert_eq!(home.status()["setup"]["state"], "done");
    // The connection that only such a rule permitted is closed; the step itself runs on.
    database.await_closed();
    assert_eq!(machine.guest("cat ~/held; pgrep -xc sleep").ok(), "seed\nclosed\n2\n");
    let denied = machine.guest(curl).ok();
    assert!(denied.starts_with("HTTP/1.1 403"), "{denied}");
    let events = home.events(Some("dev"));
    let found = |action: &str, reason: &str| {
        events.iter().filter(|event| event["action"] == action && event["reason"] == reason).count()
    };
    assert_eq!((found("policy.change", "setup_begins"), found("policy.change", "setup_over")), (2, 2));
    assert_eq!(found("http.request", "setup_over"), 2, "each denial is audited");
    let rules = home.run(&["policy", "ls", "dev"]).ok();
    assert!(rules.contains("inactive: in force during set-up only"), "{rules}");
    assert_eq!(home.run(&["policy", "check", "network", "http://plain.test/", "--sandbox", "dev"]).code, 4);
    a_session_waits(&machine, &plain);
}

/// A session that somebody opens while set-up runs begins when it is over, and has no part in its rules.
fn a_session_waits(machine: &Machine, plain: &Upstream) {
    let home = &machine.home;
    home.run(&["stop", "dev"]).ok();
    let before = plain.connections();
    let restart = home.command("ws", &["start", "dev"]).spawn().expect("the program starts");
    plain.await_connection(before);
    let early = exec_at_once(home, "curl -s -m 20 http://plain.test/early");
    assert!(early.contains("Blocked by sandbox policy"), "{early}");
    assert!(!plain.received("GET /early "));
    assert!(restart.wait_with_output().expect("it ends").status.success());
}
