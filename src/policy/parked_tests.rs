use super::*;
use crate::{
    model::{
        api::PolicyRevision,
        parked::Idle,
        rule::{Addresses, During, Effect, HttpMatch, Layer, NetworkRule, Origin, Ports},
    },
    policy::{
        Compiled, Decision, Http, decide,
        explain::{explain, sentence},
        layers,
    },
};

fn rule(effect: Effect, host: HostPattern, line: u32) -> NetworkRule {
    NetworkRule {
        id: format!("dev/network.rules[{line}]"),
        effect,
        host,
        ports: Ports::one(443),
        protocol: None,
        http: Vec::new(),
        addresses: Addresses::Private,
        during: During::Always,
        set: None,
        until: None,
        why: "tests".into(),
        origin: Origin { layer: Layer::Repository, file: Some("sandbox.yaml".into()), line: Some(line) },
    }
}

fn exact(name: &str) -> HostPattern {
    HostPattern::Exact(name.into())
}

/// What stands in a file: nothing of it is in force.
fn file() -> Vec<(NetworkRule, Idle)> {
    let get = HttpMatch { methods: vec!["GET".into()], paths: vec!["/v1/**".into()] };
    let over = Idle::Ended("2026-06-30".parse().unwrap());
    let net = HostPattern::Net("10.0.0.0/8".parse().unwrap());
    let host = exact("model.host.internal");
    vec![
        (rule(Effect::Allow, exact("new.test"), 11), Idle::Waits),
        (rule(Effect::Allow, exact("no.test"), 12), Idle::Rejected),
        (rule(Effect::Allow, exact("old.test"), 13), over),
        (rule(Effect::Ask, HostPattern::AnyDepth("deep.test".into()), 14), Idle::Waits),
        (rule(Effect::Allow, HostPattern::OneLabel("one.test".into()), 15), Idle::Waits),
        (NetworkRule { http: vec![get], ..rule(Effect::Allow, exact("api.test"), 16) }, Idle::Waits),
        (rule(Effect::Allow, exact("both.test"), 17), Idle::Rejected),
        (rule(Effect::Allow, exact("both.test"), 18), Idle::Waits),
        (rule(Effect::Allow, exact("denied.test"), 19), Idle::Waits),
        (rule(Effect::Allow, net, 20), Idle::Waits),
        (rule(Effect::Allow, host, 21), Idle::Waits),
        (NetworkRule { during: During::Setup, ..rule(Effect::Allow, exact("setup.test"), 22) }, Idle::Waits),
    ]
}

fn in_force() -> PolicyRevision {
    let deny = NetworkRule { ports: Ports::ALL, ..rule(Effect::Deny, exact("denied.test"), 5) };
    let rules = vec![deny, rule(Effect::Allow, exact("open.test"), 6)];
    PolicyRevision { rules, ..PolicyRevision::default() }
}

fn parked() -> PolicyRevision {
    layers::parking(in_force(), file().iter().filter_map(|(rule, idle)| ParkedRule::of(rule, *idle)))
}

/// The mistake that must show: what is not in force is handed over with what is.
fn broken() -> PolicyRevision {
    let mut policy = in_force();
    policy.rules.extend(file().into_iter().map(|(rule, _)| rule));
    policy
}

const HOSTS: [&str; 12] = [
    "new.test",
    "no.test",
    "old.test",
    "x.deep.test",
    "a.one.test",
    "api.test",
    "both.test",
    "denied.test",
    "10.1.2.3",
    "model.host.internal",
    "setup.test",
    "open.test",
];

fn connect(policy: &PolicyRevision, host: &str, port: u16) -> Decision {
    let target = crate::policy::authority::host(host).unwrap();
    let protocol = Protocol::default_for(port).unwrap_or(Protocol::Tcp);
    decide(&Compiled::new(policy), &Request { target: &target, port, protocol, http: None })
}

fn allowed(policy: &PolicyRevision) -> Vec<&'static str> {
    HOSTS.into_iter().filter(|host| connect(policy, host, 443).allowed()).collect()
}

#[test]
fn what_is_not_in_force_allows_nothing() {
    assert_eq!(allowed(&parked()), ["open.test"]);
    // While set-up steps run, too.
    assert_eq!(allowed(&layers::staged(parked(), true)), ["open.test"]);
    // It does not read as a rule that is.
    let waiting = serde_json::to_value(&parked().parked[0]).unwrap();
    assert!(serde_json::from_value::<NetworkRule>(waiting).is_err());
    // The break: among the rules it would let pass what nobody approved.
    assert!(allowed(&broken()).contains(&"new.test") && allowed(&broken()).contains(&"no.test"));
}

#[test]
fn a_denial_says_what_stands_in_the_file() {
    let policy = parked();
    for (host, port, code, sentence_expected) in [
        (
            "new.test",
            443,
            "waits_for_approval",
            "sandbox.yaml:11 allows new.test:443 and waits for approval: cofferdam pending",
        ),
        ("no.test", 443, "rejected", "sandbox.yaml:12 allows no.test:443 and a person has rejected that"),
        ("old.test", 443, "rule_ended", "sandbox.yaml:13 allowed old.test:443 and has ended (2026-06-30)"),
        (
            "x.deep.test",
            443,
            "waits_for_approval",
            "sandbox.yaml:14 asks about x.deep.test:443 and waits for approval: cofferdam pending",
        ),
        (
            "both.test",
            443,
            "waits_for_approval",
            "sandbox.yaml:18 allows both.test:443 and waits for approval: cofferdam pending",
        ),
        (
            "10.1.2.3",
            443,
            "waits_for_approval",
            "sandbox.yaml:20 allows 10.1.2.3:443 and waits for approval: cofferdam pending",
        ),
        // What it would not let pass either is denied as ever.
        ("new.test", 8443, "no_rule", "no rule allows new.test:8443"),
        ("deep.test", 443, "no_rule", "no rule allows deep.test:443"),
        ("b.a.one.test", 443, "no_rule", "no rule allows b.a.one.test:443"),
        ("evildeep.test", 443, "no_rule", "no rule allows evildeep.test:443"),
        ("setup.test", 443, "no_rule", "no rule allows setup.test:443"),
        // A deny says more, and no file grants a reserved name.
        ("denied.test", 443, "rule_denies", "rule dev/network.rules[5] denies denied.test:443"),
        (
            "model.host.internal",
            443,
            "host_service",
            "no host service is declared for model.host.internal:443",
        ),
    ] {
        let decision = connect(&policy, host, port);
        assert!(decision.rule().is_none() || host == "denied.test", "{host}: no rule has decided");
        let told = sentence(&decision, &format!("{host}:{port}"));
        assert_eq!((decision.code().as_str(), told.as_str()), (code, sentence_expected));
    }
}

#[test]
fn requests_are_told_by_method_and_path() {
    let policy = Compiled::new(&parked());
    let code = |method: &str, path: &str| {
        let target = Target::Name("api.test".into());
        let http = Some(Http { method, path: Some(path) });
        decide(&policy, &Request { target: &target, port: 443, protocol: Protocol::Https, http }).code()
    };
    assert_eq!(code("GET", "/v1/x"), "waits_for_approval");
    assert_eq!((code("POST", "/v1/x"), code("GET", "/v2")), ("no_rule".into(), "no_rule".into()));
}

#[test]
fn an_explanation_names_what_is_not_in_force() {
    let target = Target::Name("both.test".into());
    let policy = Compiled::new(&parked());
    let request = Request { target: &target, port: 443, protocol: Protocol::Https, http: None };
    let text = explain(&policy, &request).to_string();
    let expected = "denied: sandbox.yaml:18 allows both.test:443 and waits for approval: cofferdam pending
  repository: allow both.test (dev/network.rules[17]) is inactive (rejected), sandbox.yaml:17: tests
  repository: allow both.test (dev/network.rules[18]) is inactive (waits for approval), sandbox.yaml:18: tests
";
    assert_eq!(text, expected);
}

#[test]
fn what_has_ended_is_parked_and_a_deny_never_is() {
    let until = "2026-06-30".parse().ok();
    let deny = NetworkRule { until, ..rule(Effect::Deny, exact("closed.test"), 3) };
    let allow = NetworkRule { until, ..rule(Effect::Allow, exact("open.test"), 4) };
    let policy = PolicyRevision { rules: vec![deny, allow], ..PolicyRevision::default() };
    let before = layers::at(policy.clone(), "2026-06-30T23:59:59Z".parse().unwrap());
    assert_eq!(before, policy);
    let after = layers::at(policy, "2026-07-01T00:00:00Z".parse().unwrap());
    assert_eq!((after.rules.len(), after.parked.len()), (0, 1));
    assert_eq!(connect(&after, "open.test", 443).code(), "rule_ended");
}

#[test]
fn no_file_makes_a_policy_too_large_with_what_waits() {
    let one = |line| ParkedRule::of(&rule(Effect::Allow, exact("many.test"), line), Idle::Waits);
    let many = layers::parking(in_force(), (0..5_000).filter_map(one));
    assert_eq!(many.parked.len(), 512);
    let long = NetworkRule { why: "x".repeat(100_000), ..rule(Effect::Allow, exact("long.test"), 1) };
    let long = (0..10).filter_map(|_| ParkedRule::of(&long, Idle::Waits));
    let large = layers::parking(in_force(), long);
    assert_eq!(large.parked.len(), 2);
    assert_eq!(large.hash, in_force().hash);
}
