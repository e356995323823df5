//! JSON values as YAML that people read: mappings below one another, short lists and short items on one line.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::kit::draft::scalar;

/// Longest line that flow style may make, in characters.
const LINE_MAX: usize = 100;

/// A mapping as a document of its own.
#[must_use]
pub fn yaml(document: &Value) -> String {
    let mut text = String::new();
    match document {
        Value::Object(map) => mapping(map, 0, &mut text),
        other => {
            let _ = writeln!(text, "{}", flow(other));
        }
    }
    text
}

fn mapping(map: &Map<String, Value>, depth: usize, text: &mut String) {
    for (key, value) in map {
        let _ = write!(text, "{:indent$}{}:", "", scalar(key), indent = depth * 2);
        below(value, depth, text);
    }
}

/// What stands after a key or a dash.
fn below(value: &Value, depth: usize, text: &mut String) {
    let short = flow(value);
    let fits = depth * 2 + short.chars().count() + 20 <= LINE_MAX;
    match value {
        Value::Object(map) if !map.is_empty() && (depth == 0 || !fits) => {
            text.push('\n');
            mapping(map, depth + 1, text);
        }
        Value::Array(items) if !items.is_empty() && (!fits || items.iter().any(Value::is_object)) => {
            text.push('\n');
            for item in items {
                sequence_item(item, depth + 1, text);
            }
        }
        _ => {
            let _ = writeln!(text, " {short}");
        }
    }
}

fn sequence_item(item: &Value, depth: usize, text: &mut String) {
    let short = flow(item);
    let _ = write!(text, "{:indent$}-", "", indent = depth * 2);
    match item {
        Value::Object(map) if !map.is_empty() && depth * 2 + short.chars().count() > LINE_MAX => {
            let mut block = String::new();
            mapping(map, depth + 1, &mut block);
            let _ = write!(text, " {}", block.trim_start());
        }
        _ => {
            let _ = writeln!(text, " {short}");
        }
    }
}

fn flow(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| format!("{}: {}", scalar(key), flow(value));
            format!("{{{}}}", map.iter().map(entry).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}
