//! Registries and their lock file as a user meets them: a folder with a `sandbox.yaml`, and an operator who says where
//! the registries are. No client of this machine is asked.

use std::{ffi::OsString, fs, path::Path};

use super::*;
use crate::cli::ops::{Documents, Kits, RuleEdit, RuleScope, Rules};

const FILE: &str = "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: dev}\nspec:\n  agent: shell\n  \
                    workspace: {mode: read}\n  network:\n    rules:\n      - {allow: \"registry:npm\", why: dependencies}\n";

/// Nobody is asked: these files name no kit elsewhere.
const WET: UpdateWish<'_> = UpdateWish { write: true, may_fetch: &|_| panic!("nothing is to be fetched") };
const DRY: UpdateWish<'_> = UpdateWish { write: false, ..WET };

/// A host of its own, below `folder`, whose operator names these registries.
fn host(folder: &Path, registries: &str) -> Host {
    for name in ["repo", "home", "state", "cache"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    git2::Repository::init(folder.join("repo")).unwrap();
    fs::write(folder.join("config.yaml"), format!("registries: {registries}\n")).unwrap();
    fs::write(folder.join("repo/sandbox.yaml"), FILE).unwrap();
    let env = |name: &str| -> Option<OsString> {
        let below = match name {
            "HOME" => "home",
            "COFFERDAM_STATE" => "state",
            "COFFERDAM_CACHE" => "cache",
            "COFFERDAM_CONFIG" => "config.yaml",
            _ => return None,
        };
        Some(folder.join(below).into())
    };
    Host::with(&env, &folder.join("repo")).unwrap()
}

#[test]
fn a_lock_is_written_used_and_held_to() {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("repo/sandbox.lock");
    let one = host(folder.path(), "{npm: \"https://one.example/npm\"}");
    let source = Source::Search;

    let update = one.update_lock(&source, &DRY).unwrap();
    assert!(!update.written && !lock.exists(), "a dry run writes nothing");
    let update = one.update_lock(&source, &WET).unwrap();
    assert!(update.written && update.path.ends_with("repo/sandbox.lock"));
    assert_eq!(update.changes[0].after.as_deref(), Some("https://one.example/npm/"));
    assert_eq!(
        update.consequences,
        ["dev: allow GET,HEAD one.example below /npm (repository sandbox.yaml:9)"]
    );
    let text = fs::read_to_string(&lock).unwrap();
    assert!(text.ends_with("registries:\n  npm:\n    - \"https://one.example/npm/\"\n"), "{text}");
    assert_eq!(fs::metadata(&lock).unwrap().permissions().mode() & 0o777, 0o644);
    assert!(one.update_lock(&source, &WET).unwrap().changes.is_empty());
    assert!(one.check(&source).unwrap().warnings.iter().all(|warning| !warning.contains("sandbox.lock")));

    // Another operator: the lock holds, and says so; its host does not borrow the set's name.
    let two = host(folder.path(), "{npm: \"https://two.example/\"}");
    let checked = two.check(&source).unwrap();
    let told = checked.warnings.iter().find(|warning| warning.contains("sandbox.lock:4 pins `registry:npm`"));
    assert!(
        told.is_some_and(|told| told.contains("would take https://two.example/")),
        "{:?}",
        checked.warnings
    );
    let rule = &checked.sandboxes[0].network.rules[0];
    assert_eq!((rule.host.to_string().as_str(), &rule.set), ("one.example", &None));
    two.demand_locked();
    assert_eq!(two.check(&source).unwrap().sandboxes[0].network.rules[0].host.to_string(), "one.example");

    // Without its entry nothing is resolved anew, although the operator would know.
    fs::write(&lock, "version: 1\n").unwrap();
    let failure = two.check(&source).unwrap_err();
    assert_eq!(
        (failure.exit_code(), failure.object().hint.clone().unwrap()),
        (3, "run `cofferdam update` and commit the file".to_owned())
    );
}

#[test]
fn a_damaged_lock_is_an_error_that_update_mends() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), "{npm: \"https://one.example/\"}");
    let lock = folder.path().join("repo/sandbox.lock");
    fs::write(&lock, "version: 1\nregistries: {npm: 5}\n").unwrap();
    let failure = host.check(&Source::Search).unwrap_err();
    let object = failure.object();
    assert_eq!(
        (failure.exit_code(), object.file.clone().unwrap().as_str(), object.line),
        (3, "sandbox.lock", Some(2))
    );
    assert!(host.update_lock(&Source::Search, &WET).unwrap().written);
    assert!(host.check(&Source::Search).is_ok());
    // A link in its place is not followed, and not written through.
    let other = folder.path().join("other");
    fs::write(&other, "version: 1\n").unwrap();
    fs::remove_file(&lock).unwrap();
    std::os::unix::fs::symlink(&other, &lock).unwrap();
    assert_eq!(host.check(&Source::Search).unwrap_err().exit_code(), 3);
}

#[test]
fn standard_input_has_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), "{npm: \"https://one.example/\"}");
    let failure = host.update_lock(&Source::Text(FILE.to_owned()), &WET).unwrap_err();
    assert_eq!((failure.exit_code(), failure.object().code.as_ref()), (2, "no_lock"));
}

#[test]
fn a_set_on_the_command_line_is_written_live_and_removed_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), "{npm: [\"https://one.example/npm\", \"https://files.example\"]}");
    let set = host.named_set("registry", "npm", Effect::Deny).unwrap();
    assert_eq!(set.members.len(), 2);
    assert_eq!(host.named_set("service", "github", Effect::Allow).unwrap().members.len(), 2);
    assert_eq!(host.named_set("bundle", "nonsense", Effect::Deny).unwrap_err().exit_code(), 2);
    // A name that no client has: nothing is asked, and the operator's way is named.
    let failure = host.named_set("registry", "nobody-has-this", Effect::Allow).unwrap_err();
    assert_eq!(failure.exit_code(), 8);
    assert!(failure.object().hint.clone().unwrap().contains("registries: {nobody-has-this:"));

    let loaded = host.check(&Source::Search).unwrap();
    let rules = loaded.sandboxes[0].network.rules.clone();
    assert_eq!(rules.len(), 2);
    let added = host.edit_rules(&RuleScope::Here, RuleEdit::Add(rules)).unwrap().added;
    assert!(added.iter().all(|rule| rule.set.as_deref() == Some("registry:npm")));
    let removed =
        host.edit_rules(&RuleScope::Here, RuleEdit::RemovePatterns(vec!["registry:npm".into()])).unwrap();
    assert_eq!(removed.removed.len(), 2);
}

/// Somebody who has jq in this version.
fn with_jq(version: &'static str) -> impl Fn(&[String]) -> Result<Vec<Package>, EnsureError> {
    move |names| {
        let package = |name: &String| Package { name: name.clone(), version: version.to_owned() };
        Ok(names.iter().map(package).collect())
    }
}

#[test]
fn packages_are_pinned_shown_and_held_to() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), "{npm: \"https://one.example/\"}");
    let file = folder.path().join("repo/sandbox.yaml");
    fs::write(&file, FILE.replace("  network:", "  template: {packages: [jq]}\n  network:")).unwrap();
    let source = Source::Search;
    let versions = |host: &Host| host.check(&source).unwrap().sandboxes.remove(0).template.versions;
    assert!(versions(&host).is_empty(), "nothing is pinned, and nobody is asked");
    let nobody = |_: &[String]| -> Result<Vec<Package>, EnsureError> {
        Err(EnsureError::PackageName { name: "jq".into() })
    };
    let failure = host.renew_lock_with(&source, &WET, &nobody).unwrap_err();
    assert_eq!((failure.exit_code(), failure.object().line), (3, Some(7)), "{failure:?}");

    let update = host.renew_lock_with(&source, &WET, &with_jq("1.6-2.1")).unwrap();
    let shown: Vec<String> = update
        .changes
        .iter()
        .map(|it| format!("{}: {:?} {:?}", it.what, it.before.as_deref(), it.after.as_deref()))
        .collect();
    assert_eq!(shown[0], "package jq on debian-12: None Some(\"1.6-2.1\")", "{shown:?}");
    let consequence = "dev: a template with jq; the next apply replaces its system disk";
    assert!(update.consequences.iter().any(|it| it == consequence), "{:?}", update.consequences);
    assert_eq!(versions(&host)["jq"], "1.6-2.1");
    assert!(host.renew_lock_with(&source, &WET, &with_jq("1.6-2.1")).unwrap().changes.is_empty());

    // A newer one changes nothing until `update` says so.
    host.demand_locked();
    assert_eq!(versions(&host)["jq"], "1.6-2.1");
    // With --locked `update` itself resolves nothing anew.
    assert!(host.renew_lock_with(&source, &WET, &with_jq("1.7-1")).unwrap().changes.is_empty());
    host.locked.set(false);
    let update = host.renew_lock_with(&source, &WET, &with_jq("1.7-1")).unwrap();
    host.demand_locked();
    assert_eq!(update.changes[0].before.as_deref(), Some("1.6-2.1"));
    assert_eq!(versions(&host)["jq"], "1.7-1");

    // Held to the file, a package that is not in it is an error, and the entry of another image is not its.
    let lock = folder.path().join("repo/sandbox.lock");
    let text = fs::read_to_string(&lock).unwrap();
    for gone in
        [text.replace("\"jq\": \"1.7-1\"", "\"less\": \"590-2\""), text.replace("debian-12", "debian-13")]
    {
        fs::write(&lock, gone).unwrap();
        let failure = host.check(&source).unwrap_err();
        let expected = "sandbox.lock does not have the package `jq` of debian-12";
        assert_eq!((failure.exit_code(), failure.object().message.as_str()), (3, expected));
    }
}

#[test]
fn a_repository_does_not_say_what_a_built_in_service_is() {
    let folder = tempfile::tempdir().unwrap();
    let service = |name: &str, host: &str| {
        format!(
            "---\napiVersion: cofferdam.dev/v1alpha1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{hosts: [{host}], inject: {{header: x-token}}, env: OUR_TOKEN, why: ours}}\n"
        )
    };
    let host = host(folder.path(), "{}");
    let hosts = |name: &str, effect: Effect| {
        let members = host.named_set("service", name, effect).unwrap().members;
        members.iter().map(|member| member.host.to_string()).collect::<Vec<_>>()
    };
    let honest = hosts("github", Effect::Deny);
    let own = service("github", "evil.example") + &service("ours", "git.ours.example");
    fs::write(folder.path().join("repo/sandbox.yaml"), FILE.to_owned() + &own).unwrap();
    for effect in [Effect::Allow, Effect::Deny] {
        assert_eq!(hosts("github", effect), honest);
    }
    // The break: one that is not built in is the repository's to describe, once.
    assert_eq!(hosts("ours", Effect::Allow), ["git.ours.example"]);
    let twice = own + &service("ours", "evil.example");
    fs::write(folder.path().join("repo/sandbox.yaml"), FILE.to_owned() + &twice).unwrap();
    let failure = host.named_set("service", "ours", Effect::Allow).unwrap_err();
    assert_eq!((failure.kind(), failure.code()), (Kind::Usage, "named_set"));
}

#[test]
fn the_base_is_pinned_where_somebody_can_say_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut host = host(folder.path(), "{npm: \"https://one.example/\"}");
    let source = Source::Search;
    let image = |update: &LockUpdate| update.changes.iter().find(|it| it.what == "image debian-12").cloned();
    let pinned = |host: &Host| host.check(&source).unwrap().sandboxes.remove(0).template.versions;
    // No tools, nobody to ask.
    assert!(image(&host.update_lock(&source, &WET).unwrap()).is_none() && pinned(&host).is_empty());
    host.has_tools = true;
    let update = host.renew_lock_with(&source, &WET, &with_jq("5.2")).unwrap();
    let change = image(&update).unwrap();
    assert_eq!(change.before, None);
    let after = change.after.unwrap();
    assert!(
        after.starts_with("base-files 5.2, bash 5.2, ca-certificates 5.2, ")
            && after.ends_with("xz-utils 5.2")
    );
    let consequence = "dev: a template with another base; the next apply replaces its system disk";
    assert_eq!(update.consequences, [consequence]);
    assert_eq!((pinned(&host).len(), pinned(&host)["bash"].as_str()), (10, "5.2"));
    // It is held to, with and without --locked, until `update` says otherwise.
    host.demand_locked();
    assert_eq!(pinned(&host)["bash"], "5.2");
    host.locked.set(false);
    assert!(host.renew_lock_with(&source, &WET, &with_jq("5.2")).unwrap().changes.is_empty());
    // Where nobody can say, it stays as it was.
    let nobody = |_: &[String]| -> Result<Vec<Package>, EnsureError> {
        Err(EnsureError::PackageName { name: "bash".into() })
    };
    assert!(host.renew_lock_with(&source, &WET, &nobody).unwrap().changes.is_empty());
    let change = image(&host.renew_lock_with(&source, &WET, &with_jq("5.3")).unwrap()).unwrap();
    assert!(change.before.unwrap().contains("bash 5.2,") && change.after.unwrap().contains("bash 5.3,"));
    // A package that the file asks for, too, is pinned once.
    let file = folder.path().join("repo/sandbox.yaml");
    fs::write(&file, FILE.replace("  network:", "  template: {packages: [curl, jq]}\n  network:")).unwrap();
    host.renew_lock_with(&source, &WET, &with_jq("5.3")).unwrap();
    assert_eq!(pinned(&host).len(), 11);
}

/// What `check` and `kit import` refuse, `kit check` refuses, too.
#[test]
fn a_kit_of_dockers_is_checked_with_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path(), "{npm: [\"https://npm.corp.example/\"]}");
    let kit = folder.path().join("repo/kits/review");
    fs::create_dir_all(kit.join("files/home")).unwrap();
    let spec = "schemaVersion: \"2\"\nkind: mixin\nname: review\nargs: {level: {default: low}}\n";
    fs::write(kit.join("spec.yaml"), spec).unwrap();
    fs::write(kit.join("files/home/review.toml"), "level = ${{ kit.args.level }}\n").unwrap();
    assert_eq!(host.check_kit(&kit).unwrap().name, "review");

    // Its arguments stand in its files, too: where it is used as it is, and where it is written as one of ours.
    let used = FILE.replace("agent: shell", "agent: shell\n  kits: [{kit: review, args: {level: high}}]");
    fs::write(folder.path().join("repo/sandbox.yaml"), used).unwrap();
    let selection = Selection::Path(folder.path().join("repo/sandbox.yaml"));
    let loaded = host.load_selection(&selection, LockUse::Ignore).unwrap();
    assert_eq!(loaded.sandboxes[0].files[0].content, b"level = high\n");
    host.import_kit(&kit, Some(Path::new("kits/ours"))).unwrap();
    let written = fs::read_to_string(folder.path().join("repo/kits/ours/files/home/review.toml")).unwrap();
    assert_eq!(written, "level = ${{ args.level }}\n");

    std::os::unix::fs::symlink("/etc/passwd", kit.join("files/home/link")).unwrap();
    assert_eq!(host.check_kit(&kit).unwrap_err().exit_code(), 3);
}
