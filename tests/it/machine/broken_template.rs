//! A template that does not build: the failing tool is named with the end of its log, nothing is half-made, and once it
//! is mended the same command works.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use super::rig::Home;

/// A host whose `mmdebstrap` fails, on a cache that has a kernel and no base.
fn broken(story: &str) -> Home {
    let mut home = Home::new(story);
    let (ready, own) = (home.cache().join("v1"), home.path("cache/v1"));
    fs::create_dir_all(&own).expect("our own folder");
    copy(&ready.join("kernel"), &own.join("kernel"));
    fs::copy(ready.join("kernel.json"), own.join("kernel.json")).expect("the cache has a kernel");
    for folder in [home.path("cache"), own] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).expect("our own folder");
    }
    fs::create_dir_all(home.path("bin")).expect("our own folder");
    let tool = home.path("bin/mmdebstrap");
    fs::write(&tool, "#!/bin/sh\necho fetching >&2\necho 'E: no mirror answers' >&2\nexit 25\n")
        .expect("ours");
    fs::set_permissions(&tool, fs::Permissions::from_mode(0o755)).expect("ours");
    let path = std::env::var("PATH").expect("PATH is set");
    home.export("PATH", &format!("{}:{path}", home.path("bin").display()));
    home.export("COFFERDAM_CACHE", &home.path("cache").display().to_string());
    home
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("our own folder");
    for entry in fs::read_dir(from).expect("the cache is there") {
        let entry = entry.expect("the folder stays");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            // Links cost nothing; nothing below a digest is ever rewritten.
            fs::hard_link(entry.path(), &target)
                .or_else(|_| fs::copy(entry.path(), &target).map(drop))
                .expect("our own folder");
        }
    }
}

#[test]
fn a_template_that_does_not_build_says_why_and_leaves_nothing() {
    let home = broken("broken-template");
    home.define("ws", "dev", "");
    let error = home.run(&["apply", "--yes", "--wait", "-o", "json"]).refused(1);
    let words = error.to_string();
    for part in ["mmdebstrap", "exit status: 25", "E: no mirror answers"] {
        assert!(words.contains(part), "{part} is not in {error:#}");
    }
    let sandboxes = home.run(&["ls", "-o", "json"]).json();
    let [shown] = sandboxes["sandboxes"].as_array().expect("a list").as_slice() else {
        panic!("one is waited for: {sandboxes:#}")
    };
    assert_eq!(
        (&shown["id"], &shown["phase"]),
        (&"".into(), &"stopped".into()),
        "no half of a sandbox is left"
    );
    assert_eq!(shown["conditions"][0]["reason"], "TemplateFailed", "{shown:#}");
    let cache = home.path("cache/v1");
    assert!(!cache.join("base.json").exists(), "nothing is current that is not there");
    for folder in ["building", "base"] {
        let left = fs::read_dir(cache.join(folder)).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{folder} is not empty");
    }
    let text = home.run(&["apply", "--yes", "--wait"]);
    assert!(text.code == 1 && text.stderr.contains("E: no mirror answers"), "{text:#?}");

    // Mended: the host's own tool again.
    fs::remove_file(home.path("bin/mmdebstrap")).expect("ours");
    home.run(&["apply", "--yes", "--wait"]).ok();
    assert_eq!(home.guest("dev", "echo here").ok(), "here\n");
    home.run(&["rm", "--force", "dev"]).ok();
}
