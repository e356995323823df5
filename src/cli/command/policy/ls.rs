//! `policy ls`: the rules in force.

use serde_json::json;

use crate::{
    cli::{
        context::Context,
        failure::{CommandResult, Outcome},
        render,
    },
    model::desired::Preset,
    policy::explain,
};

/// Arguments of `policy ls`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandbox; default: what holds for one without rules of its own
    name: Option<String>,
    /// The same
    #[arg(long, value_name = "NAME", conflicts_with = "name")]
    sandbox: Option<String>,
    /// With this preset instead of the one that is set
    #[arg(long, value_enum)]
    preset: Option<PresetWord>,
}

/// Presets by their words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum PresetWord {
    /// Nothing but the rules
    LockedDown,
    /// Model providers and code hosts, read-mostly
    Balanced,
    /// Every public name over HTTP and HTTPS
    Open,
}

impl From<PresetWord> for Preset {
    fn from(word: PresetWord) -> Self {
        match word {
            PresetWord::LockedDown => Self::LockedDown,
            PresetWord::Balanced => Self::Balanced,
            PresetWord::Open => Self::Open,
        }
    }
}

/// Runs the command.
///
/// # Errors
/// A name that nothing has; a layer that cannot be read.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let sandbox = super::super::find_named(args.name.as_ref().or(args.sandbox.as_ref()), context)?;
    let policy = context.ops.rules().policy(sandbox.as_ref(), args.preset.map(Preset::from))?;
    let mut value = json!(policy);
    for (value, rule) in value["rules"].as_array_mut().into_iter().flatten().zip(&policy.rules) {
        if let Some(why) = explain::inactive(rule, policy.setup) {
            value["inactive"] = why.into();
        }
    }
    context.out.data(&value, || render::rules(&policy))?;
    Ok(Outcome::Done)
}
