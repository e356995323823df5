//! Any bytes as a commit, a folder and a file of a repository, tied to each other by their names as far as a maker can:
//! history and its files are read in bounded time or refused.
#![no_main]

use std::{cell::OnceCell, fs, path::Path};

use cofferdam::{
    kit::Tree as _,
    review::{Checks, History},
};
use git2::{ObjectType, Oid, Repository};
use libfuzzer_sys::fuzz_target;

/// An entry of a folder: its mode and its name are what they are said to be.
fn entry(mode: &[u8], name: &[u8], object: Oid) -> Vec<u8> {
    [mode, b" ", name, b"\0", object.as_bytes()].concat()
}

thread_local! {
    static REPOSITORY: OnceCell<(tempfile::TempDir, Repository)> = const { OnceCell::new() };
}

fuzz_target!(|parts: (&[u8], &[u8], &[u8], &[u8], &[u8])| {
    REPOSITORY.with(|made| {
        let (place, repository) = made.get_or_init(|| {
            let place = tempfile::tempdir().expect("a folder");
            let repository = Repository::init_bare(place.path()).expect("a repository");
            (place, repository)
        });
        let objects = place.path().join("objects");
        fs::remove_dir_all(&objects).expect("the folder is ours");
        fs::create_dir(&objects).expect("the folder is ours");
        read(place.path(), repository, parts);
    });
});

fn read(place: &Path, repository: &Repository, parts: (&[u8], &[u8], &[u8], &[u8], &[u8])) {
    let (head, mode, name, folder, file) = parts;
    let objects = repository.odb().expect("its objects");
    let write = |kind, bytes: &[u8]| objects.write(kind, bytes).expect("objects are written");
    let blob = write(ObjectType::Blob, file);
    let inner = write(ObjectType::Tree, &[entry(b"100644", b"sandbox.yaml", blob), folder.to_vec()].concat());
    let trees = [
        write(ObjectType::Tree, &entry(mode, name, inner)),
        write(ObjectType::Tree, &entry(mode, name, blob)),
        write(ObjectType::Tree, folder),
        inner,
    ];
    let raw = write(ObjectType::Commit, head);
    let commits = trees.map(|tree| {
        let text = [format!("tree {tree}\nparent {raw}\n").as_bytes(), head].concat();
        write(ObjectType::Commit, &text)
    });
    let tag =
        write(ObjectType::Tag, &[format!("object {}\ntype commit\n", commits[0]).as_bytes(), head].concat());
    let history = History::open(place).expect("it is a repository");
    for id in commits.iter().chain([&raw, &tag]).map(ToString::to_string) {
        for back in 0..3 {
            let _ = history.commit(&id, back);
        }
        let _ = history.descends(&id, &blob.to_string());
        let _ = history.merge_base(&id, &commits[0].to_string());
        assert!(history.signer(&id, &[], Checks::default()).is_err(), "nobody signed it");
        let Ok(files) = history.files(&id, Path::new("/nowhere")) else { continue };
        let found = files.list(&|_, _| true).unwrap_or_default();
        for path in found.iter().map(String::as_str).chain(["sandbox.yaml", "../sandbox.yaml", ""]) {
            let _ = files.is_executable(path);
            if let Ok(Some(bytes)) = files.read(path, 1024) {
                assert!(bytes.len() <= 1024);
            }
        }
    }
}
