//! Plans and their inputs as files: `plan --out F`, `apply F`, `plan --save-input F`, `plan --replay F`. JSON with a
//! head that says which it is and in which version; read strictly and within bounds, since somebody may have written
//! in it meanwhile.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{
    Action,
    snapshot::{Plan, PlanInput, Planned, VERSION},
};

/// Longest file, in bytes: ten thousand sandboxes of six kilobytes.
pub const FILE_MAX: usize = 64 << 20;

const PLAN: &str = "cofferdam-plan";
const INPUT: &str = "cofferdam-plan-input";

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is longer than any.
    #[error("a saved plan has at most {} MiB", FILE_MAX >> 20)]
    TooLong,
    /// It is not JSON of this form.
    #[error("not a saved plan, or one that was changed")]
    Form(#[source] serde_json::Error),
    /// It is something else.
    #[error("this is `{found}`, and `{expected}` is needed")]
    Kind {
        /// What it says it is.
        found: String,
        /// What was asked for.
        expected: &'static str,
    },
    /// It was written by another version.
    #[error("a saved plan of version {found}; this program reads version {VERSION}: plan again")]
    Version {
        /// Its version.
        found: u32,
    },
    /// Its parts contradict each other.
    #[error("the step of `{0}` is not one that a planner makes; plan again")]
    Step(String),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    kind: String,
    version: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Envelope<T> {
    kind: String,
    version: u32,
    content: T,
}

/// The text of a saved plan.
#[must_use]
pub fn plan_text(plan: &Plan) -> String {
    text(PLAN, plan)
}

/// The text of a saved input.
#[must_use]
pub fn input_text(input: &PlanInput) -> String {
    text(INPUT, input)
}

fn text<T: Serialize>(kind: &str, content: &T) -> String {
    let envelope = Envelope { kind: kind.to_owned(), version: VERSION, content };
    let mut text =
        serde_json::to_string_pretty(&envelope).expect("plans have string keys and no failing serialiser");
    text.push('\n');
    text
}

/// Reads a saved plan.
///
/// # Errors
/// When it is none, or not of this version.
pub fn plan_from(bytes: &[u8]) -> Result<Plan, FileError> {
    let plan: Plan = read(PLAN, bytes)?;
    match plan.steps.iter().find(|step| !is_sound(step)) {
        Some(step) => Err(FileError::Step(step.name.to_string())),
        None => Ok(plan),
    }
}

/// Reads a saved input.
///
/// # Errors
/// When it is none, or not of this version.
pub fn input_from(bytes: &[u8]) -> Result<PlanInput, FileError> {
    read(INPUT, bytes)
}

fn read<T: DeserializeOwned>(expected: &'static str, bytes: &[u8]) -> Result<T, FileError> {
    if bytes.len() > FILE_MAX {
        return Err(FileError::TooLong);
    }
    let head: Head = serde_json::from_slice(bytes).map_err(FileError::Form)?;
    if head.kind != expected {
        return Err(FileError::Kind { found: head.kind.escape_debug().to_string(), expected });
    }
    if head.version != VERSION {
        return Err(FileError::Version { found: head.version });
    }
    let envelope: Envelope<T> = serde_json::from_slice(bytes).map_err(FileError::Form)?;
    Ok(envelope.content)
}

/// What the executor relies on.
fn is_sound(step: &Planned) -> bool {
    let named = step.wanted.as_ref().is_none_or(|wanted| wanted.name == step.name);
    let exists = step.id.is_some() && step.generation.is_some();
    named
        && match step.action {
            Action::Create => step.wanted.is_some() && step.id.is_some() == step.generation.is_some(),
            Action::Start | Action::UpdateLive | Action::Restart | Action::Replace => {
                exists && step.wanted.is_some()
            }
            Action::Orphan | Action::Remove => exists && step.wanted.is_none(),
            Action::Nothing => step.wanted.is_none(),
        }
}
