//! Named sets and the lock file on the command line.

use serde_json::Value;

use super::{Scripted, cofferdam};

#[test]
fn a_set_on_the_command_line_becomes_its_rules() {
    let ops = Scripted::default();
    let (code, data, _) = cofferdam(&ops, "policy allow -g network registry:npm,a.example");
    assert_eq!(code, 0);
    assert_eq!(
        ops.calls.borrow_mut().split_off(0),
        [
            "Allow packages.example Some(Https) global=true",
            "Allow files.example:80 Some(Http) global=true",
            "Allow a.example Some(Https) global=true",
        ]
    );
    assert_eq!(
        data,
        "added allow packages.example (registry:npm) for all\nadded allow files.example:80 (registry:npm) for all\n\
         added allow a.example for all\n"
    );
    let (code, data, _) = cofferdam(&ops, "policy allow network registry:npm -o json");
    let value: Value = serde_json::from_str(&data).unwrap();
    assert_eq!((code, &value["added"][0]["set"]), (0, &"registry:npm".into()));
    assert_eq!(value["added"][0]["http"][0]["methods"], serde_json::json!(["GET", "HEAD"]));
}

#[test]
fn what_a_set_says_itself_cannot_be_said_beside_it() {
    let ops = Scripted::default();
    for line in [
        "policy allow network registry:npm --method POST",
        "policy allow network registry:npm --path /x",
        "policy deny network registry:npm --protocol tcp",
        "policy deny network bundle:nonsense",
        "policy check network service:nonsense",
    ] {
        let (code, _, talk) = cofferdam(&ops, line);
        assert_eq!(code, 2, "{line}: {talk}");
    }
    assert!(ops.calls.borrow().is_empty(), "nothing was changed");
}

#[test]
fn a_set_is_checked_host_by_host() {
    let ops = Scripted::default();
    let (code, data, _) = cofferdam(&ops, "policy check network registry:npm");
    assert_eq!(code, 4);
    assert_eq!(data.lines().count(), 2, "{data}");
    assert!(data.lines().all(|line| line.starts_with("denied: ")), "{data}");
    let (_, data, _) = cofferdam(&ops, "policy check network registry:npm -o json");
    let value: Value = serde_json::from_str(&data).unwrap();
    assert_eq!((&value["allowed"], &value["set"]), (&false.into(), &"registry:npm".into()));
    assert_eq!(value["hosts"].as_array().unwrap().len(), 2);
}

#[test]
fn update_shows_what_changes_and_what_follows() {
    let ops = Scripted::default();
    let (code, data, talk) = cofferdam(&ops, "update -f web");
    assert_eq!(code, 0);
    assert_eq!(
        data,
        "registry:npm: https://old.example/ → https://packages.example/\n  \
         dev: allow GET,HEAD packages.example:443 (sandbox.yaml:9)\n"
    );
    assert_eq!(talk, "wrote /repo/sandbox.lock; commit it\n");
    let (_, data, talk) = cofferdam(&ops, "update --dry-run -o json");
    let value: Value = serde_json::from_str(&data).unwrap();
    assert_eq!((&value["written"], &value["changes"][0]["what"]), (&false.into(), &"registry:npm".into()));
    assert_eq!(talk, "");
    assert_eq!(
        ops.calls.borrow_mut().split_off(0),
        ["update Path(\"web\") write=true", "update Search write=false"]
    );
}

#[test]
fn locked_stands_before_or_after_the_command() {
    for line in ["--locked check", "check --locked -f web"] {
        let cli = super::parse(line).unwrap();
        assert!(cli.locked, "{line}");
    }
}

#[test]
fn kits_are_checked_imported_and_packed() {
    let ops = Scripted::default();
    let (code, data, _) = cofferdam(&ops, "kit check kits/x");
    assert_eq!(code, 0);
    assert_eq!(
        data,
        "ok: agent kits/x (Docker Sandboxes, schema 2)\n\
         spec.yaml:9:3: the image `x` is not used\\u{7}\n"
    );
    let (_, data, _) = cofferdam(&ops, "kit check kits/x -o json");
    let value: Value = serde_json::from_str(&data).unwrap();
    assert_eq!((&value["valid"], value["reports"].as_array().unwrap().len()), (&true.into(), 1));
    let (_, data, talk) = cofferdam(&ops, "kit import sbx/reviewer --to mine");
    assert_eq!(data, "kits/reviewer/files/home/a\nkits/reviewer/kit.yaml\n");
    assert_eq!(talk, "spec.yaml:9:3: the image `x` is not used\n");
    let (_, data, _) = cofferdam(&ops, "kit pack kits/reviewer");
    assert_eq!(data, "reviewer.tar sha256:00ff\n");
    assert_eq!(
        ops.calls.borrow_mut().split_off(0),
        ["import sbx/reviewer Some(\"mine\")", "import kits/reviewer None"]
    );
}
