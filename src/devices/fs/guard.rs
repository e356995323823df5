//! Direct mode's rules: what the agent may not write although the folder is its own to write.
//!
//! The user's tools run programs that a folder names: git its hooks and what its configuration says, editors their
//! tasks, direnv its script, Mercurial and Jujutsu their repository's configuration. An agent that writes such a file runs code on the host. So an existing repository can be
//! committed to, but not configured, and no new one can come into being: four plain files anywhere are a repository to
//! the host's next `git status`.
//!
//! Pure: a path is judged by its names. What it takes to know about the host comes through one question, whether a
//! directory looks like a repository.

use std::path::{Path, PathBuf};

use super::table::Name;

/// Names that tools read or run without being asked, at any depth.
const RUN_UNASKED: &[&str] = &[
    ".envrc",
    ".vscode",
    ".idea",
    ".fleet",
    ".zed",
    ".husky",
    ".githooks",
    ".lefthook",
    ".hg",
    ".jj",
    ".exrc",
    ".vimrc",
    ".lvimrc",
    ".nvimrc",
    ".nvim.lua",
    ".dir-locals.el",
];

/// What direct mode keeps from the agent.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    git: bool,
    /// Names from the first repository's own directory that the folder itself lies in, down to the folder; `true` where
    /// one begins.
    within: Vec<(Vec<u8>, bool)>,
    names: Vec<Vec<u8>>,
    paths: Vec<Vec<Vec<u8>>>,
}

/// What a path may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Anything.
    Free,
    /// A directory that leads to something protected: it may be made, not moved, removed or replaced.
    Pinned,
    /// Reading.
    Protected,
}

/// A verdict, and whether the path lies in a repository's own directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Judgement {
    pub verdict: Verdict,
    pub in_git: bool,
}

impl Guard {
    /// No rules: where nothing can be written.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// The rules for what the agent writes directly.
    #[must_use]
    pub fn direct() -> Self {
        Self { git: true, ..Self::default() }.with_names(RUN_UNASKED)
    }

    /// The same for a folder that lies at `path`: one in a repository's own directory is judged as a part of it. What
    /// is named `.git` is one; `repositories` are those above the folder that have another name.
    #[must_use]
    pub fn within(mut self, path: &Path, repositories: &[PathBuf]) -> Self {
        let mut at = PathBuf::new();
        let names = path.iter().map(|name| {
            at.push(name);
            let folded = fold(name.as_encoded_bytes());
            let begins = is_dot_git(&folded) || repositories.contains(&at);
            (folded, begins)
        });
        self.within = names.skip_while(|(_, begins)| !begins).collect();
        self
    }

    /// More names that are read-only at any depth.
    #[must_use]
    pub fn with_names(mut self, names: &[&str]) -> Self {
        self.names.extend(names.iter().map(|n| fold(n.as_bytes())));
        self
    }

    /// More places that are read-only, relative to the shared directory: a repository's `core.hooksPath`, say.
    #[must_use]
    pub fn with_paths(mut self, paths: &[PathBuf]) -> Self {
        for path in paths {
            let names = path.iter().map(|n| fold(n.as_encoded_bytes())).filter(|n| n != b"" && n != b"/");
            self.paths.push(names.collect());
        }
        self
    }

    /// Whether new repositories are refused.
    pub(super) fn watches_git(&self) -> bool {
        self.git
    }

    /// Judges a path. `looks_like_git` is asked about leading parts of it, by their length. With `thorough` every one
    /// is asked about, so that `in_git` is right for repositories of any name; without it only those where the verdict
    /// depends on it.
    pub(super) fn judge(
        &self,
        path: &[Name],
        thorough: bool,
        looks_like_git: &mut dyn FnMut(usize) -> bool,
    ) -> Judgement {
        let folded: Vec<Vec<u8>> = path.iter().map(|n| fold(n)).collect();
        let mut judged = Judgement { verdict: self.judge_places(&folded), in_git: false };
        if !self.git {
            return judged;
        }
        let above = self.within.len();
        let (mut whole, mut begins): (Vec<Vec<u8>>, Vec<bool>) = self.within.iter().cloned().unzip();
        begins.extend(folded.iter().map(|name| is_dot_git(name)));
        whole.extend(folded);
        for at in 0..whole.len() {
            if begins[at] {
                if at + 1 == whole.len() && is_dot_git(&whole[at]) {
                    judged.verdict = Verdict::Protected;
                }
                judged.enter_git(&whole[at + 1..]);
            } else if at >= above
                && (thorough || judge_git_entry(&whole[at..]) != Verdict::Free)
                && looks_like_git(at - above)
            {
                judged.enter_git(&whole[at..]);
            }
        }
        judged
    }

    fn judge_places(&self, folded: &[Vec<u8>]) -> Verdict {
        if folded.iter().any(|name| self.names.contains(name)) {
            return Verdict::Protected;
        }
        let verdicts = self.paths.iter().map(|place| {
            if folded.starts_with(place) {
                Verdict::Protected
            } else if place.starts_with(folded) {
                Verdict::Pinned
            } else {
                Verdict::Free
            }
        });
        verdicts.fold(Verdict::Free, Verdict::or)
    }
}

impl Judgement {
    /// The path goes through a repository's own directory, to `inside` of it.
    fn enter_git(&mut self, inside: &[Vec<u8>]) {
        self.in_git = true;
        self.verdict = self.verdict.or(judge_git_entry(inside));
    }
}

impl Verdict {
    /// The stricter of two.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Protected, _) | (_, Self::Protected) => Self::Protected,
            (Self::Pinned, _) | (_, Self::Pinned) => Self::Pinned,
            _ => Self::Free,
        }
    }
}

/// What of a repository's own directory may be written. `commondir` makes git read another directory's configuration;
/// `branches` and `remotes` are older forms of configuration; `alternates` and `grafts` put objects of other places and
/// another past into it. git writes `config` by renaming `config.lock`: who has that open has `config` open afterwards.
fn judge_git_entry(inside: &[Vec<u8>]) -> Verdict {
    const ENTRIES: &[&[u8]] = &[
        b"branches",
        b"commondir",
        b"config",
        b"config.worktree",
        b"hooks",
        b"modules",
        b"remotes",
        b"worktrees",
    ];
    const BELOW: &[&[&[u8]]] = &[
        &[b"info", b"attributes"],
        &[b"info", b"grafts"],
        &[b"objects", b"info", b"alternates"],
        &[b"objects", b"info", b"http-alternates"],
    ];
    let Some(entry) = inside.first() else { return Verdict::Free };
    if ENTRIES.contains(&without_lock(entry)) {
        return Verdict::Protected;
    }
    let verdicts = BELOW.iter().map(|place| {
        let mut both = inside.iter().zip(*place);
        match both.all(|(name, wanted)| without_lock(name) == *wanted) {
            true if inside.len() >= place.len() => Verdict::Protected,
            true => Verdict::Pinned,
            false => Verdict::Free,
        }
    });
    verdicts.fold(Verdict::Free, Verdict::or)
}

/// The name of the file that git makes by renaming this one.
fn without_lock(folded: &[u8]) -> &[u8] {
    folded.strip_suffix(b".lock").unwrap_or(folded)
}

/// `.git`, or what a file system of another kind takes for it.
fn is_dot_git(folded: &[u8]) -> bool {
    folded == b".git" || folded == b"git~1"
}

/// The names whose presence together makes git take a directory for a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct GitPieces {
    pub head: bool,
    pub objects: bool,
    pub refs: bool,
    pub config: bool,
    pub hooks: bool,
    pub commondir: bool,
}

impl GitPieces {
    /// The pieces with one more name; `None` when the name is none of them.
    pub fn with(mut self, name: &[u8]) -> Option<Self> {
        match fold(name).as_slice() {
            b"head" => self.head = true,
            b"objects" => self.objects = true,
            b"refs" => self.refs = true,
            b"config" => self.config = true,
            b"hooks" => self.hooks = true,
            b"commondir" => self.commondir = true,
            _ => return None,
        }
        Some(self)
    }

    /// git's own rule, `HEAD` with `objects` and `refs`; `HEAD` and `objects` with something that runs, where `refs` may
    /// yet come; or `HEAD` with a pointer to where the rest lies.
    pub fn is_repository(self) -> bool {
        self.head && (self.commondir || self.objects && (self.refs || self.config || self.hooks))
    }

    /// What is enough to guard what else there is.
    pub fn looks_like_one(self) -> bool {
        self.head && (self.objects || self.commondir)
    }
}

/// The directory is named like a repository's own, so its content is judged entry by entry.
pub(super) fn is_named_git(path: &[Name]) -> bool {
    path.last().is_some_and(|name| is_dot_git(&fold(name)))
}

/// A name as the least discerning file system sees it: case, ignorable characters (HFS+), trailing dots and spaces and
/// stream names (NTFS) make no difference.
fn fold(name: &[u8]) -> Vec<u8> {
    let mut folded = String::with_capacity(name.len());
    for c in String::from_utf8_lossy(name).chars() {
        match c {
            '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{206a}'..='\u{206f}' | '\u{feff}' => {}
            ':' if !folded.is_empty() => break,
            '\u{017f}' => folded.push('s'),
            '\u{212a}' => folded.push('k'),
            c => folded.push(c.to_ascii_lowercase()),
        }
    }
    folded.truncate(folded.trim_end_matches(['.', ' ']).len());
    folded.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Vec<Name> {
        text.split('/').map(|n| Name::from(n.as_bytes())).collect()
    }

    #[test]
    fn paths_are_judged_by_what_would_run() {
        use Verdict::{Free, Pinned, Protected};
        let cases = [
            ("src/main.rs", Free),
            (".gitignore", Free),
            (".github/workflows/ci.yml", Free),
            (".git", Protected),
            (".GIT", Protected),
            (".git.", Protected),
            (".git ", Protected),
            (".git::$INDEX_ALLOCATION", Protected),
            (".g\u{200c}it", Protected),
            ("GIT~1", Protected),
            ("deep/er/.git", Protected),
            (".git/index", Free),
            (".git/HEAD.lock", Free),
            (".git/objects/ab/cd", Free),
            (".git/refs/heads/hooks", Free),
            (".git/logs/HEAD", Free),
            (".git/config", Protected),
            (".git/Config", Protected),
            (".git/config.worktree", Protected),
            (".git/commondir", Protected),
            (".git/hooks", Protected),
            (".git/hooks/pre-commit", Protected),
            (".git/config.lock", Protected),
            (".git/Config.Worktree.LOCK", Protected),
            (".git/hooks.lock", Protected),
            (".git/objects", Pinned),
            (".git/objects/info", Pinned),
            (".git/objects/info/packs", Free),
            (".git/objects/info/commit-graph", Free),
            (".git/objects/info/alternates", Protected),
            (".git/objects/info/Alternates.lock", Protected),
            (".git/objects/info/http-alternates", Protected),
            (".git/info/grafts", Protected),
            ("objects/info/alternates", Free),
            (".git/info", Pinned),
            (".git/info/exclude", Free),
            (".git/info/attributes", Protected),
            (".git/modules/lib/config", Protected),
            (".git/worktrees/x/gitdir", Protected),
            ("sub/.git/hooks/post-checkout", Protected),
            ("src/hooks/useState.ts", Free),
            ("config", Free),
            (".envrc", Protected),
            ("a/b/.envrc", Protected),
            (".vscode/tasks.json", Protected),
            (".VSCode", Protected),
            ("src/.hg/hgrc", Protected),
            (".v\u{017f}code", Protected),
            ("pkg/.husky/pre-commit", Protected),
            ("scripts", Pinned),
            ("scripts/git-hooks/pre-push", Protected),
            ("scripts/build", Free),
        ];
        let guard = Guard::direct().with_paths(&[PathBuf::from("scripts/git-hooks")]);
        for (text, expected) in cases {
            assert_eq!(guard.judge(&path(text), false, &mut |_| false).verdict, expected, "{text}");
            let off = Guard::off().judge(&path(text), true, &mut |_| true);
            assert_eq!(off, Judgement { verdict: Free, in_git: false }, "{text}, guard off");
        }
    }

    #[test]
    fn a_folder_within_a_repositorys_own_directory_is_judged_as_a_part_of_it() {
        use Verdict::{Free, Protected};
        let judge = |folder: &str, text: &str| {
            let bare = [PathBuf::from("/srv/shop")];
            let guard = Guard::direct().within(Path::new(folder), &bare);
            guard.judge(&path(text), false, &mut |_| false).verdict
        };
        for (folder, text, expected) in [
            ("/srv/shop/hooks", "post-checkout", Protected),
            ("/srv/shop/objects/info", "alternates", Protected),
            ("/srv/shop/objects/info", "packs", Free),
            ("/srv/shop/modules/lib", "config", Protected),
            ("/srv/shops/hooks", "post-checkout", Free),
            ("/src/shop/.git/hooks", "post-checkout", Protected),
            ("/src/shop/.git", "config", Protected),
            ("/src/shop/.git", "objects/ab", Free),
            ("/src/shop/.GIT/modules/lib", "config", Protected),
            ("/src/shop", "post-checkout", Free),
        ] {
            assert_eq!(judge(folder, text), expected, "{folder}: {text}");
        }
    }

    #[test]
    fn a_repository_under_another_name_is_judged_like_one() {
        let guard = Guard::direct();
        let bare = |text: &str| guard.judge(&path(text), true, &mut |len| len == 1);
        assert_eq!(bare("bare/config"), Judgement { verdict: Verdict::Protected, in_git: true });
        assert_eq!(bare("bare/HEAD"), Judgement { verdict: Verdict::Free, in_git: true });
        assert_eq!(bare("bare/objects/info/alternates").verdict, Verdict::Protected);
        assert_eq!(bare("config"), Judgement { verdict: Verdict::Free, in_git: false });
    }

    #[test]
    fn pieces_make_a_repository_whichever_comes_last() {
        for all in [["HEAD", "objects", "config"], ["HEAD", "objects", "refs"]] {
            for last in all {
                let mut pieces = GitPieces::default();
                for name in all.iter().filter(|n| **n != last) {
                    pieces = pieces.with(name.as_bytes()).unwrap();
                }
                assert!(!pieces.is_repository(), "without {last}");
                assert!(pieces.with(last.as_bytes()).unwrap().is_repository(), "with {last}");
            }
        }
        let pointer = GitPieces::default().with(b"HEAD").unwrap().with(b"commondir").unwrap();
        assert!(pointer.is_repository());
        assert_eq!(GitPieces::default().with(b"main.rs"), None);
    }
}
