//! What is hidden does not exist, whatever it is called, and cannot be moved aside.

use super::*;

/// `keys/secret` is hidden, and so is `home/.aws`; `alias` is a second name of the former.
fn tree(dir: &Path) {
    fs::create_dir_all(dir.join("keys")).unwrap();
    fs::create_dir_all(dir.join("home/.aws")).unwrap();
    fs::write(dir.join("keys/secret"), "s").unwrap();
    fs::write(dir.join("home/.aws/credentials"), "s").unwrap();
    fs::hard_link(dir.join("keys/secret"), dir.join("alias")).unwrap();
    fs::write(dir.join("mine"), "").unwrap();
    fs::create_dir(dir.join("own")).unwrap();
}

fn hiding() -> Guest {
    Guest::new(tree, |dir| Share {
        hidden: vec![id(&dir.join("keys/secret")), id(&dir.join("home/.aws"))],
        ..Share::default()
    })
}

#[test]
fn hidden_files_are_absent_under_every_name() {
    const LOOKS: &[Request] = &[
        ("by its name", |g| g.walk("keys/secret").map(drop)),
        ("by another hard link", |g| g.walk("alias").map(drop)),
        ("a directory", |g| g.walk("home/.aws").map(drop)),
        ("what is in it", |g| g.walk("home/.aws/credentials").map(drop)),
        ("to open", |g| g.open("keys/secret", libc::O_RDONLY).map(drop)),
        ("to remove", |g| g.unlink("alias")),
        ("to move away", |g| g.rename("alias", "other")),
        ("to link", |g| g.link("alias", "other")),
    ];
    refused(Errno::NOENT, &hiding, &|| Guest::plain(tree), LOOKS);
    assert_eq!(hiding().names("").unwrap(), ["home", "keys", "mine", "own"]);
    assert_eq!(Guest::plain(tree).names("").unwrap(), ["alias", "home", "keys", "mine", "own"]);
    assert!(hiding().names("home").unwrap().is_empty());
}

#[test]
fn names_alone_do_not_show_hidden_files_either() {
    let shown = |guest: &Guest| {
        let (handle, _) = guest.folder.opendir(&ctx(), ROOT, 0).unwrap();
        let mut names = Vec::new();
        let take = &mut |entry: fuse_backend_rs::api::filesystem::DirEntry<'_>| {
            names.push(String::from_utf8_lossy(entry.name).into_owned());
            Ok(1)
        };
        guest.folder.readdir(&ctx(), ROOT, handle.unwrap(), 4096, 0, take).unwrap();
        names.contains(&"alias".to_owned())
    };
    assert!(!shown(&hiding()));
    assert!(shown(&Guest::plain(tree)));
}

#[test]
fn a_hidden_name_cannot_be_taken() {
    const TAKES: &[Request] = &[
        ("create", |g| g.create("alias")),
        ("rename over", |g| g.rename("mine", "alias")),
        ("rename a folder over a hidden one", |g| {
            let _ = fs::remove_file(g.host("home/.aws/credentials"));
            g.rename("own", "home/.aws")
        }),
        ("exchange", |g| g.rename_with("mine", "alias", libc::RENAME_EXCHANGE)),
    ];
    refused(Errno::PERM, &hiding, &|| Guest::plain(tree), TAKES);
    let guest = hiding();
    for made in [guest.mkdir("alias"), guest.symlink("x", "alias"), guest.link("mine", "alias")] {
        assert_eq!(errno(made), Errno::PERM, "and not EEXIST, which would tell of it");
    }
}

#[test]
fn a_folder_that_holds_a_hidden_entry_stays_where_it_is() {
    fn deep(dir: &Path) {
        fs::create_dir_all(dir.join("top/mid/.ssh")).unwrap();
        fs::create_dir(dir.join("other")).unwrap();
    }
    const MOVES: &[Request] = &[
        ("the folder", |g| g.rename("top/mid", "aside")),
        ("a folder above", |g| g.rename("top", "aside")),
        ("by exchange", |g| g.rename_with("other", "top", libc::RENAME_EXCHANGE)),
    ];
    let with =
        || Guest::new(deep, |dir| Share { hidden: vec![id(&dir.join("top/mid/.ssh"))], ..Share::default() });
    refused(Errno::PERM, &with, &|| Guest::plain(deep), MOVES);
    with().rename("other", "moved").unwrap();
    assert_eq!(errno(with().rmdir("top/mid")), Errno::NOTEMPTY);
}

#[test]
fn a_folder_that_the_host_replaces_with_a_hidden_one_shows_nothing() {
    let guest = hiding();
    let own = guest.walk("own").unwrap();
    fs::rename(guest.host("own"), guest.host("was")).unwrap();
    fs::rename(guest.host("home/.aws"), guest.host("own")).unwrap();
    assert_eq!(errno(guest.look(own, "credentials")), Errno::NOENT);
    assert_eq!(errno(guest.folder.opendir(&ctx(), own, 0).map(drop)), Errno::NOENT);
}
