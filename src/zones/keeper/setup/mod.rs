//! What happens in the guest between its first answer and the agent's first command: files, then `setup.create` once
//! per system disk, then `setup.start` at each start.
//!
//! ```text
//! guest answers ─▶ files ─▶ rules for set-up in force ─▶ create steps that this disk has not seen, each noted on it
//!                    │                                     ─▶ start steps ─▶ rules withdrawn ─▶ done: sessions begin
//!                    └── one fails ──▶ rules withdrawn ─▶ failed: the machine stays up, so that one can look
//! ```
//!
//! Steps run as the agent, with the sandbox's environment and rules, and never on the host. Rules with `during: setup` are
//! in force while they run. Whoever else wants to run a command waits ([`SandboxStatus::is_settled`]) until egress has said
//! that they are no longer; where it does not say so, the machine goes down. Output is kept in `setup.log`; a step in the
//! background writes there for as long as it runs.
//!
//! [`SandboxStatus::is_settled`]: crate::model::status::SandboxStatus::is_settled

mod report;
mod steps;
mod tail;

use std::{cell::RefCell, collections::BTreeMap, io, rc::Rc, time::Duration};

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::timeout;

use self::steps::Background;
use super::{Keeper, errand, expand::expand_bytes, output::BoundedFile};
use crate::{
    lifecycle::Event,
    model::{
        desired::{AGENT_HOME, File, FileMerge, Sandbox, SetupStep},
        rule::Origin,
        status::{Phase, SetupState, SetupStatus},
    },
    wire::{
        self, FileRequest,
        files::{CONTENT_MAX, FileSpec},
    },
};

/// How long the guest may take over one file or note.
const FILE_LIMIT: Duration = Duration::from_secs(60);
/// How long egress may take to withdraw rules; it closes connections and answers.
const WITHDRAWAL_LIMIT: Duration = Duration::from_secs(30);

/// Why the set-up ended early.
#[derive(Debug, thiserror::Error)]
enum SetupError {
    #[error("file {path}{place} could not be written: {source}")]
    File { path: String, place: String, source: io::Error },
    #[error("what was done on this disk cannot be noted on it: {0}")]
    Note(io::Error),
    #[error("the rules for its steps could not be put in force: {0}")]
    Rules(io::Error),
    #[error("step `{step}`{place} {how}")]
    Step { step: String, place: String, how: String, lines: Vec<String> },
}

/// What there is to do; `None` where nothing is.
pub(super) fn begun(sandbox: &Sandbox) -> Option<SetupStatus> {
    let steps = sandbox.setup.create.len() + sandbox.setup.start.len();
    let total = steps + usize::from(!sandbox.files.is_empty());
    (total > 0).then(|| SetupStatus {
        state: SetupState::Running,
        step: None,
        index: 0,
        total: u32::try_from(total).unwrap_or(u32::MAX),
        reason: None,
        lines: Vec::new(),
    })
}

/// Does all of it, and says so in the status.
pub(super) async fn run(keeper: Rc<Keeper>) {
    // The machine counts as running in a moment; before that, a failure here would be taken for its end.
    keeper.wait_for(|status| status.phase != Phase::Starting).await;
    let placeholders = match keeper.book.placeholders() {
        Ok(placeholders) => placeholders,
        Err(error) => return keeper.setup_ended(Some((format!("its placeholders: {error}"), Vec::new()))),
    };
    let log = match BoundedFile::create(&keeper.book.setup_log()) {
        Ok(log) => Rc::new(log),
        Err(error) => return keeper.setup_ended(Some((format!("its log: {error}"), Vec::new()))),
    };
    let work = Work { keeper: &keeper, log: Rc::clone(&log), background: RefCell::default() };
    let ended = work.all(&placeholders).await;
    // A machine that goes down takes its set-up along; that is no failure of it.
    if keeper.status().phase != Phase::Running && ended.is_err() {
        return;
    }
    if let Err(error) = withdraw(&keeper).await {
        // Nobody's session has begun, and none will: this set-up never ends.
        let reason = format!("the rules for set-up steps could not be withdrawn: {error}");
        return keeper.happened(Event::ZoneEnded(reason));
    }
    let failure = ended.err().map(|error| {
        log.append(format!("<== {error}\n").as_bytes());
        let reason = error.to_string();
        let SetupError::Step { lines, .. } = error else { return (reason, Vec::new()) };
        (reason, lines)
    });
    keeper.setup_ended(failure);
}

/// Takes rules for set-up steps back; over once egress has said that they are.
async fn withdraw(keeper: &Keeper) -> io::Result<()> {
    if !keeper.policy.borrow().setup {
        return Ok(());
    }
    timeout(WITHDRAWAL_LIMIT, keeper.stage(false)).await.map_err(io::Error::other)?
}

struct Work<'a> {
    keeper: &'a Rc<Keeper>,
    log: Rc<BoundedFile>,
    background: RefCell<Vec<Background>>,
}

impl Work<'_> {
    async fn all(&self, placeholders: &BTreeMap<String, String>) -> Result<(), SetupError> {
        let sandbox = &self.keeper.book.record().desired;
        if !sandbox.files.is_empty() {
            self.keeper.setup_step("files");
        }
        for file in &sandbox.files {
            self.file(file, sandbox, placeholders).await?;
        }
        if sandbox.setup.create.is_empty() && sandbox.setup.start.is_empty() {
            return Ok(());
        }
        self.keeper.stage(true).await.map_err(SetupError::Rules)?;
        self.create(&sandbox.setup.create).await?;
        for step in &sandbox.setup.start {
            self.keeper.setup_step(&step.name);
            self.step("start", step).await?;
        }
        self.watch_background().await
    }

    async fn file(
        &self,
        file: &File,
        sandbox: &Sandbox,
        placeholders: &BTreeMap<String, String>,
    ) -> Result<(), SetupError> {
        let content = match file.placeholders {
            true => expand_bytes(&file.content, placeholders),
            false => file.content.clone(),
        };
        let failed =
            |source| SetupError::File { path: file.path.clone(), place: place(&file.origin), source };
        if content.len() > CONTENT_MAX {
            return Err(failed(io::Error::other(format!("it is longer than {} MiB", CONTENT_MAX >> 20))));
        }
        let request = FileRequest::Write(FileSpec {
            version: wire::VERSION,
            path: file.path.clone(),
            agent: is_the_agents(&file.path, sandbox),
            mode: file.mode,
            merge_json: file.merge == FileMerge::Json,
            length: u32::try_from(content.len()).unwrap_or(u32::MAX),
        });
        self.ask(&request, &content).await.map(drop).map_err(failed)
    }

    async fn ask(&self, request: &FileRequest, content: &[u8]) -> io::Result<Option<String>> {
        let asked = errand::file(&self.keeper.guest, request, content);
        timeout(FILE_LIMIT, asked).await.map_err(io::Error::other)?
    }

    /// The create steps that this system disk has not seen. Each is noted on it as soon as it has succeeded, so that
    /// the next start goes on behind it.
    async fn create(&self, steps: &[SetupStep]) -> Result<(), SetupError> {
        if steps.is_empty() {
            return Ok(());
        }
        let request = FileRequest::ReadNote { version: wire::VERSION };
        let noted = self.ask(&request, &[]).await.map_err(SetupError::Note)?;
        let mut done = seen(noted.as_deref(), steps);
        for (index, step) in steps.iter().enumerate() {
            self.keeper.setup_step(&step.name);
            if index < done.len() {
                continue;
            }
            self.step("create", step).await?;
            done.push(digest(step));
            let text = json!(done).to_string();
            let request = FileRequest::WriteNote { version: wire::VERSION, text };
            self.ask(&request, &[]).await.map_err(SetupError::Note)?;
        }
        Ok(())
    }
}

fn place(origin: &Origin) -> String {
    match (&origin.file, origin.line) {
        (Some(file), Some(line)) => format!(" ({file}:{line})"),
        _ => String::new(),
    }
}

/// Whether the agent's user writes a file: in its home, and in the workspace.
fn is_the_agents(path: &str, sandbox: &Sandbox) -> bool {
    let path = std::path::Path::new(path);
    let workspace = sandbox.workspace.as_ref().is_some_and(|workspace| path.starts_with(&workspace.path));
    path.starts_with("~") || path.starts_with(AGENT_HOME) || workspace
}

/// The steps at the head of the list that the note of the disk has, in the note's words.
fn seen(noted: Option<&str>, steps: &[SetupStep]) -> Vec<String> {
    let noted: Vec<String> = noted.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let known = steps.iter().map(digest).zip(noted);
    known.take_while(|(step, noted)| step == noted).map(|(step, _)| step).collect()
}

/// The head of SHA-256 over what a step runs: enough to tell one of a file's steps from another.
fn digest(step: &SetupStep) -> String {
    Sha256::digest(step.run.as_bytes()).iter().take(12).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::rule::Layer;

    fn step(run: &str) -> SetupStep {
        SetupStep {
            name: run.to_owned(),
            run: run.to_owned(),
            timeout_s: 1,
            background: false,
            ready_port: None,
            origin: Origin { layer: Layer::Repository, file: None, line: None },
        }
    }

    #[test]
    fn a_disk_goes_on_behind_the_steps_that_it_has_seen() {
        let steps = [step("a"), step("b"), step("c")];
        let note = |known: &[SetupStep]| json!(known.iter().map(digest).collect::<Vec<_>>()).to_string();
        assert_eq!(seen(None, &steps).len(), 0);
        assert_eq!(seen(Some(&note(&steps[..2])), &steps).len(), 2);
        assert_eq!(seen(Some(&note(&steps)), &steps[..2]).len(), 2);
        // Another step in the second place: it runs, and what stands behind it.
        assert_eq!(seen(Some(&note(&steps)), &[step("a"), step("x"), step("c")]).len(), 1);
        for hostile in ["", "{}", "[[", "[1,2]", "\"x\""] {
            assert_eq!(seen(Some(hostile), &steps).len(), 0, "{hostile}");
        }
    }

    #[test]
    fn the_agents_files_are_those_in_its_home_and_its_workspace() {
        let mut sandbox = Sandbox::smallest("dev");
        sandbox.workspace = Some(crate::model::desired::Workspace {
            path: "/src/shop".into(),
            mode: crate::model::desired::WorkspaceMode::Direct,
            origin: Origin { layer: Layer::Repository, file: None, line: None },
        });
        for (path, agents) in [
            ("~/.npmrc", true),
            ("/home/agent/x", true),
            ("/src/shop/.env", true),
            ("/src/shopping", false),
            ("/etc/motd", false),
            ("/home/other/x", false),
        ] {
            assert_eq!(is_the_agents(path, &sandbox), agents, "{path}");
        }
        assert_eq!(begun(&sandbox), None);
        sandbox.setup.start.push(step("x"));
        assert_eq!(begun(&sandbox).map(|setup| setup.total), Some(1));
    }
}
