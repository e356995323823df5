//! Whatever a guest puts into the file system's ring: no panic, no hang, nothing outside the folder.
//!
//! The input is a sequence of requests, each two bytes of length, little-endian, and that many bytes of message. The
//! folder is new each time, so a finding can be replayed.

#![no_main]

use std::fs::{self, File};

use cofferdam::devices::fs::{FsConfig, Guard, Owner, Rig};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let outside = tempfile::tempdir().expect("a folder");
    let inside = outside.path().join("shared");
    fs::create_dir_all(inside.join(".git/hooks")).expect("a tree");
    fs::create_dir(inside.join("d")).expect("a folder");
    fs::write(inside.join("f"), "text").expect("a file");
    std::os::unix::fs::symlink("..", inside.join("out")).expect("a link");
    let root = File::open(&inside).expect("the folder").into();
    let owner = Owner { uid: 1000, gid: 1000 };
    let guard = Guard::direct();
    let rig = Rig::new(FsConfig { root, read_only: false, owner, hidden: Vec::new(), guard });
    let mut rest = data;
    while let Some((length, after)) = rest.split_first_chunk::<2>() {
        let (request, next) = after.split_at(usize::from(u16::from_le_bytes(*length)).min(after.len()));
        rig.request(request, 8192);
        rest = next;
    }
    let beside = fs::read_dir(outside.path()).expect("the folder above").count();
    assert_eq!(beside, 1, "something was made outside of the folder");
    let hooks = fs::read_dir(inside.join(".git/hooks")).map(Iterator::count);
    assert_eq!(hooks.expect("the hooks are still there"), 0, "a hook was made");
});
