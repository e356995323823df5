//! `schema explain`: what a key of a file is, as `kubectl explain` tells it of an object.

use std::fmt::Write as _;

use serde_json::json;

use crate::{
    cli::{
        context::Context,
        failure::{CommandResult, Failure, Kind, Outcome},
    },
    kit::explain::{self, ExplainError, Explanation, Field},
};

/// Columns of text.
const WIDTH: usize = 100;

/// Arguments of `schema explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A kind and keys below it: `sandbox.spec.network.rules`; default: the kinds
    path: Option<String>,
    /// Show the names of everything below it
    #[arg(long)]
    recursive: bool,
}

/// Runs the command.
///
/// # Errors
/// When there is no such key.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let Some(path) = &args.path else {
        let kinds = explain::kinds();
        let list = kinds.iter().map(|(kind, about)| json!({ "kind": kind, "description": about }));
        context.out.data(&json!({ "kinds": list.collect::<Vec<_>>() }), || {
            kinds.iter().map(|(kind, about)| format!("{kind}\n{}", paragraph(about, 4))).collect()
        })?;
        return Ok(Outcome::Done);
    };
    let mut found = explain::explain(path).map_err(failure)?;
    if !args.recursive {
        for below in &mut found.field.fields {
            below.fields.clear();
        }
    }
    context.out.data(&found, || text(&found, args.recursive))?;
    Ok(Outcome::Done)
}

fn failure(error: ExplainError) -> Failure {
    let failure = Failure::new(Kind::NotFound, "no_such_key", error.to_string());
    match error {
        ExplainError::NoKind { hint, .. } | ExplainError::NoKey { hint, .. } => failure.hint(hint),
        ExplainError::TooDeep => failure,
    }
}

fn text(found: &Explanation, recursive: bool) -> String {
    let field = &found.field;
    let mut text = format!("KIND   {}\n", found.kind);
    if !found.path.is_empty() {
        let _ = writeln!(text, "FIELD  {} <{}>{}", found.path, field.sort, marks(field));
    }
    for paragraph_of in [&field.description, &field.form].into_iter().flatten() {
        let _ = write!(text, "\n{}", paragraph(paragraph_of, 0));
    }
    if let Some(default) = &field.default {
        let _ = write!(text, "\nDefault: {default}\n");
    }
    if !field.values.is_empty() {
        text.push_str("\nVALUES\n");
        for word in &field.values {
            let later = if word.available { "" } else { "  (not available yet)" };
            let _ = writeln!(text, "  {}{later}", word.value);
            text.push_str(&word.description.as_ref().map_or_else(String::new, |about| paragraph(about, 6)));
        }
    }
    if !field.fields.is_empty() {
        text.push_str("\nFIELDS\n");
        if recursive { tree(&field.fields, 2, &mut text) } else { list(&field.fields, &mut text) }
    }
    text
}

fn marks(field: &Field) -> String {
    let required = if field.required { " (required)" } else { "" };
    let later = if field.available { "" } else { " (not available yet)" };
    format!("{required}{later}")
}

fn list(fields: &[Field], text: &mut String) {
    for field in fields {
        let _ = writeln!(text, "  {} <{}>{}", field.name, field.sort, marks(field));
        text.push_str(&field.description.as_ref().map_or_else(String::new, |about| paragraph(about, 6)));
    }
}

fn tree(fields: &[Field], indent: usize, text: &mut String) {
    for field in fields {
        let _ = writeln!(text, "{:indent$}{} <{}>{}", "", field.name, field.sort, marks(field));
        tree(&field.fields, indent + 2, text);
    }
}

/// Words in lines of at most [`WIDTH`] columns.
fn paragraph(words: &str, indent: usize) -> String {
    let (mut text, mut line) = (String::new(), String::new());
    for word in words.split_whitespace() {
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > WIDTH {
            let _ = writeln!(text, "{:indent$}{line}", "");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(text, "{:indent$}{line}", "");
    text
}
