use std::{fs, path::Path};

use super::*;
use crate::{
    kit::{
        self, Context, Selection,
        beside::BesideAll,
        load::{LoadError, check},
        tests::{context, corpus, data, file, golden, trees},
    },
    model::rule::{HttpMatch, Layer, Origin},
};

fn load(text: &str) -> Vec<Sandbox> {
    match check(&[file("valid/x.yaml", text.as_bytes())], BesideAll::default(), None, &context()) {
        Ok(said) => said.sandboxes,
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

/// Exports a sandbox for `at` and reads it again by `load`; gives the document.
fn round_trip(name: &str, sandbox: &Sandbox, at: Folder<'_>, load: &dyn Fn(&Value) -> Sandbox) -> String {
    let bare = load(&frame(sandbox, true, at));
    let exported = export(sandbox, &bare, at);
    assert_eq!(exported.lost, Vec::<String>::new(), "{name}");
    let written = yaml(&exported.document);
    let again = load(&exported.document);
    assert_eq!(without_places(again.clone()), without_places(sandbox.clone()), "{name}:\n{written}");
    // What was exported once is exported the same again.
    assert_eq!(yaml(&export(&again, &bare, at).document), written, "{name}");
    written
}

#[test]
fn what_is_exported_yields_the_same_desired_state() {
    let mut texts: Vec<(String, String)> =
        corpus("valid").into_iter().map(|(name, bytes)| (name, String::from_utf8(bytes).unwrap())).collect();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/quickstart/sandbox.yaml");
    texts.push(("quickstart".to_owned(), fs::read_to_string(example).unwrap()));
    assert!(texts.len() >= 5);
    for (name, text) in texts {
        let kits = kits(&text);
        let again = |document: &Value| load(&format!("{kits}---\n{}", yaml(document))).remove(0);
        let at = Folder { root: &data(), folder: &data().join("valid") };
        for sandbox in load(&text) {
            let written = round_trip(&name, &sandbox, at, &again);
            // Another clone lies elsewhere.
            assert!(name != "everything" || written.contains("workingDir: src\n"), "{written}");
        }
    }
}

/// Kits are named, with their arguments, wherever in the repository the document is to lie.
#[test]
fn every_tree_is_exported_with_its_kits_named() {
    let mut seen = Vec::new();
    for (name, context, root) in trees() {
        let Ok(loaded) = crate::kit::load(Selection::Default, &context) else { continue };
        let repository = root.path().canonicalize().unwrap().join("repository");
        for below in ["", "packages/review"] {
            let folder = repository.join(below);
            fs::create_dir_all(&folder).unwrap();
            let at = Folder { root: &repository, folder: &folder };
            let there = Context { folder: folder.clone(), ..context.clone() };
            let again = |document: &Value| {
                let read = crate::kit::load(Selection::Stdin(yaml(document).into_bytes()), &there);
                read.unwrap_or_else(|error| panic!("{name}: {error:?}\n{}", yaml(document)))
                    .sandboxes
                    .remove(0)
            };
            for sandbox in &loaded.sandboxes {
                let written = round_trip(&name, sandbox, at, &again);
                let named = sandbox.kits.iter().filter(|used| used.written.is_some()).count();
                seen.push((name.clone(), named, written));
            }
        }
    }
    assert!(seen.iter().any(|(_, kits, text)| *kits > 1 && text.contains("args:")), "{seen:#?}");
    // What a kit brings does not stand there again.
    let web = seen.iter().find(|(name, ..)| name == "trees/everything").expect("the tree is there");
    golden("export/everything", "yaml", &web.2);
}

/// Wherever the file that names a kit lies, and wherever what is exported is put: it is the same kit.
#[test]
fn a_kit_is_named_from_where_the_document_goes() {
    let kit = "apiVersion: cofferdam.dev/v1alpha1\nkind: Mixin\nmetadata: {name: review}\nspec: {env: {REVIEW: deep}}\n";
    let root = tempfile::tempdir().unwrap();
    let repository = root.path().canonicalize().unwrap().join("repository");
    let write = |path: &str, bytes: &[u8]| {
        let path = repository.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    write(".git/objects/x", b"");
    write(".git/refs/x", b"");
    write(".git/HEAD", b"ref: refs/heads/main\n");
    write("kits/review/kit.yaml", kit.as_bytes());
    write("packages/a/kits/near/kit.yaml", kit.replace("review", "near").as_bytes());
    let packed = kit::kit_files(&repository.join("kits/review")).unwrap();
    write("packed/review.tar", &kit::kit_archive(&packed).unwrap());
    write("packages/a/review.tar", &kit::kit_archive(&packed).unwrap());
    for (file, name) in [
        ("sandbox.yaml", "review"),
        ("sandbox.yaml", "./kits/review"),
        ("sandbox.yaml", "./packed/review.tar"),
        ("sandbox.yaml", "packages/a/review.tar"),
        ("packages/a/sandbox.yaml", "near"),
        ("packages/a/sandbox.yaml", "./kits/near"),
        ("packages/a/sandbox.yaml", "../../kits/review"),
        ("packages/a/sandbox.yaml", "../../packed/review.tar"),
        ("packages/a/sandbox.yaml", "./review.tar"),
        (".cofferdam/dev.yaml", "../kits/review"),
        (".cofferdam/dev.yaml", "../packed/review.tar"),
    ] {
        let text = format!(
            "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {{name: dev}}\nspec:\n  agent: shell\n  \
             workspace: {{mode: read}}\n  kits: [{{kit: {name}}}]\n"
        );
        write(file, text.as_bytes());
        let load = |selection: Selection, folder: &Path| {
            let there = Context { folder: folder.to_owned(), ..context() };
            let loaded =
                kit::load(selection, &there).unwrap_or_else(|error| panic!("{file} {name}: {error:?}"));
            loaded.sandboxes.into_iter().next().unwrap()
        };
        // Also where the file is named by its whole path.
        let sandbox = load(Selection::Path(repository.join(file)), &repository);
        let digest =
            |sandbox: &Sandbox| sandbox.kits.iter().map(|used| used.digest.clone()).collect::<Vec<_>>();
        assert!(digest(&sandbox).last().unwrap().is_some(), "{file} {name}");
        for to in ["", "packages/a", ".cofferdam", "else/where"] {
            let folder = repository.join(to);
            fs::create_dir_all(&folder).unwrap();
            let at = Folder { root: &repository, folder: &folder };
            let read = |document: &Value| load(Selection::Stdin(yaml(document).into_bytes()), &folder);
            let exported = export(&sandbox, &read(&frame(&sandbox, true, at)), at);
            let again = read(&exported.document);
            let written = yaml(&exported.document);
            assert_eq!(digest(&again), digest(&sandbox), "{file} {name} in {to}:\n{written}");
            assert!(
                written.contains("kits:") && !written.contains("REVIEW"),
                "{file} {name} in {to}:\n{written}"
            );
        }
        fs::remove_file(repository.join(file)).unwrap();
    }
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
    let exported =
        export(&sandbox, &Sandbox::smallest("bare"), Folder { root: Path::new("/"), folder: Path::new("/") });
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

/// A state of an older version can hold what no file can say any more: it is written as what it meant.
#[test]
fn a_rule_that_narrows_to_every_request_is_written_without() {
    let text = "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: dev}\nspec:\n  agent: shell\n  workspace: {mode: read}\n  network:\n    rules: [{allow: a.vendor.example, http: [{methods: [GET]}], why: x}]\n    hostServices: [{name: m, port: 1, http: [{paths: [/a]}], why: x}]\n";
    let mut dev = load(text).remove(0);
    dev.network.rules[0].http.push(HttpMatch::default());
    dev.network.host_services[0].http = vec![HttpMatch::default()];
    let at = Folder { root: Path::new("/"), folder: Path::new("/") };
    let written = yaml(&export(&dev, &Sandbox::smallest("bare"), at).document);
    assert!(written.contains("a.vendor.example") && !written.contains("http:"), "{written}");
}
