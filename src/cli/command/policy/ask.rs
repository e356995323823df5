//! `policy check` and `policy explain`: what would be decided, by the very engine that decides.

use serde_json::json;

use super::{Plane, edit::ProtocolWord};
use crate::{
    cli::{
        context::Context,
        failure::{CommandResult, Failure, Kind, Outcome},
        output::visible_lines,
    },
    model::{
        event::RuleRef,
        rule::{Protocol, Target},
    },
    policy::{self, Compiled, Request, Verdict, authority, explain},
};

/// Arguments of `policy check` and `policy explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[arg(value_enum)]
    plane: Plane,
    /// Host, host and port, or URL; a bare host means port 443
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
    let question = question(&args.target, args.protocol.map(Protocol::from))?;
    let sandbox = super::super::find_named(args.sandbox.as_ref(), context)?;
    let revision = context.ops.policy(sandbox.as_ref(), None)?;
    let method = args.method.to_ascii_uppercase();
    let canonical = question.path.as_deref().map(policy::path::canonical);
    let http = canonical.as_ref().map(|path| policy::Http { method: &method, path: path.as_deref() });
    let request =
        Request { target: &question.target, port: question.port, protocol: question.protocol, http };
    let explanation = explain::explain(&Compiled::new(&revision), &request);
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
    });
    context.out.data(&value, || {
        if trace {
            return visible_lines(&explanation.to_string()).into_owned();
        }
        let word = if decision.allowed() { "allowed" } else { "denied" };
        format!("{word}: {}\n", visible_lines(&sentence))
    })?;
    Ok(match &decision.verdict {
        Verdict::Allow(_) => Outcome::Done,
        Verdict::Deny { .. } => Outcome::Answer(Kind::Denied),
    })
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
