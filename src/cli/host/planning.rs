//! What `plan` looks at: this host, or two commits of a repository and no host at all.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    rc::Rc,
};

use super::{Host, documents};
use crate::{
    cli::{
        committed,
        failure::{Failure, Kind},
        ops::{Comparison, Source},
    },
    kit::{
        self, Context, DiscoverError, LoadError, Loaded, LockUse, Problem, Repository, Selection, Snapshot,
    },
    model::{
        desired::Sandbox,
        name::SandboxId,
        registry::{Lookup, Registries, Registry},
        status::Phase,
        unit::Bytes,
    },
    plan::{
        Approvals, Observed, PlanInput,
        grant::{GrantSet, Ground, granted},
    },
    review::{History, HistoryError},
};

/// Most steps back that `REF~N` may go.
const BACK_MAX: usize = 10_000;

impl Host {
    /// The files of the commit that is checked out, beside those that it and `reference` began with. Reads objects of
    /// the repository and nothing of this host's state.
    pub(super) fn compared(&self, source: &Source, reference: &str) -> Result<Comparison, Failure> {
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
        let start = self.start(path)?;
        let found = Repository::find(&start)
            .map_err(|error| Failure::from_error(Kind::NotFound, "no_repository", &error))?;
        let repository = found.ok_or_else(|| {
            let message = format!("{} lies in no git repository", start.display());
            Failure::new(Kind::NotFound, "no_repository", message)
        })?;
        let history = History::open(&repository.common_dir).map_err(|error| unread(&error))?;
        let head = resolve(&repository, &history, "HEAD")?;
        let with = resolve(&repository, &history, reference)?;
        let base =
            history.merge_base(&head, &with).map_err(|error| cut_off(&repository, &error, reference))?;
        let below = |path: &Path| path.strip_prefix(&repository.root).unwrap_or(Path::new("")).to_owned();
        let folder = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        let snapshot = |commit: &str| -> Result<Snapshot, Failure> {
            let tree = history
                .files(commit, &repository.root)
                .map_err(|error| cut_off(&repository, &error, reference))?;
            let path = path.map(|path| below(&named(&self.folder, path)));
            Ok(Snapshot { tree: Rc::new(tree), path, folder: below(&folder) })
        };
        let (old, new) = (snapshot(&base)?, snapshot(&head)?);
        let written = new.tree.read(committed::FILE, committed::FILE_MAX).map_err(|reason| {
            Failure::new(Kind::File, "approvals", format!("it is not read: {reason}")).at(
                committed::FILE,
                None,
                None,
            )
        })?;
        let approved = written.map_or_else(|| Ok(BTreeMap::new()), |bytes| committed::read(&bytes))?;
        let after = self.load_commit(&new).map_err(documents::load_failure)?;
        let before = match self.load_commit(&old) {
            Ok(before) => before.sandboxes,
            // There were none yet.
            Err(LoadError::Discover(DiscoverError::NothingHere(_) | DiscoverError::NotFound(_)))
            | Err(LoadError::NoDocument { .. }) => Vec::new(),
            Err(LoadError::Invalid(_)) => {
                return Err(Failure::new(
                    Kind::File,
                    "base_invalid",
                    format!(
                        "the files at {base}, where this branch began, are wrong, so nothing can be compared with them"
                    ),
                ));
            }
            Err(error) => return Err(Failure::from_error(Kind::File, "no_file", &error)),
        };
        let warnings = after.warnings.iter().map(Problem::to_line).collect();
        let input = difference(self.ground(&repository.root), &before, after.sandboxes);
        Ok(Comparison { input, warnings, approved })
    }

    /// What the files of a commit say. Nobody is asked what a registry is here: what `sandbox.lock` does not say has
    /// one name on every machine, which is no host's.
    fn load_commit(&self, snapshot: &Snapshot) -> Result<Loaded, LoadError> {
        let mut context = Context {
            folder: self.folder.clone(),
            home: self.home.clone(),
            default_memory: Bytes::gib(4),
            user_folder: None,
            registries: Registries::default(),
            tree: None,
            lock: LockUse::Prefer,
        };
        loop {
            let loaded = kit::load(Selection::Tree(snapshot.clone()), &context);
            let Err(LoadError::Invalid(problems)) = &loaded else { return loaded };
            let before = context.registries.0.len();
            for name in problems.iter().filter_map(|problem| problem.wants.as_ref()) {
                context.registries.0.insert(name.clone(), unresolved(name));
            }
            if context.registries.0.len() == before {
                return loaded;
            }
        }
    }

    /// Where the search for a repository begins.
    fn start(&self, path: Option<&Path>) -> Result<PathBuf, Failure> {
        let Some(path) = path else { return Ok(self.folder.clone()) };
        let whole = named(&self.folder, path);
        // The file may be gone from the working tree, and be in the commits.
        let there = whole.ancestors().find(|path| path.is_dir()).map(Path::to_owned);
        there.ok_or_else(|| {
            Failure::new(Kind::NotFound, "no_file", format!("{} is not there", path.display()))
        })
    }
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

/// The base's sandboxes as if they ran, and everything that the head asks for as if it were approved: what is left is
/// the difference.
fn difference(ground: Ground, before: &[Sandbox], after: Vec<Sandbox>) -> PlanInput {
    let observed = before.iter().zip(1_u64..).map(|(sandbox, number)| {
        let bytes = number.to_be_bytes();
        Observed {
            id: SandboxId::from_bytes([bytes[2], bytes[3], bytes[4], bytes[5], bytes[6], bytes[7]]),
            recorded: sandbox.clone(),
            generation: 1,
            phase: Phase::Running,
            unfinished: None,
            orphaned: false,
            ports: BTreeSet::new(),
        }
    });
    let all = |sandbox| -> GrantSet { granted(sandbox, &ground).into_iter().map(|it| it.grant).collect() };
    let definitions = after.iter().map(|sandbox| (sandbox.name.clone(), all(sandbox))).collect();
    PlanInput {
        scope: vec![ground.root.clone()],
        observed: observed.collect(),
        sessions: BTreeMap::new(),
        suspended: BTreeSet::new(),
        approvals: Approvals { baseline: GrantSet::default(), definitions },
        now: true,
        prune: false,
        desired: after,
        ground,
    }
}

/// What a registry is where nobody says it: a name that no host has (RFC 6761).
fn unresolved(name: &str) -> Lookup {
    let url = format!("https://{name}.unresolved.invalid").parse();
    match url {
        Ok(url) => {
            Lookup::Found(Registry { urls: vec![url], source: "not resolved in a comparison".to_owned() })
        }
        Err(_) => Lookup::Unknown("not resolved in a comparison".to_owned()),
    }
}

/// The commit that `HEAD`, a branch, a tag or an id names; `~N` and `^` go back.
fn resolve(repository: &Repository, history: &History, written: &str) -> Result<String, Failure> {
    let (name, back) = split(written).ok_or_else(|| {
        Failure::usage("reference", format!("`{written}` is not a reference"))
            .hint("name a branch, a tag or a commit; ~N and ^ go back")
    })?;
    let Some(id) = repository.resolve(name) else {
        return Err(missing(written));
    };
    history.commit(&id, back).map_err(|error| cut_off(repository, &error, written))
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
            return (!rest.is_empty() && back <= BACK_MAX).then_some((rest, back));
        }
    }
}

fn missing(reference: &str) -> Failure {
    Failure::new(Kind::NotFound, "no_reference", format!("there is no `{reference}` in this repository"))
        .hint(format!("fetch it: git fetch origin {}", reference.trim_start_matches("origin/")))
}

/// History that ends too early, told from history that is broken.
fn cut_off(repository: &Repository, error: &HistoryError, reference: &str) -> Failure {
    if repository.is_shallow() {
        let message = format!(
            "this clone is shallow: it does not reach the commit where this branch and {reference} part"
        );
        return Failure::new(Kind::NotFound, "shallow", message)
            .hint("git fetch --unshallow, or fetch-depth: 0 where a workflow checks out");
    }
    match error {
        HistoryError::Missing(_) => missing(reference),
        error => unread(error),
    }
}

fn unread(error: &HistoryError) -> Failure {
    let kind = match error {
        HistoryError::Unrelated(..) | HistoryError::Missing(_) | HistoryError::NoCommit(_) => Kind::NotFound,
        HistoryError::Open(_) | HistoryError::Broken(_) => Kind::Failed,
    };
    Failure::from_error(kind, "history", error)
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
            ("main~99999999999999999999", None),
            ("main~10001", None),
        ] {
            assert_eq!(split(written), expected, "{written}");
        }
    }
}
