//! The first run of an agent where nothing is configured: at most three questions, each remembered for this
//! repository, each with a flag that answers it, and none where nobody can be asked.
//!
//! 1. A registry whose lock file is there: `--allow registry:NAME`.
//! 2. A key that the agent needs and that is set in the environment: `--secret NAME`.
//! 3. The user's own settings: `--host-config`. Not available yet, so not asked.

use serde_json::{Value, json};

use crate::{
    cli::{
        command::launch::LaunchArgs,
        context::Context,
        failure::{Failure, Kind},
        ops::Source,
    },
    kit::{self, Checkout, draft::Proposal, export},
    store::answers::Answers,
};

/// Why a rule stands in the document that comes of an answer.
const WHY: &str = "dependencies; agreed to at the first run here";

/// Asks what is open, and adds what was agreed to `document`.
///
/// # Errors
/// When the answers cannot be read or written.
pub(super) fn ask(
    agent: &str,
    launch: &LaunchArgs,
    document: &mut Value,
    context: &Context<'_>,
) -> Result<(), Failure> {
    if !nothing_is_configured(context) {
        return Ok(());
    }
    let known = context.ops.account().answers()?;
    let mut new = Answers::default();
    registries(launch, &known, &mut new, document, context)?;
    keys(agent, launch, &known, &mut new, context)?;
    if new != Answers::default() {
        context.ops.account().remember(new)?;
    }
    Ok(())
}

/// Whether no file here says how agents run. A wrong file does; what is wrong with it is another command's to say.
fn nothing_is_configured(context: &Context<'_>) -> bool {
    context.ops.documents().check(&Source::Search).is_err_and(|failure| failure.code() == "no_file")
}

fn registries(
    launch: &LaunchArgs,
    known: &Answers,
    new: &mut Answers,
    document: &mut Value,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let Ok(checkout) = Checkout::of(context.ops.documents().folder()) else { return Ok(()) };
    let found: Vec<Proposal> = Proposal::all(&checkout)
        .into_iter()
        .filter(|one| !launch.allow.contains(&set(one)) && !launch.deny.contains(&set(one)))
        .filter(|one| is_known(one, context))
        .collect();
    let open: Vec<&Proposal> =
        found.iter().filter(|one| !known.registries.contains_key(one.registry)).collect();
    if !open.is_empty() {
        let files: Vec<&str> = open.iter().map(|one| one.lock).collect();
        let sets: Vec<String> = open.iter().map(|one| set(one)).collect();
        let flags: Vec<String> = sets.iter().map(|set| format!("--allow {set}")).collect();
        let question = format!(
            "{} lies here. May the sandbox fetch packages ({}, reading only)?",
            files.join(" and "),
            sets.join(", ")
        );
        if let Some(yes) = answer(&question, &flags.join(" "), context)? {
            new.registries.extend(open.iter().map(|one| (one.registry.to_owned(), yes)));
        }
    }
    for one in &found {
        let agreed = new.registries.get(one.registry).or_else(|| known.registries.get(one.registry));
        if agreed == Some(&true) {
            context.out.say(format!("{} may be read, as agreed here", set(one)));
            allow(document, &set(one));
        }
    }
    Ok(())
}

fn set(one: &Proposal) -> String {
    format!("registry:{}", one.registry)
}

/// Whether this host says where the registry is; a question about one that it does not know helps nobody.
fn is_known(one: &Proposal, context: &Context<'_>) -> bool {
    let mut document = export::bare("shell");
    allow(&mut document, &set(one));
    context.ops.documents().check(&Source::Text(document.to_string())).is_ok()
}

fn allow(document: &mut Value, pattern: &str) {
    let rule = json!({ "allow": pattern, "why": WHY });
    match document["spec"]["network"]["rules"].as_array_mut() {
        Some(rules) => rules.push(rule),
        None => document["spec"]["network"]["rules"] = json!([rule]),
    }
}

/// Keys that the agent's kit needs, that no source of the operator's brings, and that are set in the environment.
fn keys(
    agent: &str,
    launch: &LaunchArgs,
    known: &Answers,
    new: &mut Answers,
    context: &Context<'_>,
) -> Result<(), Failure> {
    let bare = context.ops.documents().check(&Source::CommandLine(Box::new(export::bare(agent))));
    let needed = bare.ok().and_then(|checked| checked.sandboxes.into_iter().next());
    let sources = context.ops.account().secrets()?;
    for secret in needed.iter().flat_map(|sandbox| &sandbox.secrets) {
        let has_source = sources.iter().any(|source| source.name == secret.name);
        if has_source || known.keys.contains_key(&secret.name) || !secret.required {
            continue;
        }
        // Of a built-in service alone: what a repository calls a service may send the key anywhere.
        let Some(variable) = kit::service_variable(secret).filter(|name| context.ops.account().has_key(name))
        else {
            context.out.say(format!(
                "no key for `{}`: {} is not set here, and the operator's `secrets.sources` do not have it",
                secret.name,
                secret.env.as_deref().unwrap_or("its variable"),
            ));
            continue;
        };
        let hosts: Vec<String> = secret.inject.iter().map(|at| format!("{}:{}", at.host, at.port)).collect();
        let question = format!(
            "{variable} is set here. Use it for requests to {}? The agent never sees it.",
            hosts.join(", ")
        );
        let flag = format!("--secret {}", secret.name);
        let given = launch.secret.contains(&secret.name).then_some(true);
        if let Some(yes) = given.map_or_else(|| answer(&question, &flag, context), |yes| Ok(Some(yes)))? {
            new.keys.insert(secret.name.clone(), yes);
        }
        // One question of this sort; whatever else is missing, the start names with the command that sets it.
        break;
    }
    Ok(())
}

/// A yes or a no; nothing where nobody can be asked, and then the flag is told.
fn answer(question: &str, flag: &str, context: &Context<'_>) -> Result<Option<bool>, Failure> {
    let nobody = || Failure::new(Kind::Pending, "nobody_to_ask", "there is nobody to ask");
    match context.prompt.confirm(question, nobody) {
        Ok(yes) => Ok(Some(yes)),
        Err(failure) if failure.code() == "nobody_to_ask" => {
            context.out.say(format!("not asked, so no: {question} ({flag})"));
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
