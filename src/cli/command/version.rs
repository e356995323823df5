//! `version`.

use serde_json::json;

use crate::{
    cli::{
        context::Context,
        failure::{CommandResult, Outcome},
    },
    model, wire,
};

/// Arguments of `version`: none.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
///
/// # Errors
/// When standard output takes no more.
pub fn run(_: &Args, context: &Context<'_>) -> CommandResult {
    let version = env!("CARGO_PKG_VERSION");
    let value = json!({
        "version": version,
        "files": "cofferdam.dev/v1alpha1",
        "api": "v1",
        "hostProtocol": model::api::VERSION,
        "guestProtocol": wire::VERSION,
    });
    context.out.data(&value, || format!("cofferdam {version}\n"))?;
    Ok(Outcome::Done)
}
