//! What files and command lines say: read, checked, and compared with what is.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Read,
    path::{Path, PathBuf},
};

use jiff::Timestamp;

use super::{Host, approval, typed, world::Observation};
use crate::{
    cli::{
        failure::{ErrorObject, Failure, Kind},
        ops::{Action, Change, Proposal, Source, Wish},
    },
    kit::{LoadError, Loaded, Problem, Selection},
    model::{
        desired::{Sandbox, Start},
        registry::Registry,
        unit::Bytes,
    },
    plan::{self, PlanInput, Planned, grant::Ground},
    review,
    store::{Owner, Record},
};

/// Longest document on standard input, in bytes.
const STDIN_MAX: u64 = 64 << 20;
/// Memory of a sandbox that says nothing, where the host has plenty.
const MEMORY_MOST: Bytes = Bytes::gib(4);

/// What files say.
pub(super) struct Documents {
    pub sandboxes: Vec<Sandbox>,
    pub warnings: Vec<String>,
    /// The repository's root; outside of one the folder that stands for it.
    pub base: PathBuf,
    /// What the registries of their rules are here.
    pub registries: BTreeMap<String, Registry>,
}

impl Host {
    pub(super) fn load(&self, source: &Source) -> Result<Documents, Failure> {
        let selection = selection(source)?;
        let loaded = match source {
            Source::CommandLine(_) => self.load_typed(&selection)?,
            _ => self.load_selection(&selection, self.lock_use()).map_err(load_failure)?,
        };
        let tracked = tracked(&loaded);
        Ok(Documents {
            sandboxes: loaded.sandboxes,
            warnings: loaded.warnings.iter().map(typed::line).chain(tracked).collect(),
            base: loaded.base,
            registries: loaded.registries,
        })
    }

    /// What it would take to make the documents true. Folders are judged here, before anybody is asked.
    pub(super) fn propose_apply(&self, source: &Source, wish: &Wish) -> Result<Proposal, Failure> {
        let documents = self.load(source)?;
        let denied: Vec<Failure> =
            documents.sandboxes.iter().filter_map(|sandbox| self.judge(sandbox).err()).collect();
        if let Some(failure) = Failure::several(denied) {
            return Err(failure);
        }
        let typed = matches!(source, Source::CommandLine(_));
        let warnings = self.told().into_iter().chain(documents.warnings).collect();
        let owner = self.owner_of(source, &documents.base)?;
        let mut desired = documents.sandboxes;
        let mut scope = scope(source, &self.folder, &desired);
        if let Some(only) = &wish.only {
            desired.retain(|sandbox| sandbox.name.as_str() == only);
            desired.iter_mut().for_each(|sandbox| sandbox.start = Start::Always);
            scope.clear();
        }
        let Observation { observed, sessions, silent, suspended } = self.observed(&owner)?;
        let input = PlanInput {
            ground: self.ground(&documents.base),
            scope,
            observed,
            sessions,
            silent,
            suspended,
            approvals: plan::Approvals::default(),
            now: wish.now,
            prune: wish.prune,
            at: None,
            facts: BTreeMap::new(),
            registries: documents.registries,
            desired,
        };
        self.proposal(input, owner, typed, warnings)
    }

    /// Plans with what is approved now, and with what starts would meet here. What stands on a command line is approved by
    /// whoever typed it.
    pub(super) fn proposal(
        &self,
        input: PlanInput,
        owner: Owner,
        typed: bool,
        warnings: Vec<String>,
    ) -> Result<Proposal, Failure> {
        let mut proposal = self.proposal_of(input, owner, typed, typed, warnings)?;
        if let (Some(plan), Some(input), Some(owner)) =
            (&mut proposal.plan, &mut proposal.input, &proposal.owner)
        {
            input.facts = self.facts(plan, input, owner)?;
            *plan = plan::make(input);
            proposal.changes = plan.steps.iter().map(change).collect();
        }
        Ok(proposal)
    }

    /// As [`Self::proposal`]; `anew`: whether what is typed counts although no approval of it is recorded.
    pub(super) fn proposal_of(
        &self,
        mut input: PlanInput,
        owner: Owner,
        typed: bool,
        anew: bool,
        warnings: Vec<String>,
    ) -> Result<Proposal, Failure> {
        self.refuse_hidden(&input.desired)?;
        let committed = self.committed(&owner)?;
        let mut definitions = self.approved(&owner, typed, &committed)?;
        for wanted in input.desired.iter().filter(|_| anew) {
            let own = approval::typed(wanted, &input.ground);
            let known = definitions.entry(wanted.name.clone()).or_default();
            *known = known.union(&own.into());
        }
        input.at = Some(Timestamp::now());
        let (baseline, rejected) = (self.standing.baseline.clone(), self.refusals(&owner)?);
        input.approvals = plan::Approvals { baseline, definitions, rejected };
        let plan = plan::make(&input);
        let asked = self.asked(&plan, &owner)?;
        let changes = plan.steps.iter().map(change).collect();
        let desired = input.desired.clone();
        Ok(Proposal {
            changes,
            warnings,
            trusted: committed.tips,
            desired,
            asked,
            plan: Some(plan),
            input: Some(input),
            owner: Some(owner),
            typed,
        })
    }

    /// Whose the sandboxes of a source are: the repository's that holds the files, wherever the command runs.
    fn owner_of(&self, source: &Source, base: &Path) -> Result<Owner, Failure> {
        match source {
            Source::Stdin | Source::Text(_) | Source::CommandLine(_) => Ok(self.here.clone()),
            Source::Path(_) | Source::Search => Owner::discover(base).map_err(|error| {
                Failure::new(Kind::Failed, "no_folder", format!("{}: {error}", base.display()))
            }),
        }
    }

    pub(super) fn ground(&self, root: &Path) -> Ground {
        let home = self.home.canonicalize().unwrap_or_else(|_| self.home.clone());
        Ground { root: root.to_owned(), home }
    }

    pub(super) fn propose_removal(&self, source: &Source) -> Result<Proposal, Failure> {
        let documents = self.load(source)?;
        let owner = self.owner_of(source, &documents.base)?;
        self.refuse_hidden(&documents.sandboxes)?;
        let records = self.records_of(&owner)?;
        let known = |sandbox: &&Sandbox| records.iter().any(|record| record.name == sandbox.name);
        let desired: Vec<Sandbox> = documents.sandboxes.iter().filter(known).cloned().collect();
        let changes = desired
            .iter()
            .map(|sandbox| Change {
                sandbox: sandbox.name.to_string(),
                action: Action::Delete,
                grants: Vec::new(),
                notes: vec!["its disks are removed".to_owned()],
            })
            .collect();
        Ok(Proposal {
            changes,
            warnings: documents.warnings,
            desired,
            owner: Some(owner),
            ..Proposal::default()
        })
    }

    /// Records of the repository that this command runs in.
    pub(super) fn own_records(&self) -> Result<Vec<Record>, Failure> {
        self.records_of(&self.here)
    }

    pub(super) fn records_of(&self, owner: &Owner) -> Result<Vec<Record>, Failure> {
        Ok(self.records()?.into_iter().filter(|record| record.owner == *owner).collect())
    }
}

/// Local files that everybody gets with the repository, in words.
fn tracked(loaded: &Loaded) -> Vec<String> {
    let Some(repository) = &loaded.repository else { return Vec::new() };
    let below = |file: &PathBuf| file.strip_prefix(&repository.root).map(Path::to_owned).ok();
    let files = loaded.local_files.iter().filter_map(below);
    let tracked = files.filter(|file| review::is_tracked(&repository.index(), file));
    let words = |file: PathBuf| {
        let file = file.display();
        format!(
            "{file}:1:1: git tracks this file, which is for one person: everybody who has the repository gets what it says \
             (`git rm --cached {file}`, and a line for it in .gitignore)"
        )
    };
    tracked.map(words).collect()
}

/// One line of the proposal for one step of the plan.
fn change(step: &Planned) -> Change {
    let action = match step.action {
        plan::Action::Create => Action::Create,
        plan::Action::Start => Action::Start,
        plan::Action::UpdateLive => Action::Update,
        plan::Action::Restart => Action::Restart,
        plan::Action::Replace => Action::Replace,
        plan::Action::Orphan => Action::Stop,
        plan::Action::Remove => Action::Delete,
        plan::Action::Nothing => Action::Keep,
    };
    let grants = step.grants.iter().map(|noted| noted.grant.to_string()).collect();
    Change { sandbox: step.name.to_string(), action, grants, notes: step.consequences() }
}

/// The files and folders that were read: a sandbox that came from one of them and is not there any more is an orphan.
fn scope(source: &Source, folder: &Path, sandboxes: &[Sandbox]) -> Vec<PathBuf> {
    match source {
        Source::Path(path) => folder.join(path).canonicalize().into_iter().collect(),
        Source::Stdin | Source::Text(_) | Source::CommandLine(_) => Vec::new(),
        Source::Search => {
            let files = sandboxes.iter().filter_map(|sandbox| sandbox.provenance.file.as_deref());
            let scope = |file: &Path| match file.parent() {
                Some(parent) if parent.ends_with(".cofferdam") => parent.to_owned(),
                _ => file.to_owned(),
            };
            files.map(scope).collect::<BTreeSet<_>>().into_iter().collect()
        }
    }
}

/// Everything that is wrong with files, as one failure.
#[must_use]
pub fn problems(found: Vec<Problem>) -> Failure {
    let failures = found.into_iter().map(|problem| {
        let object = problem.to_json();
        let word = |key: &str| object[key].as_str().map(str::to_owned);
        let code = word("code")
            .map_or("invalid".to_owned(), |code| code.trim_start_matches("kit::").to_owned())
            .into();
        let (kind, causes, problems) = (Kind::File, Vec::new(), Vec::new());
        let (message, hint) = (problem.to_string(), word("hint"));
        let object =
            ErrorObject { code, kind, message, file: None, line: None, column: None, hint, causes, problems };
        match typed::tell(&problem) {
            Some((message, hint)) => {
                Failure::from(ErrorObject { kind: Kind::Usage, message, hint, ..object })
            }
            None => {
                let failure =
                    Failure::from(object).at(problem.file(), Some(problem.line()), Some(problem.column()));
                failure.diagnostic(problem)
            }
        }
    });
    let fallback = || Failure::new(Kind::File, "invalid", "the file is wrong");
    Failure::several(failures.collect()).unwrap_or_else(fallback)
}

/// Where the documents of a command come from, for `kit`.
pub(super) fn selection(source: &Source) -> Result<Selection, Failure> {
    Ok(match source {
        Source::Path(path) => Selection::Path(path.clone()),
        Source::Search => Selection::Default,
        Source::Stdin => Selection::Stdin(read_stdin()?),
        Source::Text(text) => Selection::Stdin(text.clone().into_bytes()),
        // JSON is YAML.
        Source::CommandLine(document) => Selection::CommandLine(document.to_string().into_bytes()),
    })
}

/// Why files yield nothing, as a command ends with it.
pub(in crate::cli) fn load_failure(error: LoadError) -> Failure {
    match error {
        LoadError::Invalid(found) => problems(found),
        LoadError::NoDocument { .. } => Failure::from_error(Kind::File, "no_document", &error)
            .hint("cofferdam reads sandbox.yaml, else .cofferdam/, or what -f names"),
        LoadError::Discover(error) => Failure::from_error(Kind::File, "no_file", &error),
    }
}

fn read_stdin() -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = std::io::stdin().lock().take(STDIN_MAX).read_to_end(&mut bytes);
    read.map_err(|error| Failure::new(Kind::File, "stdin", format!("cannot read standard input: {error}")))?;
    Ok(bytes)
}

/// Half of the host's memory, up to 4 GiB.
pub(super) fn default_memory() -> Bytes {
    super::machines::host_memory().map_or(MEMORY_MOST, |total| Bytes::mib((total / 2) >> 20).min(MEMORY_MOST))
}
