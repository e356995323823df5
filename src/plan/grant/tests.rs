//! Grants by what is asked of them: their spelling (`spelling`), what is wider than what (`order`), what is left of a
//! sandbox without some of them (`leaving_out`), when it ends (`ends`), and what holds for every sandbox (`laws`).

mod ends;
mod growth;
mod laws;
mod leaving_out;
mod order;
mod spelling;

use super::*;
use crate::model::{
    desired::{IsolationWish, Mount, Port, Sandbox, Workspace},
    rule::{
        During, Effect, HostPattern, HostService, HttpMatch, Layer, NetworkRule, Origin, Ports, Protocol,
    },
    secret::{Injection, SecretBinding},
};

fn origin() -> Origin {
    Origin { layer: Layer::Repository, file: Some("sandbox.yaml".to_owned()), line: Some(7) }
}

fn ground() -> Ground {
    Ground { root: "/home/ann/web".into(), home: "/home/ann".into() }
}

fn grant(text: &str) -> Grant {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn set(texts: &[&str]) -> GrantSet {
    texts.iter().map(|text| grant(text)).collect()
}

fn rule(effect: Effect, pattern: &str) -> NetworkRule {
    let (host, ports) = crate::model::pattern::parse(pattern).expect("a test's pattern is right");
    let deny = effect == Effect::Deny;
    let ports = ports.unwrap_or(if deny { Ports::ALL } else { Ports::one(443) });
    NetworkRule {
        until: None,
        id: format!("dev/{pattern}"),
        effect,
        host,
        ports,
        protocol: (!deny).then(|| Protocol::default_for(ports.first).unwrap_or(Protocol::Tcp)),
        http: Vec::new(),
        addresses: Addresses::Public,
        during: During::Always,
        set: None,
        why: "a test".to_owned(),
        origin: origin(),
    }
}

fn matching(methods: &[&str], paths: &[&str]) -> HttpMatch {
    let own = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
    HttpMatch { methods: own(methods), paths: own(paths) }
}

/// A sandbox with everything that grants.
fn full() -> Sandbox {
    let mut sandbox = Sandbox::smallest("dev");
    let npm = NetworkRule {
        set: Some("registry:npm".to_owned()),
        http: vec![matching(&["HEAD", "GET"], &[])],
        ..rule(Effect::Allow, "npm.corp.example")
    };
    let database =
        NetworkRule { addresses: Addresses::Private, ..rule(Effect::Allow, "db.corp.example:5432") };
    let code = NetworkRule {
        http: vec![matching(&["GET", "POST"], &["/acme/web/**", "/acme/web.git/**"])],
        ..rule(Effect::Allow, "github.com")
    };
    sandbox.network.rules = vec![
        rule(Effect::Allow, "api.example"),
        npm,
        database,
        code,
        rule(Effect::Ask, "**.acme.example"),
        rule(Effect::Deny, "gist.acme.example"),
    ];
    sandbox.network.host_services = vec![HostService {
        until: None,
        name: "model".to_owned(),
        port: 11434,
        http: vec![matching(&["GET", "POST"], &["/v1/**"])],
        why: "local inference".to_owned(),
        origin: origin(),
    }];
    let inject = |host: &str, header: &str| Injection {
        host: host.to_owned(),
        port: 443,
        header: header.to_owned(),
        format: "{}".to_owned(),
    };
    sandbox.secrets = vec![SecretBinding {
        name: "github".to_owned(),
        env: None,
        placeholder: "{alnum:32}".to_owned(),
        required: true,
        inject: vec![inject("github.com", "authorization"), inject("api.example", "x-api-key")],
        why: "pull requests".to_owned(),
        origin: origin(),
    }];
    sandbox.workspace =
        Some(Workspace { path: "/home/ann/web".into(), mode: WorkspaceMode::Direct, origin: origin() });
    let mount = |source: &str, access| Mount {
        source: source.into(),
        target: "/data".to_owned(),
        access,
        why: "training data".to_owned(),
        origin: origin(),
    };
    sandbox.mounts = vec![mount("/home/ann/my data", Access::Read), mount("/srv/out", Access::Write)];
    sandbox.ports = vec![
        Port { guest: 3000, host: None, fixed: false, origin: origin() },
        Port { guest: 3001, host: Some(8080), fixed: false, origin: origin() },
    ];
    sandbox
}

fn texts(sandbox: &Sandbox) -> Vec<String> {
    granted(sandbox, &ground()).iter().map(|granted| granted.grant.to_string()).collect()
}
