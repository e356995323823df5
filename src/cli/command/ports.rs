//! `ports`: a sandbox's ports on this host's loopback, shown, published and withdrawn while it runs.

use serde_json::json;

use crate::{
    cli::{
        args::Publish,
        context::Context,
        failure::{CommandResult, Outcome},
        ops::PortEdit,
        output::Table,
    },
    model::status::PublishedPort,
};

/// Arguments of `ports`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Sandbox
    name: String,
    /// Publish a port of the sandbox, on the host's port of the same number or on HOST; taken: on the next free one
    #[arg(short, long, value_name = "[HOST:]PORT")]
    publish: Vec<Publish>,
    /// Withdraw a port of the sandbox
    #[arg(short, long, value_name = "PORT")]
    unpublish: Vec<u16>,
}

/// Runs the command.
///
/// # Errors
/// A name that nothing has; a port that cannot be had.
pub fn run(args: &Args, context: &Context<'_>) -> CommandResult {
    let sandbox = context.ops.machines().find(&args.name)?;
    let edit = PortEdit { publish: args.publish.clone(), withdraw: args.unpublish.clone() };
    let ports = context.ops.machines().ports(&sandbox, &edit)?;
    if ports.is_empty() && !args.publish.is_empty() {
        context.out.say(format!("{} does not run; its ports open when it starts", sandbox.desired.name));
    }
    context.out.data(&json!({ "name": sandbox.desired.name, "ports": ports }), || table(&ports))?;
    Ok(Outcome::Done)
}

fn table(ports: &[PublishedPort]) -> String {
    let mut table = Table::new(&["HOST", "SANDBOX"]);
    for port in ports {
        let (host, guest) = (format!("{}:{}", port.address, port.host), port.guest.to_string());
        table.row([host.as_str(), guest.as_str()]);
    }
    table.render()
}
