//! The audit trail of a real sandbox.

use std::fs;

use super::rig::shared;

#[test]
fn the_trail_verifies_and_a_changed_copy_names_its_first_bad_record() {
    let (shared, home) = (shared(), &shared().home);
    for host in ["other.test", "closed.test", "other.test"] {
        shared.curl(&format!("https://{host}/trail"));
    }
    let verified = home.run(&["audit", "verify", "dev", "-o", "json"]).json();
    assert_eq!(verified["verified"], true, "{verified:#}");

    // A copy under another state folder, with one word of one record changed.
    let copy = super::rig::Home::new("tampered-trail");
    let folder = home.sandbox_folder();
    let target = copy.path("state/sandboxes").join(folder.file_name().expect("an id"));
    copy_folder(&home.path("state"), &copy.path("state"));
    assert_eq!(copy.run(&["audit", "verify", "-o", "json"]).code, 0, "the copy is good as it is");
    let mut segments: Vec<_> = fs::read_dir(target.join("audit")).expect("copied").flatten().collect();
    segments.retain(|it| fs::read_to_string(it.path()).is_ok_and(|text| text.contains("closed.test")));
    let segment = segments.first().expect("it was recorded").path();
    let text = fs::read_to_string(&segment).expect("copied");
    let line = text.lines().position(|line| line.contains("closed.test")).expect("it was recorded") + 1;
    fs::write(&segment, text.replacen("closed.test", "cloned.test", 1)).expect("ours");

    let error = copy.run(&["audit", "verify", "-o", "json"]).refused(1);
    assert_eq!(error["line"], line, "{error:#}");
    assert!(
        error["file"].as_str().is_some_and(|file| segment.ends_with(file) || segment.to_str() == Some(file))
    );
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).expect("ours");
    for entry in fs::read_dir(from).expect("ours").flatten() {
        let kind = entry.file_type().expect("ours");
        let name = entry.file_name();
        if kind.is_dir() {
            copy_folder(&entry.path(), &to.join(name));
        } else if kind.is_file() && !name.to_string_lossy().ends_with(".img") {
            fs::copy(entry.path(), to.join(name)).expect("ours");
        }
    }
}
