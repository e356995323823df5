//! From the name of a set to its hosts.

use super::{Expansion, Facts, Member, Sets, Trouble, bundles::bundles};
use crate::{
    kit::{
        Context,
        load::services_here,
        lock::{LOCK_FILE, Locked},
        near::{listed, similar},
        problem::{Code, quoted},
    },
    model::{
        registry::{Lookup, RegistryUrl},
        rule::{Effect, HostPattern, HttpMatch, Ports, Protocol},
    },
};

/// What follows the name of a registry that may be published to.
const PUBLISH: &str = "+publish";
/// Longest name of a set, in bytes.
const NAME_MAX: usize = 63;

/// What the set `kind:name` means in a rule of the command line: services are those of the program and of the files
/// here (a built-in one stays what it is), and no lock file is looked at, because the rule is the user's own.
///
/// # Errors
/// That there is no such set, or nothing on this host knows it; with `wants` where it was not looked up yet.
pub fn named_set(kind: &str, name: &str, effect: Effect, context: &Context) -> Result<Expansion, Trouble> {
    let (services, twice) = if kind == "service" { services_here(context) } else { Default::default() };
    if let Some(file) = twice.get(name) {
        let message =
            format!("two documents of kind Service are named {}, one of them in {file}", quoted(name));
        let help = "rename one of them".to_owned();
        return Err(Trouble { code: Code::DuplicateName, message, help, wants: None });
    }
    let facts = Facts { registries: &context.registries, lock: None, locked: false };
    Sets { services: &services, facts }.expand(kind, name, effect)
}

impl Sets<'_> {
    /// What the set `kind:name` means in a rule of this effect.
    pub(in crate::kit) fn expand(
        &self,
        kind: &str,
        name: &str,
        effect: Effect,
    ) -> Result<Expansion, Trouble> {
        match kind {
            "bundle" => bundle(name),
            "service" => self.service(name, effect),
            _ => self.registry(name, effect),
        }
    }

    fn service(&self, name: &str, effect: Effect) -> Result<Expansion, Trouble> {
        let Some(service) = self.services.get(name) else {
            return Err(unknown("service", name, self.services.keys().map(String::as_str)));
        };
        let mut members: Vec<Member> = Vec::new();
        for (host, port) in service.hosts() {
            let member = Member {
                host: HostPattern::Exact(host.to_owned()),
                // A deny means the host, whatever the port; a secret goes over TLS only, and so an allow means that.
                ports: (effect != Effect::Deny).then(|| Ports::one(port)),
                protocol: (effect != Effect::Deny).then_some(Protocol::Https),
                http: Vec::new(),
            };
            if !members.contains(&member) {
                members.push(member);
            }
        }
        Ok(whole(format!("service:{name}"), members))
    }

    fn registry(&self, written: &str, effect: Effect) -> Result<Expansion, Trouble> {
        let (name, publish) = match written.strip_suffix(PUBLISH) {
            Some(name) => (name, true),
            None => (written, false),
        };
        if !is_name(name) {
            let message = format!("{} is no name of a registry", quoted(written));
            let help = "write for example registry:npm, or registry:npm+publish".to_owned();
            return Err(Trouble { code: Code::Pattern, message, help, wants: None });
        }
        let (urls, confirmed, warning) = self.addresses(name)?;
        let members = urls.iter().map(|url| member(url, publish, effect)).collect();
        let set = confirmed.then(|| format!("registry:{written}"));
        Ok(Expansion { members, set, complete: true, warning })
    }

    /// The addresses of a registry, and whether this host itself says so.
    fn addresses(&self, name: &str) -> Result<(&[RegistryUrl], bool, Option<Trouble>), Trouble> {
        let here = self.facts.registries.0.get(name);
        let locked = self.facts.lock.and_then(|lock| lock.registries.get(name));
        match (locked, here) {
            (Some(locked), Some(Lookup::Found(found))) if found.urls == locked.urls => {
                Ok((&locked.urls, true, None))
            }
            (Some(locked), Some(Lookup::Found(found))) => {
                Ok((&locked.urls, false, Some(differs(name, locked, &found.urls, &found.source))))
            }
            (Some(locked), Some(Lookup::Unknown(_))) => Ok((&locked.urls, false, None)),
            // Two commits are compared, and no host has a say: the set's name tells the reviewer what the host is for.
            (Some(locked), Some(Lookup::Unpinned(_))) => Ok((&locked.urls, true, None)),
            (Some(locked), None) if self.facts.locked => Ok((&locked.urls, false, None)),
            (None, _) if self.facts.locked => Err(Trouble {
                code: Code::Lock,
                message: format!(
                    "{LOCK_FILE} does not have `registry:{name}`, and --locked resolves nothing anew"
                ),
                help: "run `cofferdam update` and commit the file".to_owned(),
                wants: None,
            }),
            (None, Some(Lookup::Found(found))) => Ok((&found.urls, true, None)),
            (None, Some(Lookup::Unpinned(url))) => Ok((std::slice::from_ref(url), true, None)),
            (None, Some(Lookup::Unknown(tried))) => Err(Trouble {
                code: Code::Registry,
                message: format!("nothing on this host says where `registry:{name}` is"),
                help: format!(
                    "{tried}; or name it in config.yaml: `registries: {{{name}: [\"https://…/\"]}}`"
                ),
                wants: None,
            }),
            (_, None) => Err(Trouble {
                code: Code::Registry,
                message: format!("`registry:{name}` has not been looked up"),
                help: format!("name it in config.yaml: `registries: {{{name}: [\"https://…/\"]}}`"),
                wants: Some(name.to_owned()),
            }),
        }
    }
}

fn bundle(name: &str) -> Result<Expansion, Trouble> {
    let Some(bundle) = bundles().get(name) else {
        return Err(unknown("bundle", name, bundles().keys().map(String::as_str)));
    };
    let member = |(host, ports): &(HostPattern, Option<Ports>)| Member {
        host: host.clone(),
        ports: *ports,
        protocol: None,
        http: Vec::new(),
    };
    Ok(whole(format!("bundle:{name}"), bundle.hosts.iter().map(member).collect()))
}

fn whole(set: String, members: Vec<Member>) -> Expansion {
    Expansion { members, set: Some(set), complete: false, warning: None }
}

fn unknown<'a>(kind: &str, name: &str, known: impl Iterator<Item = &'a str> + Clone) -> Trouble {
    let help = match similar(name, known.clone()) {
        Some(near) => format!("did you mean `{kind}:{near}`?"),
        None => format!("known: {}", listed(known)),
    };
    Trouble {
        code: Code::UnknownName,
        message: format!("no {kind} is named {}", quoted(name)),
        help,
        wants: None,
    }
}

/// Whether `name` has the form of a name: 1 to 63 lower-case letters, digits and inner hyphens.
pub(in crate::kit) fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=NAME_MAX).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// One address as a rule. An allow reads (and, where publishing is meant, writes) at just this address. A deny is
/// wider: with the whole host it means every port and protocol, with a path everything below the path.
fn member(url: &RegistryUrl, publish: bool, effect: Effect) -> Member {
    let paths = match url.path() {
        "" => Vec::new(),
        path => vec![path.to_owned(), format!("{path}/**")],
    };
    let methods = match (publish, effect) {
        (false, Effect::Allow | Effect::Ask) => ["GET", "HEAD"].map(str::to_owned).into(),
        _ => Vec::new(),
    };
    let all_of_host = paths.is_empty();
    let http =
        if methods.is_empty() && all_of_host { Vec::new() } else { vec![HttpMatch { methods, paths }] };
    let host = HostPattern::Exact(url.host().to_owned());
    match effect {
        Effect::Deny if all_of_host => Member { host, ports: None, protocol: None, http },
        Effect::Deny => Member { host, ports: Some(Ports::one(url.port())), protocol: None, http },
        Effect::Allow | Effect::Ask => {
            Member { host, ports: Some(Ports::one(url.port())), protocol: Some(url.protocol()), http }
        }
    }
}

fn differs(name: &str, locked: &Locked, here: &[RegistryUrl], source: &str) -> Trouble {
    let words = |urls: &[RegistryUrl]| urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    Trouble {
        code: Code::Lock,
        message: format!(
            "{LOCK_FILE}:{} pins `registry:{name}` to {}, and this host would take {}",
            locked.line,
            words(&locked.urls),
            words(here)
        ),
        help: format!(
            "that is from {source}; `cofferdam update` changes the lock file; until then its hosts stand by their own names"
        ),
        wants: None,
    }
}
