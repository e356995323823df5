//! The format as its users meet it: files that are right with the model they yield, files that are wrong with the
//! words they get. `COFFERDAM_UPDATE=1` renews the transcripts in `tests/data/kit`.

mod agreement;
mod hostile;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use miette::{GraphicalReportHandler, GraphicalTheme};

use super::{
    beside::BesideAll,
    discover::SourceFile,
    load::{Context, LoadError, check},
    *,
};
use crate::model::{
    desired::{Sandbox, WorkspaceMode},
    registry::{Lookup, Registries, Registry},
    unit::Bytes,
};

pub(super) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/kit").canonicalize().unwrap()
}

pub(super) fn context() -> Context {
    Context {
        folder: data(),
        home: data().join("folders"),
        default_memory: Bytes::gib(4),
        user_folder: None,
        registries: registries(),
        lock: LockUse::Prefer,
        elsewhere: Elsewhere::default(),
        tree: None,
    }
}

/// What this host would answer, were it one.
fn registries() -> Registries {
    let found = |url: &str| {
        let urls = vec![url.parse().unwrap()];
        Lookup::Found(Registry { urls, source: "registries of the operator's configuration".into() })
    };
    let unknown = Lookup::Unknown("gem is not installed here".into());
    let answers = [
        ("npm", found("https://packages.example/npm/")),
        ("apt", found("http://deb.packages.example/")),
        ("gem", unknown),
    ];
    Registries(answers.map(|(name, answer)| (name.to_owned(), answer)).into())
}

pub(super) fn file(name: &str, bytes: &[u8]) -> SourceFile {
    SourceFile::new(name, data().join(name), &data(), bytes.into(), None)
}

fn check_text(text: &str) -> Result<(Vec<Sandbox>, Vec<Problem>), LoadError> {
    let said = check(&[file("sandbox.yaml", text.as_bytes())], BesideAll::default(), None, &context())?;
    Ok((said.sandboxes, said.warnings))
}

/// The findings of a text, one line each.
fn lines(text: &str) -> Vec<String> {
    match check_text(text) {
        Err(LoadError::Invalid(problems)) => problems.iter().map(Problem::to_line).collect(),
        other => panic!("nothing wrong: {other:?}"),
    }
}

pub(super) fn corpus(folder: &str) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> =
        fs::read_dir(data().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let name = |path: &Path| format!("{folder}/{}", path.file_name().unwrap().to_str().unwrap());
    files.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

fn render(problems: &[Problem]) -> String {
    // Lines as long as they are: where the checkout lies must not decide where a message wraps.
    let handler =
        GraphicalReportHandler::new_themed(GraphicalTheme::unicode_nocolor()).with_wrap_lines(false);
    let mut text = String::new();
    for problem in problems {
        handler.render_report(&mut text, problem).unwrap();
    }
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// Holds `text` against the transcript beside a file of the corpus.
pub(super) fn golden(name: &str, extension: &str, text: &str) {
    let path = data().join(name).with_extension(extension);
    let text = text.replace(data().to_str().unwrap(), "[DATA]");
    if std::env::var_os("COFFERDAM_UPDATE").is_some() {
        fs::write(&path, &text).unwrap();
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    assert!(expected == text, "{} differs; it is now:\n{text}", path.display());
}

/// Files' content as text: in base64 nobody could read it, nor find the checkout's path in it.
fn decode_files(model: &mut serde_json::Value) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    for sandbox in model.as_array_mut().into_iter().flatten() {
        for file in sandbox["files"].as_array_mut().into_iter().flatten() {
            let bytes = STANDARD.decode(file["content"].as_str().unwrap()).unwrap();
            file["content"] = String::from_utf8_lossy(&bytes).into();
        }
    }
}

#[test]
fn right_files_yield_their_model() {
    for (name, bytes) in corpus("valid") {
        let (sandboxes, warnings) =
            match check(&[file(&name, &bytes)], BesideAll::default(), None, &context()) {
                Ok(said) => (said.sandboxes, said.warnings),
                Err(LoadError::Invalid(problems)) => panic!("{name}:\n{}", render(&problems)),
                Err(error) => panic!("{name}: {error}"),
            };
        let mut model = serde_json::to_value(&sandboxes).unwrap();
        decode_files(&mut model);
        let mut text = format!("{model:#}\n");
        for warning in warnings {
            writeln!(text, "warning: {}", warning.to_line()).unwrap();
        }
        golden(&name, "txt", &text);
    }
}

#[test]
fn wrong_files_say_what_and_where_and_how() {
    for (name, bytes) in corpus("invalid") {
        let text = match check(&[file(&name, &bytes)], BesideAll::default(), None, &context()) {
            Ok(_) => panic!("{name}: nothing wrong"),
            Err(LoadError::Invalid(problems)) => render(&problems),
            Err(error) => format!("{error}\n"),
        };
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{name}: a terminal would obey this");
        golden(&name, "txt", &text);
    }
}

#[test]
fn a_finding_as_json() {
    let Err(LoadError::Invalid(problems)) = check_text("apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbx\n")
    else {
        panic!("nothing wrong")
    };
    let expected = serde_json::json!({
        "code": "kit::unknown_name",
        "kind": "invalidFile",
        "message": "unknown kind `Sandbx`",
        "file": "sandbox.yaml",
        "line": 2,
        "column": 7,
        "hint": "did you mean `Sandbox`?",
    });
    assert_eq!(problems[0].to_json(), expected);
}

#[test]
fn two_files_cannot_describe_one_sandbox() {
    let text = fs::read(data().join("valid/smallest.yaml")).unwrap();
    let files = [file("a.sandbox.yaml", &text), file("b.sandbox.yaml", &text)];
    let Err(LoadError::Invalid(problems)) = check(&files, BesideAll::default(), None, &context()) else {
        panic!("nothing wrong")
    };
    assert_eq!(problems.len(), 1);
    assert_eq!((problems[0].file(), problems[0].line(), problems[0].column()), ("b.sandbox.yaml", 3, 18));
    assert_eq!(problems[0].label.as_deref(), Some("the other: a.sandbox.yaml:3"));
}

#[test]
fn a_sandbox_without_a_mode_is_read_only_and_told_so() {
    let text = fs::read_to_string(data().join("valid/smallest.yaml")).unwrap();
    let (sandboxes, warnings) = check_text(&text).unwrap();
    assert_eq!(sandboxes[0].workspace.as_ref().unwrap().mode, WorkspaceMode::Read);
    assert!(warnings[0].warning && warnings[0].message.contains("read-only"));
}

#[test]
fn ten_thousand_documents_are_read_with_their_lines() {
    let document = |n: usize| {
        format!(
            "---\napiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {{name: agent-{n}, labels: {{team: web}}}}\nspec:\n  \
             agent: shell\n  workspace: {{mode: read}}\n  network:\n    rules:\n      - {{allow: \"api-{n}.vendor.example:443\", why: model}}\n      \
             - {{deny: [gist.vendor.example], why: exfiltration}}\n  resources: {{cpus: 2, memory: 2GiB}}\n"
        )
    };
    let text: String = (0..10_000).map(document).collect();
    let (sandboxes, _) = check_text(&text).unwrap();
    assert_eq!(sandboxes.len(), 10_000);
    assert_eq!(sandboxes[9_999].network.rules[0].origin.line, Some(9_999 * 12 + 10));
}

#[test]
fn several_mistakes_come_at_once_and_in_order() {
    let found = lines(&fs::read_to_string(data().join("invalid/unknown-key.yaml")).unwrap());
    for (found, begin) in found.iter().zip([
        "sandbox.yaml:6:3: unknown key `netwrok` in `spec` (did you mean `network`?)",
        "sandbox.yaml:9:10: `spec.network.rules[0]` lacks `why` (add `why:` (What the rule is for",
        "sandbox.yaml:9:34: unknown key `wy` in `spec.network.rules[0]` (did you mean `why`?)",
        "sandbox.yaml:10:3: unknown key `zzz` in `spec` (known here: agent, args, caches, command, env,",
    ]) {
        assert!(found.starts_with(begin), "{found}");
    }
    assert_eq!(found.len(), 4);
}

#[test]
fn examples_are_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let context = Context { folder: root.into(), home: root.into(), ..context() };
    let loaded = load(Selection::Path("examples".into()), &context);
    match loaded {
        Ok(loaded) => {
            assert!(loaded.warnings.is_empty() && !loaded.sandboxes.is_empty(), "{:?}", loaded.warnings)
        }
        Err(LoadError::Invalid(problems)) => panic!("{}", render(&problems)),
        Err(error) => panic!("{error}"),
    }
}

/// Repositories with kits in them, and a person's own folder: `repository`, `home` and `config` of each. A copy, which is
/// a repository, and where it is looked at from.
pub(super) fn trees() -> Vec<(String, Context, tempfile::TempDir)> {
    let trees = data().join("trees");
    let mut names: Vec<_> = fs::read_dir(&trees).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.is_dir());
    names.sort();
    let copied = |tree: PathBuf| {
        let name = format!("trees/{}", tree.file_name().unwrap().to_str().unwrap());
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        copy(&tree, &root);
        for folder in ["home", "config", "repository/.git/objects", "repository/.git/refs"] {
            fs::create_dir_all(root.join(folder)).unwrap();
        }
        fs::write(root.join("repository/.git/HEAD"), "ref: refs/heads/main\n").unwrap();
        let (home, user_folder) = (root.join("home"), Some(root.join("config")));
        (name, Context { folder: root.join("repository"), home, user_folder, ..context() }, folder)
    };
    names.into_iter().map(copied).collect()
}

#[test]
fn trees_yield_their_model_or_say_what_is_wrong() {
    for (name, context, folder) in trees() {
        let text = match load(Selection::Default, &context) {
            Ok(loaded) => {
                let mut model = serde_json::to_value(&loaded.sandboxes).unwrap();
                decode_files(&mut model);
                let mut text = format!("{model:#}\n");
                for warning in loaded.warnings {
                    writeln!(text, "warning: {}", warning.to_line()).unwrap();
                }
                text
            }
            Err(LoadError::Invalid(problems)) => render(&problems),
            Err(error) => format!("{error}\n"),
        };
        let root = folder.path().canonicalize().unwrap();
        golden(&name, "txt", &text.replace(root.to_str().unwrap(), "[ROOT]"));
    }
}

/// Copies a folder, links as links.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(from).unwrap(), to).unwrap();
        } else if kind.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(from, to).unwrap();
        }
    }
}
