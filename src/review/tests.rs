use std::{path::PathBuf, rc::Rc};

use git2::{Oid, Repository, Signature};

use super::*;
use crate::{
    kit::{self, Selection, Snapshot, Tree as _},
    model::unit::Bytes,
};

/// A repository that only grows.
struct World {
    folder: tempfile::TempDir,
    repository: Repository,
}

type Entry<'a> = (&'a str, i32, &'a [u8]);

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let repository = Repository::init(folder.path()).expect("a repository");
        Self { folder, repository }
    }

    /// A commit of exactly these files.
    fn commit(&self, parents: &[Oid], files: &[Entry<'_>]) -> Oid {
        let tree = self.tree(files);
        let tree = self.repository.find_tree(tree).expect("it was just written");
        let who = Signature::now("Ann", "ann@team.example").expect("a signature");
        let parents: Vec<_> =
            parents.iter().map(|oid| self.repository.find_commit(*oid).expect("a commit")).collect();
        let parents: Vec<_> = parents.iter().collect();
        let message = format!("{} files, {} parents", files.len(), parents.len());
        self.repository.commit(None, &who, &who, &message, &tree, &parents).expect("it is written")
    }

    fn tree(&self, files: &[Entry<'_>]) -> Oid {
        let mut builder = self.repository.treebuilder(None).expect("a builder");
        let folders: std::collections::BTreeSet<&str> =
            files.iter().filter_map(|(path, ..)| path.split_once('/')).map(|(folder, _)| folder).collect();
        for folder in folders {
            let below: Vec<Entry<'_>> = files
                .iter()
                .filter_map(|(path, mode, bytes)| {
                    let rest = path.strip_prefix(folder)?.strip_prefix('/')?;
                    Some((rest, *mode, *bytes))
                })
                .collect();
            builder.insert(folder, self.tree(&below), 0o040_000).expect("an entry");
        }
        for (path, mode, bytes) in files.iter().filter(|(path, ..)| !path.contains('/')) {
            let blob = self.repository.blob(bytes).expect("a blob");
            builder.insert(path, blob, *mode).expect("an entry");
        }
        builder.write().expect("a tree")
    }

    fn history(&self) -> History {
        History::open(&self.folder.path().join(".git")).expect("the objects are there")
    }
}

const FILE: i32 = 0o100_644;

#[test]
fn the_common_ancestor_is_found_without_any_configuration() {
    let world = World::new();
    // What would stop or mislead whoever opens the repository itself.
    let hostile = "[core]\n\trepositoryformatversion = 99\n\tfsmonitor = touch /tmp/pwned\n[include]\n\tpath = /dev/zero\n";
    std::fs::write(world.folder.path().join(".git/config"), hostile).expect("it is written");
    let base = world.commit(&[], &[("a", FILE, b"1")]);
    let left = world.commit(&[base], &[("a", FILE, b"2")]);
    let right = world.commit(&[base], &[("a", FILE, b"3")]);
    let merged = world.commit(&[left, right], &[("a", FILE, b"4")]);
    let history = world.history();
    assert_eq!(
        history.merge_base(&left.to_string(), &right.to_string()).expect("it is there"),
        base.to_string()
    );
    assert_eq!(
        history.merge_base(&merged.to_string(), &right.to_string()).expect("it is there"),
        right.to_string()
    );
    assert_eq!(history.commit(&merged.to_string(), 2).expect("it is there"), base.to_string());
    let other = world.commit(&[], &[("b", FILE, b"1")]);
    let error = history.merge_base(&left.to_string(), &other.to_string()).expect_err("they are strangers");
    assert!(matches!(error, HistoryError::Unrelated(..)), "{error}");
    let missing = "0123456789012345678901234567890123456789";
    assert!(matches!(history.commit(missing, 0), Err(HistoryError::Missing(_))));
    assert!(matches!(history.commit(&world.tree(&[]).to_string(), 0), Err(HistoryError::NoCommit(_))));
}

#[test]
fn files_are_read_over_no_link_and_within_bounds() {
    let world = World::new();
    let commit = world.commit(
        &[],
        &[
            ("a/b.txt", FILE, b"text"),
            ("a/link", 0o120_000, b"/etc/passwd"),
            ("away", 0o120_000, b"/etc"),
            ("large", FILE, &[0; 2048]),
        ],
    );
    let files = world.history().files(&commit.to_string(), "/w".as_ref()).expect("it is there");
    assert_eq!(files.read("a/b.txt", 1024), Ok(Some(b"text".to_vec())));
    assert_eq!(files.read("a/c.txt", 1024), Ok(None));
    assert_eq!(files.read("a", 1024), Ok(None));
    for (path, why) in [("a/link", "link"), ("away/passwd", "link"), ("large", "larger")] {
        let error = files.read(path, 1024).expect_err(path);
        assert!(error.contains(why), "{path}: {error}");
    }
    let mut all = files.list(&|path, folder| folder || path != "large").expect("it is small");
    all.sort();
    assert_eq!(all, ["a/b.txt", "a/link", "away"]);
}

fn load(world: &World, commit: Oid, path: Option<&str>) -> Result<kit::Loaded, kit::LoadError> {
    let root = PathBuf::from("/nowhere/web");
    let tree = world.history().files(&commit.to_string(), &root).expect("it is there");
    let snapshot = Snapshot { tree: Rc::new(tree), path: path.map(PathBuf::from), folder: PathBuf::new() };
    let context = kit::Context {
        folder: root,
        home: "/nowhere".into(),
        default_memory: Bytes::gib(1),
        registries: crate::model::registry::Registries::default(),
        lock: kit::LockUse::Prefer,
        user_folder: None,
        elsewhere: kit::Elsewhere::default(),
        tree: None,
    };
    kit::load(Selection::Tree(snapshot), &context)
}

const DOCUMENT: &str = "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: NAME}\nspec:\n  agent: shell\n  workspace: {path: ., mode: read}\n  mounts: [{source: ~/datasets, target: /data, why: training data}]\n";

#[test]
fn a_commits_files_are_checked_where_its_folders_are_not() {
    let world = World::new();
    let named = |name: &str| DOCUMENT.replace("NAME", name).into_bytes();
    let (dev, web, wrong) =
        (named("dev"), named("web"), b"apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbx\n");
    let commit = world.commit(
        &[],
        &[
            (".cofferdam/web.yaml", FILE, &web),
            (".cofferdam/approvals.yaml", FILE, b"not: ours"),
            (".hidden/sandbox.yaml", FILE, wrong),
            ("deep/down/sandbox.yaml", FILE, &dev),
            ("other.yaml", FILE, wrong),
        ],
    );
    let loaded = load(&world, commit, None).expect("the files are right");
    assert_eq!(loaded.sandboxes[0].name.as_str(), "web");
    assert_eq!(loaded.sandboxes[0].mounts[0].source, PathBuf::from("/nowhere/datasets"));
    assert_eq!(loaded.sandboxes[0].provenance.commit, Some(commit.to_string()));
    let names = |path: &str| -> Vec<String> {
        let loaded = load(&world, commit, Some(path)).expect(path);
        loaded.sandboxes.iter().map(|sandbox| sandbox.name.to_string()).collect()
    };
    assert_eq!(names("."), ["web", "dev"]);
    assert_eq!(names("deep"), ["dev"]);
    assert_eq!(names("deep/down/sandbox.yaml"), ["dev"]);
    let error = load(&world, commit, Some("other.yaml")).expect_err("it is wrong").to_string();
    assert!(error.contains("unknown kind"), "{error}");
    let link = world.commit(&[], &[("sandbox.yaml", 0o120_000, b"/etc/passwd")]);
    let error = load(&world, link, None).expect_err("it is a link").to_string();
    assert!(error.contains("link"), "{error}");
    assert!(load(&world, commit, Some("../x")).is_err());
}

/// A commit-graph that says of `child` that it was made from `parent`.
fn graph(child: Oid, parent: Oid, tree: Oid) -> Vec<u8> {
    let mut all = [(child, Some(parent)), (parent, None)];
    all.sort_by_key(|(oid, _)| oid.as_bytes().to_vec());
    let position =
        |wanted: Oid| u32::try_from(all.iter().position(|(oid, _)| *oid == wanted).unwrap()).unwrap();
    let (mut fan, mut ids, mut data) = (Vec::new(), Vec::new(), Vec::new());
    for byte in 0..=255_u8 {
        let below = all.iter().filter(|(oid, _)| oid.as_bytes()[0] <= byte).count();
        fan.extend(u32::try_from(below).unwrap().to_be_bytes());
    }
    for (oid, parent) in &all {
        ids.extend(oid.as_bytes());
        data.extend(tree.as_bytes());
        data.extend(parent.map_or(0x7000_0000, position).to_be_bytes());
        data.extend(0x7000_0000_u32.to_be_bytes());
        let generation: u32 = if parent.is_some() { 2 } else { 1 };
        data.extend((generation << 2).to_be_bytes());
        data.extend(1_u32.to_be_bytes());
    }
    let mut file = b"CGPH\x01\x01\x03\x00".to_vec();
    let mut offset = 8 + 4 * 12;
    for (name, length) in [(b"OIDF", fan.len()), (b"OIDL", ids.len()), (b"CDAT", data.len())] {
        file.extend(name);
        file.extend(u64::try_from(offset).unwrap().to_be_bytes());
        offset += length;
    }
    file.extend([0; 4]);
    file.extend(u64::try_from(offset).unwrap().to_be_bytes());
    file.extend([fan, ids, data, vec![0; 20]].concat());
    file
}

#[test]
fn who_descends_from_whom_is_for_commits_to_say() {
    let world = World::new();
    let first = world.commit(&[], &[("a", FILE, b"1")]);
    let left = world.commit(&[first], &[("a", FILE, b"2")]);
    let right = world.commit(&[first], &[("a", FILE, b"3")]);
    let merged = world.commit(&[left, right], &[("a", FILE, b"4")]);
    let stranger = world.commit(&[], &[("a", FILE, b"5")]);
    let descends = |one: Oid, two: Oid| world.history().descends(&one.to_string(), &two.to_string()).unwrap();
    for ancestor in [merged, left, right, first] {
        assert!(descends(merged, ancestor));
    }
    assert!(!descends(left, right) && !descends(first, merged) && !descends(merged, stranger));
    // A file beside the objects says otherwise, and the library believes it.
    let info = world.folder.path().join(".git/objects/info");
    std::fs::create_dir_all(&info).unwrap();
    let tree = world.repository.find_commit(stranger).unwrap().tree_id();
    std::fs::write(info.join("commit-graph"), graph(stranger, merged, tree)).unwrap();
    let fooled = world.history().repository.graph_descendant_of(stranger, merged).unwrap();
    assert!(fooled && !descends(stranger, merged));
}

#[test]
fn the_common_ancestor_is_for_commits_to_say() {
    let world = World::new();
    let first = world.commit(&[], &[("a", FILE, b"1")]);
    let left = world.commit(&[first], &[("a", FILE, b"2")]);
    let right = world.commit(&[first], &[("a", FILE, b"3")]);
    let base = |one: Oid, two: Oid| world.history().merge_base(&one.to_string(), &two.to_string()).unwrap();
    let git = world.folder.path().join(".git");
    std::fs::create_dir_all(git.join("objects/info")).unwrap();
    std::fs::create_dir_all(git.join("refs/replace")).unwrap();
    let tree = world.repository.find_commit(first).unwrap().tree_id();
    let graph = graph(left, right, tree);
    std::fs::write(git.join("objects/info/commit-graph"), graph).unwrap();
    let fooled = world.history().repository.merge_base(left, right).unwrap();
    assert_eq!(fooled, right, "the library believes it");
    assert_eq!(base(left, right), first.to_string());
    // Three more files that tell git of another past: `left` on `right`, and a history that ends there.
    std::fs::create_dir_all(git.join("info")).unwrap();
    std::fs::write(git.join("info/grafts"), format!("{left} {right}\n")).unwrap();
    std::fs::write(git.join("shallow"), format!("{left}\n")).unwrap();
    let grafted = world.commit(&[right], &[("a", FILE, b"2")]);
    std::fs::write(git.join("refs/replace").join(left.to_string()), format!("{grafted}\n")).unwrap();
    assert_eq!(base(left, right), first.to_string());
}

/// Every shape in which two histories can meet, against a search that cannot be wrong.
#[test]
fn the_common_ancestor_is_a_best_one_whatever_the_dates_say() {
    let world = World::new();
    let tree = world.repository.find_tree(world.tree(&[])).unwrap();
    for seed in 0..60_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = move |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            usize::try_from(random % 1_000_003).unwrap() % below
        };
        let mut commits: Vec<(Oid, Vec<usize>)> = Vec::new();
        for number in 0..14 {
            let mut parents: Vec<usize> = (0..number.min(1 + next(2))).map(|_| next(number)).collect();
            parents.sort_unstable();
            parents.dedup();
            let date = git2::Time::new(i64::try_from(next(5)).unwrap() * 1000, 0);
            let who = Signature::new("Ann", "ann@team.example", &date).unwrap();
            let made: Vec<_> =
                parents.iter().map(|it| world.repository.find_commit(commits[*it].0).unwrap()).collect();
            let made: Vec<_> = made.iter().collect();
            let message = format!("{seed} {number}");
            let oid = world.repository.commit(None, &who, &who, &message, &tree, &made).unwrap();
            commits.push((oid, parents));
        }
        let ancestors = |of: usize| {
            let (mut seen, mut open) = (std::collections::BTreeSet::from([of]), vec![of]);
            while let Some(next) = open.pop() {
                open.extend(commits[next].1.iter().filter(|parent| seen.insert(**parent)));
            }
            seen
        };
        let history = world.history();
        for one in 0..commits.len() {
            let other = next(commits.len());
            let common: Vec<usize> = ancestors(one).intersection(&ancestors(other)).copied().collect();
            let best = common
                .iter()
                .filter(|it| common.iter().all(|higher| higher == *it || !ancestors(*higher).contains(it)));
            let best: Vec<String> = best.map(|it| commits[*it].0.to_string()).collect();
            match history.merge_base(&commits[one].0.to_string(), &commits[other].0.to_string()) {
                Ok(found) => assert!(best.contains(&found), "seed {seed}: {found} is none of {best:?}"),
                Err(error) => assert!(best.is_empty(), "seed {seed}: {error}"),
            }
        }
    }
}

/// Each of these would have the library read elsewhere, or wait.
#[test]
fn objects_are_regular_files_in_one_place() {
    use rustix::fs::{CWD, Mode, mkfifoat};
    use std::{fs, os::unix::fs::symlink, path::Path};
    type Plant = fn(&Path);
    const PLANTS: &[(&str, Plant)] = &[
        ("alternates", |objects| fs::write(objects.join("info/alternates"), "/nowhere\n").unwrap()),
        ("a pipe as alternates", |objects| {
            mkfifoat(CWD, objects.join("info/alternates"), Mode::RWXU).unwrap();
        }),
        ("http-alternates", |objects| fs::write(objects.join("info/http-alternates"), "x\n").unwrap()),
        ("a pipe as an object", |objects| {
            fs::create_dir_all(objects.join("ab")).unwrap();
            mkfifoat(CWD, objects.join("ab/0123456789012345678901234567890123456789"), Mode::RWXU).unwrap();
        }),
        ("a pipe as an index", |objects| mkfifoat(CWD, objects.join("pack/pack-1.idx"), Mode::RWXU).unwrap()),
        ("a link as a pack", |objects| symlink("/dev/zero", objects.join("pack/pack-1.pack")).unwrap()),
        ("a link as a folder", |objects| symlink("/tmp", objects.join("fe")).unwrap()),
        ("a file as a folder", |objects| fs::write(objects.join("0a"), "").unwrap()),
    ];
    for (name, plant) in PLANTS {
        let world = World::new();
        let first = world.commit(&[], &[]);
        assert!(world.history().commit(&first.to_string(), 0).is_ok(), "{name}: without it");
        let objects = world.folder.path().join(".git/objects");
        fs::create_dir_all(objects.join("info")).unwrap();
        fs::create_dir_all(objects.join("pack")).unwrap();
        fs::create_dir_all(objects.join("tmp_objdir-incoming-1")).unwrap();
        assert!(History::open(&world.folder.path().join(".git")).is_ok(), "{name}: empty folders");
        plant(&objects);
        let refused = History::open(&world.folder.path().join(".git")).err().expect(name);
        assert!(
            matches!(refused, HistoryError::Elsewhere(_) | HistoryError::Special(_)),
            "{name}: {refused}"
        );
    }
}

#[test]
fn an_object_under_another_ones_name_is_not_read() {
    let world = World::new();
    let (one, two) = (world.commit(&[], &[("a", FILE, b"1")]), world.commit(&[], &[("a", FILE, b"2")]));
    let path = |oid: Oid| {
        let id = oid.to_string();
        world.folder.path().join(".git/objects").join(&id[..2]).join(&id[2..])
    };
    assert!(world.history().content(&one.to_string()).is_ok());
    std::fs::remove_file(path(one)).unwrap();
    std::fs::copy(path(two), path(one)).unwrap();
    assert!(matches!(world.history().content(&one.to_string()), Err(HistoryError::Broken(_))));
}
