//! The merge table, row by row: who says what, and what the sandbox then has, each value with the place that it comes
//! from. Each row fails when its rule is left out.

mod table;

use std::{collections::BTreeSet, fs, path::Path};

use crate::{
    kit::{
        Context, LoadError, Selection, load,
        rule::{Rule, without},
        tests::context,
    },
    model::{desired::Sandbox, rule::Origin},
};

use table::{Row, TABLE, Who};

/// What comes of what is said: the sandbox line by line, or what is wrong, a line each with `! ` before it.
fn story(says: &[(Who, &str)]) -> BTreeSet<String> {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    for folder in
        ["home/one", "home/two", "repository/sub", "repository/.git/objects", "repository/.git/refs"]
    {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    fs::write(root.join("repository/.git/HEAD"), "ref: refs/heads/main\n").unwrap();
    for who in Who::ALL {
        let said = says.iter().filter(|(by, _)| *by == who).flat_map(|(_, text)| text.lines());
        let said: String = said.map(|line| format!("  {line}\n")).collect();
        // A file that changes sandboxes without being named says something, or is not there.
        if matches!(who, Who::Local | Who::User) && said.is_empty() {
            continue;
        }
        let (name, always) = who.file();
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), format!("apiVersion: cofferdam.dev/v1alpha1\n{always}{said}")).unwrap();
    }
    let (home, user_folder) = (root.join("home"), Some(root.join("config")));
    let context = Context { folder: root.join("repository"), home, user_folder, ..context() };
    let lines = match load(Selection::Default, &context) {
        Ok(loaded) => shown(&loaded.sandboxes[0]),
        Err(LoadError::Invalid(problems)) => problems
            .iter()
            .map(|it| {
                let label = it.label.as_ref().map(|label| format!(" [{label}]")).unwrap_or_default();
                format!("! {}:{}:{}: {it}{label}", it.file(), it.line(), it.column())
            })
            .collect(),
        Err(error) => panic!("{error}"),
    };
    lines.into_iter().map(|line| shortened(&line, &root)).collect()
}

/// With the files' short names.
fn shortened(line: &str, root: &Path) -> String {
    let line = Who::ALL.iter().rev().fold(line.to_owned(), |line, who| {
        let (file, word) = (who.file().0, who.word());
        let whole = root.join(file);
        let below = file.strip_prefix("repository/").unwrap_or(file);
        line.replace(&format!("{}:", whole.display()), &format!("{word}:"))
            .replace(&format!("{below}:"), &format!("{word}:"))
    });
    line.replace(root.to_str().unwrap(), "[ROOT]")
}

/// Every value that somebody set, with its place.
fn shown(sandbox: &Sandbox) -> Vec<String> {
    let place = |origin: &Origin| {
        format!("{}:{}", origin.file.as_deref().unwrap_or("?"), origin.line.unwrap_or_default())
    };
    let model = serde_json::to_value(sandbox).unwrap();
    let mut lines = Vec::new();
    for (field, origin) in &sandbox.origins {
        let value = model.pointer(&format!("/{}", field.replace('.', "/")));
        lines.push(format!(
            "{field} = {} @ {}",
            value.map_or("?".into(), ToString::to_string),
            place(origin)
        ));
    }
    let mut item =
        |list: &str, what: String, origin: &Origin| lines.push(format!("{list}: {what} @ {}", place(origin)));
    for it in &sandbox.network.rules {
        let effect = format!("{:?}", it.effect).to_lowercase();
        item("network.rules", format!("{effect} {}", it.pattern()), &it.origin);
    }
    sandbox
        .network
        .host_services
        .iter()
        .for_each(|it| item("network.hostServices", format!("{} {}", it.name, it.port), &it.origin));
    sandbox.secrets.iter().for_each(|it| {
        item("secrets", format!("{} {}", it.name, it.env.clone().unwrap_or_default()), &it.origin)
    });
    sandbox.mounts.iter().for_each(|it| item("mounts", it.target.clone(), &it.origin));
    sandbox.ports.iter().for_each(|it| item("ports", it.guest.to_string(), &it.origin));
    sandbox.files.iter().for_each(|it| item("files", it.path.clone(), &it.origin));
    sandbox.template.steps.iter().for_each(|it| item("template.steps", it.run.clone(), &it.origin));
    sandbox.setup.create.iter().for_each(|it| item("setup.create", it.run.clone(), &it.origin));
    sandbox.setup.start.iter().for_each(|it| item("setup.start", it.run.clone(), &it.origin));
    lines
}

/// What a row's contributions change.
fn changed(row: &Row, usual: &BTreeSet<String>) -> Vec<String> {
    story(row.says).difference(usual).cloned().collect()
}

#[test]
fn every_row_of_the_table_holds() {
    let usual = story(&[]);
    let wrong: Vec<_> = TABLE
        .iter()
        .map(|row| (row, changed(row, &usual)))
        .filter(|(row, found)| found != row.then)
        .map(|(row, found)| {
            format!("{:?} {:?}\n  found    {found:#?}\n  expected {:#?}", row.rule, row.says, row.then)
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The breaks: a merge that does not hold to a row's rule is found out by that row.
#[test]
fn a_rule_that_is_left_out_is_found_out_by_each_of_its_rows() {
    let usual = story(&[]);
    for row in TABLE {
        let found = without(Some(row.rule), || changed(row, &usual));
        assert!(found != row.then, "{:?} is left out, and {:?} does not notice", row.rule, row.says);
    }
    let rules = [
        Rule::LastWins,
        Rule::MixinsAgree,
        Rule::SandboxSettles,
        Rule::ByKey,
        Rule::KeyOnce,
        Rule::Lists,
        Rule::Folded,
        Rule::Once,
        Rule::Strictest,
        Rule::Locked,
    ];
    assert!(rules.iter().all(|rule| TABLE.iter().any(|row| row.rule == *rule)), "each rule has a row");
}
