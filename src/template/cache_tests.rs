use std::{cell::RefCell, collections::BTreeSet};

use super::*;
use crate::template::{fixture::*, progress::Silent};

#[test]
fn the_first_run_builds_and_the_second_starts_nothing() {
    let (fake, folder) = debian();
    let cache = open(&folder);
    let boot = cache.ensure(&fake.host, &Silent).unwrap();
    assert_eq!(boot.kernel.release(), RELEASE);
    assert_eq!(boot.kernel.image().file_name().unwrap(), "vmlinuz");
    let order = "virtio_ring virtio virtio_pci virtio_blk squashfs overlay vsock vmw_vsock_virtio_transport virtio_rng";
    let expected: Vec<_> = order.split(' ').map(|name| format!("/modules/{name}.ko")).collect();
    assert_eq!(boot.kernel.boot_modules(false), expected);
    let with_mounts = boot.kernel.boot_modules(true);
    assert_eq!(
        with_mounts[expected.len()..],
        ["/modules/fuse.ko".to_owned(), "/modules/virtiofs.ko".to_owned()]
    );
    let archive = crate::template::cpio::entries(&fs::read(boot.kernel.boot_modules_archive()).unwrap());
    let names: BTreeSet<_> = archive.iter().map(|entry| format!("/{}", entry.0)).collect();
    assert!(with_mounts.iter().all(|path| names.contains(path)));
    assert_eq!(boot.base.system(), "debian 12");
    assert_eq!(left_over(&cache), 0);

    let before = calls(&folder);
    let again = cache.ensure(&fake.host, &Silent).unwrap();
    assert_eq!(again.base.digest(), boot.base.digest());
    assert_eq!(calls(&folder), before);
}

#[test]
fn the_base_gets_the_hosts_proxy_while_building_and_no_credentials_inside() {
    let (fake, folder) = debian();
    let boot = open(&folder).ensure(&fake.host, &Silent).unwrap();
    let calls = calls(&folder);
    let call = calls.lines().find(|line| line.starts_with("mmdebstrap")).unwrap();
    assert!(call.contains("--aptopt=Acquire::http::Proxy \"http://proxy.test:3128\";"), "{call}");
    assert!(!call.contains("APT::Other") && !call.contains("Acquire::https"), "{call}");
    assert!(
        call.contains("upload empty /etc/resolv.conf") && call.contains("upload empty /etc/hostname"),
        "{call}"
    );
    // A mirror's password would show in the process list too.
    assert!(!call.contains("ada:pw"), "{call}");
    assert_eq!(
        fs::read_to_string(boot.base.image()).unwrap(),
        "deb http://mirror.test/debian bookworm main\n"
    );
}

#[test]
fn an_interrupted_build_leaves_nothing_that_the_next_one_uses() {
    let (fake, folder) = debian();
    let cache = open(&folder);
    // Killed in the middle: work in progress stays behind, no record.
    let half = cache.root().join("building/half");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("root.sqfs"), "ha").unwrap();
    // The pack fails after the kernel was stored.
    fake.tool("tar2sqfs", "head -c 1 > /dev/null; echo no room >&2; exit 1");
    let error = cache.ensure(&fake.host, &Silent).unwrap_err();
    assert!(matches!(error, EnsureError::Tool { step: Step::Base, .. }), "{error}");
    assert!(cache.find().is_none() && !half.exists());
    assert_eq!(left_over(&cache), 0);
    // The next run builds only what is missing.
    let (other, _other_folder) = debian();
    other.tool("apt-get", "exit 9");
    assert!(cache.ensure(&other.host, &Silent).is_ok());
    assert_eq!(left_over(&cache), 0);
}

#[test]
fn a_damaged_file_or_record_is_built_anew() {
    let (fake, folder) = debian();
    let cache = open(&folder);
    let boot = cache.ensure(&fake.host, &Silent).unwrap();
    fs::write(boot.kernel.modules_image(), "cut").unwrap();
    assert!(cache.find().is_none());
    // The folder of that digest is there, but not whole: it must not be taken for the new one.
    let boot = cache.ensure(&fake.host, &Silent).unwrap();
    assert_eq!(fs::read_to_string(boot.kernel.modules_image()).unwrap(), "modules\n");
    for record in ["not json", r#"{"digest":"../../etc","system":"x","files":[]}"#] {
        fs::write(cache.root().join("base.json"), record).unwrap();
        assert!(cache.find().is_none(), "{record}");
    }
    assert!(cache.ensure(&fake.host, &Silent).is_ok());
}

#[test]
fn two_at_a_time_build_once() {
    let (fake, folder) = debian();
    fs::create_dir(folder.path().join("cache")).unwrap();
    let run = || {
        let steps = RefCell::new(Vec::new());
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let report = |report: Report<'_>| {
            if let Report::Started(step) = report {
                steps.borrow_mut().push(step);
            }
        };
        let digest = cache.ensure(&fake.host, &report).unwrap().base.digest().to_owned();
        (digest, steps.into_inner())
    };
    let (one, two) = std::thread::scope(|scope| {
        let (one, two) = (scope.spawn(run), scope.spawn(run));
        (one.join().unwrap(), two.join().unwrap())
    });
    assert_eq!(one.0, two.0);
    assert_eq!(calls(&folder).lines().filter(|line| line.starts_with("mmdebstrap")).count(), 1);
}

#[test]
fn what_the_host_lacks_is_told_at_once_with_the_command() {
    let (mut fake, folder) = debian();
    fake.host.search.truncate(1);
    fs::remove_file(fake.host.find("tar2sqfs").unwrap()).unwrap();
    let error = open(&folder).ensure(&fake.host, &Silent).unwrap_err();
    assert_eq!(
        error.to_string(),
        "this host lacks tar2sqfs: sudo apt-get update && sudo apt-get install --yes --no-install-recommends \
         squashfs-tools-ng"
    );
    assert_eq!(calls(&folder), "", "nothing was begun");
}

#[test]
fn stale_lists_name_the_command_and_a_missing_module_its_name() {
    let (fake, folder) = debian();
    fake.tool("apt-get", "echo 'E: 404  Not Found' >&2; exit 100");
    let error = open(&folder).ensure(&fake.host, &Silent).unwrap_err();
    assert!(error.to_string().contains("run `sudo apt-get update`"), "{error}");
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("404  Not Found"), "{source}");

    let (fake, folder) = debian();
    let kernel = folder.path().join("package/lib/modules").join(RELEASE).join("kernel");
    fs::remove_file(kernel.join("overlay.ko")).unwrap();
    let error = open(&folder).ensure(&fake.host, &Silent).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "the kernel has no module `overlay`");
}
