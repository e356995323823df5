//! Direct mode: the agent commits, and can make nothing that the host's tools would run.

use super::*;

fn repository(dir: &Path) {
    for path in
        ["objects/ab", "objects/info", "refs/heads", "hooks", "info", "logs", "modules/lib", "worktrees/w"]
    {
        fs::create_dir_all(dir.join(".git").join(path)).unwrap();
    }
    for path in [
        "HEAD",
        "config",
        // A `git config` of the host is at work: its lock becomes the configuration.
        "config.lock",
        "index",
        "hooks/pre-commit",
        "info/attributes",
        "modules/lib/config",
        "objects/info/alternates",
    ] {
        fs::write(dir.join(".git").join(path), "").unwrap();
    }
    fs::create_dir_all(dir.join("src")).unwrap();
    fs::create_dir_all(dir.join(".vscode")).unwrap();
    fs::create_dir_all(dir.join("sub")).unwrap();
    fs::write(dir.join("sub/.git"), "gitdir: ../.git/modules/lib\n").unwrap();
    fs::write(dir.join("src/evil"), "").unwrap();
    fs::write(dir.join(".envrc"), "").unwrap();
}

fn guarded() -> Guest {
    Guest::new(repository, |_| Share { guard: Guard::direct(), ..Share::default() })
}

fn unguarded() -> Guest {
    Guest::plain(repository)
}

#[test]
fn a_commit_goes_through() {
    let guest = guarded();
    guest.create(".git/index.lock").unwrap();
    guest.rename(".git/index.lock", ".git/index").unwrap();
    guest.mkdir(".git/objects/cd").unwrap();
    guest.create(".git/objects/cd/tmp_obj_1").unwrap();
    guest.link(".git/objects/cd/tmp_obj_1", ".git/objects/cd/0123").unwrap();
    guest.unlink(".git/objects/cd/tmp_obj_1").unwrap();
    guest.create(".git/COMMIT_EDITMSG").unwrap();
    guest.create(".git/refs/heads/main.lock").unwrap();
    guest.rename(".git/refs/heads/main.lock", ".git/refs/heads/main").unwrap();
    guest.create(".git/HEAD.lock").unwrap();
    guest.rename(".git/HEAD.lock", ".git/HEAD").unwrap();
    guest.create(".git/logs/HEAD").unwrap();
    guest.create(".git/info/exclude").unwrap();
    guest.write(".git/HEAD").unwrap();
    guest.open(".git/config", libc::O_RDONLY).unwrap();
    guest.open(".git/hooks/pre-commit", libc::O_RDONLY).unwrap();
    guest.mkdir("src/hooks").unwrap();
    guest.create("src/hooks/useState.ts").unwrap();
    guest.create("src/config").unwrap();
    guest.rename("src", "source").unwrap();
    guest.rename("sub", "library").unwrap();
}

#[test]
fn what_configures_or_runs_is_read_only() {
    const CHANGES: &[Request] = &[
        ("write config", |g| g.write(".git/config")),
        ("truncate config", |g| g.open(".git/config", libc::O_TRUNC).map(drop)),
        ("chmod config", |g| g.chmod(".git/config", 0o666).map(drop)),
        ("remove config", |g| g.unlink(".git/config")),
        ("rename onto config", |g| g.rename("src/evil", ".git/config")),
        ("rename config away", |g| g.rename(".git/config", "src/config")),
        ("exchange config", |g| g.rename_with("src/evil", ".git/config", libc::RENAME_EXCHANGE)),
        ("exchange config, the other way", |g| {
            g.rename_with(".git/config", "src/evil", libc::RENAME_EXCHANGE)
        }),
        ("another name for config", |g| g.link(".git/config", "src/alias")),
        ("xattr of config", |g| g.folder.setxattr(&ctx(), g.walk(".git/config")?, c"user.a", b"1", 0)),
        ("write what becomes config", |g| g.write(".git/config.lock")),
        ("name what becomes config", |g| g.link(".git/config.lock", "src/alias")),
        ("write alternates", |g| g.write(".git/objects/info/alternates")),
        ("remove alternates", |g| g.unlink(".git/objects/info/alternates")),
        ("make http-alternates", |g| g.create(".git/objects/info/http-alternates")),
        ("the folder of alternates away", |g| g.rename(".git/objects/info", ".git/objects/ab/info")),
        ("all objects away", |g| g.rename(".git/objects", ".git/o")),
        ("make grafts", |g| g.create(".git/info/grafts")),
        ("make config.worktree", |g| g.create(".git/config.worktree")),
        ("make commondir", |g| g.create(".git/commondir")),
        ("make a hook", |g| g.create(".git/hooks/post-checkout")),
        ("link a hook", |g| g.link("src/evil", ".git/hooks/post-checkout")),
        ("symlink a hook", |g| g.symlink("/bin/sh", ".git/hooks/post-checkout")),
        ("move the hooks", |g| g.rename(".git/hooks", "src/hooks")),
        ("write attributes", |g| g.write(".git/info/attributes")),
        ("move info", |g| g.rename(".git/info", ".git/other")),
        ("write a submodule's config", |g| g.write(".git/modules/lib/config")),
        ("make a worktree's pointer", |g| g.create(".git/worktrees/w/gitdir")),
        ("a link that git would append through", |g| g.symlink("/tmp/bashrc", ".git/logs/HEAD")),
        ("a folder into the repository", |g| g.rename("src", ".git/logs/refs")),
        ("move the repository", |g| g.rename(".git", "src/git")),
        ("write a pointer", |g| g.write("sub/.git")),
        ("remove a pointer", |g| g.unlink("sub/.git")),
        ("write .envrc", |g| g.write(".envrc")),
        ("remove .envrc", |g| g.unlink(".envrc")),
        ("make .envrc deeper", |g| g.create("src/.envrc")),
        ("make tasks.json", |g| g.create(".vscode/tasks.json")),
        ("move .vscode", |g| g.rename(".vscode", "src/v")),
        ("make .idea", |g| g.mkdir(".idea")),
        ("make hooks of a tool", |g| g.mkdir("src/.husky")),
        ("rename into .envrc", |g| g.rename("src/evil", "src/.envrc")),
        ("symlink .vscode", |g| g.symlink("src", "sub/.vscode")),
    ];
    refused(Errno::PERM, &guarded, &unguarded, CHANGES);
}

#[test]
fn no_new_repository_comes_into_being() {
    const NEW: &[Request] = &[
        ("mkdir .git", |g| g.mkdir("src/.git")),
        ("create .git", |g| g.create("src/.git")),
        ("mknod .git", |g| g.folder.mknod(&ctx(), g.walk("src")?, c".git", 0o100_644, 0, 0).map(drop)),
        ("symlink .git", |g| g.symlink("evil", "src/.git")),
        ("link .git", |g| g.link("src/evil", "src/.git")),
        ("rename a file to .git", |g| g.rename("src/evil", "src/.git")),
        ("rename a folder to .git", |g| g.mkdir("x").and_then(|()| g.rename("x", "src/.git"))),
        ("exchange with .git", |g| g.rename_with("src/evil", "sub/.git", libc::RENAME_EXCHANGE)),
        ("another case", |g| g.mkdir("src/.GIT")),
        ("a trailing space", |g| g.mkdir("src/.git ")),
        ("a trailing dot", |g| g.create("src/.git.")),
        ("a stream", |g| g.create("src/.git::$INDEX_ALLOCATION")),
        ("an ignorable character", |g| g.mkdir("src/.gi\u{200d}t")),
        ("a short name", |g| g.mkdir("src/GIT~1")),
    ];
    refused(Errno::PERM, &guarded, &unguarded, NEW);
}

#[test]
fn the_last_piece_is_refused_whichever_it_is() {
    type Make = fn(&Guest, &str) -> io::Result<()>;
    const WAYS: &[(&str, Make)] = &[
        ("create", |g, path| g.create(path)),
        ("mkdir", |g, path| g.mkdir(path)),
        ("symlink", |g, path| g.symlink("elsewhere", path)),
        ("link", |g, path| g.link("src/evil", path)),
        ("rename", |g, path| g.create("src/tmp").and_then(|()| g.rename("src/tmp", path))),
    ];
    for pieces in [
        &["HEAD", "objects", "config"][..],
        &["HEAD", "objects", "hooks"],
        &["HEAD", "objects", "refs"],
        &["HEAD", "commondir"],
    ] {
        for last in pieces {
            for (way, make) in WAYS {
                for (guest, refuses) in [(guarded(), true), (unguarded(), false)] {
                    guest.mkdir("x").unwrap();
                    for piece in pieces.iter().filter(|p| *p != last) {
                        guest.mkdir(&format!("x/{piece}")).unwrap();
                    }
                    let made = make(&guest, &format!("x/{last}"));
                    assert_eq!(made.is_err(), refuses, "{last} last, by {way}: {made:?}");
                    assert_eq!(guest.host(&format!("x/{last}")).symlink_metadata().is_err(), refuses);
                }
            }
        }
    }
}

#[test]
fn a_repository_under_another_name_is_guarded_too() {
    fn bare(dir: &Path) {
        repository(dir);
        fs::rename(dir.join(".git"), dir.join("bare")).unwrap();
    }
    const CHANGES: &[Request] = &[
        ("config", |g| g.write("bare/config")),
        ("a hook", |g| g.create("bare/hooks/update")),
        ("what becomes config", |g| g.write("bare/config.lock")),
        ("the hooks away", |g| g.rename("bare/hooks", "src/hooks")),
        ("other hooks in their place", |g| {
            g.mkdir("src/new").and_then(|()| g.rename_with("src/new", "bare/hooks", libc::RENAME_EXCHANGE))
        }),
        ("alternates", |g| g.write("bare/objects/info/alternates")),
        ("a submodule's config", |g| g.write("bare/modules/lib/config")),
        ("a working tree's pointer", |g| g.create("bare/worktrees/w/commondir")),
        ("a folder into it", |g| g.rename("src", "bare/branches")),
        ("a link inside", |g| g.symlink("/etc/passwd", "bare/logs/HEAD")),
    ];
    let with = || Guest::new(bare, |_| Share { guard: Guard::direct(), ..Share::default() });
    refused(Errno::PERM, &with, &|| Guest::plain(bare), CHANGES);
    // Taking it apart to write the configuration does not help: it cannot be put together again.
    let guest = with();
    guest.rename("bare/HEAD", "bare/HEAD.old").unwrap();
    guest.write("bare/config").unwrap();
    assert_eq!(errno(guest.rename("bare/HEAD.old", "bare/HEAD")), Errno::PERM);
}

/// A repository under another name may be the shared folder itself.
#[test]
fn a_shared_folder_that_is_a_repository_is_guarded() {
    fn bare(dir: &Path) {
        repository(dir);
        for entry in fs::read_dir(dir.join(".git")).unwrap() {
            let entry = entry.unwrap();
            fs::rename(entry.path(), dir.join(entry.file_name())).unwrap();
        }
        fs::remove_dir(dir.join(".git")).unwrap();
    }
    const CHANGES: &[Request] = &[
        ("config", |g| g.write("config")),
        ("a hook", |g| g.create("hooks/update")),
        ("alternates", |g| g.write("objects/info/alternates")),
        ("a link inside", |g| g.symlink("/etc/passwd", "logs/HEAD")),
    ];
    let with = || Guest::new(bare, |_| Share { guard: Guard::direct(), ..Share::default() });
    refused(Errno::PERM, &with, &|| Guest::plain(bare), CHANGES);
    with().create("refs/heads/topic").unwrap();
}

/// `.git` is a file, and what it names is not there yet, or only in part.
#[test]
fn what_a_pointer_names_cannot_be_built() {
    fn pointer(dir: &Path) {
        fs::create_dir_all(dir.join("store/objects")).unwrap();
        fs::write(dir.join(".git"), "gitdir: store\n").unwrap();
        fs::write(dir.join("store/config"), "").unwrap();
    }
    const CHANGES: &[Request] = &[
        ("the last piece", |g| g.mkdir("store/refs").and_then(|()| g.create("store/HEAD"))),
        ("a pointer elsewhere", |g| g.write(".git")),
        ("another folder in its place", |g| {
            g.mkdir("new").and_then(|()| g.mkdir("new/objects")).and_then(|()| g.mkdir("new/refs"))?;
            g.create("new/HEAD").and_then(|()| g.rename_with("new", "store", libc::RENAME_EXCHANGE))
        }),
    ];
    let with = || Guest::new(pointer, |_| Share { guard: Guard::direct(), ..Share::default() });
    refused(Errno::PERM, &with, &|| Guest::plain(pointer), CHANGES);
}

#[test]
fn places_that_the_operator_names_are_guarded_with_their_parents() {
    fn tree(dir: &Path) {
        fs::create_dir_all(dir.join("scripts/git-hooks")).unwrap();
        fs::create_dir_all(dir.join("mine/git-hooks")).unwrap();
    }
    const CHANGES: &[Request] = &[
        ("into it", |g| g.create("scripts/git-hooks/pre-push")),
        ("the folder away", |g| g.rename("scripts/git-hooks", "mine/g")),
        ("its parent away", |g| g.rename("scripts", "old")),
        ("its parent exchanged", |g| g.rename_with("mine", "scripts", libc::RENAME_EXCHANGE)),
    ];
    let guard = || Guard::direct().with_paths(&["scripts/git-hooks".into()]);
    let with = || Guest::new(tree, |_| Share { guard: guard(), ..Share::default() });
    refused(Errno::PERM, &with, &|| Guest::plain(tree), CHANGES);
    with().create("scripts/build").unwrap();
}

#[test]
fn a_handle_stays_judged_by_how_it_was_opened() {
    let guest = guarded();
    let (node, handle) = guest.open(".git/config", libc::O_RDONLY).unwrap();
    let valid = fuse_backend_rs::api::filesystem::SetattrValid::MODE;
    let changed = guest.folder.setattr(&ctx(), node, Entry::default().attr, Some(handle), valid);
    assert_eq!(errno(changed.map(drop)), Errno::PERM);
    assert_eq!(errno(guest.folder.fallocate(&ctx(), node, handle, 0, 0, 1)), Errno::BADF);
}
