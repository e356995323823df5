use std::path::PathBuf;

use proptest::prelude::*;

use super::*;
use crate::model::{
    desired::{IsolationWish, Mount, Port, Sandbox, Workspace},
    rule::{Effect, HostPattern, HostService, HttpMatch, Layer, NetworkRule, Origin, Ports, Protocol},
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
        id: format!("dev/{pattern}"),
        effect,
        host,
        ports,
        protocol: (!deny).then(|| Protocol::default_for(ports.first).unwrap_or(Protocol::Tcp)),
        http: Vec::new(),
        addresses: Addresses::Public,
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

#[test]
fn every_consequence_has_one_line() {
    assert_eq!(
        texts(&full()),
        [
            "net * api.example:443",
            "net GET,HEAD registry:npm (npm.corp.example:443)",
            "net tcp db.corp.example:5432 private",
            "net GET,POST github.com:443 /acme/web/**",
            "net GET,POST github.com:443 /acme/web.git/**",
            "ask * **.acme.example:443 except gist.acme.example",
            "host-service model 11434 GET,POST /v1/**",
            "secret github → github.com",
            "secret github → api.example x-api-key",
            "workspace . direct",
            "mount \"~/my data\" read",
            "mount /srv/out write",
            "port 3000",
            "port 3001 → 8080",
            "isolation emulation-ok",
        ]
    );
    let mut open = Sandbox::smallest("dev");
    open.isolation = IsolationWish::Hardware;
    open.network.preset = Preset::Open;
    open.network.rules =
        vec![NetworkRule { http: vec![matching(&["POST"], &[])], ..rule(Effect::Deny, "gist.example") }];
    open.workspace =
        Some(Workspace { path: "/home/ann/web/a".into(), mode: WorkspaceMode::Read, origin: origin() });
    assert_eq!(
        texts(&open),
        ["net preset open except POST gist.example"],
        "reading the repository needs no grant"
    );
}

#[test]
fn texts_read_back() {
    for text in texts(&full()).iter().map(String::as_str).chain([
        "net GET,HEAD registry:npm",
        "net GET,HEAD registry:npm (unpinned)",
        "net * **.acme.example:443 except registry:npm (unpinned)",
        "net * registry:*",
        "net preset balanced except **.gist.example except GET,POST x.example:80-90 /a/**",
        "net any * x.example:443",
        "net https GET x.example:8443 /\"",
        "net tls x.example:443",
        "net tcp 10.0.0.0/8:22 private",
        "net tcp [2001:db8::/32]:22",
        "secret a → b.example:8443 x-api-key",
        "workspace ~/x read",
        "workspace ./a direct",
        "mount ~ read",
        "mount \"/a\\u{202e}b\" write",
        "host-service model 1 *",
    ]) {
        let text = &text.replace("/\"", "\"/\\\"\"");
        assert_eq!(grant(text).to_string(), *text);
    }
}

#[test]
fn no_other_spelling_is_read() {
    for text in [
        "",
        " ",
        "net",
        "net * api.example",
        "net HEAD,GET registry:npm",
        "net GET,GET registry:npm",
        "net get api.example:443",
        "net  * api.example:443",
        "net * api.example:443 ",
        "net * API.example:443",
        "net * 10.1.0.0/8:22",
        "net https * api.example:443",
        "net tcp * api.example:22",
        "net * api.example:443 /**",
        "net * api.example:443 /a/**/**",
        "net * api.example:443 private public",
        "net * api.example:443 except",
        "net * api.example:443 except other.example",
        "net * api.example:443 except registry:npm",
        "net * registry:npm (api.example:443",
        "net * registry:np*",
        "net * bundle:pastes (unpinned)",
        "net * api.example:443 (unpinned)",
        "net * registry:npm (pinned)",
        "net * bundle:",
        "net preset locked-down",
        "ask preset open",
        "mount ../x read",
        "mount ./a/../b read",
        "mount ./a/ read",
        "mount a read",
        "mount /a//b read",
        "mount /a own",
        "mount \"/a\" read",
        "mount /a\u{202e}b read",
        "mount \"/a\u{1b}\" read",
        "mount \"/a read",
        "secret a b",
        "secret a → b.example:443",
        "secret a → *.example",
        "secret a → b.example authorization",
        "port 0x1",
        "port 70000",
        "port 01",
        "port 3000 →",
        "isolation hardware",
        "build-step npm",
        "port 3000\n",
    ] {
        assert!(text.parse::<Grant>().is_err(), "{text:?}");
    }
    let error = "net HEAD,GET registry:npm".parse::<Grant>().unwrap_err();
    assert_eq!(error.to_string(), "`net HEAD,GET registry:npm` is written `net GET,HEAD registry:npm`");
    assert_eq!("x".repeat(GRANT_MAX + 1).parse::<Grant>(), Err(GrantError::TooLong));
}

#[test]
fn wider_covers_narrower() {
    for (wide, narrow) in [
        ("net * api.example:443", "net GET api.example:443 /v1/**"),
        ("net * api.example:443", "ask * api.example:443"),
        ("net * *.api.example:443", "net * a.api.example:443"),
        ("net * **.example:443", "net * *.b.example:443"),
        ("net * api.example:20-65535", "net tcp api.example:22"),
        ("net tcp api.example:20-30", "net tcp api.example:22"),
        ("net tcp api.example:22 private", "net tcp api.example:22"),
        ("net tcp 10.0.0.0/8:22 private", "net tcp 10.1.2.3:22 private"),
        ("net GET x.example:443 /a/**", "net GET x.example:443 /a/*/c/**"),
        ("net GET x.example:443 /a*/b", "net GET x.example:443 /a*c/b"),
        ("net GET,HEAD registry:*", "net GET registry:npm (npm.example:443)"),
        ("net GET,HEAD registry:*", "net GET registry:npm (unpinned)"),
        ("net GET,HEAD registry:npm", "net GET registry:npm (npm.example:443) /x"),
        ("net GET npm.example:443", "net GET registry:npm (npm.example:443)"),
        (
            "net * **.example:443 except a.example",
            "net * **.example:443 except **.example:1-500 except a.example:443",
        ),
        ("net * **.example:443 except a.example", "net * **.b.example:443"),
        ("net * **.example:443 except POST a.example", "net GET **.example:443"),
        ("net preset open", "net preset balanced"),
        ("net preset open", "net * x.example:443"),
        ("net preset open except a.example", "net preset balanced except **.a.example"),
        ("mount ~/a write", "mount ~/a/b read"),
        ("workspace ~/a direct", "workspace ~/a read"),
        ("port 3000 → 8080", "port 3000"),
        ("host-service model 11434 *", "host-service model 11434 GET /v1/**"),
    ] {
        // An exception that leaves nothing is no grant.
        let Ok(narrow) = narrow.parse::<Grant>() else { continue };
        let wide = grant(wide);
        assert!(wide.covers(&narrow), "{wide} | {narrow}");
        assert!(!narrow.covers(&wide), "{narrow} | {wide}");
    }
}

#[test]
fn what_widens_is_not_covered() {
    for (own, wanted) in [
        ("net GET api.example:443", "net POST api.example:443"),
        ("net * api.example:443", "net * api.example:8443 /".trim_end_matches(" /")),
        ("net * *.example:443", "net * example:443"),
        ("net * **.example:443", "net * badexample.test:443"),
        ("net * api.example:443", "net tls api.example:443"),
        ("net tcp db.example:22", "net tcp db.example:22 private"),
        ("ask * api.example:443", "net * api.example:443"),
        ("net GET registry:npm (npm.example:443)", "net GET registry:npm (evil.example:443)"),
        ("net GET registry:npm (npm.example:443)", "net GET npm.example:443"),
        ("net GET registry:npm (unpinned)", "net GET registry:npm (npm.example:443)"),
        ("net GET registry:npm (unpinned)", "net GET registry:npm"),
        ("net GET registry:npm (unpinned)", "net GET registry:pypi (unpinned)"),
        ("net GET registry:npm (npm.example:443)", "net GET registry:npm (unpinned)"),
        ("net * **.example:443", "net GET registry:npm (unpinned)"),
        ("net * a.example:443 except registry:npm (unpinned)", "net * a.example:443"),
        ("net GET registry:npm", "net PUT registry:npm+publish (npm.example:443)"),
        ("net GET x.example:443 /a/*", "net GET x.example:443 /a/**"),
        ("net GET x.example:443 /a/**", "net GET x.example:443 /ab"),
        ("net * **.example:443 except a.example", "net * **.example:443"),
        ("net * **.example:443 except a.example", "net * a.example:443"),
        ("net preset open except a.example", "net preset open"),
        ("net preset balanced", "net preset open"),
        ("net preset open", "net * x.example:8443".trim()),
        ("net preset open", "net tcp x.example:22"),
        ("secret a → b.example", "secret a → b.example x-key"),
        ("secret a → b.example", "secret a → c.example"),
        ("mount ~/a read", "mount ~/a write"),
        ("mount ~/a read", "mount ~/ab read"),
        ("mount ./a read", "mount ~/a read"),
        ("port 3000", "port 3000 → 8080"),
        ("workspace . direct", "workspace ~/x direct"),
    ] {
        let (Ok(own), Ok(wanted)) = (own.parse::<Grant>(), wanted.parse::<Grant>()) else { continue };
        assert!(!own.covers(&wanted), "{own} | {wanted}");
    }
}

#[test]
fn methods_are_judged_one_by_one() {
    let own = set(&["net GET x.example:443", "net POST **.example:443 /a/**"]);
    assert!(own.covers(&grant("net GET,POST x.example:443 /a/b")));
    let missing = own.missing(&set(&["net GET,POST,PUT x.example:443 /a/b"]));
    assert_eq!(missing.to_string(), "net PUT x.example:443 /a/b\n");
    assert_eq!(
        set(&["net GET x.example:443", "net HEAD x.example:443", "net GET x.example:443 /a"]).to_string(),
        "net GET,HEAD x.example:443\n"
    );
}

#[test]
fn what_is_not_approved_is_left_out() {
    let desired = full();
    let none = restrict(&desired, &GrantSet::default(), &ground());
    assert_eq!(texts(&none.sandbox), ["workspace . direct", "isolation emulation-ok"]);
    assert_eq!(none.waits, Some(Waits::Isolation(Grant::EmulationOk)));
    assert_eq!(none.sandbox.network.rules.len(), 1, "denies stay");

    let approved = set(&[
        "net GET github.com:443 /acme/web/**",
        "net GET registry:npm (old.corp.example:443)",
        "ask * **.acme.example:443 except **.gist.acme.example",
        "mount /srv/out read",
        "secret github → github.com",
        "workspace . direct",
        "isolation emulation-ok",
    ]);
    let some = restrict(&desired, &approved, &ground());
    assert_eq!(some.waits, None);
    assert_eq!(
        texts(&some.sandbox),
        [
            "net GET github.com:443 /acme/web/**",
            "ask * **.acme.example:443 except **.gist.acme.example",
            "secret github → github.com",
            "workspace . direct",
            "mount /srv/out read",
            "isolation emulation-ok",
        ]
    );
    assert!(some.parked.to_string().contains("net POST github.com:443 /acme/web/**\n"), "{}", some.parked);
}

#[test]
fn taking_a_deny_away_waits() {
    let mut desired = Sandbox::smallest("dev");
    desired.network.rules =
        vec![rule(Effect::Allow, "**.acme.example"), rule(Effect::Deny, "gist.acme.example")];
    let approved: GrantSet = granted(&desired, &ground()).into_iter().map(|it| it.grant).collect();
    desired.network.rules.pop();
    let restricted = restrict(&desired, &approved, &ground());
    assert_eq!(restricted.parked.to_string(), "net * **.acme.example:443\n");
    let rules = &restricted.sandbox.network.rules;
    assert_eq!(
        (rules.len(), rules[1].effect, rules[1].pattern().as_str()),
        (2, Effect::Deny, "gist.acme.example")
    );
}

fn host() -> impl Strategy<Value = HostPattern> {
    let name = prop::sample::select(vec!["a.example", "b.a.example", "c.b.a.example", "x.test"]);
    (0..8_u8, name).prop_map(|(kind, name)| match kind {
        0..3 => HostPattern::Exact(name.to_owned()),
        3..5 => HostPattern::OneLabel(name.to_owned()),
        5..7 => HostPattern::AnyDepth(name.to_owned()),
        _ => HostPattern::Any,
    })
}

fn http() -> impl Strategy<Value = Vec<HttpMatch>> {
    let method = prop::sample::subsequence(vec!["GET", "HEAD", "POST"], 0..=2);
    let path = prop::sample::subsequence(vec!["/**", "/a/**", "/a/*", "/a/*/c", "/A/b", "/**/c"], 0..=2);
    let matcher = (method, path).prop_map(|(methods, paths)| matching(&methods, &paths));
    prop::collection::vec(matcher, 0..=2)
}

fn any_rule() -> impl Strategy<Value = NetworkRule> {
    let effect = prop::sample::select(vec![Effect::Allow, Effect::Allow, Effect::Deny, Effect::Ask]);
    let ports = prop::sample::select(vec![
        Ports::one(443),
        Ports::one(22),
        Ports { first: 1, last: 500 },
        Ports::ALL,
    ]);
    let protocol = prop::sample::select(vec![None, Some(Protocol::Https), Some(Protocol::Tcp)]);
    let set = prop::sample::select(vec![None, None, Some("registry:npm"), Some("bundle:x")]);
    (effect, host(), ports, protocol, http(), set, any::<bool>()).prop_map(
        |(effect, host, ports, protocol, http, set, private)| NetworkRule {
            host,
            ports,
            protocol,
            http,
            set: set.map(str::to_owned),
            addresses: if private { Addresses::Private } else { Addresses::Public },
            ..rule(effect, "x.test")
        },
    )
}

fn any_sandbox() -> impl Strategy<Value = Sandbox> {
    let preset = prop::sample::select(vec![Preset::LockedDown, Preset::Balanced, Preset::Open]);
    let folders = vec!["/home/ann/web/a", "/home/ann/d", "/home/ann/d/e f", "/srv"];
    let mounts = prop::collection::vec((prop::sample::select(folders), any::<bool>()), 0..=3);
    let rules = prop::collection::vec(any_rule(), 0..=5);
    let flags = prop::collection::vec(any::<bool>(), 6);
    (preset, rules, mounts, flags).prop_map(|(preset, rules, mounts, flags)| {
        let mut sandbox = full();
        sandbox.network.preset = preset;
        sandbox.network.rules = rules;
        let mount = |(source, write): (&str, bool)| Mount {
            source: PathBuf::from(source),
            access: if write { Access::Write } else { Access::Read },
            ..full().mounts.remove(0)
        };
        sandbox.mounts = mounts.into_iter().map(mount).collect();
        if flags[0] {
            sandbox.secrets.clear()
        }
        if flags[1] {
            sandbox.ports.truncate(1)
        }
        if flags[2] {
            sandbox.network.host_services.clear()
        }
        if flags[3] {
            sandbox.workspace = None
        }
        if flags[4] {
            sandbox.isolation = IsolationWish::Hardware
        }
        sandbox
    })
}

fn set_of(sandbox: &Sandbox) -> GrantSet {
    granted(sandbox, &ground()).into_iter().map(|granted| granted.grant).collect()
}

fn parts(sandbox: &Sandbox) -> Vec<Grant> {
    set_of(sandbox).grants().to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn covering_is_a_partial_order(a in any_sandbox(), b in any_sandbox(), c in any_sandbox()) {
        let all: Vec<Grant> = [parts(&a), parts(&b), parts(&c)].concat();
        for one in &all {
            prop_assert!(one.covers(one), "{one}");
            for two in all.iter().filter(|two| one.covers(two)) {
                prop_assert!(!two.covers(one) || one == two, "{one} | {two}");
                for three in all.iter().filter(|three| two.covers(three)) {
                    prop_assert!(one.covers(three), "{one} | {two} | {three}");
                }
            }
        }
    }

    #[test]
    fn every_grant_reads_back(sandbox in any_sandbox()) {
        for granted in granted(&sandbox, &ground()) {
            prop_assert_eq!(granted.grant.to_string().parse::<Grant>(), Ok(granted.grant));
        }
    }

    #[test]
    fn order_and_spelling_change_nothing(sandbox in any_sandbox(), seed in any::<u64>()) {
        let mut other = sandbox.clone();
        // Twice the same, the other way round, and each method in a matcher of its own.
        other.network.rules.reverse();
        let doubled = other.network.rules.clone();
        other.network.rules.extend(doubled);
        for rule in other.network.rules.iter_mut().skip(usize::try_from(seed % 3).unwrap_or_default()) {
            let apart = rule.http.iter().flat_map(|http| match http.methods.as_slice() {
                [] => vec![http.clone()],
                methods => methods.iter().map(|it| HttpMatch { methods: vec![it.clone()], paths: http.paths.clone() }).collect(),
            });
            rule.http = apart.rev().collect();
        }
        let (one, two) = (set_of(&sandbox), set_of(&other));
        prop_assert_eq!(one.to_string(), two.to_string());
        prop_assert!(one.missing(&two).is_empty());
    }

    #[test]
    fn all_approved_is_unchanged(sandbox in any_sandbox()) {
        let restricted = restrict(&sandbox, &set_of(&sandbox), &ground());
        prop_assert_eq!(&*restricted.sandbox, &sandbox);
        prop_assert!(restricted.parked.is_empty() && restricted.waits.is_none());
    }

    #[test]
    fn what_is_left_is_approved(desired in any_sandbox(), other in any_sandbox(), drop in any::<u8>()) {
        let mut approved: Vec<Grant> = [parts(&desired), parts(&other)].concat();
        let keep = usize::from(drop) % (approved.len() + 1);
        approved.rotate_left(keep);
        approved.truncate(keep);
        let approved: GrantSet = approved.into_iter().collect();
        let restricted = restrict(&desired, &approved, &ground());
        // Workspace and isolation cannot be left out; the sandbox waits for them.
        for grant in set_of(&restricted.sandbox).grants() {
            let waits = matches!(grant, Grant::Workspace { .. } | Grant::EmulationOk) && restricted.waits.is_some();
            prop_assert!(waits || approved.covers(grant), "{grant}\napproved:\n{approved}");
        }
        prop_assert_eq!(restricted.parked, approved.missing(&set_of(&desired)));
        // Restricting again changes nothing.
        let again = restrict(&restricted.sandbox, &approved, &ground());
        prop_assert!(restricted.waits.is_some() || *again.sandbox == *restricted.sandbox);
    }
}
