//! `apply` is killed with SIGKILL in the middle of what it does. The next one ends in what the files say, and nothing is
//! left over.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::inotify::{self, CreateFlags, WatchFlags},
};
use serde_json::{Value, json};

use super::rig::{Home, launchers};

/// How long a point may take to be reached.
const LIMIT: Timespec = Timespec { tv_sec: 120, tv_nsec: 0 };

fn define(home: &Home, stage: &str) {
    let document = |name: &str| {
        format!(
            "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {{name: {name}}}\nspec:\n  agent: shell\n  workspace: {{mode: read}}\n  \
             resources: {{cpus: 1, memory: 384MiB}}\n  env: {{STAGE: {stage}}}\n"
        )
    };
    let text = format!("{}---\n{}", document("api"), document("web"));
    fs::write(home.path("ws/sandbox.yaml"), text).expect("our own folder");
}

/// Folders of sandboxes in the state directory; what a crash left under another name is none.
fn sandboxes(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.path("state/sandboxes")).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| !name(path).starts_with('.')).collect()
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}

/// Runs `apply` and kills it as soon as `point` is reached. Whatever changes below the state directory is an event.
fn kill_at(home: &Home, point: impl Fn(&Home) -> bool) {
    let root = home.path("state/sandboxes");
    let watch = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("inotify");
    let all = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::MODIFY;
    inotify::add_watch(&watch, &root, all).expect("it is there");
    let mut command = home.command("ws", &["apply", "--yes"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("it starts");
    while !point(home) {
        for folder in sandboxes(home) {
            // One that is watched already stays so.
            let _ = inotify::add_watch(&watch, &folder, all);
        }
        if point(home) {
            break;
        }
        let ready = poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&LIMIT)).expect("it can be polled");
        assert!(ready > 0, "the point was not reached");
        let mut events = [0; 4096];
        let _ = rustix::io::read(&watch, &mut events);
    }
    child.kill().expect("it runs");
    child.wait().expect("it ends");
}

fn phase(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("status.json")).unwrap_or_default();
    serde_json::from_str::<Value>(&text).map(|status| status["phase"].clone()).unwrap_or_default()
}

/// Holds that the next `apply` makes both what the file says, and that there is nothing besides.
#[track_caller]
fn mended(home: &Home, stage: &str) {
    let applied = home.run(&["apply", "--yes", "--wait", "--timeout", "6m", "-o", "json"]);
    assert_eq!(applied.code, 0, "{applied:#?}");
    for name in ["api", "web"] {
        assert_eq!(home.guest(name, "echo $STAGE").ok(), format!("{stage}\n"), "{name}");
    }
    let again = home.run(&["apply", "--yes"]);
    assert_eq!((again.code, again.stderr.as_str()), (0, "nothing to change\n"));
    let folders = fs::read_dir(home.path("state/sandboxes")).expect("it is there").count();
    assert_eq!((folders, sandboxes(home).len()), (2, 2), "a folder for each sandbox, and no other");
    assert_eq!(launchers(&home.path("state")).len(), 2, "a machine for each sandbox, and no other");
    for folder in sandboxes(home) {
        let entries = fs::read_dir(&folder).expect("it is there").flatten();
        let mut disks: Vec<_> = entries.map(|entry| entry.file_name()).collect();
        disks.retain(|name| name.to_string_lossy().ends_with(".img"));
        disks.sort();
        assert_eq!(disks, ["data.img", "system.img"]);
    }
}

#[test]
fn apply_killed_anywhere_is_finished_by_the_next() {
    let home = Home::new("interrupted");
    define(&home, "one");
    // The state directory is there from the first command on.
    home.run(&["ls"]).ok();
    // While the first is made.
    kill_at(&home, |home| !sandboxes(home).is_empty());
    // While its machine starts: that goes on, because it is nobody's child.
    kill_at(&home, |home| sandboxes(home).iter().any(|it| it.join("launcher.log").exists()));
    // Between the two.
    kill_at(&home, |home| sandboxes(home).len() == 2);
    mended(&home, "one");
    // In the middle of a restart: it is down, and not up again.
    define(&home, "two");
    kill_at(&home, |home| sandboxes(home).iter().any(|it| phase(it) == json!("stopped")));
    // When the time is up, it ends as it would by a signal, with an exit code of its own.
    let late = home.run(&["apply", "--yes", "--wait", "--timeout", "1s", "-o", "json"]).refused(7);
    assert_eq!(late["code"], json!("timeout"), "{late:#}");
    mended(&home, "two");
    for name in ["api", "web"] {
        home.run(&["rm", "--force", name]).ok();
    }
    assert!(launchers(&home.path("state")).is_empty());
}
