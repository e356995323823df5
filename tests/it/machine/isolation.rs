//! What is not there: the host's kernel, its network, its credentials.

use std::fs;

use super::rig::shared;

#[test]
fn the_machine_has_a_kernel_of_its_own() {
    let ours = fs::read_to_string("/proc/version").expect("the host has one");
    let theirs = shared().guest("cat /proc/version").ok();
    assert!(theirs.starts_with("Linux version ") && theirs != ours, "{theirs}");
    assert_eq!(shared().home.status()["phase"], "running");
}

#[test]
fn the_machine_has_no_network_card() {
    assert_eq!(shared().guest("ls /sys/class/net").ok(), "lo\n");
}

#[test]
fn the_hosts_credentials_do_not_exist_inside() {
    let home = &shared().home;
    let ours = fs::read_to_string(home.path("home/.aws/credentials")).expect("the host has them");
    let places = format!("~/.ssh ~/.aws {0}/.ssh {0}/.aws", home.path("home").display());
    let looked = shared().guest(&format!("ls -d {places} 2>/dev/null; exit 0"));
    assert_eq!(looked.ok(), "");
    // The same search finds what is there.
    assert_eq!(shared().guest("ls -d ~/.bashrc").ok(), "/home/agent/.bashrc\n");
    let found =
        home.guest_root("dev", &format!("grep -rlF {ours} /home /root /etc /data /tmp /run 2>/dev/null"));
    assert_eq!((found.code, found.stdout.as_str()), (1, ""));
}

#[test]
fn deleting_everything_inside_leaves_the_hosts_files() {
    let home = &shared().home;
    fs::create_dir_all(home.path("ws/scratch/deep")).expect("our own folder");
    fs::write(home.path("ws/scratch/deep/file"), "x").expect("our own folder");
    let outside = home.path("outside.txt");
    fs::write(&outside, "intact").expect("our own folder");
    // Its own programs and the read-only folder included; the shell that deletes holds on to what it needs.
    let deleted = home.guest_root(
        "dev",
        &format!(
            "rm -rf {0}/scratch {0}/../outside.txt /data/* /usr/games /srv /opt 2>&1; true",
            home.path("ws").display()
        ),
    );
    assert!(deleted.ok().contains("Read-only file system"));
    assert!(!home.path("ws/scratch").exists(), "the workspace is the agent's to change");
    assert_eq!(fs::read_to_string(&outside).expect("it is there"), "intact");
    assert_eq!(fs::read_to_string(home.path("data/set.txt")).expect("it is there"), "forty-two\n");
}
