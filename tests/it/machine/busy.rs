//! Somebody works in a sandbox while its file changes: what is live applies, the rest waits for the end of the session,
//! and a task's end is remembered.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdin, Stdio},
};

use serde_json::{Value, json};

use super::{
    lifecycle::Machine,
    rig::{Home, piped},
};

fn spec(stage: &str, rules: &str) -> String {
    format!("  env: {{STAGE: {stage}}}\n  network: {{rules: [{rules}]}}\n")
}

const RULE: &str = "{allow: \"live.test:80\", why: a server}";

/// Somebody at work: a command that ends when its input does.
struct Session {
    child: Child,
    input: Option<ChildStdin>,
}

impl Session {
    fn begin(home: &Home) -> Self {
        let mut command = home.command("ws", &["exec", "dev", "--", "sh", "-c", "echo here; cat"]);
        let mut child = piped(&mut command).spawn().expect("the program starts");
        let (input, output) = (child.stdin.take(), child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).expect("it says so");
        assert_eq!(line, "here\n");
        Self { child, input }
    }

    /// Its exit code, after its input has ended.
    fn leave(&mut self) -> Option<i32> {
        drop(self.input.take());
        self.child.wait().expect("it ends").code()
    }
}

fn conditions(status: &Value) -> Vec<(String, String)> {
    let word = |it: &Value, key: &str| it[key].as_str().unwrap_or_default().to_owned();
    let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
    conditions.iter().map(|it| (word(it, "condition"), word(it, "reason"))).collect()
}

fn has(home: &Home, condition: &str, reason: &str) -> bool {
    conditions(&home.status()).contains(&(condition.to_owned(), reason.to_owned()))
}

/// Which boot, and what the agent's environment says.
fn seen(machine: &Machine) -> (String, String) {
    let text = machine.guest("cat /proc/sys/kernel/random/boot_id; echo $STAGE").ok();
    let (boot, stage) = text.split_once('\n').expect("two lines");
    (boot.to_owned(), stage.trim().to_owned())
}

#[test]
fn a_session_holds_a_restart_back_until_it_ends_or_nobody_waits() {
    let machine = Machine::boot("busy", &spec("one", ""));
    let home = &machine.home;
    let first = seen(&machine);
    let mut session = Session::begin(home);
    assert_eq!(home.status()["sessions"][0]["kind"], json!("exec"));
    assert_eq!(home.status()["sessions"][0]["program"], json!("sh"));

    // What is live applies; the restart waits, and says so.
    home.define("ws", "dev", &spec("two", RULE));
    let plan = home.run(&["plan"]).stdout;
    assert!(plan.contains("a restart waits: 1 session is open"), "{plan}");
    let error = home.run(&["apply", "--yes", "-o", "json"]).refused(1);
    assert_eq!(error["code"], json!("busy"), "{error:#}");
    let rules = home.run(&["policy", "check", "network", "http://live.test/", "--sandbox", "dev"]);
    assert_eq!(rules.code, 0, "{rules:#?}");
    assert!(has(home, "Stalled", "Busy") && has(home, "Ready", ""), "{:#}", home.status());
    assert_eq!(seen(&machine), first, "the same machine");
    let late = home.run(&["apply", "--when-idle", "--timeout", "2s", "-o", "json"]).refused(7);
    assert_eq!(late["code"], json!("timeout"), "{late:#}");
    assert_eq!(seen(&machine), first);

    // The end of the session is the event that the restart awaits.
    let mut command = home.command("ws", &["apply", "--when-idle", "--wait", "--timeout", "5m"]);
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut waiting = quiet.spawn().expect("it starts");
    let talk = BufReader::new(waiting.stderr.take().expect("it is piped"));
    let mut talk = talk.lines().map(|line| line.expect("text"));
    assert!(talk.any(|line| line.contains("a restart waits: 1 session is open")));
    assert_eq!(session.leave(), Some(0), "it was not disturbed");
    let rest: Vec<String> = talk.collect();
    assert_eq!(waiting.wait().expect("it ends").code(), Some(0), "{rest:#?}");
    let second = seen(&machine);
    assert_ne!(second.0, first.0);
    assert_eq!(second.1, "two");
    assert!(!has(home, "Stalled", "Busy"));

    // Left alone, until somebody says otherwise.
    home.run(&["suspend", "dev"]).ok();
    home.define("ws", "dev", &spec("three", RULE));
    let left = home.run(&["apply", "--yes"]);
    assert!(left.code == 0 && left.stderr.contains("is suspended: cofferdam resume dev"), "{left:#?}");
    assert_eq!(seen(&machine), second);
    home.run(&["status", "dev", "--wait-for", "Suspended", "--timeout", "5s"]).ok();
    home.run(&["resume", "dev"]).ok();

    // A task's end is remembered, whoever gave it and whatever becomes of the machine.
    assert_eq!(home.run(&["run", "dev", "--task", "exit 3"]).code, 3);
    assert!(has(home, "TaskFailed", ""), "{:#}", home.status());
    assert_eq!(home.status()["task"]["exitCode"], json!(3));
    assert_eq!(home.run(&["run", "dev", "--task", "true"]).code, 0);
    home.run(&["status", "dev", "--wait-for", "TaskSucceeded", "--timeout", "5s"]).ok();
    assert_eq!(home.run(&["status", "dev", "--wait-for", "TaskRunning", "--timeout", "1s"]).code, 7);
    assert_eq!(home.run(&["status", "dev", "--wait-for", "Nonsense"]).code, 2);

    // Nobody waits.
    let mut session = Session::begin(home);
    home.run(&["apply", "--now", "--wait"]).ok();
    assert_ne!(session.leave(), Some(0), "its machine went away");
    assert_eq!(seen(&machine).1, "three");
    assert!(has(home, "TaskSucceeded", ""), "it outlives the machine: {:#}", home.status());
}
