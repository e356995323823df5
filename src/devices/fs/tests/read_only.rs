//! A mount is read-only because this server says so.

use super::*;

fn tree(dir: &Path) {
    fs::create_dir(dir.join("d")).unwrap();
    fs::write(dir.join("f"), "text").unwrap();
    fs::write(dir.join("d/g"), "").unwrap();
}

const CHANGES: &[Request] = &[
    ("create", |g| g.create("new")),
    ("create over", |g| g.create("f")),
    ("mkdir", |g| g.mkdir("new")),
    ("mknod", |g| g.folder.mknod(&ctx(), ROOT, c"new", libc::S_IFREG | 0o644, 0, 0).map(drop)),
    ("symlink", |g| g.symlink("f", "new")),
    ("link", |g| g.link("f", "new")),
    ("rename", |g| g.rename("f", "new")),
    ("unlink", |g| g.unlink("f")),
    ("rmdir", |g| g.unlink("d/g").and_then(|()| g.rmdir("d"))),
    ("open for writing", |g| g.write("f")),
    ("open for reading, truncated", |g| g.open("f", libc::O_RDONLY | libc::O_TRUNC).map(drop)),
    ("chmod", |g| g.chmod("f", 0o600).map(drop)),
    ("truncate", |g| {
        let node = g.walk("f")?;
        let valid = fuse_backend_rs::api::filesystem::SetattrValid::SIZE;
        g.folder.setattr(&ctx(), node, Entry::default().attr, None, valid).map(drop)
    }),
    ("utimes", |g| {
        let node = g.walk("f")?;
        let valid = fuse_backend_rs::api::filesystem::SetattrValid::MTIME_NOW;
        g.folder.setattr(&ctx(), node, Entry::default().attr, None, valid).map(drop)
    }),
    ("setxattr", |g| g.folder.setxattr(&ctx(), g.walk("f")?, c"user.a", b"1", 0)),
];

#[test]
fn every_change_is_refused_by_the_server() {
    let read_only = || Guest::new(tree, |_| Share { read_only: true, ..Share::default() });
    refused(Errno::ROFS, &read_only, &|| Guest::plain(tree), CHANGES);
}

#[test]
fn reading_works_and_leaves_no_trace() {
    let guest = Guest::new(tree, |_| Share { read_only: true, ..Share::default() });
    assert_eq!(guest.names("").unwrap(), ["d", "f"]);
    let (node, handle) = guest.open("f", libc::O_RDONLY).unwrap();
    guest.close(node, handle).unwrap();
    assert_eq!(errno(guest.folder.fallocate(&ctx(), node, handle, 0, 0, 10)), Errno::ROFS);
    assert_eq!(fs::read(guest.host("f")).unwrap(), b"text");
}
