//! `policy allow`, `deny`, `rm` and `reset`: rules of the command line, in force before the command returns.

use jiff::Timestamp;
use serde_json::json;

use super::{Plane, ls::PresetWord};
use crate::{
    cli::{
        context::Context,
        failure::{CommandResult, Failure, Kind, Outcome},
        ops::{RuleChange, RuleEdit, RuleScope},
        render,
    },
    kit::Member,
    model::{
        desired::Preset,
        end::End,
        pattern,
        rule::{Addresses, During, Effect, HttpMatch, Layer, NetworkRule, Origin, Ports, Protocol},
    },
};

/// For whom.
#[derive(Debug, clap::Args)]
struct ScopeArgs {
    /// For this sandbox only
    #[arg(long, value_name = "NAME")]
    sandbox: Option<String>,
    /// For all sandboxes of this user; default: for those of this repository
    #[arg(short, long, conflicts_with = "sandbox")]
    global: bool,
}

/// Arguments of `policy allow` and `policy deny`.
#[derive(Debug, clap::Args)]
pub struct AddArgs {
    #[arg(value_enum)]
    plane: Plane,
    /// Hosts: name, *.name, **.name, name:port, name:low-high, address, network, or a set: registry:NAME,
    /// bundle:NAME, service:NAME
    #[arg(required = true, value_delimiter = ',')]
    patterns: Vec<String>,
    #[command(flatten)]
    scope: ScopeArgs,
    /// Only these HTTP methods
    #[arg(long, value_delimiter = ',')]
    method: Vec<String>,
    /// Only these paths, with * for one segment and ** for any depth
    #[arg(long, value_delimiter = ',')]
    path: Vec<String>,
    /// What is spoken there; default: https on 443, http on 80
    #[arg(long, value_enum)]
    protocol: Option<ProtocolWord>,
    /// Which addresses the name may have
    #[arg(long, value_enum, default_value = "public")]
    addresses: AddressesWord,
    /// Until the end of this day (UTC), 2026-12-31, or this time, 2026-12-31T18:00:00Z
    #[arg(long, value_name = "END")]
    until: Option<End>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

/// Arguments of `policy rm`.
#[derive(Debug, clap::Args)]
pub struct RemoveArgs {
    #[arg(value_enum)]
    plane: Plane,
    /// Patterns exactly as `policy ls` shows them
    #[arg(required_unless_present = "id", value_delimiter = ',')]
    patterns: Vec<String>,
    /// The rule with this id
    #[arg(long, conflicts_with = "patterns")]
    id: Option<String>,
    #[command(flatten)]
    scope: ScopeArgs,
}

/// Arguments of `policy reset`.
#[derive(Debug, clap::Args)]
pub struct ResetArgs {
    #[command(flatten)]
    scope: ScopeArgs,
    /// Choose this preset as well
    #[arg(long, value_enum)]
    preset: Option<PresetWord>,
    /// Without a question
    #[arg(short, long, visible_alias = "force")]
    yes: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum ProtocolWord {
    Http,
    Https,
    Tls,
    Tcp,
}

impl From<ProtocolWord> for Protocol {
    fn from(word: ProtocolWord) -> Self {
        match word {
            ProtocolWord::Http => Self::Http,
            ProtocolWord::Https => Self::Https,
            ProtocolWord::Tls => Self::Tls,
            ProtocolWord::Tcp => Self::Tcp,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum AddressesWord {
    Public,
    Private,
}

/// Adds rules.
///
/// # Errors
/// A pattern of another form; with kind `Denied` when another layer's rule still denies what was to be allowed.
pub fn add(args: &AddArgs, effect: Effect, context: &Context<'_>) -> CommandResult {
    let Plane::Network = args.plane;
    if args.until.is_some_and(|until| until.is_over(Timestamp::now())) {
        return Err(Failure::usage("until", "--until has passed already"));
    }
    let rules = super::super::for_each(&args.patterns, |pattern| rules(args, effect, pattern, context))?;
    let rules: Vec<NetworkRule> = rules.into_iter().flatten().collect();
    let change = context.ops.rules().edit_rules(&scope(&args.scope, context)?, RuleEdit::Add(rules))?;
    if let Some(rule) = &change.denied_by {
        let message = format!("rule {} still denies {}; nothing was changed", rule.id, rule.pattern());
        return Err(Failure::new(Kind::Denied, "denied_elsewhere", message).hint(format!(
            "it stands in {}: {}",
            render::origin(&rule.origin),
            rule.why
        )));
    }
    show(&change, context)
}

/// Removes rules.
///
/// # Errors
/// When there is no such rule.
pub fn remove(args: &RemoveArgs, context: &Context<'_>) -> CommandResult {
    let Plane::Network = args.plane;
    let edit = match &args.id {
        Some(id) => RuleEdit::RemoveId(id.clone()),
        None => RuleEdit::RemovePatterns(args.patterns.clone()),
    };
    let change = context.ops.rules().edit_rules(&scope(&args.scope, context)?, edit)?;
    if change.removed.is_empty() {
        let what = args.id.clone().unwrap_or_else(|| args.patterns.join(","));
        let message = format!("no rule of a command is `{what}` for {}", change.scope);
        return Err(Failure::new(Kind::NotFound, "no_such_rule", message)
            .hint("`cofferdam policy ls` shows the rules; -g and --sandbox choose whose"));
    }
    show(&change, context)
}

/// Removes all rules.
///
/// # Errors
/// When nobody can be asked.
pub fn reset(args: &ResetArgs, context: &Context<'_>) -> CommandResult {
    let scope = scope(&args.scope, context)?;
    if !args.yes {
        super::super::confirm_loss(context, "Remove every rule that commands have added here?", "--yes")?;
    }
    show(&context.ops.rules().edit_rules(&scope, RuleEdit::Reset(args.preset.map(Preset::from)))?, context)
}

fn scope(args: &ScopeArgs, context: &Context<'_>) -> Result<RuleScope, Failure> {
    Ok(match &args.sandbox {
        Some(name) => RuleScope::Sandbox(Box::new(context.ops.machines().find(name)?)),
        None if args.global => RuleScope::User,
        None => RuleScope::Here,
    })
}

fn show(change: &RuleChange, context: &Context<'_>) -> CommandResult {
    context.out.data(&json!(change), || {
        let line = |word: &str, rule: &NetworkRule| {
            let pattern = rule.pattern();
            let pattern = crate::cli::output::visible(&pattern);
            let set = rule.set.as_ref().map(|set| format!(" ({set})")).unwrap_or_default();
            let set = crate::cli::output::visible(&set);
            format!("{word} {} {pattern}{set} for {}\n", render::effect(rule.effect), change.scope)
        };
        let removed = change.removed.iter().map(|rule| line("removed", rule));
        removed.chain(change.added.iter().map(|rule| line("added", rule))).collect()
    })?;
    if !change.live.is_empty() {
        let (live, closed) = (change.live.join(", "), change.closed);
        context.out.say(format!("in force in {live}; closed connections: {closed}"));
    }
    Ok(Outcome::Done)
}

/// The rules of one pattern: one, or one per host of a named set.
fn rules(
    args: &AddArgs,
    effect: Effect,
    text: &str,
    context: &Context<'_>,
) -> Result<Vec<NetworkRule>, Failure> {
    let wrong = |message: &str| Failure::usage("pattern", format!("`{text}`: {message}"));
    let Some((kind, name)) = pattern::named_set(text) else {
        let (host, ports) = pattern::parse(text).map_err(|error| wrong(&error.to_string()))?;
        if effect == Effect::Allow
            && let Some(why) = crate::kit::too_wide(&host)
        {
            return Err(wrong(&why).hint("name the hosts that are needed"));
        }
        return Ok(vec![rule(
            args,
            effect,
            text,
            Member { host, ports, protocol: None, http: Vec::new() },
            None,
        )?]);
    };
    if kind == "service" && args.scope.global && !crate::kit::has_service(name) {
        return Err(wrong("a service of this repository means nothing to all sandboxes of this user")
            .hint("leave --global out, or name its hosts"));
    }
    let set = context.ops.documents().named_set(kind, name, effect)?;
    let narrowed = !args.method.is_empty() || !args.path.is_empty();
    let says_protocol = set.members.iter().any(|member| member.protocol.is_some());
    if (set.complete && narrowed) || ((set.complete || says_protocol) && args.protocol.is_some()) {
        return Err(wrong("this set says itself what is spoken and which requests pass")
            .hint("leave --method, --path and --protocol out"));
    }
    set.members.into_iter().map(|member| rule(args, effect, text, member, set.set.clone())).collect()
}

fn rule(
    args: &AddArgs,
    effect: Effect,
    text: &str,
    member: Member,
    set: Option<String>,
) -> Result<NetworkRule, Failure> {
    let wrong = |message: String| Failure::usage("pattern", format!("`{text}`: {message}"));
    let Member { host, ports, protocol: own, http: own_http } = member;
    let ports = ports.unwrap_or(if effect == Effect::Deny { Ports::ALL } else { Ports::one(443) });
    let default = if ports.first == ports.last { Protocol::default_for(ports.first) } else { None };
    let protocol = match (own.or(args.protocol.map(Protocol::from)).or(default), effect) {
        // A deny without a protocol means all of them.
        (_, Effect::Deny) => args.protocol.map(Protocol::from),
        (Some(protocol), _) => Some(protocol),
        (None, _) => return Err(wrong("say what is spoken on these ports".into()).hint("pass --protocol")),
    };
    let methods: Vec<String> = args.method.iter().map(|method| method.to_ascii_uppercase()).collect();
    let narrowed = !methods.is_empty() || !args.path.is_empty();
    if narrowed && matches!(protocol, Some(Protocol::Tls | Protocol::Tcp)) {
        return Err(wrong("methods and paths are not visible in this protocol".into()));
    }
    let http = if narrowed { vec![HttpMatch { methods, paths: args.path.clone() }] } else { own_http };
    let layer = if args.scope.sandbox.is_some() { Layer::Session } else { Layer::User };
    Ok(NetworkRule {
        until: args.until,
        // The store numbers rules when it writes them.
        id: String::new(),
        effect,
        host,
        ports,
        protocol,
        http,
        addresses: match args.addresses {
            AddressesWord::Public => Addresses::Public,
            AddressesWord::Private => Addresses::Private,
        },
        during: During::Always,
        set,
        why: args.why.clone().unwrap_or_else(default_why),
        origin: Origin { layer, file: None, line: None },
    })
}

fn default_why() -> String {
    let user = crate::cli::host::user_name();
    let day = jiff::Timestamp::now().strftime("%Y-%m-%d");
    format!("added by {user} on {day}")
}
