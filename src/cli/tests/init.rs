//! `init` in repositories that somebody made to be in its way, and `plan` in those that it wrote for.

use std::{
    fs,
    os::unix::{fs::symlink, net::UnixListener},
    path::Path,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use super::transcripts::Stage;
use crate::model::text::drives;

fn stage() -> Stage {
    Stage::new(Path::new("/nonexistent"))
}

impl Stage {
    fn write(&self, name: &str, text: &str) {
        let path = self.folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn types(&mut self, line: &str) -> String {
        self.run(line, Vec::new())
    }

    fn sandbox(&self) -> String {
        fs::read_to_string(self.folder.join("sandbox.yaml")).unwrap()
    }
}

fn fifo(path: &Path) {
    mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
}

#[test]
fn what_is_no_file_says_nothing() {
    let mut stage = stage();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("lock"), "version = 4\n").unwrap();
    fs::write(outside.path().join("mcp"), "{\"mcpServers\": {\"of-somebody-else\": {}}}").unwrap();
    symlink(outside.path().join("lock"), stage.folder.join("Cargo.lock")).unwrap();
    symlink(outside.path().join("mcp"), stage.folder.join(".mcp.json")).unwrap();
    symlink("again", stage.folder.join("again")).unwrap();
    fifo(&stage.folder.join("package-lock.json"));
    fifo(&stage.folder.join(".worktreeinclude"));
    let _socket = UnixListener::bind(stage.folder.join("yarn.lock")).unwrap();
    fs::create_dir(stage.folder.join("go.sum")).unwrap();
    let shown = stage.types("cofferdam init");
    assert!(shown.starts_with("sandbox.yaml\n"), "{shown}");
    let text = stage.sandbox();
    assert!(!text.contains("registry:") && !text.contains("of-somebody-else"), "{text}");
    assert!(text.contains("# .mcp.json: not read: it is a link"), "{text}");
    assert!(text.contains("# .worktreeinclude: not read: "), "{text}");
    assert!(stage.types("cofferdam check").starts_with("ok: dev\n"));
    // The break: the same files, not links, say something.
    for (from, to) in [("lock", "Cargo.lock"), ("mcp", ".mcp.json")] {
        fs::remove_file(stage.folder.join(to)).unwrap();
        fs::copy(outside.path().join(from), stage.folder.join(to)).unwrap();
    }
    stage.types("cofferdam init --force");
    assert!(stage.sandbox().contains("registry:cargo") && stage.sandbox().contains("of-somebody-else"));
}

#[test]
fn very_long_files_take_no_long_time() {
    let mut stage = stage();
    for name in ["package-lock.json", "Gemfile.lock", ".mcp.json", ".worktreeinclude", "sbxenv.yaml"] {
        stage.write(name, "{\"lockfileVersion\": 3}\n");
        fs::File::options().write(true).open(stage.folder.join(name)).unwrap().set_len(1 << 30).unwrap();
    }
    stage.write("package.json", "{}");
    let begin = std::time::Instant::now();
    stage.types("cofferdam init");
    assert!(
        stage.sandbox().contains("- {allow: \"registry:npm\", why: dependencies}"),
        "{}",
        stage.sandbox()
    );
    assert!(stage.sandbox().contains("# .mcp.json: not read: a file has at most"));
    let shown = stage.types("cofferdam init --from sbxenv --force");
    assert!(shown.contains("a file has at most") && shown.ends_with("[exit 3]\n"), "{shown}");
    assert!(begin.elapsed().as_secs() < 20);
}

#[test]
fn thousands_of_wrong_keys_take_no_long_time() {
    let of = |number: usize| {
        let mut stage = stage();
        let keys: Vec<String> = (0..number).map(|number| format!("\"a b{number}\": \"x\"")).collect();
        stage.write(".devcontainer.json", &format!("{{\"containerEnv\": {{{}}}}}", keys.join(", ")));
        let shown = stage.types("cofferdam init --from devcontainer");
        (stage, shown)
    };
    let (mut stage, shown) = of(1_000);
    assert_eq!(shown.matches("not mapped: containerEnv.a b").count(), 1_000);
    assert!(!stage.sandbox().contains("findings"), "the reason is each line's own");
    assert!(stage.types("cofferdam check").starts_with("ok: "));
    let (stage, shown) = of(3_000);
    assert!(
        shown.contains("more of it is wrong than can be told") && shown.ends_with("[exit 3]\n"),
        "{shown}"
    );
    assert!(!stage.folder.join("sandbox.yaml").exists());
}

#[test]
fn nothing_is_replaced_and_nothing_is_hidden() {
    let target = tempfile::tempdir().unwrap();
    // What lies in the place of the file is somebody's, whatever it is.
    for lay in [
        |at: &Path, target: &Path| symlink(target.join("new.yaml"), at).unwrap(),
        |at: &Path, _: &Path| fifo(at),
        |at: &Path, _: &Path| fs::create_dir(at).unwrap(),
        |at: &Path, _: &Path| fs::write(at, "mine").unwrap(),
    ] {
        let mut stage = stage();
        lay(&stage.folder.join("sandbox.yaml"), target.path());
        let shown = stage.types("cofferdam init");
        assert!(shown.contains("sandbox.yaml is there already") && shown.ends_with("[exit 2]\n"), "{shown}");
    }
    // A folder that is a link leads nowhere, and then the file is not written either.
    for (folder, above) in
        [(".cofferdam", ".cofferdam is a link"), (".github", "cannot write /src/shop/.github/")]
    {
        let mut linked = stage();
        symlink(target.path(), linked.folder.join(folder)).unwrap();
        let shown = linked.types("cofferdam init --ci github");
        assert!(shown.contains(above) && shown.ends_with("[exit 1]\n"), "{shown}");
        assert!(!linked.folder.join("sandbox.yaml").exists());
    }
    assert_eq!(fs::read_dir(target.path()).unwrap().count(), 0, "nothing is written through a link");
    // What defines sandboxes already would be hidden.
    let mut defined = stage();
    defined.write(".cofferdam/approvals.yaml", "");
    defined.write(".cofferdam/dev.yaml", "");
    let shown = defined.types("cofferdam init");
    assert!(
        shown.contains(".cofferdam/dev.yaml is there already, and sandbox.yaml would hide it"),
        "{shown}"
    );
    let shown = defined.types("cofferdam init --ci github");
    assert!(shown.contains(".github/workflows/cofferdam.yml\n"), "{shown}");
    assert!(!defined.folder.join("sandbox.yaml").exists(), "a workflow is added to what is there");
    fs::remove_file(defined.folder.join(".cofferdam/dev.yaml")).unwrap();
    assert!(defined.types("cofferdam init").starts_with("sandbox.yaml\n"));
}

#[test]
fn a_folder_of_a_repository_is_told_where_the_files_went() {
    let mut stage = stage();
    stage.types("mkdir packages/web");
    let shown = stage.types("cofferdam init");
    assert!(shown.contains("! in /src/shop, where the repository begins\n"), "{shown}");
    let shown = stage.types("cofferdam init");
    assert!(shown.contains("! error: /src/shop/sandbox.yaml is there already\n"), "{shown}");
}

/// JSON without a sign that a file may not hold as it is.
fn ascii(json: &serde_json::Value) -> String {
    let mut text = String::new();
    for sign in json.to_string().chars() {
        match sign {
            ' '..='~' => text.push(sign),
            sign => text.extend(sign.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}"))),
        }
    }
    text
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(32))]
    /// Whatever names a repository brings, the file is right and holds nothing that moves, hides or reorders.
    #[test]
    fn hostile_names_make_a_right_file(text in "\\PC{0,40}|[\\x00-\\u{2fff}\\u{e0000}-\\u{e00ff}]{0,40}") {
        let mut stage = stage();
        let lock = serde_json::json!({ "lockfileVersion": 3, (text.clone()): text });
        stage.write("package-lock.json", &ascii(&lock));
        stage.write("package.json", "{}");
        stage.write(".mcp.json", &ascii(&serde_json::json!({ "mcpServers": { (text.clone()): {} } })));
        stage.write(".worktreeinclude", &text);
        stage.write("uv.lock", &format!("requires-python = \">={text}99\"\n{text}"));
        stage.write("pyproject.toml", &text);
        let json = serde_json::json!({
            "name": text, "containerEnv": { (text.clone()): text }, "postStartCommand": text, "forwardPorts": [3000, text],
            "portsAttributes": { "3000": { "label": text } }, (format!("x{text}")): text,
            "mounts": [format!("source=/{text},target=/{text},type=bind")],
        });
        stage.write(".devcontainer.json", &ascii(&json));
        for line in ["cofferdam init", "cofferdam init --from devcontainer --force"] {
            let shown = stage.types(line);
            proptest::prop_assert!(shown.starts_with("sandbox.yaml\n"), "{}", shown);
            let file = stage.sandbox();
            proptest::prop_assert!(!file.chars().any(|sign| sign != '\n' && drives(sign)), "{:?}", file);
            let shown = stage.types("cofferdam check");
            proptest::prop_assert!(shown.starts_with("ok: "), "{}\n{}", shown, file);
        }
    }
}
