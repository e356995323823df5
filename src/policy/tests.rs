//! The engine against a naive evaluator, and its laws.

use proptest::prelude::*;

use super::{
    Compiled, Decision, Http, Reason, Request, Verdict, decide,
    explain::{explain, sentence},
    preset,
};
use crate::model::{
    api::PolicyRevision,
    desired::Preset,
    rule::{
        Addresses, During, Effect, HostPattern, HostService, HttpMatch, Layer, NetworkRule, Origin, Ports,
        Protocol, Target,
    },
};

fn origin(layer: Layer) -> Origin {
    Origin { layer, file: Some("sandbox.yaml".into()), line: Some(3) }
}

fn rule(
    id: &str,
    effect: Effect,
    host: HostPattern,
    ports: Ports,
    protocol: Option<Protocol>,
) -> NetworkRule {
    NetworkRule {
        until: None,
        id: id.into(),
        effect,
        host,
        ports,
        protocol,
        http: Vec::new(),
        addresses: Addresses::Public,
        during: During::Always,
        set: None,
        why: "test".into(),
        origin: origin(Layer::Repository),
    }
}

fn allow(name: &str) -> NetworkRule {
    rule(&format!("allow/{name}"), Effect::Allow, HostPattern::Exact(name.into()), Ports::one(443), None)
}

fn deny(host: HostPattern) -> NetworkRule {
    rule(&format!("deny/{host}"), Effect::Deny, host, Ports::ALL, None)
}

fn compiled(rules: Vec<NetworkRule>) -> Compiled {
    Compiled::new(&PolicyRevision {
        revision: 7,
        hash: "h".into(),
        rules,
        host_services: Vec::new(),
        ..PolicyRevision::default()
    })
}

fn connect(policy: &Compiled, host: &str, port: u16, protocol: Protocol) -> Decision {
    let target = super::authority::host(host).unwrap();
    decide(policy, &Request { target: &target, port, protocol, http: None })
}

fn ask_http(policy: &Compiled, host: &str, method: &str, path: &str) -> Decision {
    let target = Target::Name(host.into());
    let canonical = super::path::canonical(path);
    let http = Some(Http { method, path: canonical.as_deref() });
    decide(policy, &Request { target: &target, port: 443, protocol: Protocol::Https, http })
}

#[test]
fn default_is_deny_and_an_allow_passes() {
    let policy = compiled(vec![allow("api.example.test")]);
    assert!(connect(&policy, "api.example.test", 443, Protocol::Https).allowed());
    assert_eq!(connect(&policy, "other.test", 443, Protocol::Https).code(), "no_rule");
    assert_eq!(connect(&policy, "example.test", 443, Protocol::Https).code(), "no_rule");
    assert_eq!(connect(&policy, "x.api.example.test", 443, Protocol::Https).code(), "no_rule");
}

#[test]
fn a04_other_ports_and_protocols_of_an_allowed_host_are_denied() {
    let policy = compiled(vec![allow("api.example.test")]);
    for port in [22, 25, 80, 5432, 8080, 65535] {
        let decision = connect(&policy, "api.example.test", port, Protocol::Https);
        assert_eq!(decision.code(), "port", "{port}");
        let text = sentence(&decision, &format!("api.example.test:{port}"));
        assert!(text.contains("allowed: api.example.test"), "{text}");
    }
    assert_eq!(connect(&policy, "api.example.test", 443, Protocol::Tcp).code(), "protocol");
    assert_eq!(connect(&policy, "api.example.test", 443, Protocol::Tls).code(), "protocol");
}

#[test]
fn c18_suffixes_match_whole_labels_only() {
    let any_depth =
        rule("a", Effect::Allow, HostPattern::AnyDepth("github.test".into()), Ports::one(443), None);
    let one = rule("b", Effect::Allow, HostPattern::OneLabel("one.test".into()), Ports::one(443), None);
    let policy = compiled(vec![any_depth, one]);
    for (host, expected) in [
        ("api.github.test", true),
        ("a.b.github.test", true),
        ("github.test", false),
        ("evilgithub.test", false),
        ("github.test.evil.test", false),
        ("x.one.test", true),
        ("y.x.one.test", false),
        ("one.test", false),
    ] {
        assert_eq!(connect(&policy, host, 443, Protocol::Https).allowed(), expected, "{host}");
    }
}

#[test]
fn any_deny_wins_whatever_is_more_specific() {
    let wide = deny(HostPattern::AnyDepth("example.test".into()));
    let policy = compiled(vec![allow("api.example.test"), allow("example.test"), wide]);
    for host in ["api.example.test", "example.test"] {
        let decision = connect(&policy, host, 443, Protocol::Https);
        assert_eq!(decision.code(), "rule_denies", "{host}: **.x in a deny covers x too");
        assert_eq!(decision.rule().unwrap().id, "deny/**.example.test");
    }
}

#[test]
fn a11_the_floor_holds_though_rules_allow_everything() {
    let everything = rule("all", Effect::Allow, HostPattern::Any, Ports::ALL, Some(Protocol::Http));
    let net = |text: &str| {
        let net = HostPattern::Net(text.parse().unwrap());
        NetworkRule {
            addresses: Addresses::Private,
            set: None,
            ..rule(text, Effect::Allow, net, Ports::ALL, Some(Protocol::Http))
        }
    };
    let rules = vec![everything, net("0.0.0.0/0"), net("::/0"), allow("metadata.google.internal")];
    let broken = PolicyRevision { rules: rules.clone(), ..PolicyRevision::default() };
    let broken = Compiled::broken(&broken, false, true);
    let policy = compiled(rules);
    for (host, code) in [
        ("metadata.google.internal", "floor.metadata"),
        ("169.254.169.254", "floor.metadata"),
        ("[fd00:ec2::254]", "floor.metadata"),
        ("100.100.100.200", "floor.metadata"),
        ("168.63.129.16", "floor.metadata"),
        ("0xa9fea9fe", "floor.metadata"),
        ("[::ffff:169.254.169.254]", "floor.metadata"),
        ("127.0.0.1", "floor.loopback"),
        ("0.0.0.0", "floor.unspecified"),
        ("[fe80::1]", "floor.link-local"),
    ] {
        assert_eq!(connect(&policy, host, 80, Protocol::Http).code(), code, "{host}");
        assert!(connect(&broken, host, 80, Protocol::Http).allowed(), "without the floor {host} is open");
    }
    assert!(connect(&policy, "93.184.216.34", 80, Protocol::Http).allowed(), "the rule itself works");
}

#[test]
fn addresses_need_a_rule_of_their_own() {
    let everything = rule("all", Effect::Allow, HostPattern::Any, Ports::ALL, Some(Protocol::Tcp));
    let policy = compiled(vec![everything]);
    assert!(connect(&policy, "db.test", 5432, Protocol::Tcp).allowed());
    assert!(!connect(&policy, "93.184.216.34", 5432, Protocol::Tcp).allowed());
}

#[test]
fn methods_and_paths_narrow_a_grant() {
    let mut api = allow("api.test");
    api.http = vec![HttpMatch { methods: vec!["GET".into()], paths: vec!["/v1/**".into()] }];
    let policy = compiled(vec![api]);
    assert!(
        connect(&policy, "api.test", 443, Protocol::Https).allowed(),
        "the connection may carry such a request"
    );
    assert!(ask_http(&policy, "api.test", "GET", "/v1/x").allowed());
    assert_eq!(ask_http(&policy, "api.test", "POST", "/v1/x").code(), "method");
    assert_eq!(ask_http(&policy, "api.test", "GET", "/v2").code(), "path");
    assert_eq!(ask_http(&policy, "api.test", "GET", "/v1/%2e%2e/v2").code(), "path_ambiguous");
}

#[test]
fn a_carve_out_closes_requests_and_whatever_is_not_looked_into() {
    let mut carve = deny(HostPattern::Exact("api.test".into()));
    carve.http = vec![HttpMatch { methods: Vec::new(), paths: vec!["/admin/**".into()] }];
    let splice =
        rule("s", Effect::Allow, HostPattern::Exact("api.test".into()), Ports::one(443), Some(Protocol::Tls));
    let policy = compiled(vec![allow("api.test"), splice, carve]);
    assert!(ask_http(&policy, "api.test", "GET", "/v1").allowed());
    assert_eq!(ask_http(&policy, "api.test", "GET", "/ADMIN/x").code(), "rule_denies");
    assert_eq!(ask_http(&policy, "api.test", "GET", "/v1//admin").code(), "rule_denies", "ambiguous");
    assert_eq!(connect(&policy, "api.test", 443, Protocol::Tls).code(), "rule_denies");
}

#[test]
fn an_ask_waits_and_an_allow_beats_it() {
    let ask = |name: &str| NetworkRule { effect: Effect::Ask, ..allow(name) };
    let policy = compiled(vec![ask("a.test"), ask("b.test"), allow("b.test")]);
    assert_eq!(connect(&policy, "a.test", 443, Protocol::Https).code(), "approval_required");
    assert!(connect(&policy, "b.test", 443, Protocol::Https).allowed());
}

#[test]
fn private_addresses_need_an_exact_rule() {
    let private = |rule: NetworkRule| NetworkRule { addresses: Addresses::Private, ..rule };
    let wide = rule("w", Effect::Allow, HostPattern::AnyDepth("corp.test".into()), Ports::one(443), None);
    let policy = compiled(vec![private(wide), private(allow("db.other.test"))]);
    let addresses = |host| match connect(&policy, host, 443, Protocol::Https).verdict {
        Verdict::Allow(permit) => permit.addresses(),
        Verdict::Deny { .. } => panic!("{host}"),
    };
    assert_eq!(addresses("x.corp.test"), Addresses::Public);
    assert_eq!(addresses("db.other.test"), Addresses::Private);
}

#[test]
fn a10_only_a_declared_service_opens_a_reserved_name() {
    let everything = rule("all", Effect::Allow, HostPattern::Any, Ports::ALL, Some(Protocol::Http));
    let service = HostService {
        until: None,
        name: "model".into(),
        port: 11434,
        http: Vec::new(),
        why: "inference".into(),
        origin: origin(Layer::Repository),
    };
    let revision =
        PolicyRevision { rules: vec![everything], host_services: vec![service], ..Default::default() };
    let (policy, broken) = (Compiled::new(&revision), Compiled::broken(&revision, true, false));
    let port = |host, port| match connect(&policy, host, port, Protocol::Http).verdict {
        Verdict::Allow(permit) => Ok(permit.host_service()),
        Verdict::Deny { reason, .. } => Err(reason),
    };
    assert_eq!(port("model.host.internal", 80), Ok(Some(11434)));
    assert_eq!(port("model.host.internal", 11434), Ok(Some(11434)));
    assert_eq!(port("model.host.internal", 22), Err(Reason::Port));
    for host in ["db.host.internal", "host.internal", "gateway.cofferdam.internal", "host.docker.internal"] {
        assert_eq!(port(host, 5432), Err(Reason::HostService), "{host}");
        assert!(connect(&broken, host, 5432, Protocol::Http).allowed(), "a name like others: {host}");
    }
}

#[test]
fn presets() {
    let here = origin(Layer::Repository);
    assert!(preset::rules(Preset::LockedDown, &here).is_empty());
    let balanced = compiled(preset::rules(Preset::Balanced, &here));
    assert!(ask_http(&balanced, "api.anthropic.com", "POST", "/v1/messages").allowed());
    assert!(ask_http(&balanced, "github.com", "GET", "/acme/web").allowed());
    assert!(ask_http(&balanced, "github.com", "POST", "/acme/web.git/git-upload-pack").allowed());
    assert!(!ask_http(&balanced, "github.com", "POST", "/acme/web.git/git-receive-pack").allowed());
    let open = compiled(preset::rules(Preset::Open, &here));
    assert!(connect(&open, "anything.test", 443, Protocol::Https).allowed());
    assert!(!connect(&open, "anything.test", 22, Protocol::Tcp).allowed());
}

#[test]
fn explanations_name_the_rule_and_its_line() {
    let policy = compiled(vec![allow("api.test"), deny(HostPattern::AnyDepth("test".into()))]);
    let target = Target::Name("api.test".into());
    let request = Request { target: &target, port: 443, protocol: Protocol::Https, http: None };
    insta::assert_snapshot!(explain(&policy, &request).to_string(), @r"
    denied: rule deny/**.test denies api.test:443
      repository: deny **.test (deny/**.test) applies, sandbox.yaml:3: test
      repository: allow api.test (allow/api.test) applies, sandbox.yaml:3: test
    ");
}

/// The specification, read aloud: every rule is looked at.
fn naive(rules: &[NetworkRule], name: &str, port: u16, protocol: Protocol, method: &str) -> Option<bool> {
    let covers = |rule: &NetworkRule| match &rule.host {
        HostPattern::Exact(host) => host == name,
        HostPattern::OneLabel(suffix) => name.split_once('.').is_some_and(|(_, parent)| parent == suffix),
        HostPattern::AnyDepth(suffix) => {
            name.ends_with(&format!(".{suffix}")) || (rule.effect == Effect::Deny && name == suffix)
        }
        HostPattern::Any => true,
        HostPattern::Net(_) => false,
    };
    let applies = |rule: &NetworkRule| {
        let spoken = match rule.effect {
            Effect::Deny => rule.protocol.unwrap_or(protocol) == protocol,
            _ => rule.protocol.or(Protocol::default_for(port)) == Some(protocol),
        };
        let methods =
            rule.http.is_empty() || rule.http.iter().any(|http| http.methods.iter().any(|own| own == method));
        covers(rule) && (rule.ports.first..=rule.ports.last).contains(&port) && spoken && methods
    };
    let any = |effect| rules.iter().any(|rule| rule.effect == effect && applies(rule));
    match (any(Effect::Deny), any(Effect::Allow), any(Effect::Ask)) {
        (true, ..) => Some(false),
        (_, true, _) => Some(true),
        (.., true) => None,
        _ => Some(false),
    }
}

fn some_name() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..4).prop_map(|labels| labels.join("."))
}

fn some_rule() -> impl Strategy<Value = NetworkRule> {
    let host = some_name().prop_flat_map(|name| {
        prop::sample::select(vec![
            HostPattern::Exact(name.clone()),
            HostPattern::OneLabel(name.clone()),
            HostPattern::AnyDepth(name),
            HostPattern::Any,
        ])
    });
    let effect = prop::sample::select(vec![Effect::Allow, Effect::Allow, Effect::Deny, Effect::Ask]);
    let ports = prop::sample::select(vec![Ports::ALL, Ports::one(443), Ports { first: 80, last: 443 }]);
    let protocol = prop::sample::select(vec![None, Some(Protocol::Https), Some(Protocol::Http)]);
    let method = prop::option::of(prop::sample::select(vec!["GET", "POST"]));
    (host, effect, ports, protocol, method, 0..1000u32).prop_map(
        |(host, effect, ports, protocol, method, id)| {
            let mut made = rule(&format!("r{id}"), effect, host, ports, protocol);
            made.http = method
                .map(|method| HttpMatch { methods: vec![method.into()], paths: Vec::new() })
                .into_iter()
                .collect();
            made
        },
    )
}

proptest! {
    #[test]
    fn g06_the_index_agrees_with_the_naive_evaluator_in_any_order(
        rules in prop::collection::vec(some_rule(), 0..12),
        seed in any::<u64>(),
        name in some_name(),
        port in prop::sample::select(vec![80u16, 443, 8080]),
        protocol in prop::sample::select(vec![Protocol::Http, Protocol::Https]),
        method in prop::sample::select(vec!["GET", "POST", "PUT"]),
    ) {
        let target = Target::Name(name.clone());
        let request = Request { target: &target, port, protocol, http: Some(Http { method, path: Some("/") }) };
        let first = decide(&compiled(rules.clone()), &request);
        let expected = naive(&rules, &name, port, protocol, method);
        prop_assert_eq!(first.allowed(), expected == Some(true));
        prop_assert_eq!(first.code() == "approval_required", expected.is_none());

        let mut shuffled = rules;
        let length = shuffled.len().max(1);
        shuffled.rotate_left(seed as usize % length);
        if seed % 2 == 0 { shuffled.reverse(); }
        let second = decide(&compiled(shuffled), &request);
        prop_assert_eq!(first.code(), second.code());
        prop_assert_eq!(first.rule().map(|rule| &rule.id), second.rule().map(|rule| &rule.id));
    }

    #[test]
    fn adding_a_deny_never_widens(
        rules in prop::collection::vec(some_rule(), 0..10),
        added in some_rule(),
        name in some_name(),
    ) {
        let target = Target::Name(name);
        let http = Some(Http { method: "GET", path: Some("/") });
        let request = Request { target: &target, port: 443, protocol: Protocol::Https, http };
        let before = decide(&compiled(rules.clone()), &request).allowed();
        let mut more = rules;
        more.push(NetworkRule { effect: Effect::Deny, ..added });
        let after = decide(&compiled(more), &request).allowed();
        prop_assert!(before || !after);
    }
}

#[test]
fn a_rule_for_set_up_decides_nothing_afterwards() {
    let setup = |name: &str| NetworkRule { during: During::Setup, ..allow(name) };
    let nothing = crate::model::desired::Network { rules: vec![setup("a.test")], ..Default::default() };
    let over = super::layers::compose(1, &nothing, None, None, [allow("b.test")]);
    let running = super::layers::staged(over.clone(), true);
    assert_eq!(super::layers::staged(running.clone(), false), over, "what was put in force is taken back");
    assert_ne!(running.hash, over.hash, "events tell the two apart");
    let ask = |policy: &PolicyRevision, host, port| {
        connect(&Compiled::new(policy), host, port, Protocol::Https).code()
    };
    // A build that never withdraws would answer as while set-up runs.
    assert_eq!(ask(&running, "a.test", 443), "rule_allows");
    assert_eq!(ask(&over, "a.test", 443), "setup_over");
    assert_eq!(ask(&over, "a.test", 444), "no_rule", "it would not have helped during set-up");
    assert_eq!(
        (ask(&over, "b.test", 443), ask(&running, "b.test", 443)),
        ("rule_allows".into(), "rule_allows".into())
    );
    // What is not in force gives a local name no existence either.
    let target = Target::Name("a.test".into());
    assert!(Compiled::new(&running).mentions(&target) && !Compiled::new(&over).mentions(&target));
    let target = super::authority::host("a.test").unwrap();
    let request = Request { target: &target, port: 443, protocol: Protocol::Https, http: None };
    let explanation = explain(&Compiled::new(&over), &request);
    assert_eq!(explanation.trace.len(), 1);
    let text = explanation.to_string();
    assert!(text.contains("is inactive (in force during set-up only)"), "{text}");
    assert_eq!(
        sentence(&explanation.decision, "a.test:443"),
        "no rule allows a.test:443 (allowed during set-up only)"
    );
}
