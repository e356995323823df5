//! Commits of a repository, without its working tree.

use git2::{Oid, Repository, Signature, Time};

/// A file of a commit: its name, at the root or in `.cofferdam/`, its content and its mode.
pub(in crate::cli) type Entry<'a> = (&'a str, &'a [u8], i32);

/// Makes a commit of these files alone; no ref names it yet.
pub(in crate::cli) fn commit(git: &Repository, message: &str, parents: &[Oid], files: &[Entry<'_>]) -> Oid {
    let (mut root, mut ours) = (git.treebuilder(None).unwrap(), git.treebuilder(None).unwrap());
    for (name, content, mode) in files {
        let blob = git.blob(content).unwrap();
        match name.strip_prefix(".cofferdam/") {
            Some(name) => drop(ours.insert(name, blob, *mode).unwrap()),
            None => drop(root.insert(name, blob, *mode).unwrap()),
        }
    }
    if !ours.is_empty() {
        root.insert(".cofferdam", ours.write().unwrap(), 0o040_000).unwrap();
    }
    let tree = git.find_tree(root.write().unwrap()).unwrap();
    let who = Signature::new("Ann", "ann@team.example", &Time::new(0, 0)).unwrap();
    let parents: Vec<_> = parents.iter().map(|oid| git.find_commit(*oid).unwrap()).collect();
    git.commit(None, &who, &who, message, &tree, &parents.iter().collect::<Vec<_>>()).unwrap()
}
