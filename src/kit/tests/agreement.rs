//! The published schemas and the parser say the same about a file. A validator that knows nothing of ours judges every
//! right document, and each of thousands of wrong ones that are made of those by one change; and every key of the format
//! stands in a right document, so that each is among what is changed.

use std::collections::BTreeSet;

use boon::{Compiler, SchemaIndex, Schemas};
use serde_json::{Value, json};

use super::*;
use crate::kit::{
    document::{read, shape},
    parse,
    schema::schema,
    shape::{Further, Shape, Sort},
    validate::validate,
};

/// Kinds as documents name them, and the one whose file is told by its name.
const KINDS: [(&str, SchemaName); 6] = [
    ("Sandbox", SchemaName::Sandbox),
    ("Agent", SchemaName::Agent),
    ("Mixin", SchemaName::Mixin),
    ("Service", SchemaName::Service),
    ("OrgPolicy", SchemaName::OrgPolicy),
    ("Config", SchemaName::Config),
];

/// Every document that is right in form, of what sort, and which file it stands in.
fn documents() -> Vec<(String, SchemaName, Value)> {
    let files = [corpus("valid"), corpus("form")].concat();
    let mut documents = Vec::new();
    for (name, bytes) in files {
        let text = String::from_utf8(bytes).unwrap();
        for document in serde_saphyr::from_multiple::<Value>(&text).unwrap() {
            let kind = document.get("kind").map_or("Config", |kind| kind.as_str().unwrap());
            if !document.is_null() {
                let (_, schema) = KINDS.iter().find(|(word, _)| *word == kind).unwrap();
                documents.push((name.clone(), *schema, document));
            }
        }
    }
    documents
}

/// The schemas as any validator reads them.
struct Published {
    schemas: Schemas,
    index: Vec<(SchemaName, SchemaIndex)>,
}

impl Published {
    fn new() -> Self {
        let (mut schemas, mut compiler) = (Schemas::new(), Compiler::new());
        let mut index = Vec::new();
        for name in SchemaName::ALL {
            let place = format!("https://schemas.example/{}", name.file_name());
            compiler.add_resource(&place, schema(name)).unwrap();
            index.push((name, compiler.compile(&place, &mut schemas).unwrap()));
        }
        Self { schemas, index }
    }

    fn accepts(&self, name: SchemaName, document: &Value) -> bool {
        let (_, index) = self.index.iter().find(|(of, _)| *of == name).unwrap();
        self.schemas.validate(document, *index).is_ok()
    }
}

/// What our validator says against a document, but that something is not available yet: editors may offer that.
fn ours(name: SchemaName, document: &Value) -> Vec<String> {
    let text = document.to_string();
    let (nodes, mut findings) = parse::documents("made.yaml", text.as_bytes());
    if let [node] = nodes.as_slice() {
        validate(node, shape(name), &mut findings);
    }
    let not_there = findings.errors() > 0 && nodes.is_empty();
    let errors = findings.into_parts().0.into_iter().filter(|it| it.code != Code::NotAvailable);
    let said: Vec<_> = errors.map(|it| it.to_line()).collect();
    if not_there && said.is_empty() { vec!["not YAML".to_owned()] } else { said }
}

/// Every document that differs from this one in one place, and how: another sort of value, a key more, a key less.
fn changed(document: &Value) -> Vec<(String, Value)> {
    let mut places = Vec::new();
    pointers(document, String::new(), &mut places);
    let mut made = Vec::new();
    for place in places {
        let mut put = |how: &str, change: &dyn Fn(&mut Value)| {
            let mut copy = document.clone();
            change(copy.pointer_mut(&place).unwrap());
            made.push((format!("{place}: {how}"), copy));
        };
        for value in [
            json!(null),
            json!(true),
            json!(-1),
            json!(70_000),
            json!(""),
            json!("Ä b"),
            json!("x".repeat(5_000)),
            json!(" "),
            json!("a\0b"),
            json!([""]),
            json!(["a\0b"]),
            json!([]),
            json!([[]]),
            json!(["a", "a"]),
            json!({}),
            json!({"a": 1}),
        ] {
            // A document that says nothing is passed over: `---` twice in a file is no mistake.
            if place.is_empty() && value.is_null() {
                continue;
            }
            let how: String = value.to_string().chars().take(20).collect();
            put(&how, &|it| *it = value.clone());
        }
        let keys: Vec<String> = document
            .pointer(&place)
            .unwrap()
            .as_object()
            .into_iter()
            .flat_map(|map| map.keys().cloned())
            .collect();
        if document.pointer(&place).unwrap().is_object() {
            put("a key more", &|it| it["unknown key"] = json!(1));
        }
        for key in keys {
            put(&format!("without {key}"), &|it| drop(it.as_object_mut().unwrap().shift_remove(&key)));
        }
    }
    made
}

/// Where every value of a document stands.
fn pointers(value: &Value, at: String, places: &mut Vec<String>) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, inner)| {
            pointers(inner, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), places);
        }),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, inner)| pointers(inner, format!("{at}/{index}"), places)),
        _ => {}
    }
    places.push(at);
}

#[test]
fn every_right_document_is_right_by_its_schema() {
    let published = Published::new();
    for (file, name, document) in documents() {
        assert!(published.accepts(name, &document), "{file}: {document:#}");
        assert_eq!(ours(name, &document), Vec::<String>::new(), "{file}");
    }
}

#[test]
fn a_document_with_one_change_is_wrong_to_both_or_to_neither() {
    let published = Published::new();
    let (mut right, mut wrong, mut apart) = (0, 0, Vec::new());
    for (file, name, document) in documents() {
        for (how, made) in changed(&document) {
            let (schema, parser) = (published.accepts(name, &made), ours(name, &made));
            match (schema, parser.is_empty()) {
                (true, true) => right += 1,
                (false, false) => wrong += 1,
                (true, false) => {
                    apart.push(format!("{file} {name:?}{how}: the schema accepts it, and {}", parser[0]))
                }
                (false, true) => {
                    apart.push(format!("{file} {name:?}{how}: the schema refuses it, and we do not"))
                }
            }
        }
    }
    assert!(
        apart.is_empty(),
        "{} of {}:\n{}",
        apart.len(),
        right + wrong,
        apart[..apart.len().min(40)].join("\n")
    );
    assert!(right > 500 && wrong > 5_000, "{right} right, {wrong} wrong");
}

/// What the validator accepts, the types read: none of them knows less than its schema.
#[test]
fn what_the_schema_accepts_the_types_read() {
    let published = Published::new();
    for (file, name, document) in documents() {
        let made = changed(&document).into_iter().filter(|(_, made)| {
            made["kind"] == document["kind"] && made["apiVersion"] == document["apiVersion"]
        });
        for (how, made) in
            made.filter(|(_, made)| name != SchemaName::Config && published.accepts(name, made))
        {
            let errors = read("made.yaml", made.to_string().as_bytes()).findings.into_parts().0;
            let errors: Vec<_> =
                errors.iter().filter(|it| it.code != Code::NotAvailable).map(Problem::to_line).collect();
            assert!(errors.is_empty(), "{file} {name:?}{how}: {errors:?}");
        }
    }
}

/// The break: a schema that demands less, and one that demands more, are found out.
#[test]
fn schemas_that_differ_from_the_parser_are_found_out() {
    let (_, name, document) =
        documents().into_iter().find(|(_, name, _)| *name == SchemaName::Service).unwrap();
    let disagree = |change: &dyn Fn(&mut Value)| {
        let (mut schemas, mut compiler, mut other) = (Schemas::new(), Compiler::new(), schema(name));
        change(&mut other);
        compiler.add_resource("https://schemas.example/other.json", other).unwrap();
        let index = compiler.compile("https://schemas.example/other.json", &mut schemas).unwrap();
        let differs = |made: &Value| schemas.validate(made, index).is_ok() != ours(name, made).is_empty();
        changed(&document).iter().filter(|(_, made)| differs(made)).count()
    };
    assert_eq!(disagree(&|_| {}), 0);
    let spec = |schema: &mut Value, change: &dyn Fn(&mut Value)| {
        change(schema.pointer_mut("/$defs/Service").unwrap())
    };
    assert!(disagree(&|schema| spec(schema, &|spec| spec["additionalProperties"] = json!(true))) > 0);
    assert!(disagree(&|schema| spec(schema, &|spec| spec["required"] = json!([]))) > 0);
    assert!(disagree(&|schema| spec(schema, &|spec| spec["required"] = json!(["hosts", "env", "deny"]))) > 0);
}

/// Lists that hold nothing where they are empty. Every other list narrows something: empty it could be taken for
/// nothing and for everything, and is an error.
const EMPTY_IS_NOTHING: [&str; 26] = [
    "args",
    "baseline",
    "create",
    "delegate",
    "deny",
    "files",
    "hide",
    "hostConfig",
    "hostServices",
    "include",
    "install",
    "kits",
    "locked",
    "mounts",
    "never",
    "packages",
    "ports",
    "rules",
    "run",
    "secrets",
    "sinks",
    "start",
    "tests",
    "trust",
    "upstreamCa",
    "workspaces",
];

/// Keys of a schema that take an empty list, and are not known to hold nothing then.
fn empty_lists(schema: &Value, found: &mut BTreeSet<String>) {
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        if property["type"] == "array" && property["minItems"] == json!(null) {
            found.extend((!EMPTY_IS_NOTHING.contains(&key.as_str())).then(|| key.clone()));
        }
    }
    match schema {
        Value::Object(map) => map.values().for_each(|inner| empty_lists(inner, found)),
        Value::Array(items) => items.iter().for_each(|inner| empty_lists(inner, found)),
        _ => {}
    }
}

#[test]
fn an_empty_list_never_means_everything() {
    for name in SchemaName::ALL {
        let mut found = BTreeSet::new();
        empty_lists(&schema(name), &mut found);
        assert!(found.is_empty(), "{name:?}: {found:?} may be empty");
    }
    // The break: a list that lost its minimum is found out.
    let (mut broken, mut found) = (schema(SchemaName::Sandbox), BTreeSet::new());
    broken["$defs"]["Requests"]["properties"]["methods"].as_object_mut().unwrap().shift_remove("minItems");
    empty_lists(&broken, &mut found);
    assert_eq!(found, BTreeSet::from(["methods".to_owned()]));
}

#[test]
fn an_entry_that_narrows_to_nothing_is_wrong_to_both() {
    let published = Published::new();
    let (mut tried, says) = (0, |text: &str| text.ends_with("/http/0: {}") || text.ends_with("/http: []"));
    for (file, name, document) in documents() {
        for (how, made) in changed(&document).into_iter().filter(|(how, _)| says(how)) {
            assert!(!published.accepts(name, &made), "{file}{how}");
            assert!(ours(name, &made).iter().any(|it| it.contains("cannot be empty")), "{file}{how}");
            tried += 1;
        }
    }
    assert!(tried > 4, "{tried}");
}

/// Paths of all that a schema knows and this version carries out.
fn known(shape: &Shape, path: &str, found: &mut BTreeSet<String>) {
    if shape.not_available || shape.refused.is_some() {
        return;
    }
    if !shape.words.is_empty() && shape.words.iter().all(|word| word.not_available) {
        return;
    }
    found.insert(path.to_owned());
    shape.keys.iter().for_each(|(key, inner)| known(inner, &format!("{path}.{key}"), found));
    if let Further::Of(inner) = &shape.further {
        known(inner, &format!("{path}.*"), found);
    }
    shape.items.iter().for_each(|inner| known(inner, &format!("{path}[]"), found));
    shape.branches.iter().for_each(|branch| known(branch, path, found));
}

/// Paths of a schema that a document says something at.
fn used(shape: &Shape, value: &Value, path: &str, found: &mut BTreeSet<String>) {
    found.insert(path.to_owned());
    for branch in shape.branches.iter().filter(|branch| fits(branch.sort, value)) {
        used(branch, value, path, found);
    }
    for (key, inner) in value.as_object().into_iter().flatten() {
        match (shape.keys.get(key), &shape.further) {
            (Some(known), _) => used(known, inner, &format!("{path}.{key}"), found),
            (None, Further::Of(any)) => used(any, inner, &format!("{path}.*"), found),
            _ => {}
        }
    }
    for (item, inner) in value.as_array().into_iter().flatten().zip(std::iter::repeat(&shape.items)) {
        inner.iter().for_each(|inner| used(inner, item, &format!("{path}[]"), found));
    }
}

fn fits(sort: Option<Sort>, value: &Value) -> bool {
    match sort {
        None => true,
        Some(Sort::Bool) => value.is_boolean(),
        Some(Sort::Int) => value.is_i64(),
        Some(Sort::Text) => value.is_string(),
        Some(Sort::List) => value.is_array(),
        Some(Sort::Map) => value.is_object(),
    }
}

#[test]
fn every_key_of_every_kind_stands_in_a_right_document() {
    let documents = documents();
    for (kind, name) in KINDS {
        let (mut all, mut said) = (BTreeSet::new(), BTreeSet::new());
        known(shape(name), "", &mut all);
        for (_, _, document) in documents.iter().filter(|(_, of, _)| *of == name) {
            used(shape(name), document, "", &mut said);
        }
        let missing: Vec<_> = all.difference(&said).collect();
        assert!(
            missing.is_empty(),
            "no file in tests/data/kit/valid or form says this in kind {kind}: {missing:?}"
        );
        assert!(all.len() > 8, "{kind} has {} keys", all.len());
    }
}
