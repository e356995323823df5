//! Cost of one policy decision, beside a plain evaluation of every rule in the same run: `cargo bench --bench decision`.

use std::{hint::black_box, time::Instant};

use cofferdam::{
    model::{
        api::PolicyRevision,
        rule::{Addresses, During, Effect, HostPattern, Layer, NetworkRule, Origin, Ports, Protocol, Target},
    },
    policy::{Compiled, Request, decide},
};

const ROUNDS: u32 = 200_000;

fn main() {
    println!("{:>8} {:>14} {:>14}", "rules", "indexed", "one by one");
    for count in [10_u32, 100, 1_000, 10_000] {
        let rules: Vec<NetworkRule> = (0..count).map(rule).collect();
        let revision = PolicyRevision { rules: rules.clone(), ..PolicyRevision::default() };
        let policy = Compiled::new(&revision);
        let target = Target::Name("h7.zone7.test".to_owned());
        let request = Request { target: &target, port: 443, protocol: Protocol::Https, http: None };
        let indexed = cost(ROUNDS, || decide(&policy, black_box(&request)).allowed());
        let plain = cost(ROUNDS / count.max(1), || one_by_one(&rules, black_box("h7.zone7.test"), 443));
        println!("{count:>8} {indexed:>11} ns {plain:>11} ns");
    }
}

fn rule(index: u32) -> NetworkRule {
    NetworkRule {
        until: None,
        id: format!("rule/{index}"),
        effect: Effect::Allow,
        host: HostPattern::Exact(format!("h{index}.zone{}.test", index % 97)),
        ports: Ports::one(443),
        protocol: Some(Protocol::Https),
        http: Vec::new(),
        addresses: Addresses::Public,
        during: During::Always,
        set: None,
        why: "a benchmark".to_owned(),
        origin: Origin { layer: Layer::Repository, file: None, line: None },
    }
}

/// The peer: looks at every rule, as engines without an index do.
fn one_by_one(rules: &[NetworkRule], name: &str, port: u16) -> bool {
    let matches = |rule: &&NetworkRule| {
        let host = match &rule.host {
            HostPattern::Exact(exact) => exact == name,
            HostPattern::AnyDepth(suffix) => name.ends_with(suffix.as_str()),
            HostPattern::OneLabel(suffix) => name.split_once('.').is_some_and(|(_, rest)| rest == suffix),
            HostPattern::Any => true,
            HostPattern::Net(_) => false,
        };
        host && rule.ports.contains(port)
    };
    let hits: Vec<&NetworkRule> = rules.iter().filter(matches).collect();
    !hits.iter().any(|rule| rule.effect == Effect::Deny)
        && hits.iter().any(|rule| rule.effect == Effect::Allow)
}

/// Nanoseconds for one call.
fn cost(rounds: u32, call: impl Fn() -> bool) -> u128 {
    let begun = Instant::now();
    for _ in 0..rounds {
        black_box(call());
    }
    begun.elapsed().as_nanos() / u128::from(rounds.max(1))
}
