//! Schemas of commands: text for a shell, and programs with their arguments. The keys that hold them are read as plain
//! texts.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Text for a shell.
pub(in crate::kit) fn shell(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "pattern": "^[^\\x00]*[^\\s\\x00][^\\x00]*$",
        "x-form": "a command is text for a shell, without NUL characters",
    })
}

/// Texts for a shell.
pub(super) fn shells(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "items": shell(generator)})
}

/// Arguments.
pub(super) fn arguments(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": {"type": "string", "pattern": "^[^\\x00]*$", "x-form": "an argument has no NUL characters"},
    })
}

/// A program and its arguments.
pub(super) fn program(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = arguments(generator);
    schema.insert("minItems".to_owned(), 1.into());
    let program = json_schema!({
        "type": "string",
        "minLength": 1,
        "pattern": "^[^\\x00]+$",
        "x-form": "a command begins with its program's name or path, without NUL characters",
    });
    schema.insert("prefixItems".to_owned(), vec![program.to_value()].into());
    schema
}

/// A program and its arguments, one of which takes the prompt.
pub(super) fn task(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = program(generator);
    let prompt = json_schema!({
        "description": "the command of a task does not take the prompt",
        "type": "string",
        "pattern": "\\$\\{\\{\\s*task\\.prompt\\s*\\}\\}",
        "x-form": "write `${{ task.prompt }}` as one of its words",
    });
    schema.insert("contains".to_owned(), prompt.to_value());
    schema
}
