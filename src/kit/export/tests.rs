use std::{fs, path::Path};

use super::*;
use crate::{
    kit::{
        beside::BesideAll,
        load::{LoadError, check},
        tests::{context, corpus, data, file},
    },
    model::rule::{Layer, Origin},
};

fn load(text: &str) -> Vec<Sandbox> {
    match check(&[file("valid/x.yaml", text.as_bytes())], BesideAll::default(), None, &context()) {
        Ok((sandboxes, _)) => sandboxes,
        Err(LoadError::Invalid(problems)) => {
            let lines: Vec<String> = problems.iter().map(|problem| problem.to_line()).collect();
            panic!("{}\n{text}", lines.join("\n"))
        }
        Err(error) => panic!("{error}\n{text}"),
    }
}

/// Where something stands and under which number is not part of what it says.
fn without_places(mut sandbox: Sandbox) -> Sandbox {
    let nowhere = Origin { layer: Layer::Repository, file: None, line: None };
    sandbox.provenance = Default::default();
    sandbox.origins.clear();
    sandbox.kits.clear();
    for rule in &mut sandbox.network.rules {
        rule.origin = nowhere.clone();
        rule.id.clear();
    }
    sandbox.network.host_services.iter_mut().for_each(|one| one.origin = nowhere.clone());
    sandbox.secrets.iter_mut().for_each(|one| one.origin = nowhere.clone());
    sandbox.mounts.iter_mut().for_each(|one| one.origin = nowhere.clone());
    sandbox.ports.iter_mut().for_each(|one| one.origin = nowhere.clone());
    sandbox.template.steps.iter_mut().for_each(|one| one.origin = nowhere.clone());
    sandbox.files.iter_mut().for_each(|one| (one.origin, one.placeholders) = (nowhere.clone(), true));
    let setup = &mut sandbox.setup;
    setup.create.iter_mut().chain(&mut setup.start).for_each(|one| one.origin = nowhere.clone());
    if let Some(workspace) = &mut sandbox.workspace {
        workspace.origin = nowhere;
    }
    sandbox
}

/// The documents of a file that a sandbox may name.
fn kits(text: &str) -> String {
    let named = |document: &&str| document.contains("kind: Agent") || document.contains("kind: Service");
    text.split("\n---\n")
        .filter(named)
        .map(|document| format!("---\n{}\n", document.trim_start_matches("---")))
        .collect()
}

fn round_trip(name: &str, text: &str) {
    for sandbox in load(text) {
        let kits = kits(text);
        let bare = load(&format!("{kits}---\n{}", yaml(&bare(&sandbox.agent.kit)))).remove(0);
        let exported = export(&sandbox, &bare, &data());
        assert_eq!(exported.lost, Vec::<String>::new(), "{name}");
        let written = yaml(&exported.document);
        let again = load(&format!("{kits}---\n{written}")).remove(0);
        assert_eq!(without_places(again.clone()), without_places(sandbox), "{name}:\n{written}");
        // What was exported once is exported the same again.
        assert_eq!(yaml(&export(&again, &bare, &data()).document), written, "{name}");
    }
}

#[test]
fn what_is_exported_yields_the_same_desired_state() {
    let mut count = 0;
    for (name, bytes) in corpus("valid") {
        round_trip(&name, &String::from_utf8(bytes).unwrap());
        count += 1;
    }
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/sandbox.yaml");
    round_trip("quickstart", &fs::read_to_string(example).unwrap());
    assert!(count >= 4);
}

#[test]
fn bytes_that_are_no_text_are_told() {
    let mut sandbox = Sandbox::smallest("dev");
    let origin = Origin { layer: Layer::Repository, file: None, line: None };
    let file = crate::model::desired::File {
        path: "~/x".into(),
        content: vec![0xff],
        merge: Default::default(),
        placeholders: false,
        mode: None,
        origin,
    };
    sandbox.files.push(file);
    let exported = export(&sandbox, &Sandbox::smallest("bare"), Path::new("/"));
    assert!(exported.lost[0].starts_with("the file ~/x is not text"), "{:?}", exported.lost);
}

proptest::proptest! {
    /// Whatever a value holds, the document reads back as it was.
    #[test]
    fn yaml_reads_back(
        text in "\\PC{0,40}|[\\x00-\\u{2fff}]{0,20}",
        list in proptest::collection::vec("[a-z:#, \"'-]{0,30}", 0..4),
        number in 0..5_000_000_i64,
    ) {
        let value = json!({
            "a": text, "b": list, "c": {"d": number, "e": [list, text], "f": [{"g": text, "h": list}, {"i": {}}]}, "j": true,
        });
        let (nodes, findings) = crate::kit::parse::documents("x", yaml(&value).as_bytes());
        proptest::prop_assert!(findings.errors() == 0, "{}", yaml(&value));
        fn json_of(node: &crate::kit::tree::Node) -> Value {
            use crate::kit::tree::Kind;
            match &node.kind {
                Kind::Null | Kind::Open => Value::Null,
                Kind::Bool(value) => (*value).into(),
                Kind::Int(value) => (*value).into(),
                Kind::Float(value) => (*value).into(),
                Kind::Text(value) => value.as_str().into(),
                Kind::List(items) => items.iter().map(json_of).collect(),
                Kind::Map(entries) => {
                    Value::Object(entries.iter().map(|(key, node)| (key.text.clone(), json_of(node))).collect())
                }
            }
        }
        proptest::prop_assert_eq!(json_of(&nodes[0]), value);
    }
}
