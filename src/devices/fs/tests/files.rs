//! Ordinary work.

use fuse_backend_rs::api::filesystem::{GetxattrReply, ListxattrReply, SetattrValid};

use super::*;

fn tree(dir: &Path) {
    fs::create_dir(dir.join("d")).unwrap();
    fs::write(dir.join("f"), "text").unwrap();
}

#[test]
fn everything_belongs_to_the_agent() {
    let guest = Guest::plain(tree);
    for attr in [guest.look(ROOT, "f").unwrap().attr, guest.folder.getattr(&ctx(), ROOT, None).unwrap().0] {
        assert_eq!((attr.st_uid, attr.st_gid), (1000, 1000));
    }
    let f = guest.walk("f").unwrap();
    let mut wish = Entry::default().attr;
    wish.st_uid = 1000;
    guest.folder.setattr(&ctx(), f, wish, None, SetattrValid::UID).unwrap();
    assert_eq!(errno(guest.folder.setattr(&ctx(), f, wish, None, SetattrValid::GID).map(drop)), Errno::PERM);
    assert_ne!(fs::metadata(guest.host("f")).unwrap().uid(), 1000, "the host's owner is untouched");
}

#[test]
fn a_file_that_was_removed_while_open_still_has_attributes() {
    let guest = Guest::plain(tree);
    let (node, handle) = guest.open("f", libc::O_RDWR).unwrap();
    guest.unlink("f").unwrap();
    assert_eq!(guest.folder.getattr(&ctx(), node, None).unwrap().0.st_nlink, 0);
    let mut wish = Entry::default().attr;
    wish.st_size = 9;
    let (changed, _) = guest.folder.setattr(&ctx(), node, wish, Some(handle), SetattrValid::SIZE).unwrap();
    assert_eq!(changed.st_size, 9);
    // A new file of that name is another node, and does not answer for the old one.
    guest.create("f").unwrap();
    assert_eq!(guest.folder.getattr(&ctx(), node, None).unwrap().0.st_size, 9);
    guest.close(node, handle).unwrap();
    assert_eq!(errno(guest.folder.getattr(&ctx(), node, None).map(drop)), Errno::STALE);
}

#[test]
fn nodes_follow_renames() {
    let guest = Guest::plain(|dir| {
        fs::create_dir_all(dir.join("one/deep")).unwrap();
        fs::create_dir_all(dir.join("two")).unwrap();
        fs::write(dir.join("one/deep/file"), "1").unwrap();
        fs::write(dir.join("two/file"), "22").unwrap();
    });
    let (deep, other) = (guest.walk("one/deep/file").unwrap(), guest.walk("two/file").unwrap());
    let size = |node| guest.folder.getattr(&ctx(), node, None).map(|(attr, _)| attr.st_size);
    guest.rename("one", "two/one").unwrap();
    assert_eq!((size(deep).unwrap(), size(other).unwrap()), (1, 2));
    guest.rename_with("two/one/deep/file", "two/file", libc::RENAME_EXCHANGE).unwrap();
    assert_eq!((size(deep).unwrap(), size(other).unwrap()), (1, 2));
    assert_eq!((guest.walk("two/file").unwrap(), guest.walk("two/one/deep/file").unwrap()), (deep, other));
    guest.rename("two/file", "two/one/deep/file").unwrap();
    assert_eq!(size(deep).unwrap(), 1);
    assert_eq!(errno(size(other)), Errno::STALE);
    assert_eq!(errno(guest.rename_with("two/one", "two/x", libc::RENAME_WHITEOUT)), Errno::INVAL);
    guest.create("two/x").unwrap();
    assert_eq!(errno(guest.rename_with("two/one", "two/x", libc::RENAME_NOREPLACE)), Errno::EXIST);
}

#[test]
fn hard_links_show_one_inode_number() {
    let guest = Guest::plain(tree);
    guest.link("f", "d/g").unwrap();
    let (one, two) = (guest.look(ROOT, "f").unwrap(), guest.look(guest.walk("d").unwrap(), "g").unwrap());
    assert_eq!((one.attr.st_ino, one.attr.st_nlink), (two.attr.st_ino, 2));
    guest.unlink("f").unwrap();
    assert_eq!(guest.folder.getattr(&ctx(), two.inode, None).unwrap().0.st_nlink, 1);
}

#[test]
fn flags_take_effect() {
    let guest = Guest::plain(tree);
    guest.open("f", libc::O_RDONLY | libc::O_TRUNC).unwrap();
    assert_eq!(fs::read(guest.host("f")).unwrap(), b"");
    let exclusive = create_in(libc::O_RDWR | libc::O_EXCL, 0o666);
    assert_eq!(errno(guest.folder.create(&ctx(), ROOT, c"f", exclusive).map(drop)), Errno::EXIST);
    let masked = CreateIn { umask: 0o077, ..exclusive };
    guest.folder.create(&ctx(), ROOT, c"new", masked).unwrap();
    assert_eq!(fs::metadata(guest.host("new")).unwrap().mode() & 0o777, 0o600);
    assert_eq!(errno(guest.open("f", libc::O_ACCMODE)), Errno::INVAL);
    assert_eq!(errno(guest.open("d", libc::O_RDONLY)), Errno::ISDIR);
}

#[test]
fn times_holes_and_space() {
    let guest = Guest::plain(tree);
    let (node, handle) = guest.open("f", libc::O_RDWR).unwrap();
    let mut wish = Entry::default().attr;
    wish.st_mtime = 1_000_000;
    wish.st_mtime_nsec = 5;
    let (attr, _) = guest.folder.setattr(&ctx(), node, wish, None, SetattrValid::MTIME).unwrap();
    assert_eq!((attr.st_mtime, attr.st_mtime_nsec), (1_000_000, 5));
    assert!(attr.st_atime > 1_000_000, "the other time stays");
    guest.folder.fallocate(&ctx(), node, handle, 0, 0, 8192).unwrap();
    assert_eq!(fs::metadata(guest.host("f")).unwrap().size(), 8192);
    assert_eq!(errno(guest.folder.fallocate(&ctx(), node, handle, 0x8, 0, 1)), Errno::OPNOTSUPP);
    let hole = guest.folder.lseek(&ctx(), node, handle, 0, libc::SEEK_HOLE.cast_unsigned()).unwrap();
    assert!((4..=8192).contains(&hole));
    assert_eq!(errno(guest.folder.lseek(&ctx(), node, handle, 0, 0)), Errno::INVAL);
    guest.folder.fsync(&ctx(), node, true, handle).unwrap();
    let sizes = guest.folder.statfs(&ctx(), ROOT).unwrap();
    assert!(sizes.f_blocks > 0 && sizes.f_fsid == 0);
}

#[test]
fn attributes_of_the_user_pass() {
    let guest = Guest::plain(tree);
    let (fs, f) = (&guest.folder, guest.walk("f").unwrap());
    fs.setxattr(&ctx(), f, c"user.a", b"value", 0).unwrap();
    let Ok(GetxattrReply::Value(value)) = fs.getxattr(&ctx(), f, c"user.a", 10) else { panic!("a value") };
    assert_eq!(value, b"value");
    let Ok(GetxattrReply::Count(5)) = fs.getxattr(&ctx(), f, c"user.a", 0) else { panic!("a length") };
    assert_eq!(errno(fs.getxattr(&ctx(), f, c"user.a", 4).map(drop)), Errno::RANGE);
    let Ok(ListxattrReply::Names(names)) = fs.listxattr(&ctx(), f, 100) else { panic!("names") };
    assert_eq!(names, b"user.a\0");
    fs.removexattr(&ctx(), f, c"user.a").unwrap();
    assert_eq!(errno(fs.getxattr(&ctx(), f, c"user.a", 0).map(drop)), Errno::NODATA);
}
