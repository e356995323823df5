//! `policy check` and `policy explain`: what would be decided, by the very engine that decides.

use serde_json::{Value, json};

use super::{Plane, edit::ProtocolWord};
use crate::{
    cli::{
        context::Context,
        failure::{CommandResult, Failure, Kind, Outcome},
        output::visible_lines,
    },
    kit::Member,
    model::{
        event::RuleRef,
        pattern,
        rule::{Effect, HostPattern, Protocol, Target},
    },
    policy::{self, Compiled, Request, authority, explain},
};

/// Arguments of `policy check` and `policy explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(value_enum)]
    plane: Plane,
    /// Host, host and port, URL, or a set such as registry:npm; a bare host means port 443
    target: String,
    /// For this sandbox; default: for one without rules of its own
    #[arg(long, value_name = "NAME")]
    sandbox: Option<String>,
    /// Method of a request to a URL
    #[arg(long, default_value = "GET")]
    method: String,
    /// What is spoken; default: https on 443, http on 80, else tcp
    #[arg(long, value_enum)]
    protocol: Option<ProtocolWord>,
}

/// What is asked about.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    target: Target,
    port: u16,
    protocol: Protocol,
    /// Path of a URL; `None` when only the connection is asked about.
    path: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// A target of another form. A denial is the answer, with exit code 4.
pub fn run(args: &Args, trace: bool, context: &Context<'_>) -> CommandResult {
    let Plane::Network = args.plane;
    let questions = questions(args, context)?;
    let sandbox = super::super::find_named(args.sandbox.as_ref(), context)?;
    let policy = Compiled::new(&context.ops.rules().policy(sandbox.as_ref(), None)?);
    let method = args.method.to_ascii_uppercase();
    let answers: Vec<Answer> =
        questions.iter().map(|question| answer(question, &method, &policy, trace)).collect();
    let allowed = answers.iter().all(|answer| answer.allowed);
    let value = match answers.as_slice() {
        [only] => only.value.clone(),
        several => {
            let hosts: Vec<_> = several.iter().map(|answer| &answer.value).collect();
            json!({ "allowed": allowed, "set": args.target, "hosts": hosts })
        }
    };
    context.out.data(&value, || answers.iter().map(|answer| answer.text.as_str()).collect())?;
    Ok(if allowed { Outcome::Done } else { Outcome::Answer(Kind::Denied) })
}

/// What the policy says to one question.
struct Answer {
    allowed: bool,
    value: Value,
    text: String,
}

fn answer(question: &Question, method: &str, policy: &Compiled, trace: bool) -> Answer {
    let canonical = question.path.as_deref().map(policy::path::canonical);
    let http = canonical.as_ref().map(|path| policy::Http { method, path: path.as_deref() });
    let request =
        Request { target: &question.target, port: question.port, protocol: question.protocol, http };
    let explanation = explain::explain(policy, &request);
    let decision = &explanation.decision;
    let sentence = explain::sentence(decision, &explain::resource(&request));
    let rules: Vec<_> =
        explanation.trace.iter().map(|(rule, applies)| json!({ "applies": applies, "rule": rule })).collect();
    let value = json!({
        "allowed": decision.allowed(),
        "resource": explain::resource(&request),
        "reason": decision.code(),
        "message": sentence,
        "rule": decision.rule().map(|rule| RuleRef::from(&**rule)),
        "trace": rules,
        "parked": explanation.parked,
    });
    let word = if decision.allowed() { "allowed" } else { "denied" };
    let text = if trace {
        visible_lines(&explanation.to_string()).into_owned()
    } else {
        format!("{word}: {}\n", visible_lines(&sentence))
    };
    Answer { allowed: decision.allowed(), value, text }
}

/// What is asked: about one target, or about each host of a named set.
fn questions(args: &Args, context: &Context<'_>) -> Result<Vec<Question>, Failure> {
    let protocol = args.protocol.map(Protocol::from);
    let Some((kind, name)) = pattern::named_set(&args.target) else {
        return Ok(vec![question(&args.target, protocol)?]);
    };
    let set = context.ops.documents().named_set(kind, name, Effect::Allow)?;
    let ask = |member: Member| {
        let target = match member.host {
            HostPattern::Exact(name) => Target::Name(name),
            HostPattern::Net(net) => Target::Address(net.addr()),
            // One name stands for all below the suffix: a rule covers all of them or none.
            HostPattern::OneLabel(suffix) | HostPattern::AnyDepth(suffix) => {
                Target::Name(format!("x.{suffix}"))
            }
            HostPattern::Any => return None,
        };
        let port = member.ports.map_or(443, |ports| ports.first);
        let usual = member.protocol.or(Protocol::default_for(port)).unwrap_or(Protocol::Tcp);
        let path = member.http.first().map(|http| http.paths.first().cloned().unwrap_or("/".to_owned()));
        Some(Question { target, port, protocol: protocol.unwrap_or(usual), path })
    };
    Ok(set.members.into_iter().filter_map(ask).collect())
}

fn question(text: &str, protocol: Option<Protocol>) -> Result<Question, Failure> {
    let wrong = |why: String| Failure::usage("target", format!("`{text}`: {why}"));
    let (scheme, rest) = match text.split_once("://") {
        Some(("http", rest)) => (Some((Protocol::Http, 80)), rest),
        Some(("https", rest)) => (Some((Protocol::Https, 443)), rest),
        Some((other, _)) => return Err(wrong(format!("the scheme is http or https, not `{other}`"))),
        None => (None, text),
    };
    let (host, path) = match (scheme, rest.find(['/', '?', '#'])) {
        (None, Some(_)) => return Err(wrong("a path needs a scheme before it, http:// or https://".into())),
        (_, Some(at)) => {
            let path = rest[at..].split('#').next().unwrap_or_default();
            (&rest[..at], if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
        }
        (_, None) => (rest, "/".to_owned()),
    };
    let default_port = scheme.map_or(443, |(_, port)| port);
    let (target, port) =
        authority::authority(host, Some(default_port)).map_err(|error| wrong(error.to_string()))?;
    let usual = scheme.map(|(protocol, _)| protocol).or(Protocol::default_for(port)).unwrap_or(Protocol::Tcp);
    let path = scheme.map(|_| path);
    Ok(Question { target, port, protocol: protocol.unwrap_or(usual), path })
}

#[test]
fn targets_are_read_as_clients_read_them() {
    let ask = |text: &str| question(text, None);
    let name = |name: &str| Target::Name(name.to_owned());
    for (text, target, port, protocol, path) in [
        ("api.example", name("api.example"), 443, Protocol::Https, None),
        ("API.example:80", name("api.example"), 80, Protocol::Http, None),
        ("db.example:5432", name("db.example"), 5432, Protocol::Tcp, None),
        ("https://a.example", name("a.example"), 443, Protocol::Https, Some("/")),
        ("http://a.example:8080/x?y#z", name("a.example"), 8080, Protocol::Http, Some("/x?y")),
        ("https://a.example?q", name("a.example"), 443, Protocol::Https, Some("/?q")),
    ] {
        let expected = Question { target, port, protocol, path: path.map(str::to_owned) };
        assert_eq!(ask(text).unwrap(), expected, "{text}");
    }
    for text in
        ["", "ftp://a.example/", "a.example/x", "https://user@a.example/", "a.example:0", "https:///x"]
    {
        assert_eq!(ask(text).unwrap_err().exit_code(), 2, "{text}");
    }
}
