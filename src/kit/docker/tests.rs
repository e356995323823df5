//! Kits of Docker Sandboxes and what becomes of them. `COFFERDAM_UPDATE=1` renews the transcripts in
//! `tests/data/docker-kits`.

use std::{fmt::Write as _, fs, path::Path};

use super::*;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/docker-kits");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    files.sort();
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    files.iter().map(|path| (name(path), fs::read(path).unwrap())).collect()
}

fn transcript(bytes: &[u8]) -> String {
    let mut text = String::new();
    match import(SPEC_FILE, bytes) {
        Ok(imported) => {
            let _ = writeln!(text, "{} {}", imported.kind, imported.name);
            for report in &imported.reports {
                let _ = writeln!(text, "report: {}", report.to_line());
            }
            let _ = write!(text, "--- kit.yaml\n{}", imported.text);
        }
        Err(errors) => {
            for error in errors {
                let word = if error.warning { "report" } else { "error" };
                let _ = writeln!(text, "{word}: {}", error.to_line());
            }
        }
    }
    text
}

#[test]
fn every_kit_becomes_what_its_transcript_says() {
    for (name, bytes) in corpus() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/docker-kits/{name}.txt"));
        let text = transcript(&bytes);
        if std::env::var_os("COFFERDAM_UPDATE").is_some() {
            fs::write(&path, &text).unwrap();
        }
        assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'), "{name}: a terminal would obey this");
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert!(expected == text, "{name} differs; it is now:\n{text}");
    }
}

/// What is written is YAML that our own strict reader takes for the same document.
#[test]
fn what_is_written_reads_back() {
    for (name, bytes) in corpus() {
        let Ok(imported) = import(SPEC_FILE, &bytes) else { continue };
        let (nodes, findings) = parse::documents("kit.yaml", imported.text.as_bytes());
        let errors = findings.into_parts().0;
        assert!(errors.is_empty() && nodes.len() == 1, "{name}: {errors:?}\n{}", imported.text);
        assert_eq!(
            nodes[0].get("metadata").and_then(|it| it.get("name")).and_then(Node::text),
            Some(&*imported.name)
        );
    }
}

/// Nothing of a spec goes without a word: a key that is taken out of the reader's hands is missed in the result or told.
#[test]
fn nothing_is_dropped_in_silence() {
    let (_, bytes) = corpus().into_iter().find(|(name, _)| name == "agent").unwrap();
    let told = transcript(&bytes);
    for word in [
        "1.4.0",
        "Reviewer",
        "Apache-2.0",
        "strict",
        "team",
        "registry.example/reviewer:1.4",
        "--once",
        "--chat",
        "gpu",
        "Be kind.",
        "TICKETS_TOKEN",
        "basic",
        "oauth",
        "8443",
        "docs.example",
        "10.1.2.0/24",
        "every name",
        "gist.example",
        "3000",
        "udp",
        "names here",
        "REVIEW_MODE",
        "COUNT",
        "SBX_INNER",
        "jq",
        "npm ci",
        "serve",
        "sysctl",
        "workspace.path",
        "at each start",
        "0600",
        "notes.md",
        "volumes",
        "security",
        "mixins",
        "favouriteColour",
    ] {
        // What a general remark covers says so by its line.
        let line =
            String::from_utf8_lossy(&bytes).lines().position(|line| line.contains(word)).map(|at| at + 1);
        let by_line = line.is_some_and(|line| told.contains(&format!("{SPEC_FILE}:{line}:")));
        assert!(told.contains(word) || by_line, "{word}:\n{told}");
    }
}

#[test]
fn texts_are_quoted_where_a_reader_of_yaml_would_err() {
    let value = serde_json::json!({
        "plain": "a b/c", "yes": "yes", "empty": "", "number": "012", "truth": "true", "colon": "a: b", "hash": "a #b",
        "lines": "a\n b\n", "no end": "a\nb", "tab": "\ta\nb", "bell": "\u{7}", "nested": [{"a": ["b"], "c": {"d": "e\nf\n"}}],
    });
    let text = emit::yaml(&value);
    let (nodes, findings) = parse::documents("x", text.as_bytes());
    assert!(findings.into_parts().0.is_empty(), "{text}");
    fn json(node: &Node) -> Value {
        match &node.kind {
            Kind::Map(entries) => {
                Value::Object(entries.iter().map(|(key, node)| (key.text.clone(), json(node))).collect())
            }
            Kind::List(items) => items.iter().map(json).collect(),
            Kind::Text(text) => text.clone().into(),
            other => panic!("{other:?} in\n{text:?}", text = other.word()),
        }
    }
    assert_eq!(json(&nodes[0]), value, "{text}");
}

/// As the fuzz target, with fewer inputs: every kit cut short and with bytes exchanged ends in an answer that a
/// terminal may show, and what is written reads back.
#[test]
fn damaged_kits_end_in_an_answer() {
    let obeyed = |sign: char| sign.is_control() && !matches!(sign, '\t' | '\n' | '\r' | '\u{85}');
    let mut seed = 1_u64;
    let mut random = move |below: usize| {
        // xorshift64: the same inputs in every run.
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        usize::try_from(seed % below.max(1) as u64).unwrap_or_default()
    };
    for (name, bytes) in corpus() {
        for round in 0..200 {
            let mut damaged = bytes.clone();
            for _ in 0..=random(3) {
                let at = random(damaged.len());
                match random(4) {
                    0 => damaged.truncate(at),
                    1 => drop(damaged.splice(at..at, *b"{[\"\\e")),
                    2 => damaged.insert(at, b"\x1b\n:-#&*!|>%@`0"[random(14)]),
                    _ => drop(damaged.splice(at..(at + random(9)).min(damaged.len()), [])),
                }
                if damaged.is_empty() {
                    break;
                }
            }
            match import(SPEC_FILE, &damaged) {
                Ok(kit) => {
                    assert!(
                        !kit.text.contains(obeyed) && parse::is_yaml(kit.text.as_bytes()),
                        "{name} {round}:\n{}",
                        kit.text
                    );
                    assert!(
                        !kit.reports.iter().any(|report| report.to_line().contains(obeyed)),
                        "{name} {round}"
                    );
                }
                Err(problems) => {
                    assert!(!problems.is_empty(), "{name} {round}");
                    assert!(
                        !problems.iter().any(|problem| problem.to_line().contains(obeyed)),
                        "{name} {round}"
                    );
                }
            }
        }
    }
}

/// A folder with a `spec.yaml` is a kit wherever one may be named.
#[test]
fn a_sandbox_uses_kits_of_docker_sandboxes_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let lab =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/docker-kits/draft.yaml"));
    write("kits/lab/spec.yaml", &lab.unwrap());
    write("kits/lab/files/home/.config/lab.toml", "a = 1\n");
    write(
        "kits/more/spec.yaml",
        "schemaVersion: \"2\"\nkind: mixin\nname: more\nrequires: {agent: lab}\nenvironment: {variables: {MORE: yes}}\n",
    );
    write("kits/old/spec.yaml", "schemaVersion: \"1\"\nkind: agent\nname: old\n");
    let sandbox = |kits: &str| {
        format!(
            "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {{name: dev}}\nspec:\n  agent: lab\n  kits: {kits}\n  workspace: {{mode: read}}\n"
        )
    };
    write("sandbox.yaml", &sandbox("[more]"));
    let context = crate::kit::Context { folder: folder.path().into(), ..crate::kit::tests::context() };
    let load = || crate::kit::load(crate::kit::Selection::Path("sandbox.yaml".into()), &context);
    let loaded = load().unwrap_or_else(|error| panic!("{error:?}"));
    let dev = &loaded.sandboxes[0];
    assert_eq!(dev.agent.command, ["lab", "--tty"]);
    assert_eq!(dev.env["MORE"], "yes");
    assert_eq!(dev.network.rules[0].why, "imported from lab, spec.yaml:11");
    let paths: Vec<_> = dev.files.iter().map(|file| file.path.as_str()).collect();
    assert!(paths.contains(&"~/.lab") && paths.contains(&"~/.config/lab.toml"), "{paths:?}");
    assert!(dev.kits.iter().any(|kit| kit.name == "more" && kit.digest.is_some()), "{:?}", dev.kits);
    let told = loaded.warnings.iter().map(Problem::to_line).collect::<Vec<_>>();
    assert!(
        told.iter().any(|line| line.contains("spec.yaml:7:") && line.contains("no equivalent")),
        "{told:?}"
    );
    // What cannot be read keeps the sandbox from being made.
    write("sandbox.yaml", &sandbox("[old]"));
    let error = load().unwrap_err();
    assert!(format!("{error}").contains("schema 1 of Docker's kits"), "{error}");
}
