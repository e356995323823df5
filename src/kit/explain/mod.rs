//! What a key of a file is, told from the published schemas: people and agents that write these files ask for it.
//!
//! Absent on purpose: no text of its own about any key. What is missing here is missing in the schema, and mended
//! there.

mod node;
#[cfg(test)]
mod tests;

use std::sync::LazyLock;

use serde::Serialize;
use serde_json::Value;

use self::node::Node;
use super::{near::similar, schema::SchemaName, schema::schema};

/// Deepest path that is followed, in keys.
const DEPTH_MAX: usize = 32;

/// What one key, or a whole kind, is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The kind that it belongs to; `Config` is the operator's configuration.
    pub kind: String,
    /// Its path: `spec.network.rules`; empty for the kind itself.
    pub path: String,
    /// What it is.
    #[serde(flatten)]
    pub field: Field,
}

/// A key and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Field {
    /// The key; `<name>` where a mapping takes names of one's own.
    pub name: String,
    /// Sort of value, in words: `text`, `list of mapping`.
    #[serde(rename = "type")]
    pub sort: String,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it is carried out; what is not is refused by name.
    pub available: bool,
    /// What it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Form of its text, and bounds of its number, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub form: Option<String>,
    /// What holds where it is not written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// The words that it may be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Word>,
    /// The keys below it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
}

/// One of the words that a value may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Word {
    /// As it is written.
    pub value: String,
    /// What it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether it is carried out.
    pub available: bool,
}

/// Why there is nothing to explain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The path begins with no kind.
    #[error("`{word}` is no kind")]
    NoKind {
        /// What it begins with.
        word: String,
        /// What may have been meant.
        hint: String,
    },
    /// There is no such key.
    #[error("there is no `{key}` in `{place}`")]
    NoKey {
        /// The key that is not there.
        key: String,
        /// What does not have it.
        place: String,
        /// What may have been meant.
        hint: String,
    },
    /// No file is that deep.
    #[error("a path has at most {DEPTH_MAX} keys")]
    TooDeep,
}

/// The schemas, made once.
static SCHEMAS: LazyLock<Vec<(SchemaName, Value)>> =
    LazyLock::new(|| SchemaName::ALL.iter().map(|name| (*name, schema(*name))).collect());

/// The kinds, as they are written in a path, with what each is.
#[must_use]
pub fn kinds() -> Vec<(String, String)> {
    let about = |(name, schema): &(SchemaName, Value)| {
        (kind_word(*name, schema), kind_description(&Node::root(schema)).unwrap_or_default())
    };
    let mut kinds: Vec<(String, String)> = SCHEMAS.iter().map(about).collect();
    // `sandbox.local.yaml` is of the same kind.
    kinds.dedup_by(|next, kept| next.0 == kept.0);
    kinds
}

/// Explains `path`: a kind, and keys below it, each after a dot: `sandbox.spec.network.rules`. A list is looked
/// into without a word, also where the path says `rules[]` or `rules[0]`.
///
/// # Errors
/// When there is no such kind or key; with what may have been meant.
pub fn explain(path: &str) -> Result<Explanation, ExplainError> {
    let keys: Vec<&str> = path.split('.').map(without_index).filter(|key| !key.is_empty()).collect();
    let Some((first, rest)) = keys.split_first() else {
        return Err(ExplainError::NoKind { word: String::new(), hint: known_kinds() });
    };
    if rest.len() > DEPTH_MAX {
        return Err(ExplainError::TooDeep);
    }
    // The schema of `OrgPolicy` is called org-policy.json.
    let word = first.trim().replace('-', "");
    let found = SCHEMAS.iter().find(|(name, schema)| kind_word(*name, schema).eq_ignore_ascii_case(&word));
    let Some((name, schema)) = found else { return Err(no_kind(first, &keys)) };
    let kind = kind_word(*name, schema);
    follow(&kind, schema, rest)
}

fn follow(kind: &str, schema: &Value, keys: &[&str]) -> Result<Explanation, ExplainError> {
    let (mut node, mut required, mut later) = (Node::root(schema), true, false);
    let mut place = kind.to_owned();
    for key in keys {
        let Some((child, is_required)) = node.child(key) else {
            return Err(ExplainError::NoKey {
                key: (*key).to_owned(),
                hint: no_key(kind, key, keys, &node),
                place,
            });
        };
        place = format!("{place}.{key}");
        later |= child.not_available();
        (node, required) = (child, is_required);
    }
    let name = keys.last().map_or(kind, |key| key);
    let mut field = node.field(name, required, later);
    if keys.is_empty() {
        field.description = kind_description(&node);
    }
    Ok(Explanation { kind: kind.to_owned(), path: keys.join("."), field })
}

/// What a kind describes; what its envelope says is the same for all.
fn kind_description(root: &Node<'_>) -> Option<String> {
    let spec = root.child("spec").and_then(|(spec, _)| spec.definition());
    spec.or_else(|| root.description())
}

/// `rules[0]` and `rules[]` as `rules`.
fn without_index(key: &str) -> &str {
    key.split_once('[').map_or(key, |(key, _)| key).trim()
}

/// The word in `kind:`; the operator's configuration has none and is called by its file.
fn kind_word(name: SchemaName, schema: &Value) -> String {
    let node = Node::root(schema);
    let written = node.child("kind").and_then(|(kind, _)| kind.words().into_iter().next());
    written.map_or_else(
        || {
            let file = name.file_name().trim_end_matches(".json");
            format!("{}{}", file[..1].to_uppercase(), &file[1..])
        },
        |word| word.value,
    )
}

fn known_kinds() -> String {
    let words: Vec<String> = kinds().into_iter().map(|(kind, _)| kind).collect();
    format!("the kinds are {}", words.join(", "))
}

fn no_kind(word: &str, keys: &[&str]) -> ExplainError {
    let kinds = kinds();
    let near = similar(word, kinds.iter().map(|(kind, _)| kind.as_str()));
    let whole = format!("sandbox.{}", keys.join("."));
    let below = format!("sandbox.spec.{}", keys.join("."));
    let hint = match near {
        Some(near) => format!("did you mean `{near}`?"),
        None if explain_keys(&keys_of(&whole)) => format!("did you mean `{whole}`?"),
        None if explain_keys(&keys_of(&below)) => format!("did you mean `{below}`?"),
        None => known_kinds(),
    };
    ExplainError::NoKind { word: word.to_owned(), hint }
}

fn keys_of(path: &str) -> Vec<&str> {
    path.split('.').collect()
}

fn explain_keys(keys: &[&str]) -> bool {
    keys.len() <= DEPTH_MAX
        && SCHEMAS.iter().any(|(name, schema)| {
            *name == SchemaName::Sandbox && follow("Sandbox", schema, &keys[1..]).is_ok()
        })
}

fn no_key(kind: &str, key: &str, keys: &[&str], node: &Node<'_>) -> String {
    let known = node.keys();
    if let Some(near) = similar(key, known.iter().map(String::as_str)) {
        return format!("did you mean `{near}`?");
    }
    if node.child("spec").is_some_and(|(spec, _)| spec.child(key).is_some()) {
        return format!("did you mean `{}.spec.{}`?", kind.to_lowercase(), keys.join("."));
    }
    match known.is_empty() {
        true => "nothing lies below it".to_owned(),
        false => format!("known here: {}", known.join(", ")),
    }
}
