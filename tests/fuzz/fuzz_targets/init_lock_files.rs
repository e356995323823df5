//! Any bytes as a repository's lock files and what lies beside them: one proposal for each language, in bounded time, with
//! a reason that is one short line once it is written.
#![no_main]

use cofferdam::kit::draft::{Draft, Ends, Files, Place, Proposal};
use libfuzzer_sys::fuzz_target;

/// Every file is there and holds the same; of a long one both ends are seen.
struct Repository(Ends);

impl Files for Repository {
    fn has(&self, _: &str) -> bool {
        true
    }

    fn ends(&self, name: &str) -> Option<Ends> {
        // What begins alike is skipped by turns, so that each format is reached.
        let skip = |text: &str| text.chars().skip(name.len() % 3).collect();
        Some(Ends { head: skip(&self.0.head), tail: skip(&self.0.tail) })
    }
}

/// One of these is there, and all that a client needs beside it.
struct Only<'a>(&'static str, &'a Repository);

impl Files for Only<'_> {
    fn has(&self, name: &str) -> bool {
        name == self.0 || !LOCKS.contains(&name)
    }

    fn ends(&self, name: &str) -> Option<Ends> {
        self.1.ends(name)
    }
}

const LOCKS: [&str; 15] = [
    "package-lock.json",
    "npm-shrinkwrap.json",
    "pnpm-lock.yaml",
    "yarn.lock",
    "bun.lock",
    "uv.lock",
    "poetry.lock",
    "Pipfile.lock",
    "requirements.txt",
    "Cargo.lock",
    "go.sum",
    "Gemfile.lock",
    "composer.lock",
    "pom.xml",
    "gradlew",
];

fuzz_target!(|bytes: &[u8]| {
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let repository = Repository(Ends { head: text(head), tail: text(tail) });
    assert_eq!(Proposal::all(&repository).len(), 7);
    for lock in LOCKS {
        let all = Proposal::all(&Only(lock, &repository));
        assert_eq!(all.len(), 1, "{lock}");
        let mut draft = Draft::new("dev", "shell");
        draft.add(Place::Create, "true").refused = all[0].unfit.clone();
        let written = draft.render();
        assert!(!written.contains(|sign: char| sign.is_control() && sign != '\n'));
        assert!(written.lines().all(|line| line.chars().count() < 400), "{written}");
    }
});
