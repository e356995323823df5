//! The processes behind a sandbox, found from outside by the log that its launcher writes.

use std::{fs, path::Path, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open},
};

/// The launcher and its children.
#[derive(Debug)]
pub struct Processes {
    /// Parent of all.
    pub launcher: i32,
    /// Zone (`keeper`, `egress`, …, `vmm`) and process id.
    pub zones: Vec<(String, i32)>,
}

impl Processes {
    /// Those of the sandbox whose state is in `folder`.
    pub fn of(folder: &Path) -> Self {
        let log = folder.join("launcher.log");
        let launcher = numbers()
            .find(|pid| fs::read_link(format!("/proc/{pid}/fd/2")).is_ok_and(|target| target == log))
            .expect("the sandbox has a launcher");
        let zones = numbers().filter(|pid| parent(*pid) == Some(launcher)).map(|pid| (role(pid), pid));
        Self { launcher, zones: zones.collect() }
    }

    /// The process of a zone.
    pub fn zone(&self, name: &str) -> i32 {
        let found = self.zones.iter().find(|(role, _)| role == name);
        found.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = i32> + '_ {
        std::iter::once(self.launcher).chain(self.zones.iter().map(|(_, pid)| *pid))
    }

    /// Kills one zone without a warning.
    pub fn kill(&self, name: &str) {
        let pid = Pid::from_raw(self.zone(name)).expect("a process id is not zero");
        kill_process(pid, Signal::KILL).expect("it runs");
    }

    /// Makes a zone hang: it neither answers nor ends.
    pub fn freeze(&self, name: &str) {
        let pid = Pid::from_raw(self.zone(name)).expect("a process id is not zero");
        kill_process(pid, Signal::STOP).expect("it runs");
    }

    /// Waits until none is left.
    #[track_caller]
    pub fn wait_for_end(&self, limit: Duration) {
        for pid in self.all() {
            assert!(ended(pid, limit), "{pid} of {self:?} still runs");
        }
    }
}

/// Launchers of sandboxes whose state is below a folder.
pub fn launchers(state: &Path) -> Vec<i32> {
    let log = |pid: &i32| fs::read_link(format!("/proc/{pid}/fd/2")).ok();
    let ours = |log: &std::path::PathBuf| log.starts_with(state) && log.ends_with("launcher.log");
    let of_a_launcher = |pid: &i32| role(*pid) == "launcher" && log(pid).is_some_and(|log| ours(&log));
    numbers().filter(of_a_launcher).collect()
}

/// Whether a process ends within a time.
fn ended(pid: i32, limit: Duration) -> bool {
    let Ok(handle) = pidfd_open(Pid::from_raw(pid).expect("a process id is not zero"), PidfdFlags::empty())
    else {
        return true;
    };
    let limit = Timespec { tv_sec: i64::try_from(limit.as_secs()).expect("a short time"), tv_nsec: 0 };
    poll(&mut [PollFd::new(&handle, PollFlags::IN)], Some(&limit)).is_ok_and(|ready| ready > 0)
}

fn numbers() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("proc is mounted");
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn parent(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn role(pid: i32) -> String {
    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words: Vec<_> = line.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
    match words.iter().position(|word| word == "__zone").and_then(|at| words.get(at + 1)) {
        Some(role) => role.to_string(),
        // It has become the emulator.
        None => "vmm".to_owned(),
    }
}
