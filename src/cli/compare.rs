//! What `plan --against` looks at: two commits of a repository, and no host at all.
//!
//! It runs where a workflow runs: without a home, a configuration or a state directory. So nothing here takes a
//! [`Host`](super::host::Host), reads an environment or asks what a registry is; a home has one name on every machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    rc::Rc,
};

use jiff::Timestamp;

use super::{
    committed,
    failure::{Failure, Kind},
    host::load_failure,
    ops::{Comparison, Source},
};
use crate::{
    kit::{
        self, Checkout, Context, DiscoverError, Elsewhere, LoadError, Loaded, LockUse, Problem, Repository,
        Selection, Snapshot, Wanted,
    },
    model::{
        name::Name,
        registry::{Lookup, Registries, RegistryUrl},
        text::{counted, visible},
        unit::Bytes,
    },
    plan::{
        self,
        grant::{GrantSet, Ground},
    },
    review::{CommitTree, History, HistoryError},
};

/// Most steps back that `REF~N` may go.
const BACK_MAX: usize = 10_000;
/// Least digits of an id that is not whole, as git has it.
const ABBREVIATED_MIN: usize = 4;
/// What stands for a home that nobody has: what a file names with `~` shows with it again.
const HOME: &str = "/~";

/// The files of the commit that is checked out where `folder` lies, beside those that it and `reference` began with.
/// `locked`: what `sandbox.lock` of the later one does not pin is an error. `elsewhere`: kits that were fetched before.
///
/// # Errors
/// Findings; a reference or an object that is not here.
pub(super) fn compare(
    folder: &Path,
    source: &Source,
    reference: &str,
    locked: bool,
    elsewhere: Elsewhere,
) -> Result<Comparison, Failure> {
    let path = match source {
        Source::Path(path) => Some(path.as_path()),
        Source::Search => None,
        Source::Stdin | Source::Text(_) | Source::CommandLine(_) => {
            return Err(Failure::usage(
                "against",
                "--against compares commits, and needs files of a repository",
            ));
        }
    };
    let repository = repository(folder, path)?;
    let history = History::open(&repository.common_dir).map_err(|error| unopened(&error))?;
    let compared = Compared { folder, path, repository, history, reference, elsewhere };
    let head = compared.resolve("HEAD")?;
    let with = compared.resolve(reference)?;
    let base = match split(reference) {
        // What HEAD comes from is where it parts from it, however little of history is here.
        Some(("HEAD", _)) => with,
        _ => compared.history.merge_base(&head, &with).map_err(|error| compared.unread(&error))?,
    };
    let new = compared.files(&head)?;
    let time = compared.history.time(&head).map_err(|error| compared.unread(&error))?;
    let approved = new.approvals(time)?;
    let after = new.load(if locked { LockUse::Only } else { LockUse::Prefer })?;
    let old = compared.files(&base)?;
    let before = old.load(LockUse::Prefer)?;
    let after = match after {
        Ok(after) => Some(after),
        // The last of our files went with this branch.
        Err(error) if is_nothing(&error) && !before.as_ref().is_err_and(is_nothing) => None,
        Err(error) => return Err(load_failure(error)),
    };
    let mut warnings = warnings(before.as_ref().ok(), after.as_ref());
    let before = match before {
        Ok(before) => before.sandboxes,
        Err(error) => {
            if !is_nothing(&error) {
                warnings.insert(0, base_wrong(&base, &error));
            }
            Vec::new()
        }
    };
    let ground = Ground { root: compared.repository.root.clone(), home: HOME.into() };
    let after = after.map(|after| after.sandboxes).unwrap_or_default();
    let plan = plan::compare(ground, &before, &after);
    Ok(Comparison { plan, warnings, approved, edited: new.edited() })
}

/// Whether there are no files of ours.
const fn is_nothing(error: &LoadError) -> bool {
    matches!(
        error,
        LoadError::NoDocument { .. }
            | LoadError::Discover(DiscoverError::NothingHere(_) | DiscoverError::NotFound(_))
    )
}

/// That nothing can be compared with what this branch began with: it may be the branch that mends it.
fn base_wrong(base: &str, error: &LoadError) -> String {
    let first = match error {
        LoadError::Invalid(problems) => problems.first().map(Problem::to_line),
        _ => None,
    };
    let short = base.get(..12).unwrap_or(base);
    format!(
        "the files at {short}, where this branch began, are wrong, so everything here counts as new: {}",
        first.unwrap_or_else(|| error.to_string())
    )
}

/// The repository that the files lie in.
fn repository(folder: &Path, path: Option<&Path>) -> Result<Repository, Failure> {
    let start = start(folder, path)?;
    let found = Repository::find(&start)
        .map_err(|error| Failure::from_error(Kind::NotFound, "no_repository", &error))?;
    let repository = found.ok_or_else(|| {
        let message = format!("{} lies in no git repository", start.display());
        Failure::new(Kind::NotFound, "no_repository", message)
    })?;
    if repository.keeps_a_reftable() {
        let message = "this repository keeps its references in a reftable, which is not read yet";
        return Err(Failure::new(Kind::NotFound, "reftable", message)
            .hint("compare in a clone: git clone --ref-format=files (from git 2.48 on, git refs migrate --ref-format=files)"));
    }
    Ok(repository)
}

/// Why the objects are not read, and what helps.
fn unopened(error: &HistoryError) -> Failure {
    match error {
        HistoryError::Elsewhere(file) => Failure::from_error(Kind::NotFound, "alternates", error)
            .hint(format!("git repack -a -d && rm {} makes this clone whole", file.display())),
        error => Failure::from_error(Kind::Failed, "history", error),
    }
}

/// Two commits of one repository.
struct Compared<'a> {
    folder: &'a Path,
    path: Option<&'a Path>,
    repository: Repository,
    history: History,
    reference: &'a str,
    elsewhere: Elsewhere,
}

/// The files of one of them.
struct Files<'a> {
    of: &'a Compared<'a>,
    tree: Rc<CommitTree>,
    snapshot: Snapshot,
}

impl Compared<'_> {
    /// The commit that `HEAD`, a branch, a tag or an id names; `~N` and `^` go back.
    fn resolve(&self, written: &str) -> Result<String, Failure> {
        let (name, back) = split(written).ok_or_else(|| {
            Failure::usage("reference", format!("`{}` is not a reference", visible(written)))
                .hint("name a branch, a tag or a commit; ~N and ^ go back, other forms are not read")
        })?;
        let id = match self.repository.resolve(name) {
            Some(id) => id,
            None if name == "HEAD" => return Err(no_commit()),
            None => self.abbreviated(name)?.ok_or_else(|| self.missing(name))?,
        };
        self.history.commit(&id, back).map_err(|error| match error {
            HistoryError::Missing(_) => self.before_history(name, back),
            error => self.unread(&error),
        })
    }

    /// The commit whose id begins so.
    fn abbreviated(&self, name: &str) -> Result<Option<String>, Failure> {
        let looks = (ABBREVIATED_MIN..40).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if !looks {
            return Ok(None);
        }
        self.history.abbreviated(name).map_err(|error| match error {
            HistoryError::Ambiguous(_) => Failure::usage("reference", error.to_string()),
            error => self.unread(&error),
        })
    }

    /// That there is no such reference, with the command that brings it: in a clone of one branch the short form of
    /// `git fetch` keeps no reference to what it fetched.
    fn missing(&self, name: &str) -> Failure {
        let fetch = if self.repository.is_shallow() { "git fetch --unshallow" } else { "git fetch" };
        let short = name.strip_prefix("refs/remotes/").unwrap_or(name);
        let remote = short.split_once('/').filter(|(remote, _)| self.repository.remote(remote).is_some());
        let hint = match remote {
            Some((remote, branch)) => format!("{fetch} {remote} {branch}:refs/remotes/{remote}/{branch}"),
            None if name.starts_with("refs/") => format!("{fetch} origin {name}:{name}"),
            None => {
                format!("{fetch} origin {name}:refs/remotes/origin/{name}, and compare with origin/{name}")
            }
        };
        Failure::new(Kind::NotFound, "no_reference", format!("there is no `{name}` in this repository"))
            .hint(format!("fetch it: {hint}"))
    }

    /// That so many steps back from what `name` names lead to nothing that is here.
    fn before_history(&self, name: &str, back: usize) -> Failure {
        let shallow = self.repository.is_shallow();
        if back == 0 && name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            // A whole id is taken for one whether it is here or not.
            let fetch = if shallow { "git fetch --unshallow" } else { "git fetch" };
            let message = format!("there is no commit `{name}` in this repository");
            return Failure::new(Kind::NotFound, "no_reference", message)
                .hint(format!("fetch it: {fetch} origin {name}"));
        }
        if back == 0 {
            return self.incomplete().unwrap_or_else(|| lost(name));
        }
        let message = format!("history goes back less than {} from {name} here", counted(back, "step"));
        let failure = Failure::new(Kind::NotFound, "no_reference", message);
        match (shallow, name) {
            (false, _) => failure,
            (true, "HEAD") => failure.hint(format!("this clone is shallow: git fetch --deepen={back}")),
            (true, _) => failure.hint("this clone is shallow: git fetch --unshallow"),
        }
    }

    fn files(&self, commit: &str) -> Result<Files<'_>, Failure> {
        let root = &self.repository.root;
        let tree = Rc::new(self.history.files(commit, root).map_err(|error| self.unread(&error))?);
        let below = |path: &Path| path.strip_prefix(root).unwrap_or(Path::new("")).to_owned();
        let folder = self.folder.canonicalize().unwrap_or_else(|_| self.folder.to_owned());
        let path = self.path.map(|path| below(&named(self.folder, path)));
        let snapshot = Snapshot { tree: tree.clone(), path, folder: below(&folder) };
        Ok(Files { of: self, tree, snapshot })
    }

    /// Why history does not answer: that this clone does not have all of it, told from history that is broken.
    fn unread(&self, error: &HistoryError) -> Failure {
        match error {
            HistoryError::Sha256 => Failure::from_error(Kind::NotFound, "sha256", error)
                .hint("cofferdam check reads the working tree; comparing commits needs a repository with SHA-1 objects"),
            HistoryError::Missing(id) => self.incomplete().unwrap_or_else(|| lost(id)),
            HistoryError::Unrelated(..) => self
                .incomplete()
                .unwrap_or_else(|| Failure::from_error(Kind::NotFound, "history", error)),
            HistoryError::NoCommit(_) | HistoryError::Ambiguous(_) => {
                Failure::from_error(Kind::NotFound, "history", error)
            }
            HistoryError::Elsewhere(_) | HistoryError::Special(_) => unopened(error),
            HistoryError::Open(_) | HistoryError::Broken(_) => {
                self.incomplete().unwrap_or_else(|| Failure::from_error(Kind::Failed, "history", error))
            }
        }
    }

    /// That this clone was made without all of the repository, where it was.
    fn incomplete(&self) -> Option<Failure> {
        if self.repository.is_shallow() {
            let message = format!(
                "this clone is shallow: it does not reach the commit where this branch and {} part",
                self.reference
            );
            return Some(
                Failure::new(Kind::NotFound, "shallow", message)
                    .hint("git fetch --unshallow, or fetch-depth: 0 where a workflow checks out"),
            );
        }
        self.repository.is_partial().then(|| {
            let message = "this clone is partial: objects of these commits were left with the remote, and nothing is fetched here";
            Failure::new(Kind::NotFound, "partial", message)
                .hint("git fetch --refetch --no-filter, or a checkout without a filter")
        })
    }
}

impl Files<'_> {
    /// What they say, or why nothing. Nobody is asked what a registry is here: what `sandbox.lock` does not pin is
    /// shown as that.
    fn load(&self, lock: LockUse) -> Result<Result<Loaded, LoadError>, Failure> {
        let mut context = Context {
            folder: self.of.folder.to_owned(),
            home: HOME.into(),
            default_memory: Bytes::gib(4),
            user_folder: None,
            registries: Registries::default(),
            elsewhere: self.of.elsewhere.clone(),
            tree: None,
            // Which registries there are is found out first: with --locked nobody would be asked, and none had its name.
            lock: LockUse::Prefer,
        };
        let selection = || Selection::Tree(self.snapshot.clone());
        let mut loaded = loop {
            let loaded = kit::load(selection(), &context);
            let Err(LoadError::Invalid(problems)) = &loaded else { break loaded };
            let before = context.registries.0.len();
            for problem in problems {
                if let Some(Wanted::Registry(name)) = &problem.wants {
                    context.registries.0.insert(name.clone(), Lookup::Unpinned(RegistryUrl::unpinned(name)));
                }
            }
            if context.registries.0.len() == before {
                break loaded;
            }
        };
        if lock == LockUse::Only {
            context.lock = lock;
            loaded = kit::load(selection(), &context);
        }
        // Whatever was made of it without: a file that is not here is no answer.
        self.complete().map(|()| loaded)
    }

    /// The grants that the files themselves approve, with their ends: what has ended when the commit was made approves
    /// nothing, and what ends does not cover what does not.
    fn approvals(&self, at: Timestamp) -> Result<BTreeMap<Name, GrantSet>, Failure> {
        let written = self.snapshot.tree.read(committed::FILE, committed::FILE_MAX);
        self.complete()?;
        let written = written.map_err(|reason| {
            let message = format!("it is not read: {reason}");
            Failure::new(Kind::File, "approvals", message).at(committed::FILE, None, None)
        })?;
        let written =
            written.map_or_else(|| Ok(committed::Written::default()), |bytes| committed::read(&bytes))?;
        Ok(written.definitions.into_iter().map(|(name, held)| (name, held.with_ends(at))).collect())
    }

    /// The files that were read and say something else in the working tree: what is not committed is not compared.
    fn edited(&self) -> Vec<String> {
        let Ok(checkout) = Checkout::of(&self.of.repository.root) else { return Vec::new() };
        let differs = |path: &String| {
            let there = checkout.read(path).ok().flatten();
            there.is_some_and(|there| !self.tree.has(path, &there))
        };
        self.tree.seen().into_iter().filter(differs).collect()
    }

    /// Fails where an object was wanted that is not here.
    fn complete(&self) -> Result<(), Failure> {
        let Some(id) = self.tree.missing() else { return Ok(()) };
        Err(self.of.incomplete().unwrap_or_else(|| lost(&id)))
    }
}

/// What the reader of a comparison should know: first what the lock files say otherwise, for a registry that is
/// somewhere else by it is a rule that nobody wrote.
fn warnings(before: Option<&Loaded>, after: Option<&Loaded>) -> Vec<String> {
    let Some(after) = after else { return Vec::new() };
    let nothing = kit::Lock::default();
    let lock = |loaded: &'_ Loaded| loaded.lock.clone().unwrap_or_default();
    let (old, new) = (before.map(lock).unwrap_or(nothing), lock(after));
    let words = |value: Option<String>| value.unwrap_or_else(|| "nothing".to_owned());
    let changed = old.changes(&new).into_iter().map(|change| {
        format!("{}: {}: {} → {}", kit::LOCK_FILE, change.what, words(change.before), words(change.after))
    });
    let rules = after.sandboxes.iter().flat_map(|sandbox| &sandbox.network.rules);
    let open: BTreeSet<&str> = rules.filter_map(crate::model::registry::unpinned).collect();
    let open = open.into_iter().map(|name| {
        format!(
            "{name} is not pinned: {} has no entry, so what it is on each host cannot be compared; `cofferdam update` pins it",
            kit::LOCK_FILE
        )
    });
    changed.chain(open).chain(after.warnings.iter().map(Problem::to_line)).collect()
}

/// Where the search for a repository begins.
fn start(folder: &Path, path: Option<&Path>) -> Result<PathBuf, Failure> {
    let Some(path) = path else { return Ok(folder.to_owned()) };
    let whole = named(folder, path);
    // The file may be gone from the working tree, and be in the commits.
    let there = whole.ancestors().find(|path| path.is_dir()).map(Path::to_owned);
    there.ok_or_else(|| Failure::new(Kind::NotFound, "no_file", format!("{} is not there", path.display())))
}

/// A path as a person named it, absolute, with no link in the folders that are there.
fn named(folder: &Path, path: &Path) -> PathBuf {
    let whole = folder.join(path);
    if let Ok(canonical) = whole.canonicalize()
        && whole.symlink_metadata().is_ok_and(|found| !found.is_symlink())
    {
        return canonical;
    }
    match (whole.parent().and_then(|parent| parent.canonicalize().ok()), whole.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => whole,
    }
}

/// `main~2^` is `main`, three back.
fn split(written: &str) -> Option<(&str, usize)> {
    let (mut rest, mut back) = (written, 0_usize);
    loop {
        if let Some(before) = rest.strip_suffix('^') {
            (rest, back) = (before, back + 1);
        } else if let Some((before, count)) = rest.rsplit_once('~') {
            let count = if count.is_empty() { 1 } else { count.parse().ok()? };
            (rest, back) = (before, back.checked_add(count)?);
        } else {
            return (is_name(rest) && back <= BACK_MAX).then_some((rest, back));
        }
    }
}

/// Whether a reference can have this name (git-check-ref-format(1)).
fn is_name(text: &str) -> bool {
    let sign = |sign: char| !sign.is_control() && !" ~^:?*[\\".contains(sign);
    let part = |part: &str| !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with(".lock");
    text.chars().all(sign)
        && text.split('/').all(part)
        && !text.contains("..")
        && !text.contains("@{")
        && !text.ends_with('.')
        && text != "@"
}

fn lost(object: &str) -> Failure {
    Failure::new(
        Kind::NotFound,
        "missing_object",
        format!("the object {object} of this repository is not here"),
    )
    .hint("git fsck says what else is missing; fetch it, or compare in a whole clone")
}

fn no_commit() -> Failure {
    Failure::new(Kind::NotFound, "no_commit", "nothing is committed here yet, so there is nothing to compare")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_go_back() {
        for (written, expected) in [
            ("main", Some(("main", 0))),
            ("main~2^", Some(("main", 3))),
            ("HEAD^^", Some(("HEAD", 2))),
            ("main~", Some(("main", 1))),
            ("main~x", None),
            ("~1", None),
            ("", None),
            ("HEAD@{1}", None),
            (":/fix", None),
            ("main..topic", None),
            ("main...topic", None),
            ("HEAD^2", None),
            ("@", None),
            ("a b", None),
            ("a\\b", None),
            ("feature/x.y@z", Some(("feature/x.y@z", 0))),
            ("main~99999999999999999999", None),
            ("main~10001", None),
        ] {
            assert_eq!(split(written), expected, "{written}");
        }
    }
}
