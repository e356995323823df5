//! Kits in git, from the first `update` to a reference that moved and a cache that somebody edited: a repository that is
//! served, a person's own, and what may happen between them.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use git2::{FileMode, ObjectType, Oid, Repository, Signature, Time, build::TreeUpdateBuilder};

use super::*;
use crate::{
    cli::{
        failure::ErrorObject,
        ops::{Documents, Kits, LockUpdate, Plans, Source, Wish},
    },
    remote::stage,
};

const SOURCE: &str = "git+https://kits.example/acme#ref=main&dir=review";
const SANDBOX: &str = "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: dev}\nspec:\n  agent: shell\n  \
                       workspace: {mode: read}\n  kits: [\"SOURCE\"]\n";
const KIT: &str = "apiVersion: cofferdam.dev/v1alpha1\nkind: Mixin\nmetadata: {name: review}\nspec:\n  env: {REVIEW: \"1\"}\n";
const WIDER: &str = "  network: {rules: [{allow: \"reviews.example:443\", why: posting}]}\n";

struct World {
    folder: tempfile::TempDir,
    /// What others serve.
    served: Repository,
}

impl World {
    fn new(source: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["repo", "home", "state", "config"] {
            fs::create_dir_all(at(name)).unwrap();
        }
        fs::write(at("config/config.yaml"), "").unwrap();
        Repository::init(at("repo")).unwrap();
        fs::write(at("repo/sandbox.yaml"), SANDBOX.replace("SOURCE", source)).unwrap();
        let served = Repository::init_bare(at("served/acme")).unwrap();
        served.set_head("refs/heads/main").unwrap();
        stage::serve(&at("served"));
        Self { folder, served }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Another person's command, with a cache of its own or this one's.
    fn host(&self, cache: &str) -> Host {
        let env = |name: &str| -> Option<OsString> {
            let below = match name {
                "HOME" => "home",
                "COFFERDAM_STATE" => "state",
                "COFFERDAM_CACHE" => cache,
                "COFFERDAM_CONFIG" => "config/config.yaml",
                _ => return None,
            };
            Some(self.at(below).into())
        };
        Host::with(&env, &self.at("repo")).unwrap()
    }

    /// A commit of these entries on `main`.
    fn publish(&self, entries: &[(&str, FileMode, &[u8])]) -> Oid {
        let empty = self.served.treebuilder(None).unwrap().write().unwrap();
        let mut update = TreeUpdateBuilder::new();
        for (path, mode, bytes) in entries {
            let id = match mode {
                FileMode::Commit => Oid::from_bytes(&[1; 20]).unwrap(),
                _ => self.served.blob(bytes).unwrap(),
            };
            update.upsert(*path, id, *mode);
        }
        let tree = update.create_updated(&self.served, &self.served.find_tree(empty).unwrap()).unwrap();
        self.commit(tree)
    }

    fn commit(&self, tree: Oid) -> Oid {
        let who = Signature::new("a", "a@x.example", &Time::new(1, 0)).unwrap();
        let tree = self.served.find_tree(tree).unwrap();
        let parent =
            self.served.find_reference("refs/heads/main").ok().and_then(|it| it.peel_to_commit().ok());
        let parents: Vec<_> = parent.iter().collect();
        self.served.commit(Some("refs/heads/main"), &who, &who, "x", &tree, &parents).unwrap()
    }

    fn kit(&self, text: &str) -> Oid {
        self.publish(&[
            ("review/kit.yaml", FileMode::Blob, text.as_bytes()),
            ("review/files/home/run.sh", FileMode::BlobExecutable, b"#!/bin/sh\n"),
            ("other/large", FileMode::Link, b"/etc/passwd"),
        ])
    }

    fn archives(&self, cache: &str) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.at(cache).join("kits")).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }
}

fn update(host: &Host) -> Result<LockUpdate, Failure> {
    host.update_lock(&Source::Search, &UpdateWish { write: true, may_fetch: &|_| Ok(()) })
}

fn checked(host: &Host) -> Result<crate::model::desired::Sandbox, Box<ErrorObject>> {
    let checked = host.check(&Source::Search);
    checked
        .map(|checked| checked.sandboxes.into_iter().next().unwrap())
        .map_err(|failure| Box::new(failure.object().clone()))
}

#[test]
fn a_kit_in_git_is_fetched_by_update_alone_and_pinned() {
    let world = World::new(SOURCE);
    let first = world.kit(KIT);
    let host = world.host("cache");

    let failure = host.check(&Source::Search).unwrap_err();
    let object = failure.object();
    assert_eq!((failure.exit_code(), object.line, object.column), (3, Some(7), Some(10)));
    assert!(object.message.contains("sandbox.lock does not pin"), "{}", object.message);
    assert!(object.hint.as_deref().unwrap().contains("cofferdam update"));
    let refused = |sources: &[String]| -> Result<(), Failure> {
        assert_eq!(sources, [SOURCE]);
        Err(Failure::usage("not_fetched", "no"))
    };
    let wish = UpdateWish { write: true, may_fetch: &refused };
    assert_eq!(host.update_lock(&Source::Search, &wish).unwrap_err().exit_code(), 2);
    assert!(!world.at("cache/kits").exists(), "neither a file nor a refusal fetches");

    let told = update(&host).unwrap();
    assert!(
        told.written && told.fetched[0].starts_with(&format!("fetched {SOURCE}: commit {first}, sha256:"))
    );
    assert_eq!(told.changes[0].what, SOURCE);
    assert_eq!(world.archives("cache").len(), 1, "the temporary repository is gone");
    let lock = fs::read_to_string(world.at("repo/sandbox.lock")).unwrap();
    assert!(lock.contains(&format!("  \"{SOURCE}\":\n    commit: \"{first}\"\n    digest: ")), "{lock}");

    // From here on nobody serves it: what is read is what was kept.
    fs::rename(world.at("served"), world.at("gone")).unwrap();
    let host = world.host("cache");
    let sandbox = checked(&host).unwrap();
    assert_eq!((sandbox.env["REVIEW"].as_str(), sandbox.files[0].mode), ("1", Some(0o755)));
    assert_eq!(sandbox.kits[0].source, format!("{SOURCE}!kit.yaml"));
    host.propose(&Source::Search, &Wish::default()).unwrap();
    host.demand_locked();
    checked(&host).unwrap();
}

#[test]
fn a_reference_that_moved_counts_from_the_next_update_and_shows_what_it_widens() {
    let world = World::new(SOURCE);
    world.kit(KIT);
    update(&world.host("cache")).unwrap();
    let second = world.kit(&format!("{KIT}{WIDER}"));
    let host = world.host("cache");
    assert!(checked(&host).unwrap().network.rules.is_empty(), "still the pinned commit");

    let wish = UpdateWish { write: false, may_fetch: &|_| panic!("it is pinned: nobody is asked again") };
    let told = host.update_lock(&Source::Search, &wish).unwrap();
    let grant = format!("dev: net * reviews.example:443 (repository {SOURCE}!kit.yaml:6)");
    assert_eq!((told.consequences, told.written), (vec![grant], false));
    assert!(told.changes[0].after.as_ref().unwrap().contains(&second.to_string()));
    assert!(checked(&world.host("cache")).unwrap().network.rules.is_empty(), "a dry run pins nothing");
    update(&world.host("cache")).unwrap();
    assert_eq!(checked(&world.host("cache")).unwrap().network.rules.len(), 1);
}

#[test]
fn another_host_fetches_exactly_what_is_pinned() {
    let world = World::new(SOURCE);
    let first = world.kit(KIT);
    update(&world.host("cache")).unwrap();
    world.kit(&format!("{KIT}{WIDER}"));
    let before = fs::read(world.at("repo/sandbox.lock")).unwrap();

    let other = world.host("other");
    let object = checked(&other).unwrap_err();
    assert!(object.message.contains("was not fetched on this host"), "{}", object.message);
    assert!(object.hint.unwrap().contains("cofferdam update --locked"));
    other.demand_locked();
    let told = update(&other).unwrap();
    assert!(told.fetched[0].contains(&first.to_string()) && told.changes.is_empty());
    assert!(checked(&other).unwrap().network.rules.is_empty());
    assert_eq!(fs::read(world.at("repo/sandbox.lock")).unwrap(), before);

    // What the lock file does not have is not fetched with --locked.
    fs::remove_file(world.at("repo/sandbox.lock")).unwrap();
    let other = world.host("third");
    other.demand_locked();
    assert_eq!(update(&other).unwrap_err().exit_code(), 3);
    assert!(!world.at("third/kits").exists());
}

#[test]
fn what_is_not_what_was_pinned_is_not_used() {
    let world = World::new(SOURCE);
    world.kit(KIT);
    update(&world.host("cache")).unwrap();
    let archive = world.archives("cache").remove(0);
    let good = fs::read(&archive).unwrap();

    // The cache: one byte of the kit.
    let at = good.windows(3).position(|bytes| bytes == b"\"1\"").unwrap() + 1;
    let mut bad = good.clone();
    bad[at] = b'2';
    fs::write(&archive, &bad).unwrap();
    let object = checked(&world.host("cache")).unwrap_err();
    assert!(object.message.contains("was changed since it was fetched"), "{}", object.message);
    // The break: with its own sum in the lock file the same bytes are used, so the sum is what refuses.
    let sum = |bytes: &[u8]| kit_sum(bytes);
    let lock = fs::read_to_string(world.at("repo/sandbox.lock")).unwrap();
    fs::write(archive.with_file_name(format!("{}.tar", sum(&bad))), &bad).unwrap();
    fs::write(world.at("repo/sandbox.lock"), lock.replace(&sum(&good), &sum(&bad))).unwrap();
    assert_eq!(checked(&world.host("cache")).unwrap().env["REVIEW"], "2");

    // The lock file: a sum that the commit does not have is not taken over from whoever serves it.
    let host = world.host("fresh");
    host.demand_locked();
    let failure = update(&host).unwrap_err();
    assert_eq!((failure.exit_code(), &*failure.object().code), (3, "pin_differs"));

    // And mended by the same command where it is right.
    fs::write(world.at("repo/sandbox.lock"), lock).unwrap();
    let host = world.host("cache");
    host.demand_locked();
    update(&host).unwrap();
    assert_eq!(checked(&host).unwrap().env["REVIEW"], "1");
    assert_eq!(fs::read(&archive).unwrap(), good);
}

#[test]
fn a_hostile_repository_is_refused_whole() {
    let world = World::new(SOURCE);
    let kit = ("review/kit.yaml", FileMode::Blob, KIT.as_bytes());
    let large = vec![b'x'; kit::FILE_MAX + 1];
    let deep = format!("review/files/home/{}/x", vec!["d"; 20].join("/"));
    for (entry, words) in [
        (("review/files/home/key", FileMode::Link, &b"/etc/passwd"[..]), "is a link"),
        (("review/files/home", FileMode::Link, b"/etc"), "is a link"),
        (("review/files/home/sub", FileMode::Commit, b""), "submodule"),
        (("review/files/home/large", FileMode::Blob, &large), "larger than"),
        ((deep.as_str(), FileMode::Blob, b""), "nest"),
    ] {
        world.publish(&[kit, entry]);
        let object = update(&world.host("cache")).unwrap_err().object().clone();
        assert!(object.message.contains(words), "{words}: {}", object.message);
        assert!(world.archives("cache").is_empty() && !world.at("repo/sandbox.lock").exists());
    }
    // A folder `..`, which only a raw object can hold, is stopped by git's own check of objects.
    let blob = world.served.blob(b"x").unwrap();
    let inner = [&b"100644 kit.yaml\0"[..], blob.as_bytes()].concat();
    let odb = world.served.odb().unwrap();
    let inner = odb.write(ObjectType::Tree, &inner).unwrap();
    let outer = odb.write(ObjectType::Tree, &[&b"40000 ..\0"[..], inner.as_bytes()].concat()).unwrap();
    let root = odb.write(ObjectType::Tree, &[&b"40000 review\0"[..], outer.as_bytes()].concat()).unwrap();
    world.commit(root);
    let object = update(&world.host("cache")).unwrap_err().object().clone();
    assert!(object.message.contains("git did not fetch https://kits.example/acme"), "{}", object.message);
    assert!(!object.message.chars().any(char::is_control));
    // The break: without the entry it is a kit, so each of them is what was refused.
    world.publish(&[kit]);
    update(&world.host("cache")).unwrap();
    checked(&world.host("cache")).unwrap();
}

#[test]
fn a_repository_s_file_names_no_place_of_this_host() {
    let world = World::new(SOURCE);
    let folder = format!("git+file://{}#dir=review", world.at("served/acme").display());
    for (source, words) in [
        (folder.as_str(), "git+file names a folder of this host"),
        ("git+https://127.0.0.1/acme", "its host is this one"),
        ("git+https://[::1]:8443/acme", "its host is this one"),
        ("git+https://localhost/acme", "its host is this one"),
        ("git+ssh://git.example/acme", "git+ssh is not available"),
        ("git+https://user:word@kits.example/acme", "no user name and no password"),
    ] {
        fs::write(world.at("repo/sandbox.yaml"), SANDBOX.replace("SOURCE", source)).unwrap();
        for result in [
            checked(&world.host("cache")).map(drop),
            update(&world.host("cache")).map(drop).map_err(|it| Box::new(it.object().clone())),
        ] {
            let object = result.unwrap_err();
            assert!(object.message.contains(words), "{source}: {}", object.message);
            assert_eq!(object.file.as_deref(), Some("sandbox.yaml"));
        }
    }
    assert!(!world.at("cache/kits").exists());

    // The same folder by the person at the command line: fetched at once, and said.
    world.kit(KIT);
    let host = world.host("cache");
    let kit = host.check_kit(Path::new(&folder)).unwrap();
    assert_eq!((kit.name.as_str(), kit.fetched.len()), ("review", 1));
    let document = SANDBOX.replace("SOURCE", &folder);
    let read = || Selection::Stdin(document.clone().into_bytes());
    let loaded = world.host("typed").load_typed(&read()).unwrap();
    assert_eq!(loaded.sandboxes[0].env["REVIEW"], "1");
    // Standard input that nobody typed is as any file.
    assert!(world.host("typed").load_selection(&read(), LockUse::Prefer).is_err());
}

#[test]
fn a_kit_from_elsewhere_names_no_other_one() {
    let world = World::new(SOURCE);
    world.kit(&format!("{KIT}  extends: \"git+https://kits.example/acme#dir=base\"\n"));
    let object = update(&world.host("cache")).unwrap_err().object().clone();
    assert!(object.message.contains("a kit from elsewhere names no other one"), "{}", object.message);
    assert_eq!(object.file.as_deref(), Some(&*format!("{SOURCE}!kit.yaml")));
}

fn kit_sum(bytes: &[u8]) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
