//! The operator's configuration file: the same strictness, the same errors, no envelope.

mod approvals;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    document::typed,
    findings::Findings,
    parse,
    problem::{Code, Problem, quoted},
    resolve::resolve_target,
    schema::SchemaName,
    spanned::{OneOrMany, Spanned},
    tree::Node,
    wire::{config as wire, text::Duration as Length},
};
use crate::model::{
    config::{AuditSync, EgressConfig, EngineChoice, JailDemand, KernelChoice, OperatorConfig},
    registry::RegistryUrl,
    secret::SecretSource,
};

/// What surrounds a configuration.
#[derive(Debug, Clone)]
pub struct ConfigContext {
    /// The file, for messages.
    pub name: String,
    /// The folder it lies in, absolute: relative paths start there.
    pub folder: PathBuf,
    /// The user's home: what `~/` means.
    pub home: PathBuf,
}

/// The configuration is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is wrong: {}", .0.first().map(Problem::to_line).unwrap_or_default())]
pub struct ConfigError(pub Vec<Problem>);

/// Reads a configuration. An empty file is the default one.
///
/// # Errors
/// Everything that is wrong with it.
pub fn config(bytes: &[u8], context: &ConfigContext) -> Result<OperatorConfig, ConfigError> {
    let (nodes, mut findings) = parse::documents(&context.name, bytes);
    let config = match nodes.as_slice() {
        [] => OperatorConfig::default(),
        [node] => document(node, context, &mut findings),
        [_, second, ..] => {
            let problem = findings.at(Code::WrongValue, second.head(), "a configuration is one document");
            findings.push(problem.help("remove the `---` and what follows it"));
            OperatorConfig::default()
        }
    };
    match findings.into_parts().0 {
        errors if errors.is_empty() => Ok(config),
        errors => Err(ConfigError(errors)),
    }
}

fn document(node: &Node, context: &ConfigContext, findings: &mut Findings) -> OperatorConfig {
    let Some(written) = typed::<wire::Config>(node, SchemaName::Config, findings) else {
        return OperatorConfig::default();
    };
    let sources = written.secrets.sources.iter();
    OperatorConfig {
        engine: match written.engine {
            Some(wire::Engine::Qemu) => EngineChoice::Qemu,
            // The schema's validator has refused `kvm`.
            Some(wire::Engine::Auto | wire::Engine::Kvm) | None => EngineChoice::Auto,
        },
        kernel: kernel(written.kernel.as_ref(), context, findings),
        boot_timeout: written.boot_timeout.as_ref().and_then(|written| length(written, findings)),
        jail: match written.jail {
            Some(wire::Jail::Full) => JailDemand::Full,
            Some(wire::Jail::Auto) | None => JailDemand::Auto,
        },
        egress: egress(&written.egress, context, findings),
        secret_sources: sources
            .filter_map(|(name, at)| Some((name.0.clone(), source(at, context, findings)?)))
            .collect(),
        registries: registries(&written, findings),
        audit_sync: match written.audit.sync {
            Some(wire::AuditSync::Each) => AuditSync::Each,
            Some(wire::AuditSync::Group) | None => AuditSync::Group,
        },
        approvals: approvals::approvals(&written.approvals, findings),
    }
}

/// The operator's registries. A name without a right address is left out; the findings say why.
fn registries(
    written: &wire::Config,
    findings: &mut Findings,
) -> std::collections::BTreeMap<String, Vec<RegistryUrl>> {
    let mut registries = std::collections::BTreeMap::new();
    for (name, OneOrMany(addresses)) in &written.registries {
        let mut urls = Vec::new();
        for address in addresses {
            match address.parse::<RegistryUrl>() {
                Ok(url) => urls.push(url),
                Err(error) => {
                    let message = format!("{} is no address of a registry", quoted(address));
                    findings.push(findings.at(Code::WrongValue, address.span, message).help(error.message));
                }
            }
        }
        if !urls.is_empty() {
            registries.insert(name.0.clone(), urls);
        }
    }
    registries
}

/// A length of time that the schema has found in form.
fn length(written: &Spanned<Length>, findings: &mut Findings) -> Option<Duration> {
    let text = written.0.as_str();
    let length = written.value.milliseconds();
    match length {
        Some(length) if length > 0 => Some(Duration::from_millis(length)),
        _ => {
            let problem =
                findings.at(Code::WrongValue, written.span, format!("{} is no length of time", quoted(text)));
            findings.push(problem.help("write for example 90s or 3m"));
            None
        }
    }
}

fn kernel(
    written: Option<&Spanned<String>>,
    context: &ConfigContext,
    findings: &mut Findings,
) -> KernelChoice {
    let Some(written) = written else { return KernelChoice::Auto };
    match written.as_str() {
        "auto" => KernelChoice::Auto,
        "stock" => KernelChoice::Stock,
        "tuned" => {
            let problem =
                findings.at(Code::NotAvailable, written.span, "the tuned kernel is not available yet");
            findings.push(problem.help("write auto, stock or the path of a kernel image"));
            KernelChoice::Auto
        }
        path if path.contains('/') => KernelChoice::Path(absolute(path, context)),
        other => {
            let problem =
                findings.at(Code::WrongValue, written.span, format!("`kernel` cannot be {}", quoted(other)));
            findings.push(problem.help("write auto, stock or the path of a kernel image (with a `/`)"));
            KernelChoice::Auto
        }
    }
}

fn egress(written: &wire::Egress, context: &ConfigContext, findings: &mut Findings) -> EgressConfig {
    let mut egress = EgressConfig {
        upstream_ca: written.upstream_ca.iter().map(|path| absolute(path, context)).collect(),
        ..EgressConfig::default()
    };
    for (host, address) in &written.resolve {
        let target = resolve_target(host);
        if let Err(error) = &target {
            let message = format!("{} cannot be resolved to an address of yours", quoted(host));
            findings.push(findings.at(Code::Pattern, address.span, message).help(error.message.clone()));
        }
        let parsed = address.parse::<SocketAddr>();
        if parsed.is_err() {
            let message = format!("{} is not an address with a port", quoted(address));
            findings.push(
                findings.at(Code::WrongValue, address.span, message).help("write for example 127.0.0.1:8443"),
            );
        }
        if let (Ok((name, port)), Ok(address)) = (target, parsed) {
            egress.resolve.insert(format!("{name}:{port}"), address);
        }
    }
    egress
}

fn source(
    written: &Spanned<wire::SecretSource>,
    context: &ConfigContext,
    findings: &mut Findings,
) -> Option<SecretSource> {
    if let Some(env) = &written.env {
        let right = !env.is_empty() && !env.contains(['=', '\0']);
        if !right {
            let message = format!("{} cannot be a variable's name", quoted(env));
            findings.push(findings.at(Code::WrongValue, env.span, message));
        }
        return right.then(|| SecretSource::Env { env: env.value.clone() });
    }
    if let Some(file) = &written.file {
        return Some(SecretSource::File { file: absolute(file, context) });
    }
    let command: Vec<String> = written.command.as_ref()?.iter().map(|word| word.value.clone()).collect();
    Some(SecretSource::Command { command })
}

/// A path from the configuration's folder, or below the user's home.
fn absolute(path: &str, context: &ConfigContext) -> PathBuf {
    match path.strip_prefix("~/") {
        Some(below) => context.home.join(below),
        None => context.folder.join(Path::new(path)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<OperatorConfig, Vec<String>> {
        let context =
            ConfigContext { name: "config.yaml".into(), folder: "/etc/x".into(), home: "/home/u".into() };
        config(text.as_bytes(), &context).map_err(|error| error.0.iter().map(Problem::to_line).collect())
    }

    #[test]
    fn everything_that_is_available_reads() {
        let config = read(
            "engine: qemu\nkernel: stock\njail: full\negress:\n  resolve: {\"API.vendor.example:443\": \"127.0.0.1:8443\"}\n  \
             upstreamCa: [./root.pem, ~/own.pem]\nsecrets:\n  sources:\n    anthropic: {env: KEY}\n    \
             staging: {file: key.txt}\n    github: {command: [gh, auth, token]}\naudit: {sync: each}\n",
        )
        .unwrap();
        assert_eq!((config.engine, config.jail), (EngineChoice::Qemu, JailDemand::Full));
        assert_eq!(config.egress.resolve["api.vendor.example:443"], "127.0.0.1:8443".parse().unwrap());
        assert_eq!(config.egress.upstream_ca, [Path::new("/etc/x/./root.pem"), Path::new("/home/u/own.pem")]);
        assert_eq!(config.secret_sources.len(), 3);
        assert_eq!(config.secret_sources["staging"], SecretSource::File { file: "/etc/x/key.txt".into() });
        assert_eq!(config.audit_sync, AuditSync::Each);
        assert_eq!(read("# nothing\n"), Ok(OperatorConfig::default()));
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (text, expected) in [
            (
                "engin: qemu\n",
                "config.yaml:1:1: unknown key `engin` in the document (did you mean `engine`?)",
            ),
            ("engine: kvm\n", "config.yaml:1:9: `kvm` in `engine` is not available yet"),
            (
                "egress: {upstreamProxy: {url: \"http://p.example:3128\"}}\n",
                "config.yaml:1:10: `egress.upstreamProxy` is not available yet",
            ),
            ("egress: {resolve: {\"*.a.example:443\": \"127.0.0.1:1\"}}\n", "no wildcard"),
            ("egress: {resolve: {\"a.example:443\": localhost}}\n", "is not an address with a port"),
            ("secrets: {sources: {a: {env: A, file: b}}}\n", "exclude each other"),
            ("secrets: {sources: {a: {}}}\n", "needs one of `env`, `file`, `command`"),
            ("secrets: {sources: {A_B: {env: A}}}\n", "cannot be a key of `secrets.sources`"),
            ("a: 1\n---\nb: 2\n", "one document"),
        ] {
            let problems = read(text).expect_err(text);
            assert!(problems.iter().any(|problem| problem.contains(expected)), "{text}: {problems:#?}");
        }
    }
}
