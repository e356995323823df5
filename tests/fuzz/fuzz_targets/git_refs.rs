//! Any bytes as what a repository says of itself without an object: `.git`, HEAD, a loose and the packed references. An
//! answer is a commit's name, whatever name was asked for, and nothing outside of the repository is one.
#![no_main]

use std::{cell::OnceCell, fs};

use cofferdam::kit::Repository;
use libfuzzer_sys::fuzz_target;

/// A commit that stands outside of the repository, where a reference may lead.
const OUTSIDE: &str = "0123456789abcdef0123456789abcdef01234567";

thread_local! {
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

fuzz_target!(|parts: (&str, &[u8], &[u8], &[u8], bool)| {
    let (name, head, loose, packed, linked) = parts;
    FOLDER.with(|folder| {
        let folder = folder.get_or_init(|| tempfile::tempdir().expect("a folder"));
        let (root, git) = (folder.path().join("tree"), folder.path().join("tree/.git"));
        let _ = fs::remove_dir_all(&git);
        let _ = fs::remove_file(&git);
        fs::create_dir_all(&root).expect("a folder");
        fs::write(folder.path().join("outside"), OUTSIDE).expect("a file");
        if linked {
            fs::write(&git, head).expect("a file");
            assert_eq!(Repository::find(&root).expect("the folder is there").filter(|it| it.root == root), None);
            return;
        }
        for below in ["objects", "refs/heads"] {
            fs::create_dir_all(git.join(below)).expect("a folder");
        }
        for (file, bytes) in [("HEAD", head), ("refs/heads/main", loose), ("packed-refs", packed)] {
            fs::write(git.join(file), bytes).expect("a file");
        }
        let found = Repository::find(&root).expect("the folder is there").expect("it is a repository");
        let answers = [found.head_commit(), found.resolve(name), found.resolve("main")];
        for id in answers.into_iter().flatten() {
            assert!(matches!(id.len(), 40 | 64) && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id:?}");
            let said = [head, loose, packed, name.as_bytes()];
            assert!(id != OUTSIDE || said.iter().any(|bytes| bytes.windows(id.len()).any(|it| it == id.as_bytes())));
        }
    });
});
