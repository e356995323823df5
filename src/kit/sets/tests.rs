//! What named sets become, and what is said where they become nothing.

use super::super::{
    Lock, Locked,
    builtin::services,
    sets::{Facts, Sets, Trouble},
};
use crate::{
    kit::problem::Code,
    model::{
        registry::{Lookup, Registries, Registry},
        rule::{Effect, Ports, Protocol},
    },
};

fn found(urls: &[&str]) -> Lookup {
    let urls = urls.iter().map(|url| url.parse().unwrap()).collect();
    Lookup::Found(Registry { urls, source: "~/.npmrc".into() })
}

fn registries() -> Registries {
    let answers = [
        ("npm", found(&["https://packages.example/npm/", "https://files.example/"])),
        ("apt", found(&["http://deb.example:8080/"])),
        ("gem", Lookup::Unknown("gem is not installed here".into())),
    ];
    Registries(answers.map(|(name, answer)| (name.to_owned(), answer)).into())
}

fn lock(url: &str) -> Lock {
    let locked = Locked { urls: vec![url.parse().unwrap()], line: 4 };
    Lock { registries: [("apt".to_owned(), locked)].into(), ..Lock::default() }
}

/// Each member as `host ports protocol methods paths`, the set's name last.
fn shown(facts: Facts<'_>, kind: &str, name: &str, effect: Effect) -> Result<Vec<String>, Trouble> {
    let sets = Sets { services: services(), facts };
    let expansion = sets.expand(kind, name, effect)?;
    let member = |member: &super::Member| {
        let ports = member.ports.map_or("-".to_owned(), |ports: Ports| ports.to_string());
        let protocol = member.protocol.map_or("-".to_owned(), |protocol: Protocol| protocol.to_string());
        let http = member
            .http
            .iter()
            .map(|it| format!("{} {}", it.methods.join(","), it.paths.join(",")))
            .collect::<String>();
        format!("{} {ports} {protocol} {http}", member.host).trim_end().to_owned()
    };
    let mut lines: Vec<String> = expansion.members.iter().map(member).collect();
    lines.push(expansion.set.unwrap_or("no set".into()));
    lines.extend(expansion.warning.map(|warning| warning.message));
    Ok(lines)
}

fn facts(registries: &Registries) -> Facts<'_> {
    Facts { registries, lock: None, locked: false }
}

#[test]
fn a_registry_is_read_below_its_path_and_published_to_where_that_is_said() {
    let registries = registries();
    let show = |name, effect| shown(facts(&registries), "registry", name, effect).unwrap();
    assert_eq!(
        show("npm", Effect::Allow),
        [
            "packages.example 443 https GET,HEAD /npm,/npm/**",
            "files.example 443 https GET,HEAD",
            "registry:npm"
        ]
    );
    assert_eq!(
        show("npm+publish", Effect::Ask),
        ["packages.example 443 https  /npm,/npm/**", "files.example 443 https", "registry:npm+publish"]
    );
    assert_eq!(show("apt", Effect::Allow), ["deb.example 8080 http GET,HEAD", "registry:apt"]);
}

/// A deny must not be narrower than what it is meant to stop: no method, port or protocol goes round it.
#[test]
fn a_denied_registry_is_denied_whatever_the_method() {
    let registries = registries();
    let show = |name| shown(facts(&registries), "registry", name, Effect::Deny).unwrap();
    assert_eq!(show("npm"), ["packages.example 443 -  /npm,/npm/**", "files.example - -", "registry:npm"]);
    assert_eq!(show("apt"), ["deb.example - -", "registry:apt"]);
}

#[test]
fn bundles_and_services_have_their_hosts() {
    let registries = Registries::default();
    let show = |kind, name| shown(facts(&registries), kind, name, Effect::Deny).unwrap();
    assert_eq!(show("service", "github"), ["api.github.com - -", "uploads.github.com - -", "service:github"]);
    let paste = show("bundle", "paste-sites");
    assert!(paste.contains(&"pastebin.com - -".to_owned()) && paste.last().unwrap() == "bundle:paste-sites");
}

#[test]
fn what_is_not_known_is_said_with_the_way_out() {
    let registries = registries();
    for (kind, name, code, part) in [
        ("bundle", "paste-site", Code::UnknownName, "did you mean `bundle:paste-sites`?"),
        ("service", "zzz", Code::UnknownName, "known: anthropic, github, openai"),
        (
            "registry",
            "gem",
            Code::Registry,
            "gem is not installed here; or name it in config.yaml: `registries: {gem:",
        ),
        ("registry", "cargo", Code::Registry, "registries: {cargo:"),
        ("registry", "npm+", Code::Pattern, "registry:npm+publish"),
        ("registry", "NPM", Code::Pattern, "write for example"),
        ("registry", "", Code::Pattern, "write for example"),
    ] {
        let trouble = shown(facts(&registries), kind, name, Effect::Allow).expect_err(name);
        assert!(trouble.code == code && trouble.help.contains(part), "{kind}:{name}: {trouble:?}");
        assert_eq!(trouble.wants.is_some(), name == "cargo", "only what nobody looked up is wanted: {name}");
    }
}

/// The lock file lies where an agent can write it: what it says in place of this host never goes by the name under
/// which a person approved what this host takes.
#[test]
fn a_lock_that_differs_is_used_and_told_but_does_not_borrow_the_name() {
    let registries = registries();
    let show = |url| {
        let lock = lock(url);
        shown(Facts { lock: Some(&lock), ..facts(&registries) }, "registry", "apt", Effect::Allow).unwrap()
    };
    assert_eq!(show("http://deb.example:8080/"), ["deb.example 8080 http GET,HEAD", "registry:apt"]);
    let told = show("http://evil.example/");
    assert_eq!(told[..2], ["evil.example 80 http GET,HEAD", "no set"]);
    assert_eq!(
        told[2],
        "sandbox.lock:4 pins `registry:apt` to http://evil.example/, and this host would take http://deb.example:8080/"
    );
}

#[test]
fn locked_resolves_nothing_anew() {
    let (nobody, lock) = (Registries::default(), lock("http://deb.example/"));
    let facts = Facts { registries: &nobody, lock: Some(&lock), locked: true };
    let apt = shown(facts, "registry", "apt", Effect::Allow).unwrap();
    assert_eq!(apt, ["deb.example 80 http GET,HEAD", "no set"]);
    let trouble = shown(facts, "registry", "npm", Effect::Allow).unwrap_err();
    assert!(trouble.code == Code::Lock && trouble.help.contains("cofferdam update"), "{trouble:?}");
    // Without a lock file at all, and although the host knows.
    let registries = self::registries();
    let facts = Facts { locked: true, ..self::facts(&registries) };
    assert_eq!(shown(facts, "registry", "npm", Effect::Allow).unwrap_err().code, Code::Lock);
}
