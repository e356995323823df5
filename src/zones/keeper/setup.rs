//! What happens in the guest between its first answer and the agent's first command: files, then `setup.create` once
//! per system disk, then `setup.start` at each start.
//!
//! ```text
//! guest answers ─▶ files ─▶ create steps that this disk has not seen, each noted on it ─▶ start steps ─▶ done
//!                    └──────────┴── one fails ──▶ failed: the machine stays up, so that one can look ─┘
//! ```
//!
//! Steps run as the agent, with the sandbox's environment and rules, and never on the host. Their output is kept in
//! `setup.log`; a step in the background writes there for as long as it runs.

use std::{cell::RefCell, collections::BTreeMap, collections::VecDeque, io, rc::Rc, time::Duration};

use serde_json::{Map, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};

use super::{
    Keeper,
    errand::{self, Command, CommandError},
    expand::expand_bytes,
    output::BoundedFile,
    ports,
};
use crate::{
    model::{
        desired::{File, FileMerge, Sandbox, SetupStep},
        rule::Origin,
        status::{Phase, SetupState, SetupStatus},
        text::visible_columns,
    },
    wire::{
        self, ExecRequest, FileRequest,
        files::{CONTENT_MAX, FileSpec},
    },
};

/// Last lines of a failed step that its status holds, and the longest, in characters.
const TAIL_LINES: usize = 12;
const TAIL_CHARS: usize = 300;
/// How long the guest may take over one file or note.
const FILE_LIMIT: Duration = Duration::from_secs(60);
/// Home of the agent in every guest.
const AGENT_HOME: &str = "/home/agent";

/// Why the set-up ended early.
#[derive(Debug, thiserror::Error)]
enum SetupError {
    #[error("file {path}{place} could not be written: {source}")]
    File { path: String, place: String, source: io::Error },
    #[error("what was done on this disk cannot be noted on it: {0}")]
    Note(io::Error),
    #[error("step `{step}`{place} {how}")]
    Step { step: String, place: String, how: String },
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
    let work = Work { keeper: &keeper, log: Rc::clone(&log), tail: Rc::default() };
    let ended = work.all(&placeholders).await;
    // A machine that goes down takes its set-up along; that is no failure of it.
    if keeper.status().phase != Phase::Running && ended.is_err() {
        return;
    }
    let failure = ended.err().map(|error| {
        log.append(format!("<== {error}\n").as_bytes());
        let lines =
            if matches!(error, SetupError::Step { .. }) { work.tail.borrow().lines() } else { Vec::new() };
        (error.to_string(), lines)
    });
    keeper.setup_ended(failure);
}

struct Work<'a> {
    keeper: &'a Rc<Keeper>,
    log: Rc<BoundedFile>,
    tail: Rc<RefCell<Tail>>,
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
        self.create(&sandbox.setup.create).await?;
        for step in &sandbox.setup.start {
            self.keeper.setup_step(&step.name);
            self.step("start", step).await?;
        }
        Ok(())
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

    async fn step(&self, kind: &str, step: &SetupStep) -> Result<(), SetupError> {
        self.log.append(format!("==> setup.{kind}: {}\n", step.name).as_bytes());
        self.tail.borrow_mut().0.clear();
        let failed = |how| SetupError::Step { step: step.name.clone(), place: place(&step.origin), how };
        let limit = Duration::from_secs(step.timeout_s);
        let started = Instant::now();
        let mut command = Command::start(&self.keeper.guest, &request(step))
            .await
            .map_err(|error| failed(error.to_string()))?;
        if step.background {
            let running = self.background(step, command);
            return self.ready(step, limit, running).await.map_err(failed);
        }
        let code = match timeout(limit, command.end(|bytes| self.keep(bytes))).await {
            Err(_) => return Err(failed(format!("did not end within {} s", step.timeout_s))),
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Ok(Ok(code)) => code,
        };
        let words = format!("<== exit code {code} after {:.1} s\n", started.elapsed().as_secs_f32());
        self.log.append(words.as_bytes());
        if code == 0 { Ok(()) } else { Err(failed(ended_with(code))) }
    }

    /// Lets a command run on beside the agent; gives how it ended once it has.
    fn background(&self, step: &SetupStep, mut command: Command) -> tokio::sync::oneshot::Receiver<String> {
        let (tell, ended) = tokio::sync::oneshot::channel();
        let (log, tail, name) = (Rc::clone(&self.log), Rc::clone(&self.tail), step.name.clone());
        let keeper = Rc::downgrade(self.keeper);
        tokio::task::spawn_local(async move {
            let how = command
                .end(|bytes| {
                    log.append(bytes);
                    tail.borrow_mut().add(bytes);
                })
                .await;
            let how = match how {
                Ok(code) => ended_with(code),
                Err(CommandError::NotStarted(why)) => why,
                // The machine went down.
                Err(CommandError::Guest(_)) => return,
            };
            log.append(format!("<== {name} {how}\n").as_bytes());
            if let (Err(how), Some(keeper)) = (tell.send(how), keeper.upgrade()) {
                keeper.remark(format!("the background step `{name}` {how}"));
            }
        });
        ended
    }

    async fn ready(
        &self,
        step: &SetupStep,
        limit: Duration,
        ended: tokio::sync::oneshot::Receiver<String>,
    ) -> Result<(), String> {
        let Some(port) = step.ready_port else { return Ok(()) };
        tokio::select! {
            answered = ports::connect(&self.keeper.guest, port, limit) => match answered {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(format!("is not ready: port {port} did not answer within {} s", step.timeout_s)),
                Err(error) => Err(format!("is not ready: {error}")),
            },
            Ok(how) = ended => Err(format!("{how} before port {port} answered")),
        }
    }

    fn keep(&self, bytes: &[u8]) {
        self.log.append(bytes);
        self.tail.borrow_mut().add(bytes);
    }
}

fn request(step: &SetupStep) -> ExecRequest {
    ExecRequest {
        version: wire::VERSION,
        argv: vec!["sh".to_owned(), "-c".to_owned(), step.run.clone()],
        env: BTreeMap::new(),
        working_dir: None,
        user: None,
        tty: None,
        stdin: false,
    }
}

fn ended_with(code: u8) -> String {
    match code {
        129..=192 => format!("was ended by signal {}", code - 128),
        _ => format!("ended with exit code {code}"),
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

/// The last lines of a step's output.
#[derive(Default)]
struct Tail(VecDeque<u8>);

impl Tail {
    const BYTES: usize = 4 * TAIL_LINES * TAIL_CHARS;

    fn add(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
        let over = self.0.len().saturating_sub(Self::BYTES);
        self.0.drain(..over);
    }

    /// With control characters visible.
    fn lines(&self) -> Vec<String> {
        let bytes: Vec<u8> = self.0.iter().copied().collect();
        let text = String::from_utf8_lossy(&bytes);
        let shown = |line: &str| -> String {
            let line: String = line.chars().filter(|c| *c != '\r').take(TAIL_CHARS).collect();
            visible_columns(&line).into_owned()
        };
        let lines: Vec<String> = text.lines().filter(|line| !line.trim().is_empty()).map(shown).collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].to_vec()
    }
}

impl Keeper {
    /// The next step begins.
    fn setup_step(&self, name: &str) {
        self.status.send_modify(|status| {
            if let Some(setup) = &mut status.setup {
                setup.index += 1;
                setup.step = Some(name.to_owned());
            }
        });
        self.book.save_status(&self.status.borrow());
    }

    /// The set-up is over: with a reason and the last lines where it failed.
    fn setup_ended(&self, failure: Option<(String, Vec<String>)>) {
        let mut detail = Map::new();
        self.status.send_modify(|status| {
            let Some(setup) = &mut status.setup else { return };
            match &failure {
                None => {
                    setup.state = SetupState::Done;
                    setup.step = None;
                }
                Some((reason, lines)) => {
                    setup.state = SetupState::Failed;
                    setup.reason = Some(reason.clone());
                    setup.lines.clone_from(lines);
                    detail.insert("reason".to_owned(), json!(reason));
                }
            }
        });
        let word = if failure.is_none() { "succeeded" } else { "failed" };
        self.book.note("sandbox.setup", word, detail);
        self.book.save_status(&self.status.borrow());
    }

    /// Something that a person should know.
    fn remark(&self, words: String) {
        self.status.send_modify(|status| status.notes.push(words));
        self.book.save_status(&self.status.borrow());
    }
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
    fn the_last_lines_are_few_short_and_drive_no_terminal() {
        let mut tail = Tail::default();
        for number in 0..10_000 {
            tail.add(format!("line {number}\r\n\n").as_bytes());
        }
        tail.add(format!("\u{1b}[2J{}\n", "x".repeat(100_000)).as_bytes());
        let lines = tail.lines();
        assert!(lines.len() <= TAIL_LINES && lines.iter().all(|line| line.len() <= TAIL_CHARS), "{lines:?}");
        let mut tail = Tail::default();
        tail.add(b"one\n\x1b[31mtwo\n");
        assert_eq!(tail.lines(), ["one", "\\u{1b}[31mtwo"]);
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
