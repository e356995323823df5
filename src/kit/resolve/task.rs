//! What the agent does without a person.

use std::path::{Component, Path, PathBuf};

use super::{Here, setup, text};
use crate::{
    kit::{
        findings::Findings,
        merge::{Part, Placed, Prompt},
        problem::{Code, Span},
        spanned::Spanned,
        wire::guest as wire,
    },
    model::desired::{PROMPT_MAX, Task},
};

/// The prompt and the time limit of a document's task.
pub(super) fn task(
    written: &wire::Task,
    here: &Here<'_>,
    findings: &mut Findings,
) -> (Option<Placed<Prompt>>, Option<Placed<u64>>) {
    let (prompt, span) = match (&written.prompt, &written.prompt_file) {
        (Some(prompt), _) => (inline(prompt, findings), prompt.span),
        (None, Some(path)) => (from_file(path, here, findings), path.span),
        // The schema's validator has asked for one of them.
        (None, None) => return (None, None),
    };
    let prompt = prompt.map(|prompt| here.placed(prompt, span, findings));
    let timeout = written.timeout.as_ref().and_then(|timeout| {
        let seconds = setup::timeout(timeout, "a task", findings)?;
        Some(here.placed(seconds, timeout.span, findings))
    });
    (prompt, timeout)
}

fn inline(written: &Spanned<String>, findings: &mut Findings) -> Option<Prompt> {
    text::refuse_expression(written, findings);
    can_be_given(written, written.span, findings).then(|| Prompt { text: written.value.clone(), file: None })
}

/// The content of a file, as it is: no expression in it means anything.
fn from_file(path: &Spanned<String>, here: &Here<'_>, findings: &mut Findings) -> Option<Prompt> {
    let bytes = here.read(path, PROMPT_MAX, findings)?;
    let Ok(text) = String::from_utf8(bytes) else {
        findings.push(findings.at(Code::File, path.span, "the prompt's file is not text (UTF-8)"));
        return None;
    };
    let file = here.place(Path::new(path.as_str())).and_then(|path| plain(&path));
    can_be_given(&text, path.span, findings).then_some(Prompt { text, file })
}

/// Without `.` and `..`: the file was opened beneath the root, so none leads out of it.
fn plain(path: &Path) -> Option<String> {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => plain.push(part),
            Component::ParentDir => drop(plain.pop()),
            _ => {}
        }
    }
    plain.into_os_string().into_string().ok()
}

/// Whether a program can be given this as its task.
fn can_be_given(prompt: &str, span: Span, findings: &mut Findings) -> bool {
    let wrong = match prompt {
        text if text.trim().is_empty() => "a task cannot be empty".to_owned(),
        text if text.contains('\0') => "a task cannot hold a NUL byte".to_owned(),
        text if text.len() > PROMPT_MAX => format!("a task has at most {} KiB", PROMPT_MAX >> 10),
        _ => return true,
    };
    findings.push(findings.at(Code::WrongValue, span, wrong).help(
        "say what the agent shall do; what is long goes into a file of the workspace, which the task names",
    ));
    false
}

/// The task of the merged contributions; a warning where the agent has no command for one.
pub(super) fn of_whole(merged: &Part, findings: &mut Findings) -> Option<Task> {
    let prompt = merged.prompt.as_ref()?;
    if merged.command.is_some() && merged.task.is_none() {
        let problem = prompt
            .at
            .problem(Code::Note, "the agent has no command for a task, so `run` cannot carry this out");
        findings.push(
            problem
                .as_warning()
                .help("write `command.task` in its kit, or `run NAME --no-task` opens the agent"),
        );
    }
    Some(Task {
        prompt: prompt.value.text.clone(),
        file: prompt.value.file.clone(),
        timeout_s: merged.task_timeout.as_ref().map(|timeout| timeout.value),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::*;
    use crate::kit::{Context, LoadError, Problem, Selection, load, tests::context};

    /// What a repository's file with this task becomes; what is wrong, a line each.
    fn loaded(root: &Path, task: &str) -> Result<(Option<Task>, Vec<String>), Vec<String>> {
        let text = format!(
            "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {{name: dev}}\nspec:\n  agent: shell\n  \
             workspace: {{mode: read}}\n  task: {task}\n"
        );
        fs::write(root.join("packages/sandbox.yaml"), text).unwrap();
        let context = Context { folder: root.to_owned(), home: root.to_owned(), ..context() };
        match load(Selection::Path("packages".into()), &context) {
            Ok(mut loaded) => {
                Ok((loaded.sandboxes.remove(0).task, loaded.warnings.iter().map(Problem::to_line).collect()))
            }
            Err(LoadError::Invalid(problems)) => Err(problems.iter().map(Problem::to_line).collect()),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn a_prompts_file_is_a_bounded_regular_file_of_the_repository() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap().join("web");
        for folder in [".git/objects", ".git/refs", "packages", "tasks"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        let longest = "ä".repeat(PROMPT_MAX / 2);
        fs::write(root.join("tasks/longest.md"), &longest).unwrap();
        let (task, _) = loaded(&root, "{promptFile: .././tasks/longest.md, timeout: 90s}").unwrap();
        let expected =
            Task { prompt: longest.clone(), file: Some("tasks/longest.md".into()), timeout_s: Some(90) };
        assert_eq!(task, Some(expected));

        fs::write(root.join("../outside.md"), "x").unwrap();
        fs::write(root.join("tasks/long.md"), longest + "x").unwrap();
        fs::write(root.join("tasks/blank.md"), " \n\t").unwrap();
        fs::write(root.join("tasks/nul.md"), "a\0b").unwrap();
        fs::write(root.join("tasks/bytes.md"), b"\xff\xfe").unwrap();
        fs::write(root.join("tasks/twice.md"), "x").unwrap();
        fs::hard_link(root.join("tasks/twice.md"), root.join("tasks/again.md")).unwrap();
        std::os::unix::fs::symlink("longest.md", root.join("tasks/link.md")).unwrap();
        std::os::unix::fs::symlink("../tasks", root.join("packages/linked")).unwrap();
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, root.join("tasks/pipe"), rustix::fs::FileType::Fifo, mode, 0)
            .unwrap();
        for (path, reason) in [
            ("../tasks/none.md", "is not there"),
            ("../tasks/long.md", "larger than 120 KiB"),
            ("../tasks/blank.md", "cannot be empty"),
            ("../tasks/nul.md", "NUL byte"),
            ("../tasks/bytes.md", "not text"),
            ("../tasks/again.md", "hard link"),
            ("../tasks/link.md", "a link"),
            ("linked/longest.md", "a link"),
            ("../tasks/pipe", "no regular file"),
            ("../tasks", "no regular file"),
            ("../../outside.md", "outside of the repository"),
            ("/etc/passwd", "not a path inside"),
            ("~/x.md", "not a path inside"),
        ] {
            let found = loaded(&root, &format!("{{promptFile: {path}}}")).unwrap_err();
            let place = "packages/sandbox.yaml:7:22: ";
            assert!(
                found.len() == 1 && found[0].starts_with(place) && found[0].contains(reason),
                "{path}: {found:?}"
            );
        }
    }

    #[test]
    fn an_agent_without_a_command_for_tasks_is_told_beside_the_task() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().canonicalize().unwrap();
        for folder in [".git/objects", ".git/refs", "packages", "kits/quiet"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
        fs::write(
            root.join("kits/quiet/kit.yaml"),
            "apiVersion: cofferdam.dev/v1alpha1\nkind: Agent\nmetadata: {name: quiet}\nspec: {command: {interactive: [quiet]}}\n",
        )
        .unwrap();
        let (task, warnings) = loaded(&root, "{prompt: tidy up}\n  # agent").unwrap();
        assert!(task.is_some() && warnings.is_empty(), "{warnings:?}");
        let text = fs::read_to_string(root.join("packages/sandbox.yaml")).unwrap().replace("shell", "quiet");
        fs::write(root.join("packages/sandbox.yaml"), text).unwrap();
        let context = Context { folder: root.clone(), home: root, ..context() };
        let warnings = load(Selection::Path("packages".into()), &context).unwrap().warnings;
        let line = warnings[0].to_line();
        assert!(
            line.starts_with("packages/sandbox.yaml:7:18: the agent has no command for a task"),
            "{line}"
        );
    }
}
