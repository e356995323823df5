//! `run --task`: one task without anybody at a terminal. Waits, and exits with the agent's own code.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::model::session::SessionKind;
use crate::{
    cli::{
        args,
        command::attach::{self, Wish},
        context::Context,
        failure::{CommandResult, Failure, Kind, Outcome},
        ops::Found,
        output::Format,
        session::{CODE_TIMEOUT, Ended},
    },
    kit,
    model::desired::{PROMPT_MAX, Sandbox},
};

/// Longest file that is read for a task, in bytes.
const TASK_FILE_MAX: usize = 1 << 20;
/// Where the task goes in an agent's command, spaces inside left out.
const PROMPT: &str = "task.prompt";

/// Flags of a task.
#[derive(Debug, Default, clap::Args)]
pub struct TaskArgs {
    /// Carry out this task, wait, and exit with the agent's own code
    #[arg(long, value_name = "TEXT", conflicts_with = "task_file")]
    task: Option<String>,
    /// As --task, with the text of a file, or of standard input where it is `-`
    #[arg(long, value_name = "FILE|-")]
    task_file: Option<PathBuf>,
    /// End the task after this time, with exit code 124
    #[arg(long, value_name = "TIME", value_parser = args::duration)]
    timeout: Option<Duration>,
    /// Open the agent, although the sandbox's file has a task
    #[arg(long, conflicts_with_all = ["task", "task_file", "timeout"])]
    no_task: bool,
}

/// A task as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    prompt: String,
    timeout: Option<Duration>,
}

/// What a command line says of tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// This one.
    Task(Task),
    /// The file's, where it has one; with this time limit in place of the file's.
    Own(Option<Duration>),
    /// None.
    Nothing,
}

impl Asked {
    /// The task to carry out in a sandbox. One of the command line has no limit but its own.
    ///
    /// # Errors
    /// A time limit and no task.
    pub fn of(&self, sandbox: &Sandbox) -> Result<Option<Task>, Failure> {
        match (self, &sandbox.task) {
            (Self::Task(task), _) => Ok(Some(task.clone())),
            (Self::Own(limit), Some(own)) => {
                let timeout = limit.or(own.timeout_s.map(Duration::from_secs));
                Ok(Some(Task { prompt: own.prompt.clone(), timeout }))
            }
            (Self::Own(Some(_)), None) => Err(no_task_to_limit()),
            (Self::Own(None), None) | (Self::Nothing, _) => Ok(None),
        }
    }
}

fn no_task_to_limit() -> Failure {
    let message = "--timeout is for a task, and none is carried out here";
    Failure::usage("timeout_without_task", message)
        .hint("give one by --task or --task-file, or write `task` into the sandbox's file")
}

impl TaskArgs {
    /// What is asked for, where nothing else is to be done with the agent: `otherwise` says that something is.
    ///
    /// # Errors
    /// A file that cannot be read, a task that no program could be given, a time limit without a task.
    pub fn asked(&self, otherwise: bool) -> Result<Asked, Failure> {
        let prompt = match (&self.task, &self.task_file) {
            (Some(text), _) => text.clone(),
            (None, Some(path)) => read(path)?,
            (None, None) if self.timeout.is_some() && otherwise => return Err(no_task_to_limit()),
            (None, None) if self.no_task || otherwise => return Ok(Asked::Nothing),
            (None, None) => return Ok(Asked::Own(self.timeout)),
        };
        if prompt.trim().is_empty() {
            return Err(Failure::usage("empty_task", "the task is empty"));
        }
        if prompt.contains('\0') || prompt.len() > PROMPT_MAX {
            let message = format!("a task is text of at most {} KiB without a NUL byte", PROMPT_MAX >> 10);
            return Err(Failure::usage("task_too_long", message)
                .hint("put what is long into a file of the workspace and name it in the task"));
        }
        Ok(Asked::Task(Task { prompt, timeout: self.timeout }))
    }
}

fn read(path: &Path) -> Result<String, Failure> {
    let unreadable = |error: &dyn std::error::Error| {
        Failure::new(Kind::File, "task_file", format!("cannot read the task: {error}")).at(path, None, None)
    };
    if path.as_os_str() != "-" {
        let bytes = kit::read_file(path, TASK_FILE_MAX).map_err(|error| unreadable(&error))?;
        return String::from_utf8(bytes).map_err(|error| unreadable(&error));
    }
    let (mut text, most) = (String::new(), PROMPT_MAX as u64 + 1);
    std::io::stdin().lock().take(most).read_to_string(&mut text).map_err(|error| unreadable(&error))?;
    Ok(text)
}

impl Task {
    /// In words, that a sandbox carries out the task of its file.
    #[must_use]
    pub fn told(&self, sandbox: &str, file: Option<&str>) -> String {
        let of = file.map_or_else(|| "in its definition".to_owned(), |file| format!("of {file}"));
        let limit = self.timeout.map(|limit| format!(", for at most {limit:?}")).unwrap_or_default();
        format!("{sandbox} carries out the task {of}{limit}; `--no-task` opens the agent instead")
    }

    /// The session that carries it out, with `further` arguments behind the agent's own.
    ///
    /// # Errors
    /// When the agent has no command for tasks, or the arguments would replace it.
    pub fn wish(self, sandbox: &Found, further: &[String]) -> Result<Wish, Failure> {
        let mut command = command(&sandbox.desired, &self.prompt)?;
        if further.first().is_some_and(|first| !first.starts_with('-')) {
            let message = "arguments that replace the agent's command leave no place for a task";
            let failure = Failure::usage("task_and_command", message);
            return Err(failure.hint("arguments that begin with `-` are appended"));
        }
        command.extend(further.iter().cloned());
        Ok(Wish { command, timeout: self.timeout, kind: SessionKind::Task, ..Wish::default() })
    }
}

/// Carries a task out in a running sandbox. With `--output json` the agent's output goes to standard error, and standard
/// output has one object: `sandbox`, `id`, `exitCode`, `durationMs`, `timedOut`, `stdoutBytes`, `stderrBytes`.
///
/// # Errors
/// Every failure of ours.
pub fn run(sandbox: &Found, wish: Wish, context: &Context<'_>) -> CommandResult {
    if context.out.format == Format::Text {
        return attach::run(sandbox, wish);
    }
    let started = Instant::now();
    let (ended, counts) = attach::aside(sandbox, wish)?;
    let (code, timed_out) = match ended {
        Ended::Command(code) | Ended::Left(code) => (code, false),
        Ended::TimedOut => (CODE_TIMEOUT, true),
    };
    let result = json!({
        "sandbox": sandbox.desired.name,
        "id": sandbox.id,
        "exitCode": code,
        "durationMs": u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        "timedOut": timed_out,
        "stdoutBytes": counts.0,
        "stderrBytes": counts.1,
    });
    context.out.data(&result, String::new)?;
    Ok(Outcome::Passed(code))
}

/// The agent's command for a task, with the task in its place.
///
/// # Errors
/// When the agent has none.
pub fn command(sandbox: &Sandbox, prompt: &str) -> Result<Vec<String>, Failure> {
    let agent = &sandbox.agent;
    match &agent.task {
        Some(words) if !words.is_empty() => Ok(words.iter().map(|word| with_prompt(word, prompt)).collect()),
        _ => {
            let message = format!("the agent `{}` has no command for a task", agent.kit);
            let name = &sandbox.name;
            let opens = sandbox.task.as_ref().map_or("", |_| "; `--no-task` opens it as it is");
            Err(Failure::usage("no_task_command", message).hint(format!(
                "write one in its kit, `command: {{task: [PROGRAM, \"${{{{ task.prompt }}}}\"]}}`, or start it with \
                 arguments of its own: cofferdam run {name} -- ARGS{opens}"
            )))
        }
    }
}

/// One argument with the task in it: whatever the task says, it stays one argument and no shell reads it here.
fn with_prompt(word: &str, prompt: &str) -> String {
    let mut result = String::with_capacity(word.len());
    let mut rest = word;
    while let Some((before, from)) = rest.split_once("${{") {
        result.push_str(before);
        match from.split_once("}}") {
            Some((inner, after)) if inner.trim() == PROMPT => {
                result.push_str(prompt);
                rest = after;
            }
            _ => {
                result.push_str("${{");
                rest = from;
            }
        }
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::desired;

    #[test]
    fn a_task_stays_one_argument_whatever_it_says() {
        for (word, expected) in [
            ("${{ task.prompt }}", "a \"b\" ; rm ${{ task.prompt }}"),
            ("${{task.prompt}}", "a \"b\" ; rm ${{ task.prompt }}"),
            ("--say=${{ task.prompt }}!", "--say=a \"b\" ; rm ${{ task.prompt }}!"),
            ("${{ args.x }}", "${{ args.x }}"),
            ("${{ task.prompt", "${{ task.prompt"),
            ("plain", "plain"),
        ] {
            assert_eq!(with_prompt(word, "a \"b\" ; rm ${{ task.prompt }}"), expected);
        }
    }

    #[test]
    fn tasks_come_from_the_line_or_a_file_and_are_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("task.md");
        std::fs::write(&path, "from a file\n").unwrap();
        let task = |task: Option<&str>, file: Option<&Path>, timeout: Option<u64>| {
            let args = TaskArgs {
                task: task.map(str::to_owned),
                task_file: file.map(Path::to_owned),
                timeout: timeout.map(Duration::from_secs),
                no_task: false,
            };
            let asked = args.asked(false).and_then(|asked| asked.of(&Sandbox::smallest("dev")));
            asked.map(|task| task.map(|task| task.prompt)).map_err(|failure| failure.exit_code())
        };
        assert_eq!(task(None, None, None), Ok(None));
        assert_eq!(task(Some("x"), None, Some(1)), Ok(Some("x".into())));
        assert_eq!(task(None, Some(&path), None), Ok(Some("from a file\n".into())));
        assert_eq!(task(None, Some(&folder.path().join("none")), None), Err(3));
        for wrong in [task(None, None, Some(1)), task(Some(" \n"), None, None), task(Some("a\0"), None, None)]
        {
            assert_eq!(wrong, Err(2));
        }
        std::fs::write(&path, "x".repeat(PROMPT_MAX + 1)).unwrap();
        assert_eq!(task(None, Some(&path), None), Err(2));
    }

    #[test]
    fn flags_win_over_the_file_and_the_files_limit_is_its_own_tasks() {
        let own = desired::Task { prompt: "own".into(), file: None, timeout_s: Some(60) };
        let sandbox = Sandbox { task: Some(own), ..Sandbox::smallest("dev") };
        let limit = |seconds| Some(Duration::from_secs(seconds));
        for (args, otherwise, expected) in [
            (TaskArgs::default(), false, Some(("own", limit(60)))),
            (TaskArgs { timeout: limit(5), ..TaskArgs::default() }, false, Some(("own", limit(5)))),
            (TaskArgs { task: Some("x".into()), ..TaskArgs::default() }, false, Some(("x", None))),
            (TaskArgs { no_task: true, ..TaskArgs::default() }, false, None),
            (TaskArgs::default(), true, None),
        ] {
            let task = args.asked(otherwise).unwrap().of(&sandbox).unwrap();
            let found = task.as_ref().map(|task| (task.prompt.as_str(), task.timeout));
            assert_eq!(found, expected, "{args:?}");
        }
        let limited = TaskArgs { timeout: limit(5), ..TaskArgs::default() };
        assert_eq!(limited.asked(true).unwrap_err().exit_code(), 2);
    }
}
