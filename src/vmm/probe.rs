//! Can this host's `/dev/kvm` run a kernel? Opening it proves nothing.
//!
//! Some hosts emulate a guest's kernel mode: `KVM_GET_API_VERSION` answers, real mode works, and a stock kernel
//! dies at its first `int3`, `cmpxchg16b` or `xrstors`. So a small program executes exactly these in 64-bit
//! supervisor mode ([`program`]), and whatever ends otherwise than by its last instruction counts as unusable.
//!
//! `KVM_RUN` may also hang. [`probe_within`] gives up after a time limit and leaves its thread behind: call it
//! in a process that ends right after, which takes the thread with it. The verdict holds until the host boots
//! anew and is kept in a file beside the cache ([`kvm_state`]).

mod program;
mod run;

use std::{
    fs, io,
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    sync::mpsc,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::run::run_probe;

/// The device.
pub const KVM_DEVICE: &str = "/dev/kvm";
/// Far more than the few milliseconds that a working KVM needs, also on a loaded host.
pub const PROBE_LIMIT: Duration = Duration::from_secs(5);

const VERDICT_FILE: &str = "kvm-probe.json";
const VERDICT_LIMIT: u64 = 4096;

/// How the probe ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ProbeResult {
    /// Every instruction did what it should.
    Passed,
    /// One did not; machines cannot run here.
    Failed {
        /// What happened, and at which instruction.
        reason: String,
    },
}

/// What this host's KVM is good for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum KvmState {
    /// There is none: emulate.
    Absent,
    /// There is one, but not for this user: an error, for emulation would hide that it can be mended.
    Denied {
        /// The device.
        path: PathBuf,
        /// What to do about it, as a sentence.
        hint: String,
        /// The command that mends it, where one does.
        fix: Option<Vec<String>>,
    },
    /// There is one, and it cannot run a kernel: emulate.
    Unusable {
        /// Why.
        reason: String,
    },
    /// Machines run on hardware.
    Usable,
}

/// Finds out the state of `device`. `probe` is called only where the device opens and no verdict of this boot
/// lies in `folder`; it is meant to be a child process that calls [`probe_within`].
#[must_use]
pub fn kvm_state(device: &Path, folder: &Path, probe: impl FnOnce() -> ProbeResult) -> KvmState {
    if let Some(state) = kvm_closed(device) {
        return state;
    }
    let boot = boot_id();
    let known = boot.as_deref().and_then(|boot| Verdict::read(folder, boot));
    let result = known.unwrap_or_else(|| {
        let result = probe();
        if let Some(boot) = boot {
            // Without the note the next command probes again: slower, no less right.
            let _ = Verdict { boot, result: result.clone() }.write(folder);
        }
        result
    });
    match result {
        ProbeResult::Passed => KvmState::Usable,
        ProbeResult::Failed { reason } => KvmState::Unusable { reason },
    }
}

/// Why `device` does not open; none where it does, which says nothing yet of what it can run.
#[must_use]
pub fn kvm_closed(device: &Path) -> Option<KvmState> {
    let error = fs::File::options().read(true).write(true).open(device).err()?;
    Some(match (error.kind(), error.raw_os_error()) {
        (io::ErrorKind::PermissionDenied, _) => denied(device),
        (io::ErrorKind::NotFound, _) | (_, Some(libc::ENXIO | libc::ENODEV)) => KvmState::Absent,
        _ => KvmState::Unusable { reason: format!("{} cannot be opened: {error}", device.display()) },
    })
}

/// Runs the probe, but no longer than `limit`. See the module's head for where to call it.
#[must_use]
pub fn probe_within(limit: Duration, probe: impl FnOnce() -> ProbeResult + Send + 'static) -> ProbeResult {
    let (send, result) = mpsc::channel();
    let spawned = thread::Builder::new().name("kvm-probe".to_owned()).spawn(move || send.send(probe()));
    let failed = |reason: String| ProbeResult::Failed { reason };
    match spawned.map(|_| result.recv_timeout(limit)) {
        Ok(Ok(result)) => result,
        Ok(Err(mpsc::RecvTimeoutError::Timeout)) => failed(format!("the probe did not end within {limit:?}")),
        Ok(Err(mpsc::RecvTimeoutError::Disconnected)) => failed("the probe broke off".to_owned()),
        Err(error) => failed(format!("the probe could not be started: {error}")),
    }
}

fn denied(device: &Path) -> KvmState {
    let path = device.to_owned();
    if rustix::process::geteuid().is_root() {
        let hint = format!("this container may not use it; start it with --device {}", device.display());
        return KvmState::Denied { path, hint, fix: None };
    }
    let user = ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let user = user.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string());
    let fix = ["sudo", "usermod", "--append", "--groups", "kvm", &user].map(str::to_owned).to_vec();
    let hint = format!("run `{}` and log in again", fix.join(" "));
    KvmState::Denied { path, hint, fix: Some(fix) }
}

fn boot_id() -> Option<String> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned())
}

/// What was found during one boot of the host.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    boot: String,
    result: ProbeResult,
}

impl Verdict {
    fn read(folder: &Path, boot: &str) -> Option<ProbeResult> {
        let mut bytes = Vec::new();
        fs::File::open(folder.join(VERDICT_FILE)).ok()?.take(VERDICT_LIMIT).read_to_end(&mut bytes).ok()?;
        let verdict: Self = serde_json::from_slice(&bytes).ok()?;
        (verdict.boot == boot).then_some(verdict.result)
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.persist(folder.join(VERDICT_FILE)).map_err(|error| error.error)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn never() -> ProbeResult {
        panic!("the probe must not run")
    }

    #[test]
    fn what_is_absent_is_not_probed() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(kvm_state(&folder.path().join("kvm"), folder.path(), never), KvmState::Absent);
    }

    #[test]
    fn a_verdict_holds_for_one_boot() {
        let folder = tempfile::tempdir().unwrap();
        let device = folder.path().join("kvm");
        fs::write(&device, "").unwrap();
        let calls = Cell::new(0);
        let probe = || {
            calls.set(calls.get() + 1);
            ProbeResult::Failed { reason: "int3".to_owned() }
        };
        let unusable = KvmState::Unusable { reason: "int3".to_owned() };
        assert_eq!(kvm_state(&device, folder.path(), probe), unusable);
        assert_eq!(kvm_state(&device, folder.path(), never), unusable);
        // Another boot, or a damaged note: probed again.
        for note in [r#"{"boot":"other","result":"passed"}"#, "damaged", ""] {
            fs::write(folder.path().join(VERDICT_FILE), note).unwrap();
            assert_eq!(kvm_state(&device, folder.path(), probe), unusable, "{note}");
        }
        assert_eq!(calls.get(), 4);
    }

    #[test]
    fn a_device_of_others_is_an_error_with_the_command_that_mends_it() {
        let state = denied(Path::new(KVM_DEVICE));
        let KvmState::Denied { hint, fix, .. } = state else { panic!("{state:?}") };
        if rustix::process::geteuid().is_root() {
            assert!(hint.contains("--device /dev/kvm") && fix.is_none());
        } else {
            assert!(hint.contains("sudo usermod --append --groups kvm"));
        }
    }

    #[test]
    fn a_probe_that_hangs_or_breaks_is_a_verdict() {
        let (hold, held) = mpsc::channel::<()>();
        let hang = move || {
            let _ = held.recv();
            ProbeResult::Passed
        };
        let result = probe_within(Duration::from_millis(20), hang);
        assert_eq!(result, ProbeResult::Failed { reason: "the probe did not end within 20ms".to_owned() });
        drop(hold);
        let result = probe_within(PROBE_LIMIT, || panic!("broken on purpose"));
        assert_eq!(result, ProbeResult::Failed { reason: "the probe broke off".to_owned() });
        assert_eq!(probe_within(PROBE_LIMIT, || ProbeResult::Passed), ProbeResult::Passed);
    }

    #[test]
    fn the_real_device_gets_a_verdict_with_a_reason() {
        // Where there is no device, the verdict says that.
        let result = probe_within(PROBE_LIMIT, run_probe);
        assert!(Path::new(KVM_DEVICE).exists() || result != ProbeResult::Passed, "{result:?}");
        if let ProbeResult::Failed { reason } = result {
            assert!(!reason.is_empty());
        }
    }
}
