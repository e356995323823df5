//! One place in a schema, with references followed.

use serde_json::{Map, Value};

use super::{Field, Word};

/// Deepest nesting of references and alternatives; ours has four.
const NESTING_MAX: usize = 16;

/// A schema and the root that its references start from.
#[derive(Clone)]
pub(super) struct Node<'a> {
    root: &'a Value,
    schema: Map<String, Value>,
}

impl<'a> Node<'a> {
    pub(super) fn root(root: &'a Value) -> Self {
        Self::at(root, root)
    }

    /// What stands beside a reference overrides what it leads to.
    fn at(root: &'a Value, schema: &Value) -> Self {
        let mut layers = Vec::new();
        let mut here = Some(schema);
        while let Some(Value::Object(map)) = here.filter(|_| layers.len() < NESTING_MAX) {
            layers.push(map);
            let target = map.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix('#'));
            here = target.and_then(|target| root.pointer(target));
        }
        let mut merged = Map::new();
        for layer in layers.into_iter().rev() {
            merged.extend(layer.iter().map(|(key, value)| (key.clone(), value.clone())));
        }
        Self { root, schema: merged }
    }

    fn text(&self, key: &str) -> Option<String> {
        let text = self.schema.get(key)?.as_str()?;
        Some(text.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    fn sort(&self) -> Option<&str> {
        self.schema.get("type").and_then(Value::as_str)
    }

    fn below(&self, key: &str) -> Option<Self> {
        self.schema.get(key).filter(|value| value.is_object()).map(|value| Self::at(self.root, value))
    }

    fn branches(&self) -> Vec<Self> {
        let all = ["anyOf", "oneOf"].into_iter().filter_map(|key| self.schema.get(key)?.as_array());
        all.flatten().map(|branch| Self::at(self.root, branch)).collect()
    }

    /// Values of a mapping whose keys are the author's own.
    fn named_values(&self) -> Option<Self> {
        let patterns = self.schema.get("patternProperties").and_then(Value::as_object);
        let first = patterns.and_then(|patterns| patterns.values().next());
        first.map(|value| Self::at(self.root, value)).or_else(|| self.below("additionalProperties"))
    }

    pub(super) fn description(&self) -> Option<String> {
        self.text("description")
    }

    /// What the definition says of itself, whatever the key that holds it says of it.
    pub(super) fn definition(&self) -> Option<String> {
        let target = self.text("$ref")?;
        Self::at(self.root, self.root.pointer(target.strip_prefix('#')?)?).description()
    }

    pub(super) fn not_available(&self) -> bool {
        self.schema.get("x-notAvailable") == Some(&Value::Bool(true))
    }

    /// What lies below a key, and whether the key must be there. Lists and alternatives are looked into.
    pub(super) fn child(&self, key: &str) -> Option<(Self, bool)> {
        self.children(0)
            .into_iter()
            .find(|(name, ..)| name == key)
            .or_else(|| {
                // A name of one's own stands for `<name>`.
                self.children(0).into_iter().find(|(name, ..)| name == OWN_NAME)
            })
            .map(|(_, node, required)| (node, required))
    }

    /// The keys that are known here.
    pub(super) fn keys(&self) -> Vec<String> {
        self.children(0).into_iter().map(|(name, ..)| name).collect()
    }

    fn children(&self, depth: usize) -> Vec<(String, Self, bool)> {
        let mut found: Vec<(String, Self, bool)> = Vec::new();
        if depth > NESTING_MAX {
            return found;
        }
        let required: Vec<&str> = self.required();
        if let Some(properties) = self.schema.get("properties").and_then(Value::as_object) {
            let entry = |(name, value): (&String, &Value)| {
                (name.clone(), Self::at(self.root, value), required.contains(&name.as_str()))
            };
            found.extend(properties.iter().map(entry));
        }
        if let Some(values) = self.named_values() {
            found.push((OWN_NAME.to_owned(), values, false));
        }
        let inner = self.below("items").into_iter().chain(self.branches());
        for (name, node, required) in inner.flat_map(|inner| inner.children(depth + 1)) {
            if found.iter().all(|(other, ..)| *other != name) {
                found.push((name, node, required));
            }
        }
        found
    }

    fn required(&self) -> Vec<&str> {
        let list = self.schema.get("required").and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// The words that a value may be.
    pub(super) fn words(&self) -> Vec<Word> {
        let plain = self.schema.get("enum").and_then(Value::as_array).into_iter().flatten();
        let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let mut words: Vec<Word> =
            plain.map(|value| Word { value: word(value), description: None, available: true }).collect();
        for branch in self.branches() {
            match branch.schema.get("const") {
                Some(value) => words.push(Word {
                    value: word(value),
                    description: branch.description(),
                    available: !branch.not_available(),
                }),
                None if branch.schema.contains_key("enum") => words.extend(branch.words()),
                None => {}
            }
        }
        words
    }

    /// The sort of value in words.
    fn sort_in_words(&self, depth: usize) -> String {
        if !self.words().is_empty() {
            return "word".to_owned();
        }
        let branches: Vec<Self> =
            self.branches().into_iter().filter(|branch| branch.sort().is_some()).collect();
        if self.sort().is_none() && !branches.is_empty() && depth < NESTING_MAX {
            let mut sorts: Vec<String> =
                branches.iter().map(|branch| branch.sort_in_words(depth + 1)).collect();
            sorts.dedup();
            return sorts.join(" or ");
        }
        match self.sort() {
            Some("string") => "text".to_owned(),
            Some("integer") => "whole number".to_owned(),
            Some("number") => "number".to_owned(),
            Some("boolean") => "true or false".to_owned(),
            Some("array") => match self.below("items").filter(|_| depth < NESTING_MAX) {
                Some(items) => format!("list of {}", items.sort_in_words(depth + 1)),
                None => "list".to_owned(),
            },
            Some("object") => match self.named_values().filter(|_| depth < NESTING_MAX) {
                Some(values) => format!("mapping of names to {}", values.sort_in_words(depth + 1)),
                None => "mapping".to_owned(),
            },
            _ => "anything".to_owned(),
        }
    }

    fn form(&self) -> Option<String> {
        let number = |key: &str| self.schema.get(key).and_then(Value::as_i64);
        let range = match (number("minimum"), number("maximum")) {
            (Some(least), Some(most)) => Some(format!("from {least} to {most}")),
            (Some(least), None) => Some(format!("at least {least}")),
            (None, Some(most)) => Some(format!("at most {most}")),
            (None, None) => None,
        };
        self.text("x-form").or(range).or_else(|| self.below("items")?.text("x-form"))
    }

    fn default(&self) -> Option<String> {
        if let Some(value) = self.schema.get("default") {
            return Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        }
        // The convention of our own descriptions: "Virtual CPUs; 2 unless written."
        if let Some((_, value)) = self.description().as_deref().and_then(unless_written) {
            return Some(value.to_owned());
        }
        let by_itself = |word: &Word| word.description.as_ref().is_some_and(|it| it.contains("the default"));
        self.words().into_iter().find(by_itself).map(|word| word.value)
    }

    /// This as a key of that name; `later`: something above it is not available yet.
    pub(super) fn field(&self, name: &str, required: bool, later: bool) -> Field {
        self.field_within(name, required, later, 0)
    }

    fn field_within(&self, name: &str, required: bool, later: bool, depth: usize) -> Field {
        let later = later || self.not_available();
        let below = if depth > NESTING_MAX { Vec::new() } else { self.children(0) };
        let field = |(name, node, required): &(String, Self, bool)| {
            node.field_within(name, *required, later, depth + 1)
        };
        Field {
            name: name.to_owned(),
            sort: self.sort_in_words(0),
            required,
            available: !later,
            description: self.description(),
            form: self.form(),
            default: self.default(),
            values: self.words(),
            fields: below.iter().map(field).collect(),
        }
    }
}

/// Stands for a key that the author chooses.
const OWN_NAME: &str = "<name>";

/// What comes before `; VALUE unless written`, and VALUE.
fn unless_written(description: &str) -> Option<(&str, &str)> {
    description.split_once(" unless written").and_then(|(before, _)| before.rsplit_once("; "))
}
