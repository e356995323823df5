//! Hardware virtualisation: probed in a process of its own, once per boot.

use std::{fs, io::Read, path::Path, process::Stdio};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, Signal, kill_process},
};

use super::Host;
use crate::{
    cli::failure::{Failure, Kind},
    model::desired::IsolationWish,
    sys::process::Start,
    template::doctor::Hardware,
    vmm::probe::{KVM_DEVICE, KvmState, PROBE_LIMIT, ProbeResult, kvm_closed, kvm_state},
};

/// Longest answer of a probe, in bytes.
const ANSWER_MAX: u64 = 64 * 1024;

impl Host {
    fn kvm(&self) -> Result<KvmState, Failure> {
        if let Some(known) = self.kvm.get() {
            return Ok(known.clone());
        }
        let cache = &self.places.cache;
        fs::create_dir_all(cache).map_err(|error| {
            Failure::new(Kind::Failed, "cache", format!("cannot make {}: {error}", cache.display()))
        })?;
        let found = kvm_state(Path::new(KVM_DEVICE), cache, probe_in_child);
        Ok(self.kvm.get_or_init(|| found).clone())
    }

    /// That a machine cannot be had as its file wishes. Where emulation will do nothing is tried out: the device is there
    /// for this user, or not.
    pub(super) fn lack_of_hardware(&self, wish: IsolationWish) -> Option<Failure> {
        let state = match wish {
            IsolationWish::Hardware => self.kvm(),
            IsolationWish::EmulationOk => {
                let known = self.kvm.get().cloned();
                Ok(known.or_else(|| kvm_closed(Path::new(KVM_DEVICE)))?)
            }
        };
        state.and_then(|state| accelerated(state, wish)).err()
    }

    /// For `doctor`.
    pub(super) fn hardware_found(&self) -> Hardware {
        match self.kvm() {
            Ok(KvmState::Usable) => Hardware::Usable,
            Ok(KvmState::Absent) => Hardware::Emulated { reason: format!("there is no {KVM_DEVICE}") },
            Ok(KvmState::Unusable { reason }) => Hardware::Emulated { reason },
            Ok(KvmState::Denied { path, hint, fix }) => {
                let reason = format!("{} is closed to you; {hint}", path.display());
                Hardware::Denied { reason, fix: fix.unwrap_or_default() }
            }
            Err(failure) => Hardware::Emulated { reason: failure.object().message.clone() },
        }
    }

    /// Whether a machine is started with hardware virtualisation; an error where its file demands it and it cannot be
    /// had, or where it is there but closed to this user.
    pub(super) fn accelerate(&self, wish: IsolationWish) -> Result<bool, Failure> {
        accelerated(self.kvm()?, wish)
    }

    /// Whatever this host is, as a test has it.
    #[cfg(test)]
    pub(in crate::cli) fn pretend_kvm(&self, state: KvmState) {
        let _ = self.kvm.set(state);
    }
}

fn accelerated(state: KvmState, wish: IsolationWish) -> Result<bool, Failure> {
    let lacks = |message: String| Failure::new(Kind::HostLacks, "no_hardware_isolation", message);
    let demanded = "the sandbox demands `isolation: hardware`";
    let elsewhere = "run it on a host with KVM, or write `isolation: emulation-ok`";
    match (state, wish) {
        (KvmState::Usable, _) => Ok(true),
        (KvmState::Denied { path, hint, .. }, _) => {
            Err(lacks(format!("{} is there, and closed to you", path.display())).hint(hint))
        }
        (KvmState::Absent, IsolationWish::Hardware) => {
            Err(lacks(format!("{demanded}, and this host has no {KVM_DEVICE}")).hint(elsewhere))
        }
        (KvmState::Unusable { reason }, IsolationWish::Hardware) => {
            let message = format!("{demanded}, and this host's {KVM_DEVICE} cannot run a guest: {reason}");
            Err(lacks(message).hint(elsewhere))
        }
        (KvmState::Absent | KvmState::Unusable { .. }, IsolationWish::EmulationOk) => Ok(false),
    }
}

fn probe_in_child() -> ProbeResult {
    let failed = |reason: String| ProbeResult::Failed { reason };
    let start = Start::this_program().argument("__zone").argument("probe").stdout(Stdio::piped());
    let mut child = match start.spawn() {
        Ok(child) => child,
        Err(error) => return failed(format!("the probe could not be started: {error}")),
    };
    let Some(mut answer) = child.stdout.take() else { return failed("the probe has no output".to_owned()) };
    let limit = (PROBE_LIMIT + PROBE_LIMIT).as_secs();
    let limit = Timespec { tv_sec: i64::try_from(limit).unwrap_or(i64::MAX), tv_nsec: 0 };
    let answered =
        poll(&mut [PollFd::new(&answer, PollFlags::IN)], Some(&limit)).is_ok_and(|ready| ready > 0);
    if !answered {
        // Killed as well as may be: a processor that never leaves the kernel keeps its process.
        let _ = kill_process(Pid::from_child(&child), Signal::KILL);
        return failed("the probe did not answer".to_owned());
    }
    let mut bytes = Vec::new();
    let read = answer.by_ref().take(ANSWER_MAX).read_to_end(&mut bytes);
    let ended = child.wait();
    match (read, ended) {
        (Ok(_), Ok(status)) if status.success() => serde_json::from_slice(&bytes)
            .unwrap_or_else(|error| failed(format!("the probe's answer: {error}"))),
        (_, Ok(status)) => failed(format!("the probe ended with {status}")),
        (_, Err(error)) => failed(format!("the probe is lost: {error}")),
    }
}
