//! What holds for every sandbox, whatever it grants.

use std::path::PathBuf;

use proptest::prelude::*;

use super::*;

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
    let during = prop::sample::select(vec![During::Always, During::Always, During::Setup]);
    let until = prop::sample::select(vec![None, None, Some("2026-12-31"), Some("2026-12-31T18:00:00Z")]);
    let flags = (any::<bool>(), during, until);
    (effect, host(), ports, protocol, http(), set, flags).prop_map(
        |(effect, host, ports, protocol, http, set, (private, during, until))| NetworkRule {
            during: if effect == Effect::Deny { During::Always } else { during },
            until: until.map(|until| until.parse().expect("an end")),
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
