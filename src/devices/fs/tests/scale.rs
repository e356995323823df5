//! Many files, few descriptors.

use super::*;

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn a_tree_of_50_000_entries_takes_no_descriptor_to_remember() {
    let guest = Guest::plain(|dir| {
        for folder in 0..250 {
            let folder = dir.join(format!("d{folder}"));
            fs::create_dir(&folder).unwrap();
            for file in 0..199 {
                // Linking is faster than creating; the kernel allows 65,000 names.
                let name = folder.join(format!("f{file}"));
                let first = dir.join("d0/f0");
                if first.exists() { fs::hard_link(first, name) } else { fs::write(name, "") }.unwrap();
            }
        }
    });
    let before = descriptors();
    let mut last = 0;
    for folder in 0..250 {
        let node = guest.walk(&format!("d{folder}")).unwrap();
        for file in 0..199 {
            last = guest.look(node, &format!("f{file}")).unwrap().inode;
        }
    }
    guest.folder.getattr(&ctx(), last, None).unwrap();
    assert_eq!(guest.folder.table().len(), 1 + 250 + 250 * 199);
    // Other tests run beside this one; 50,000 would show.
    assert!(descriptors() < before + 200);
    for node in 2..=last {
        guest.folder.forget(&ctx(), node, 1);
    }
    assert_eq!(guest.folder.table().len(), 1);
}

#[test]
fn positions_are_good_across_portions_and_changes() {
    let guest = Guest::plain(|dir| {
        for file in 0..500 {
            fs::write(dir.join(format!("f{file:03}")), "").unwrap();
        }
    });
    let all = guest.names("").unwrap();
    assert_eq!(all.len(), 500);
    assert_eq!((all[0].as_str(), all[499].as_str()), ("f000", "f499"));
    assert_eq!(guest.folder.table().len(), 1, "names that did not fit were not counted");
    // rm -r: each portion is removed before the next is read.
    let (handle, _) = guest.folder.opendir(&ctx(), ROOT, 0).unwrap();
    let (mut offset, mut removed) = (0, 0);
    loop {
        let mut portion = Vec::new();
        let from = offset;
        let take = &mut |entry: fuse_backend_rs::api::filesystem::DirEntry<'_>| {
            if portion.len() == 7 {
                return Ok(0);
            }
            offset = entry.offset;
            portion.push(c(std::str::from_utf8(entry.name).unwrap()));
            Ok(1)
        };
        guest.folder.readdir(&ctx(), ROOT, handle.unwrap(), 4096, from, take).unwrap();
        if portion.is_empty() {
            break;
        }
        for name in portion.iter().filter(|n| !n.as_bytes().starts_with(b".")) {
            guest.folder.unlink(&ctx(), ROOT, name).unwrap();
            removed += 1;
        }
    }
    assert_eq!(removed, 500);
}

#[test]
fn what_the_guest_holds_is_bounded() {
    let small = || Share { limits: Limits { nodes: 5, handles: 3 }, ..Share::default() };
    let tree = |dir: &Path| (0..9).for_each(|n| fs::write(dir.join(format!("f{n}")), "").unwrap());
    let guest = Guest::new(tree, |_| small());
    let open: Vec<_> = (0..3).map(|n| guest.open(&format!("f{n}"), libc::O_RDONLY).unwrap()).collect();
    assert_eq!(errno(guest.open("f0", libc::O_RDONLY)), Errno::NFILE);
    assert_eq!(errno(guest.create("new")), Errno::NFILE);
    assert!(!guest.host("new").exists(), "refused before it was made");
    guest.close(open[0].0, open[0].1).unwrap();
    guest.open("f1", libc::O_RDONLY).unwrap();
    guest.look(ROOT, "f3").unwrap();
    assert_eq!(errno(guest.look(ROOT, "f4")), Errno::NFILE);
    guest.folder.forget(&ctx(), open[2].0, 1);
    guest.look(ROOT, "f4").unwrap();
}

#[test]
fn a_path_beyond_the_bound_is_too_long() {
    let guest = Guest::plain(|_| {});
    let name = c(&"d".repeat(255));
    let mut node = ROOT;
    let mut depth = 0;
    let end = loop {
        match guest.folder.mkdir(&ctx(), node, &name, 0o755, 0) {
            Ok(entry) => (node, depth) = (entry.inode, depth + 1),
            Err(e) => break e,
        }
    };
    assert_eq!((end.raw_os_error(), depth), (Some(libc::ENAMETOOLONG), 16));
}

#[test]
fn a_new_mount_starts_afresh() {
    let guest = Guest::plain(|dir| fs::write(dir.join("f"), "").unwrap());
    let (node, handle) = guest.open("f", libc::O_RDONLY).unwrap();
    guest.folder.init(fuse_backend_rs::api::filesystem::FsOptions::all()).unwrap();
    assert_eq!(errno(guest.folder.getattr(&ctx(), node, None).map(drop)), Errno::STALE);
    assert_eq!(errno(guest.close(node, handle)), Errno::BADF);
    assert_ne!(guest.walk("f").unwrap(), node, "node ids are not used twice");
}
