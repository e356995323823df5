//! Looks at the host for [`super::doctor`]. Changes nothing; each look that fails is an answer.

use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use landlock::{ABI, Access as _, AccessFs, CompatLevel, Compatible as _, Ruleset, RulesetAttr as _};

use super::{
    doctor::{Hardware, Observations},
    host::{Host, read_bounded},
    requirement,
};

pub(super) fn observe(host: &Host, cache: &Path, hardware: Hardware) -> Observations {
    Observations {
        distribution: host.distribution(),
        superuser: host.superuser,
        machine: rustix::system::uname().machine().to_string_lossy().into_owned(),
        missing: requirement::missing(host),
        hardware,
        landlock: landlock_abi(),
        seccomp: host.path("/proc/sys/kernel/seccomp/actions_avail").exists(),
        memfd: rustix::fs::memfd_create("doctor", rustix::fs::MemfdFlags::ALLOW_SEALING).is_ok(),
        no_user_namespace: no_user_namespace(host),
        cgroup2: host.path("/sys/fs/cgroup/cgroup.controllers").exists(),
        disk_free: disk_free(cache),
        lists_age_days: lists_age(host).map(|age| age.as_secs() / 86_400),
    }
}

/// The newest version that this kernel and our library both have. A rule set is made and dropped: nothing is
/// restricted by it.
fn landlock_abi() -> Option<u8> {
    let works = |abi| {
        let strict = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
        strict.handle_access(AccessFs::from_all(abi)).and_then(Ruleset::create).is_ok()
    };
    // V4 and V6 add nothing to file access; a kernel is told by what it can do about files.
    [(5, ABI::V5), (3, ABI::V3), (2, ABI::V2), (1, ABI::V1)]
        .into_iter()
        .find(|(_, abi)| works(*abi))
        .map(|(n, _)| n)
}

fn no_user_namespace(host: &Host) -> Option<&'static str> {
    let number = |path| {
        let text = read_bounded(&host.path(path), 64).ok()?;
        std::str::from_utf8(&text).ok()?.trim().parse::<u64>().ok()
    };
    if number("/proc/sys/kernel/unprivileged_userns_clone") == Some(0) {
        return Some("kernel.unprivileged_userns_clone is 0");
    }
    if number("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        return Some("AppArmor restricts them on this system");
    }
    match number("/proc/sys/user/max_user_namespaces") {
        Some(0) => Some("user.max_user_namespaces is 0"),
        None => Some("this kernel has none"),
        Some(_) => None,
    }
}

fn disk_free(cache: &Path) -> Option<u64> {
    let existing = cache.ancestors().find(|folder| folder.exists())?;
    let found = rustix::fs::statvfs(existing).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

/// The newest list counts: a fetch that finds nothing new leaves the others' times alone.
fn lists_age(host: &Host) -> Option<Duration> {
    let entries = fs::read_dir(host.path("/var/lib/apt/lists")).ok()?.flatten();
    let packages = entries.filter(|entry| entry.file_name().to_string_lossy().contains("_Packages"));
    let newest = packages.filter_map(|entry| {
        let times = entry.metadata().ok()?;
        // apt gives a list the server's time; its arrival here is the inode's.
        let arrived = SystemTime::UNIX_EPOCH + Duration::from_secs(ctime(&times));
        Some(arrived.max(times.modified().ok()?))
    });
    Some(SystemTime::now().duration_since(newest.max()?).unwrap_or_default())
}

fn ctime(metadata: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt as _;
    u64::try_from(metadata.ctime()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::fake::FakeHost;

    #[test]
    fn an_observed_host_is_what_its_files_say() {
        let fake = FakeHost::new();
        fake.file("/etc/os-release", "ID=debian\nVERSION_ID=12\n");
        fake.file("/proc/sys/user/max_user_namespaces", "100\n");
        fake.file("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1\n");
        let hardware = Hardware::Emulated { reason: "no /dev/kvm".to_owned() };
        let seen = observe(&fake.host, Path::new("/nowhere/at/all"), hardware);
        assert_eq!(seen.distribution.title(), "debian 12");
        assert_eq!(seen.no_user_namespace, Some("AppArmor restricts them on this system"));
        assert!(!seen.seccomp && !seen.cgroup2 && seen.memfd);
        assert_eq!(seen.lists_age_days, None);
        assert!(seen.disk_free.is_some());
        fake.file("/var/lib/apt/lists/mirror.test_main_binary-amd64_Packages.lz4", "");
        assert_eq!(observe(&fake.host, Path::new("/"), Hardware::Usable).lists_age_days, Some(0));
    }
}
