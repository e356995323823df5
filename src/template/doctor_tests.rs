use super::*;

fn healthy() -> Observations {
    Observations {
        distribution: Distribution::parse("ID=debian\nVERSION_ID=12\nVERSION_CODENAME=bookworm\n"),
        superuser: false,
        machine: "x86_64".to_owned(),
        missing: Vec::new(),
        hardware: Hardware::Usable,
        landlock: Some(2),
        seccomp: true,
        memfd: true,
        no_user_namespace: None,
        cgroup2: true,
        disk_free: Some(100 << 30),
        lists_age_days: Some(1),
    }
}

fn find<'c>(checks: &'c [Check], id: &str) -> &'c Check {
    checks.iter().find(|check| check.id == id).unwrap_or_else(|| panic!("no check {id}"))
}

#[test]
fn a_healthy_host_has_nothing_to_mend() {
    let seen = healthy();
    let wrong: Vec<_> = check_host(&seen).into_iter().filter(|check| check.status != Status::Ok).collect();
    assert_eq!(wrong, []);
    assert!(fixes(&seen).is_empty());
}

#[test]
fn each_missing_tool_is_named_and_one_installation_brings_all() {
    let mut seen = healthy();
    seen.missing = REQUIREMENTS
        .into_iter()
        .filter(|one| ["mmdebstrap", "tar2sqfs", "gensquashfs"].contains(&one.program))
        .collect();
    let checks = check_host(&seen);
    let check = find(&checks, "tool.tar2sqfs");
    assert_eq!(check.status, Status::Missing);
    assert!(check.detail.contains("package squashfs-tools-ng"), "{}", check.detail);
    assert_eq!(find(&checks, "tool.mke2fs").status, Status::Ok);
    let line = requirement::shell_line(&fixes(&seen));
    assert_eq!(
        line,
        "sudo apt-get update && sudo apt-get install --yes --no-install-recommends mmdebstrap squashfs-tools-ng"
    );
}

#[test]
fn kvm_that_is_denied_is_an_error_and_kvm_that_is_absent_is_not() {
    let mut seen = healthy();
    seen.hardware = Hardware::Emulated { reason: "/dev/kvm is absent".to_owned() };
    let check = find(&check_host(&seen), "machine.kvm").clone();
    assert_eq!(
        (check.status, check.detail.as_str()),
        (Status::Warn, "isolation: emulated (/dev/kvm is absent)")
    );
    let fix = ["sudo", "usermod", "--append", "--groups", "kvm", "ada"].map(str::to_owned).to_vec();
    seen.hardware = Hardware::Denied { reason: "/dev/kvm may not be opened".to_owned(), fix: fix.clone() };
    assert_eq!(find(&check_host(&seen), "machine.kvm").status, Status::Missing);
    assert_eq!(fixes(&seen), [fix]);
    // In a container no command helps: there is nothing to run, and the host is not ready either.
    seen.hardware = Hardware::Denied { reason: "refused".to_owned(), fix: Vec::new() };
    assert_eq!(find(&check_host(&seen), "machine.kvm").fix, None);
    assert!(fixes(&seen).is_empty());
}

#[test]
fn what_the_jail_must_have_is_missing_and_what_it_may_have_is_a_warning() {
    let seen = Observations {
        landlock: None,
        seccomp: false,
        no_user_namespace: Some("user.max_user_namespaces is 0"),
        cgroup2: false,
        ..healthy()
    };
    let checks = check_host(&seen);
    let status = |id| find(&checks, id).status;
    assert_eq!((status("jail.landlock"), status("jail.seccomp")), (Status::Missing, Status::Missing));
    assert_eq!((status("jail.namespaces"), status("jail.cgroup")), (Status::Warn, Status::Warn));
}

#[test]
fn little_disk_and_old_lists_are_told() {
    let seen = Observations { disk_free: Some(100 << 20), lists_age_days: None, ..healthy() };
    let checks = check_host(&seen);
    assert_eq!(find(&checks, "host.disk").status, Status::Missing);
    assert_eq!(
        find(&checks, "host.apt").fix,
        Some(vec![vec!["sudo".into(), "apt-get".into(), "update".into()]])
    );
    let seen = Observations { lists_age_days: Some(60), ..healthy() };
    assert_eq!(find(&check_host(&seen), "host.apt").status, Status::Warn);
}

#[test]
fn json_has_stable_words() {
    let check =
        Check::new("jail.seccomp", "seccomp", Status::Missing, "x").fixed_by(Some(vec![vec!["a".into()]]));
    assert_eq!(
        serde_json::to_string(&check).unwrap(),
        r#"{"id":"jail.seccomp","title":"seccomp","status":"missing","detail":"x","fix":[["a"]]}"#
    );
}
