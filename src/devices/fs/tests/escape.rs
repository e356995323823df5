//! Ways out of the folder.

use super::*;
use rustix::fs::{Mode, OFlags};

/// The folder lies beside a secret.
fn beside() -> (TempDir, Guest) {
    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), "s").unwrap();
    let guest = Guest::plain(|dir| {
        fs::create_dir_all(dir.join("a/b")).unwrap();
        fs::write(dir.join("a/b/secret"), "mine").unwrap();
        fs::write(dir.join("f"), "").unwrap();
        std::os::unix::fs::symlink(outside.path(), dir.join("out")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", dir.join("abs")).unwrap();
    });
    (outside, guest)
}

#[test]
fn names_that_are_no_names_are_refused() {
    let (_outside, guest) = beside();
    let long = "n".repeat(256);
    let cases = [
        ("", Errno::INVAL),
        (".", Errno::INVAL),
        ("..", Errno::INVAL),
        ("/", Errno::INVAL),
        ("a/b", Errno::INVAL),
        ("../x", Errno::INVAL),
        ("/etc", Errno::INVAL),
        (&long, Errno::NAMETOOLONG),
    ];
    for (name, expected) in cases {
        let name = c(name);
        let (fs, f) = (&guest.folder, guest.walk("f").unwrap());
        let tries = [
            fs.lookup(&ctx(), ROOT, &name).map(drop),
            fs.mkdir(&ctx(), ROOT, &name, 0o755, 0).map(drop),
            fs.create(&ctx(), ROOT, &name, create_in(libc::O_RDWR, 0o644)).map(drop),
            fs.mknod(&ctx(), ROOT, &name, libc::S_IFREG, 0, 0).map(drop),
            fs.symlink(&ctx(), c"x", ROOT, &name).map(drop),
            fs.link(&ctx(), f, ROOT, &name).map(drop),
            fs.unlink(&ctx(), ROOT, &name),
            fs.rmdir(&ctx(), ROOT, &name),
            fs.rename(&ctx(), ROOT, &name, ROOT, c"x", 0),
            fs.rename(&ctx(), ROOT, c"f", ROOT, &name, 0),
        ];
        for (at, tried) in tries.into_iter().enumerate() {
            assert_eq!(errno(tried), expected, "{name:?}, request {at}");
        }
    }
    assert_eq!(guest.folder.lookup(&ctx(), ROOT, EMPTY).unwrap_err().raw_os_error(), Some(libc::EINVAL));
    guest.mkdir(&"n".repeat(255)).unwrap();
}

#[test]
fn a_link_is_text_and_is_never_followed() {
    let (outside, guest) = beside();
    let out = guest.walk("out").unwrap();
    assert_eq!(guest.folder.readlink(&ctx(), out).unwrap(), outside.path().as_os_str().as_encoded_bytes());
    assert_eq!(errno(guest.look(out, "secret")), Errno::NOTDIR);
    assert_eq!(errno(guest.open("abs", libc::O_RDONLY)), Errno::LOOP);
    assert_eq!(errno(guest.folder.opendir(&ctx(), out, 0).map(drop)), Errno::NOTDIR);
    assert_eq!(errno(guest.chmod("abs", 0o777)), Errno::PERM);
    assert_eq!(
        errno(guest.folder.create(&ctx(), ROOT, c"abs", create_in(libc::O_WRONLY, 0o644)).map(drop)),
        Errno::LOOP
    );
    // A guest may make any link, also one that leads out; it leads nowhere here.
    guest.symlink("../../../../etc", "dots").unwrap();
    assert_eq!(errno(guest.walk("dots/passwd")), Errno::NOTDIR);
}

#[test]
fn a_folder_swapped_for_a_link_after_the_look_up_leads_nowhere() {
    let (outside, guest) = beside();
    let (dir, file) = (guest.walk("a/b").unwrap(), guest.walk("a/b/secret").unwrap());
    fs::rename(guest.host("a/b"), guest.host("kept")).unwrap();
    std::os::unix::fs::symlink(outside.path(), guest.host("a/b")).unwrap();
    let fs = &guest.folder;
    assert_eq!(errno(fs.open(&ctx(), file, 0, 0).map(drop)), Errno::STALE);
    assert_eq!(errno(fs.getattr(&ctx(), file, None).map(drop)), Errno::STALE);
    assert_eq!(errno(fs.lookup(&ctx(), dir, c"secret").map(drop)), Errno::STALE);
    assert_eq!(errno(fs.create(&ctx(), dir, c"new", create_in(libc::O_RDWR, 0o644)).map(drop)), Errno::STALE);
    assert_eq!(errno(fs.unlink(&ctx(), dir, c"secret")), Errno::STALE);
    assert_eq!(errno(fs.rename(&ctx(), ROOT, c"f", dir, c"secret", 0)), Errno::STALE);
    assert_eq!(std::fs::read(outside.path().join("secret")).unwrap(), b"s");
    // The trap is real: without the resolve flags the same path opens the file outside.
    let root = std::fs::File::open(guest.dir.path()).unwrap();
    rustix::fs::openat(&root, c"a/b/secret", OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty()).unwrap();
}

#[test]
fn a_file_that_the_host_replaced_is_looked_up_anew() {
    let (_outside, guest) = beside();
    let before = guest.look(ROOT, "f").unwrap();
    fs::write(guest.host("new"), "x").unwrap();
    fs::rename(guest.host("new"), guest.host("f")).unwrap();
    assert_eq!(errno(guest.folder.getattr(&ctx(), before.inode, None).map(drop)), Errno::STALE);
    let after = guest.look(ROOT, "f").unwrap();
    assert_ne!((before.inode, before.attr.st_ino), (after.inode, after.attr.st_ino));
    guest.folder.getattr(&ctx(), after.inode, None).unwrap();
}

#[test]
fn only_regular_files_are_opened_and_made() {
    let (_outside, guest) = beside();
    let fifo = c(guest.host("fifo").to_str().unwrap());
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)
        .unwrap();
    let socket = std::os::unix::net::UnixListener::bind(guest.host("socket")).unwrap();
    for flags in [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR] {
        assert_eq!(errno(guest.open("fifo", flags)), Errno::NXIO);
        assert_eq!(errno(guest.open("socket", flags)), Errno::NXIO);
        let created = guest.folder.create(&ctx(), ROOT, c"fifo", create_in(flags, 0o644));
        assert_eq!(errno(created.map(drop)), Errno::NXIO);
    }
    assert_eq!(errno(guest.chmod("fifo", 0o600)), Errno::PERM);
    // Without that rule it opens, and the host's peer would notice.
    rustix::fs::open(&fifo, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty()).unwrap();
    drop(socket);
    for kind in [libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFCHR, libc::S_IFBLK, libc::S_IFDIR, libc::S_IFLNK] {
        let made = guest.folder.mknod(&ctx(), ROOT, c"node", kind | 0o666, 0x0103, 0);
        assert_eq!(errno(made.map(drop)), Errno::PERM);
    }
    guest.folder.mknod(&ctx(), ROOT, c"node", libc::S_IFREG | 0o644, 0, 0).unwrap();
}

#[test]
fn modes_carry_no_set_id_bit() {
    let (_outside, guest) = beside();
    assert_eq!(errno(guest.chmod("f", 0o4755)), Errno::PERM);
    assert_eq!(errno(guest.chmod("f", 0o2755)), Errno::PERM);
    assert_eq!(guest.chmod("f", 0o755).unwrap(), libc::S_IFREG | 0o755);
    guest.folder.create(&ctx(), ROOT, c"x", create_in(libc::O_RDWR, 0o6755)).unwrap();
    guest.folder.mkdir(&ctx(), ROOT, c"y", 0o7755, 0o022).unwrap();
    guest.folder.mknod(&ctx(), ROOT, c"z", libc::S_IFREG | 0o4755, 0, 0).unwrap();
    for name in ["x", "y", "z"] {
        assert_eq!(fs::metadata(guest.host(name)).unwrap().mode() & 0o7000, 0, "{name}");
    }
    // The host's own are not shown: under the agent's name they would mean something else.
    std::os::unix::fs::chown(guest.host("z"), None, None).unwrap();
    fs::set_permissions(guest.host("z"), std::os::unix::fs::PermissionsExt::from_mode(0o4755)).unwrap();
    assert_eq!(guest.look(ROOT, "z").unwrap().attr.st_mode, libc::S_IFREG | 0o755);
}

#[test]
fn nodes_and_handles_that_do_not_exist_are_refused() {
    let (_outside, guest) = beside();
    let fs = &guest.folder;
    let (node, handle) = guest.open("f", libc::O_RDWR).unwrap();
    for wrong in [0, 77, u64::MAX] {
        assert_eq!(errno(fs.getattr(&ctx(), wrong, None).map(drop)), Errno::STALE);
        assert_eq!(errno(fs.lookup(&ctx(), wrong, c"f").map(drop)), Errno::STALE);
        assert_eq!(errno(fs.fsync(&ctx(), node, false, wrong)), Errno::BADF);
        assert_eq!(errno(fs.fsync(&ctx(), wrong, false, handle)), Errno::BADF);
        assert_eq!(errno(fs.getattr(&ctx(), ROOT, Some(handle)).map(drop)), Errno::BADF);
        fs.forget(&ctx(), wrong, u64::MAX);
    }
    fs.forget(&ctx(), ROOT, u64::MAX);
    guest.walk("a/b").unwrap();
}

#[test]
fn attributes_of_other_name_spaces_are_refused() {
    let (_outside, guest) = beside();
    let (fs, f) = (&guest.folder, guest.walk("f").unwrap());
    for name in [c"security.capability", c"trusted.x", c"system.posix_acl_access", c"userx", c""] {
        assert_eq!(errno(fs.setxattr(&ctx(), f, name, b"1", 0)), Errno::OPNOTSUPP, "{name:?}");
        assert_eq!(errno(fs.getxattr(&ctx(), f, name, 10).map(drop)), Errno::OPNOTSUPP, "{name:?}");
        assert_eq!(errno(fs.removexattr(&ctx(), f, name)), Errno::OPNOTSUPP, "{name:?}");
    }
    assert_eq!(errno(fs.setxattr(&ctx(), f, c"user.a", &vec![0; 70_000], 0)), Errno::TOOBIG);
    assert_eq!(errno(fs.setxattr(&ctx(), f, c"user.a", b"1", 0xff)), Errno::INVAL);
}
