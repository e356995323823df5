//! Finding files, and what a repository may not make us read.

use std::{fs, os::unix::fs::symlink};

use rustix::fs::{CWD, Mode};

use super::*;

const FILE: &str = "# a file\n";

struct Tree(tempfile::TempDir);

impl Tree {
    fn new(files: &[&str]) -> Self {
        let tree = Self(tempfile::tempdir().unwrap());
        files.iter().for_each(|file| tree.write(file));
        tree
    }

    /// With what makes it a repository.
    fn repository(files: &[&str]) -> Self {
        let tree = Self::new(files);
        fs::create_dir_all(tree.path(".git/objects")).unwrap();
        tree.write(".git/HEAD");
        tree
    }

    fn path(&self, below: &str) -> PathBuf {
        self.0.path().canonicalize().unwrap().join(below)
    }

    fn write(&self, file: &str) {
        fs::create_dir_all(self.path(file).parent().unwrap()).unwrap();
        fs::write(self.path(file), FILE).unwrap();
    }

    fn names(&self, selection: Selection, folder: &str) -> Result<Vec<String>, DiscoverError> {
        let found = discover(selection, &self.path(folder))?;
        Ok(found.files.into_iter().map(|file| file.name).collect())
    }

    fn named(&self, path: &str) -> Result<Vec<String>, DiscoverError> {
        self.names(Selection::Path(path.into()), "")
    }
}

#[test]
fn the_default_is_searched_up_to_the_repository_s_root() {
    let tree = Tree::repository(&[
        "sandbox.yaml",
        "a/b/c/x",
        "a/.cofferdam/web.yaml",
        "a/.cofferdam/approvals.yaml",
    ]);
    assert_eq!(tree.names(Selection::Default, "").unwrap(), ["sandbox.yaml"]);
    assert_eq!(
        tree.names(Selection::Default, "a/b/c").unwrap(),
        ["a/.cofferdam/web.yaml"],
        "the nearest counts"
    );
    fs::rename(tree.path("sandbox.yaml"), tree.path("other.yaml")).unwrap();
    let error = tree.names(Selection::Default, "").unwrap_err();
    assert!(matches!(error, DiscoverError::NothingHere(_)), "{error}");

    let outside = Tree::new(&["sandbox.yaml", "below/x"]);
    assert!(
        outside.names(Selection::Default, "below").is_err(),
        "outside of a repository only this folder counts"
    );
}

#[test]
fn a_folder_yields_our_files_only() {
    let tree = Tree::repository(&[
        "sandbox.yaml",
        "web/api.sandbox.yaml",
        "kits/review/kit.yaml",
        ".cofferdam/a.yaml",
        ".cofferdam/approvals.yaml",
        ".cofferdam/kits/x/kit.yaml",
        ".cofferdam/kits/x/files.yaml",
        ".hidden/sandbox.yaml",
        "docker-compose.yaml",
    ]);
    let expected = [
        ".cofferdam/a.yaml",
        ".cofferdam/kits/x/kit.yaml",
        "kits/review/kit.yaml",
        "sandbox.yaml",
        "web/api.sandbox.yaml",
    ];
    assert_eq!(tree.named(".").unwrap(), expected);
    assert_eq!(tree.named("web").unwrap(), ["web/api.sandbox.yaml"]);
    assert_eq!(tree.named("docker-compose.yaml").unwrap(), ["docker-compose.yaml"], "what is named is read");
    assert!(matches!(tree.named("nowhere.yaml"), Err(DiscoverError::NotFound(_))));
}

#[test]
fn links_lead_nowhere() {
    let outside = Tree::new(&["secret"]);
    let tree = Tree::repository(&["real/kit.yaml"]);
    symlink(outside.path("secret"), tree.path("sandbox.yaml")).unwrap();
    let refused = |result: Result<Vec<String>, DiscoverError>, part: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    };
    refused(tree.names(Selection::Default, ""), "is a link");
    refused(tree.named("."), "is a link");
    refused(tree.named("sandbox.yaml"), "is a link");
    fs::remove_file(tree.path("sandbox.yaml")).unwrap();

    // The folder is swapped for a link after the repository was found.
    let root = Root::of(&tree.path("real")).unwrap();
    fs::rename(tree.path("real"), tree.path("moved")).unwrap();
    symlink(outside.path(""), tree.path("real")).unwrap();
    fs::write(outside.path("kit.yaml"), FILE).unwrap();
    assert!(root.load(&tree.path("real/kit.yaml"), FILE_MAX).unwrap_err().to_string().contains("is a link"));
    // The break: an ordinary open follows it.
    assert!(fs::read(tree.path("real/kit.yaml")).is_ok());

    fs::hard_link(outside.path("secret"), tree.path("sandbox.yaml")).unwrap();
    refused(tree.named("sandbox.yaml"), "hard link");
}

#[test]
fn what_is_no_file_or_too_large_is_refused_at_once() {
    let tree = Tree::new(&["large.yaml"]);
    rustix::fs::mkfifoat(CWD, tree.path("pipe.yaml"), Mode::RUSR | Mode::WUSR).unwrap();
    assert!(tree.named("pipe.yaml").unwrap_err().to_string().contains("neither a file"));
    File::options().write(true).open(tree.path("large.yaml")).unwrap().set_len(FILE_MAX as u64 + 1).unwrap();
    assert!(tree.named("large.yaml").unwrap_err().to_string().contains("at most"));
}

#[test]
fn provenance_is_digest_and_commit() {
    let tree = Tree::repository(&["sandbox.yaml"]);
    let commit = "0123456789abcdef0123456789abcdef01234567";
    fs::write(tree.path(".git/HEAD"), commit).unwrap();
    let found = discover(Selection::Default, &tree.path("")).unwrap();
    let provenance = &found.files[0].provenance;
    assert_eq!(provenance.commit.as_deref(), Some(commit));
    assert_eq!(provenance.file.as_deref(), Some(tree.path("sandbox.yaml").as_path()));
    assert_eq!(provenance.file_digest.as_ref().map(String::len), Some(64));
}
