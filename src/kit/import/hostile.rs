//! What other tools' files hold that is easily dropped, misread or repeated.

use super::*;
use crate::kit::{draft::Place, parse};

fn devcontainer(text: &str) -> Imported {
    super::devcontainer("d", text.as_bytes(), "shell").unwrap()
}

fn sbxenv(text: &str) -> Imported {
    super::sbxenv("s", text.as_bytes(), "shell", &|_| true, &|_| true).unwrap()
}

fn told(imported: &Imported) -> Vec<(u32, String, String)> {
    imported.unmapped.iter().map(|one| (one.line, one.key.clone(), one.reason.clone())).collect()
}

fn lines(imported: &Imported) -> Vec<String> {
    imported.draft.entries.iter().map(|entry| entry.text.clone()).collect()
}

#[test]
fn a_path_ends_in_ro_and_in_nothing_else() {
    for (item, expected, reason) in [
        ("../docs", Some("{source: ../docs, access: write, why: imported}"), ""),
        ("../docs:ro", Some("{source: ../docs, access: read, why: imported}"), ""),
        (
            "{path: \"../docs:ro\", readOnly: false}",
            Some("{source: ../docs, access: read, why: imported}"),
            "",
        ),
        (
            "{path: ../docs, readOnly: \"true\"}",
            Some("{source: ../docs, access: read, why: imported}"),
            "it is true or false, not text",
        ),
        ("../docs:rw", None, "`rw` behind a colon"),
        ("../docs:ro:z", None, "`z` behind a colon"),
        ("\":ro\"", None, "`ro` behind a colon"),
        ("\"../docs:\\e[2J\"", None, "`\\u{1b}[2J` behind a colon"),
        ("\"${{ env.projectDir }}/x\"", None, "arguments of a whole file"),
    ] {
        let imported = sbxenv(&format!("workspace: .\nadditionalWorkspaces:\n  - {item}\n"));
        let mounts: Vec<&Entry> =
            imported.draft.entries.iter().filter(|entry| entry.place == Place::Mounts).collect();
        assert_eq!(mounts.first().map(|entry| entry.text.as_str()), expected, "{item}");
        assert!(mounts.iter().all(|entry| entry.refused.is_some()), "{item}");
        let told = told(&imported);
        assert!(told.iter().any(|(line, _, why)| *line == 3 && why.contains(reason)), "{item}: {told:?}");
    }
}

#[test]
fn a_workspace_is_never_wider_than_it_was() {
    for (text, expected) in [
        ("name: x\n", "workspace: {mode: read}"),
        ("workspace: null\n", "workspace: {mode: read}"),
        ("workspace: .\n", "workspace: {path: ., mode: direct}"),
        ("workspace: .:ro\n", "workspace: {path: ., mode: read}"),
        ("workspace: {path: sub}\n", "workspace: {path: sub, mode: direct}"),
        ("workspace: {clone: true}\n", "workspace: {path: ., mode: read}"),
        ("workspace: {path: ., clone: \"yes\"}\n", "workspace: {path: ., mode: read}"),
        ("workspace: .:rw\n", "workspace: {mode: read}"),
        ("workspace: 5\n", "workspace: {mode: read}"),
        ("workspace: {path: [a]}\n", "workspace: {mode: read}"),
    ] {
        let imported = sbxenv(text);
        assert_eq!(lines(&imported), [expected], "{text}");
    }
}

#[test]
fn what_looks_like_a_secret_is_told_and_not_repeated() {
    for (name, value, is_one) in [
        ("API_KEY", "abc", true),
        ("DB_PASSWORD", "hunter2", true),
        ("npm_token", "x", true),
        ("X", "ghp_0123456789abcdefghij", true),
        ("X", "sk-ant-api03-0123456789", true),
        ("DATABASE_URL", "postgres://shop:hunter2@db.example/shop", true),
        ("DATABASE_URL", "postgres://db.example:5432/shop", false),
        ("TOKEN_FILE", "/run/token", false),
        ("MAX_TOKENS", "4096", false),
        ("X", "sk-", false),
        ("EMPTY_SECRET", "", false),
        ("NODE_ENV", "test", false),
    ] {
        let json = serde_json::json!({ "containerEnv": {(name): value} }).to_string();
        for imported in
            [devcontainer(&json), sbxenv(&format!("workspace: .\nenv: {{{name}: \"{value}\"}}\n"))]
        {
            let kept = lines(&imported).iter().any(|line| line.starts_with(name));
            assert_eq!(kept, !is_one, "{name}={value}");
            let told = format!("{:?}", imported.unmapped);
            assert_eq!(told.contains("looks like a secret"), is_one, "{name}={value}: {told}");
            let all = told + &imported.draft.render();
            assert!(!is_one || value.len() < 4 || !all.contains(value), "{name}={value}: {all}");
        }
    }
}

#[test]
fn each_part_of_a_mount_is_read_or_told() {
    for (mount, expected, reason) in [
        (
            r#""source=/srv/x,target=/x,type=bind,consistency=cached""#,
            Some("access: write"),
            "an option of a container engine",
        ),
        (
            r#"{"source": "/srv/x", "target": "/x", "type": "bind", "readonly": true}"#,
            Some("access: read"),
            "proposed",
        ),
        (
            r#""source=${localEnv:HOME}${localEnv:USERPROFILE}/x,target=/x,type=bind,ro""#,
            Some("source: \"~/x\""),
            "proposed",
        ),
        (
            r#""source=${localWorkspaceFolder}/x,target=/x,type=bind""#,
            None,
            "nothing from the host's environment",
        ),
        (
            r#""source=/x,target=${containerWorkspaceFolder}/x,type=bind""#,
            None,
            "nothing from the host's environment",
        ),
        (r#""source=cache,target=/x""#, None, "a volume for /x"),
        (r#""type=tmpfs,target=/x""#, None, "without source"),
        (r#""""#, None, "without source"),
    ] {
        let imported = devcontainer(&format!("{{\n\"mounts\": [\n{mount}\n]}}"));
        let entry = imported.draft.entries.first();
        assert_eq!(entry.is_some(), expected.is_some(), "{mount}");
        assert!(
            entry.is_none_or(|entry| entry.refused.is_some() && entry.text.contains(expected.unwrap())),
            "{mount}: {entry:?}"
        );
        assert!(
            told(&imported).iter().any(|(line, _, why)| *line == 3 && why.contains(reason)),
            "{mount}: {:?}",
            told(&imported)
        );
    }
}

#[test]
fn ports_take_every_form() {
    for (key, item, expected) in [
        ("forwardPorts", "3000", Ok("{guest: 3000, host: 3000}")),
        ("forwardPorts", "\"3000\"", Ok("{guest: 3000, host: 3000}")),
        ("forwardPorts", "\"localhost:3000\"", Ok("{guest: 3000, host: 3000}")),
        ("forwardPorts", "\"db:5432\"", Err("a port of another container")),
        ("forwardPorts", "\"8080:80\"", Err("not a port, nor two")),
        ("forwardPorts", "0", Err("not a port")),
        ("forwardPorts", "65536", Err("not a port")),
        ("forwardPorts", "\"3000-3010\"", Err("not a port")),
        ("forwardPorts", "null", Err("not a port")),
        ("appPort", "\"8080:80\"", Ok("{guest: 80, host: 8080}")),
        ("appPort", "\"0.0.0.0:80:80\"", Err("not a port, nor two")),
    ] {
        let imported = devcontainer(&format!("{{\"{key}\":\n[{item}]}}"));
        match expected {
            Ok(text) => assert_eq!(lines(&imported), [text], "{item}"),
            Err(reason) => {
                assert!(lines(&imported).is_empty() && told(&imported)[0].2.contains(reason), "{item}");
                assert_eq!(told(&imported)[0].0, 2, "{item}");
            }
        }
    }
    let text = r#"{"appPort": "8080:80", "portsAttributes": {"80": {"label": 5, "requireLocalPort": "yes"}, "81": true}}"#;
    let imported = devcontainer(text);
    assert_eq!(lines(&imported), ["{guest: 80, host: 8080}"]);
    let keys: Vec<String> = told(&imported).into_iter().map(|(_, key, _)| key).collect();
    let mut keys = keys;
    keys.sort();
    assert_eq!(
        keys,
        ["portsAttributes.80.label", "portsAttributes.80.requireLocalPort", "portsAttributes.81"]
    );
}

#[test]
fn each_feature_and_each_wrong_sort_is_told_where_it_stands() {
    let text = "{\n\"name\": 5, // a comment\n\"features\": {\n  \"ghcr.example/node:1\": {},\n  /* b */ \"ghcr.example/go:1\": {\"version\": \"1\"},\n},\n\
        \"postCreateCommand\": \"echo ${containerEnv:HOME}\",\n\"hostRequirements\": {\"cpus\": \"four\", \"storage\": 1},\n}";
    let expected = [
        (2, "name"),
        (4, "features.ghcr.example/node:1"),
        (5, "features.ghcr.example/go:1"),
        (7, "postCreateCommand"),
        (8, "hostRequirements.cpus"),
        (8, "hostRequirements.storage"),
    ];
    let told: Vec<(u32, String)> =
        told(&devcontainer(text)).into_iter().map(|(line, key, _)| (line, key)).collect();
    assert_eq!(told, expected.map(|(line, key)| (line, key.to_owned())));
}

proptest::proptest! {
    /// What is written reads back as what was meant, whatever the text.
    #[test]
    fn hostile_text_means_itself(text in "\\PC{1,30}|[\\x00-\\u{2fff}\\u{e0000}-\\u{e00ff}]{1,30}") {
        let json = serde_json::json!({
            "containerEnv": {"A": text}, "onCreateCommand": text, "postStartCommand": ["echo", text],
            "mounts": [{"source": format!("/{text}"), "target": text, "type": "bind"}],
        });
        let escaped = json.to_string().chars().fold(String::new(), |text, sign| match sign {
            ' '..='~' => text + &sign.to_string(),
            sign => sign.encode_utf16(&mut [0; 2]).iter().fold(text, |text, unit| text + &format!("\\u{unit:04x}")),
        });
        let imported = devcontainer(&escaped);
        let file = imported.draft.render();
        // Not a sign in it moves a cursor, reorders or hides.
        proptest::prop_assert!(!file.chars().any(|sign| sign != '\n' && crate::model::text::drives(sign)), "{file:?}");
        let (documents, findings) = parse::documents("x", file.as_bytes());
        proptest::prop_assert_eq!(findings.errors(), 0, "{}", file);
        let spec = documents[0].get("spec").unwrap();
        if !imported.unmapped.iter().any(|one| one.key == "containerEnv.A") {
            let read = spec.get("env").and_then(|env| env.get("A")).and_then(Node::text);
            proptest::prop_assert_eq!(read, Some(text.as_str()));
        }
        if !imported.unmapped.iter().any(|one| one.key == "onCreateCommand") {
            let create = spec.get("setup").and_then(|setup| setup.get("create")).unwrap();
            proptest::prop_assert_eq!(items(create)[0].text(), Some(text.as_str()));
        }
    }
}
