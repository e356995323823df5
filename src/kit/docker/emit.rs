//! A document as YAML that a person would have written: block style, quotes where they are needed, long texts as blocks.

use std::fmt::Write as _;

use serde_json::Value;

use crate::kit::{
    problem::is_unprintable,
    scalar::{Plain, plain},
    tree::Kind,
};

/// Lists and mappings up to this width stand on one line when they hold scalars only.
const WIDTH: usize = 100;

pub(super) fn yaml(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let _ = write!(text, "{:indent$}{}:", "", scalar(key));
                after(value, indent, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                let _ = write!(text, "{:indent$}-", "");
                match flow(item).filter(|line| line.len() + indent < WIDTH) {
                    Some(line) => {
                        let _ = writeln!(text, " {line}");
                    }
                    None => nested_item(item, indent, text),
                }
            }
        }
        other => {
            let _ = writeln!(text, "{:indent$}{}", "", flow(other).unwrap_or_default());
        }
    }
}

/// A mapping or a long text as an item: its first line stands behind the hyphen.
fn nested_item(item: &Value, indent: usize, text: &mut String) {
    if let Value::String(long) = item {
        return long_text(long, indent, text);
    }
    let mut inner = String::new();
    block(item, indent + 2, &mut inner);
    text.push(' ');
    text.push_str(inner.get(indent + 2..).unwrap_or_default());
}

/// What follows `key:`.
fn after(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::String(long) if long.contains('\n') => long_text(long, indent, text),
        Value::Object(_) | Value::Array(_) => {
            match flow(value).filter(|line| short(value) && line.len() + indent < WIDTH) {
                Some(line) => {
                    let _ = writeln!(text, " {line}");
                }
                None => {
                    text.push('\n');
                    block(value, indent + 2, text);
                }
            }
        }
        scalar => {
            let _ = writeln!(text, " {}", flow(scalar).unwrap_or_default());
        }
    }
}

fn long_text(long: &str, indent: usize, text: &mut String) {
    // A block cannot begin with a space, nor hold a tab at its beginning or a carriage return: then quotes.
    let plain = long.contains('\n') && !long.starts_with([' ', '\n', '\t']) && !long.contains('\r');
    let indented = long.lines().any(|line| line.starts_with('\t'));
    if !plain || indented || long.chars().any(|sign| sign != '\n' && escape(sign)) || long.ends_with("\n\n") {
        let _ = writeln!(text, " {}", quoted(long));
        return;
    }
    text.push_str(if long.ends_with('\n') { " |\n" } else { " |-\n" });
    for line in long.lines() {
        let indent = if line.is_empty() { 0 } else { indent + 2 };
        let _ = writeln!(text, "{:indent$}{line}", "");
    }
}

/// Whether a list or mapping holds few enough things to stand on a line of its own key.
fn short(value: &Value) -> bool {
    match value {
        Value::Object(map) => {
            map.len() <= 2 && map.values().all(|value| !value.is_object() && !value.is_array())
        }
        Value::Array(items) => items.iter().all(|item| !item.is_object() && !item.is_array()),
        _ => true,
    }
}

/// On one line, where no text in it has several.
fn flow(value: &Value) -> Option<String> {
    Some(match value {
        Value::String(text) if text.contains('\n') => return None,
        Value::String(text) => scalar(text),
        Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(flow).collect();
            format!("[{}]", items?.join(", "))
        }
        Value::Object(map) => {
            let entry = |(key, value): (&String, &Value)| Some(format!("{}: {}", scalar(key), flow(value)?));
            let entries: Option<Vec<String>> = map.iter().map(entry).collect();
            format!("{{{}}}", entries?.join(", "))
        }
        other => other.to_string(),
    })
}

/// A text without quotes where every reader of YAML takes it for just this text.
fn scalar(text: &str) -> String {
    let safe = |sign: char| sign.is_ascii_alphanumeric() || "./_-@+ ()".contains(sign);
    let is_text = matches!(plain(text), Plain::Is(Kind::Text(_)));
    // YAML 1.1 has more words for truth.
    let word = ["yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    let edge = |sign: char| sign.is_ascii_alphanumeric() || sign == '/' || sign == '.';
    let edges = text.starts_with(edge) && text.ends_with(|sign: char| edge(sign) || sign == ')');
    if !text.is_empty() && text.chars().all(safe) && is_text && !word && edges {
        text.to_owned()
    } else {
        quoted(text)
    }
}

/// In double quotes, as JSON has them; JSON leaves DEL and the C1 controls as they are, which YAML does not read.
fn quoted(text: &str) -> String {
    let json = Value::from(text).to_string();
    json.chars().fold(String::new(), |mut shown, sign| {
        if escape(sign) {
            let _ = write!(shown, "\\u{:04x}", u32::from(sign));
        } else {
            shown.push(sign);
        }
        shown
    })
}

/// What is never written as it is: what a terminal obeys, and what readers of YAML take for the end of a line.
fn escape(sign: char) -> bool {
    is_unprintable(sign) || matches!(sign, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}
