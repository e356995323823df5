//! Folders: what may be shared, and that "read" is held by the host.

use std::{fs, os::unix::fs::MetadataExt as _};

use super::rig::{Home, shared};

#[test]
fn a_mount_of_ssh_keys_is_refused_and_leaves_nothing() {
    let home = Home::new("ssh-mount");
    home.define(
        "ws",
        "dev",
        "  workspace: {mode: direct}\n  mounts: [{source: ~/.ssh, target: /keys, why: please}]\n",
    );
    let error = home.run(&["apply", "--yes", "-o", "json"]).refused(4);
    assert_eq!(error["kind"], "denied");
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains("floor.fs.ssh") && message.contains(".ssh"), "{message}");
    assert_eq!(error["line"], 8, "{error:#}");
    assert_eq!(home.run(&["ls", "-o", "json"]).json()["sandboxes"], serde_json::json!([]));
    assert!(
        !home.path("state/sandboxes").exists()
            || fs::read_dir(home.path("state/sandboxes")).expect("ours").next().is_none()
    );
    let event = home.events(None).pop().expect("the refusal is recorded");
    assert_eq!((event["action"].as_str(), event["decision"].as_str()), (Some("fs.mount"), Some("deny")));
    assert_eq!(event["rule"]["id"], "floor.fs.ssh");
}

#[test]
fn every_way_to_the_floor_is_refused_by_create() {
    let home = Home::new("floor-mounts");
    std::os::unix::fs::symlink(home.path("home/.aws"), home.path("ws/innocent")).expect("our own folder");
    for source in [
        home.path("home/.aws"),
        home.path("home"),
        home.path("state"),
        home.path("config"),
        home.path("ws/innocent"),
        "/etc/cofferdam".into(),
        "/proc".into(),
        "/".into(),
    ] {
        // Those that this host does not have are a slip of the command line.
        let expected = if source.exists() || source.is_symlink() { 4 } else { 2 };
        let mount = format!("{}:/x:ro", source.display());
        let refused = home.run(&["create", "--yes", "--name=dev", "--mount", &mount, "shell"]);
        assert_eq!(refused.code, expected, "{mount}: {refused:#?}");
    }
    assert_eq!(home.run(&["ls", "-o", "json"]).json()["sandboxes"], serde_json::json!([]));
}

#[test]
fn a_folder_to_read_is_read_only_for_root_too() {
    let home = &shared().home;
    assert_eq!(home.guest("dev", "cat /data/set.txt").ok(), "forty-two\n");
    let script = "touch /data/new; echo x > /data/set.txt; rm /data/set.txt; chmod 777 /data/set.txt; \
                  mount -o remount,rw /data; touch /data/new; echo end";
    assert_eq!(home.guest_root("dev", script).ok(), "end\n");
    let names: Vec<_> =
        fs::read_dir(home.path("data")).expect("ours").flatten().map(|it| it.file_name()).collect();
    assert_eq!(names, ["set.txt"]);
    assert_eq!(fs::read_to_string(home.path("data/set.txt")).expect("it is there"), "forty-two\n");
}

#[test]
fn the_workspace_is_the_hosts_folder_at_the_same_path() {
    let home = &shared().home;
    let file = home.path("ws/made-inside.txt");
    home.guest("dev", &format!("echo made > {}", file.display())).ok();
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "made\n");
    let owner = |path: &std::path::Path| fs::metadata(path).expect("it is there").uid();
    assert_eq!(owner(&file), owner(&home.path("ws")), "it belongs to the folder's owner");
    fs::write(home.path("ws/made-outside.txt"), "seen").expect("ours");
    assert_eq!(home.guest("dev", "cat made-outside.txt").ok(), "seen");
}

#[test]
fn a_link_out_of_the_workspace_leads_nowhere() {
    let home = &shared().home;
    let target = home.path("home/.ssh/id_ed25519");
    let _ = std::os::unix::fs::symlink(&target, home.path("ws/key"));
    let read = home.guest_root("dev", "cat key; ln -s /etc/passwd own; cat own | head -1");
    assert!(read.stdout.starts_with("root:") && read.stderr.contains("No such file"), "{read:#?}");
}
