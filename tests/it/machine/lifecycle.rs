//! From start to end, and every way in which a part of it may be lost. Nothing may hang, nothing may be left behind, and
//! what is lost closes.

use std::{path::PathBuf, process::Stdio, time::Duration};

use serde_json::Value;

use super::rig::{Authority, Certificate, Home, Output, Processes, Terminal, Upstream};

/// How long an end may take to be complete.
const SOON: Duration = Duration::from_secs(20);

/// A sandbox `dev` of its own, running; gone with the story.
pub struct Machine {
    pub home: Home,
    folder: PathBuf,
}

impl Machine {
    pub fn boot(story: &str, spec: &str) -> Self {
        let home = Home::new(story);
        home.define("ws", "dev", spec);
        Self::apply(home)
    }

    fn apply(home: Home) -> Self {
        home.run(&["apply", "--yes", "--wait"]).ok();
        Self::of(home)
    }

    /// The one that a home has.
    pub fn of(home: Home) -> Self {
        let folder = home.sandbox_folder();
        Self { home, folder }
    }

    fn processes(&self) -> Processes {
        Processes::of(&self.folder)
    }

    pub fn guest(&self, script: &str) -> Output {
        self.home.guest("dev", script)
    }

    pub fn start(&self) {
        self.home.run(&["start", "dev"]).ok();
        assert_eq!(self.home.status()["phase"], "running");
        assert_eq!(self.guest("echo again").ok(), "again\n");
    }

    /// Where it stands after something was done to it, when every process of it has ended.
    #[track_caller]
    fn after(&self, done: impl FnOnce(&Processes)) -> Value {
        let processes = self.processes();
        done(&processes);
        processes.wait_for_end(SOON);
        self.home.status()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.home.run(&["rm", "--force", "dev"]);
    }
}

#[test]
fn stop_and_start_keep_home_and_workspace() {
    let machine = Machine::boot("stop-start", "  workspace: {mode: direct}\n");
    machine.guest("echo kept > ~/note; echo kept > note; sudo -n true; mkdir -p ~/.cache/x").ok();
    let status = machine.after(|_| drop(machine.home.run(&["stop", "dev"]).ok()));
    assert_eq!((status["phase"].as_str(), status["reason"].as_str()), (Some("stopped"), None), "{status:#}");
    let refused = machine.home.run(&["logs", "dev", "--console"]);
    assert!(refused.stdout.contains("Linux") || refused.code == 0, "its console can still be read");
    machine.start();
    assert_eq!(machine.guest("cat ~/note note").ok(), "kept\nkept\n");
    let chain = machine.home.run(&["audit", "verify", "dev"]);
    assert_eq!(chain.code, 0, "the trail goes on over a restart: {chain:#?}");
}

#[test]
fn power_off_inside_is_a_clean_end() {
    let machine = Machine::boot("power-off", "");
    machine.guest("echo kept > ~/note").ok();
    let status =
        machine.after(|_| drop(machine.home.guest_root("dev", "poweroff || /sbin/poweroff || kill -TERM 1")));
    assert_eq!(status["phase"], "stopped", "{status:#}");
    machine.start();
    assert_eq!(machine.guest("cat ~/note").ok(), "kept\n");
}

#[test]
fn a_killed_machine_is_a_failure_that_says_why() {
    let machine = Machine::boot("vmm-killed", "");
    let status = machine.after(|processes| processes.kill("vmm"));
    assert_eq!(status["phase"], "failed");
    let reason = status["reason"].as_str().expect("a reason");
    assert!(reason.contains("machine ended") && reason.contains("logs --console"), "{reason}");
    machine.start();
}

#[test]
fn a17_a_killed_gateway_closes_everything() {
    let authority = Authority::new();
    let server = Upstream::https(&authority, &["held.test"], Certificate::Good);
    let home = Home::new("egress-killed");
    std::fs::write(home.path("config/authority.pem"), authority.pem()).expect("ours");
    home.configure(&format!(
        "egress:\n  upstreamCa: [./authority.pem]\n  resolve: {{\"held.test:443\": \"{}\"}}\n",
        server.address
    ));
    home.define("ws", "dev", "  network: {rules: [{allow: \"held.test:443\", why: a server}]}\n");
    let machine = Machine::apply(home);
    let mut command =
        machine.home.command("ws", &["exec", "dev", "--", "curl", "-sSN", "https://held.test/hold"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("it starts");
    let mut held = [0; 5];
    std::io::Read::read_exact(child.stdout.as_mut().expect("it is piped"), &mut held)
        .expect("the server answers");
    let status = machine.after(|processes| processes.kill("egress"));
    assert_eq!(status["phase"], "failed");
    assert!(status["reason"].as_str().is_some_and(|reason| reason.contains("egress")), "{status:#}");
    server.await_closed();
    child.wait().expect("it ends");
    machine.start();
}

#[test]
fn a_killed_device_or_file_server_is_a_failure_that_says_which() {
    let machine = Machine::boot("device-killed", "  workspace: {mode: direct}\n");
    for zone in ["vsock", "fs"] {
        let status = machine.after(|processes| processes.kill(zone));
        assert_eq!(status["phase"], "failed");
        let reason = status["reason"].as_str().expect("a reason");
        assert!(reason.contains(&format!("the {zone} process ended (killed")), "{zone}: {reason}");
        machine.start();
    }
}

#[test]
fn a_killed_keeper_or_launcher_leaves_no_process() {
    let machine = Machine::boot("keeper-killed", "");
    let status = machine.after(|processes| processes.kill("keeper"));
    assert_eq!(status["phase"], "failed");
    assert!(
        status["reason"].as_str().is_some_and(|reason| reason.contains("keeper was killed")),
        "{status:#}"
    );
    machine.start();
    let status = machine.after(|processes| {
        let launcher = rustix::process::Pid::from_raw(processes.launcher).expect("not zero");
        rustix::process::kill_process(launcher, rustix::process::Signal::KILL).expect("it runs");
    });
    assert_eq!(status["phase"], "failed");
    machine.start();
}

#[test]
fn a_keeper_that_hangs_is_stopped_by_force() {
    let machine = Machine::boot("keeper-hangs", "");
    let status = machine.after(|processes| {
        processes.freeze("keeper");
        let stopped = machine.home.run(&["stop", "dev", "--force"]);
        assert_eq!(stopped.code, 0, "{stopped:?}");
    });
    assert_ne!(status["phase"], "running", "{status:#}");
    machine.start();
}

#[test]
fn a_panic_of_the_guest_ends_with_its_console_log() {
    let machine = Machine::boot("panic", "");
    let status = machine.after(|_| {
        drop(machine.home.run(&[
            "exec",
            "--timeout",
            "30s",
            "-u",
            "root",
            "dev",
            "--",
            "sh",
            "-c",
            "echo c > /proc/sysrq-trigger",
        ]));
    });
    assert!(matches!(status["phase"].as_str(), Some("failed" | "stopped")), "{status:#}");
    let console = machine.home.run(&["logs", "dev", "--console"]).ok();
    assert!(console.contains("Kernel panic") && console.contains("sysrq"), "{console}");
    assert_eq!(status["phase"], "failed", "a panic is no clean end: {status:#}");
    assert!(status["reason"].as_str().is_some_and(|reason| reason.contains("machine ended")), "{status:#}");
    machine.start();
}

#[test]
fn a_sandbox_outlives_the_terminal_that_started_it() {
    let home = Home::new("terminal-closed");
    home.define("ws", "dev", "");
    let mut command = home.wrapped("ws", &["setsid", "--ctty"], &["apply", "--yes", "--wait"]);
    let mut terminal = Terminal::start(24, 80, &mut command);
    terminal.await_text("running");
    let mut child = terminal.close();
    child.wait().expect("it ends");
    let machine = Machine { folder: home.sandbox_folder(), home };
    assert_eq!(machine.home.status()["phase"], "running");
    assert_eq!(machine.guest("echo here").ok(), "here\n");
}

#[test]
fn removing_by_force_ends_what_runs_and_leaves_nothing() {
    let machine = Machine::boot("rm-force", "");
    let refused = machine.home.run(&["rm", "dev"]);
    assert_ne!(refused.code, 0, "nobody could be asked");
    let processes = machine.processes();
    machine.home.run(&["rm", "--force", "dev"]).ok();
    processes.wait_for_end(SOON);
    assert_eq!(machine.home.run(&["ls", "-o", "json"]).json()["sandboxes"], serde_json::json!([]));
    assert!(!machine.folder.exists());
    assert_eq!(machine.home.run(&["stop", "dev"]).code, 6);
    assert_eq!(machine.guest("true").code, 125);
    let host = machine.home.events(None);
    assert!(
        host.iter().any(|event| event["action"] == "sandbox.remove"),
        "the host's trail has its end: {host:#?}"
    );
    assert_eq!(machine.home.run(&["audit", "verify"]).code, 0);
}

/// A kernel image, as boot loaders see it, that spins from its first instruction on.
fn spinning_kernel() -> Vec<u8> {
    let mut image = vec![0; 1 << 16];
    let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1f1, &[4]); // sectors of the part that starts in real mode
    put(0x1fe, &[0x55, 0xaa]);
    put(0x200, &[0xeb, 0xfe]); // jmp to itself
    put(0x202, b"HdrS");
    put(0x206, &[0x02, 0x02]); // version of the protocol
    put(0x211, &[0x01]); // the rest is loaded high
    image
}

#[test]
fn a_guest_that_never_answers_is_given_up_in_time() {
    let home = Home::new("silent");
    std::fs::write(home.path("config/kernel"), spinning_kernel()).expect("ours");
    home.configure("kernel: ./kernel\nbootTimeout: 6s\n");
    home.define("ws", "dev", "");
    let started = home.run(&["apply", "--yes", "--wait", "-o", "json"]);
    let error = started.refused(7);
    assert!(
        error["message"].as_str().is_some_and(|it| it.contains("did not answer within 6 s")),
        "{error:#}"
    );
    let status = home.status();
    assert_eq!(status["phase"], "failed", "{status:#}");
    // With its own kernel back, the same sandbox comes up.
    home.configure("{}\n");
    let machine = Machine { folder: home.sandbox_folder(), home };
    machine.start();
}

#[test]
fn a_kernel_that_is_none_is_a_failure_that_says_so() {
    let home = Home::new("no-kernel");
    std::fs::write(home.path("config/kernel"), "this is no kernel").expect("ours");
    home.configure("kernel: ./kernel\n");
    home.define("ws", "dev", "");
    let error = home.run(&["apply", "--yes", "--wait", "-o", "json"]).refused(1);
    assert!(error["message"].as_str().is_some_and(|it| it.contains("kernel")), "{error:#}");
    assert_eq!(home.status()["phase"], "failed");
}
