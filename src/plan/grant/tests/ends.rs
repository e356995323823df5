//! Ends: of rules, in their grants; of approvals, in what they cover.

use super::*;

fn end(text: &str) -> Option<End> {
    Some(text.parse().expect("an end"))
}

#[test]
fn a_later_end_is_a_wider_grant() {
    let until =
        |end: &str| format!("net GET files.partner.example:443 until {end} except files.partner.example /x");
    for text in [
        until("2026-12-31"),
        until("2026-12-31T18:00:00Z"),
        "ask * **.x.test:443 until 2026-12-31".to_owned(),
    ] {
        assert_eq!(grant(&text).to_string(), text);
    }
    for other in ["2027-01-01T00:00:00Z", "tomorrow", "2026-12-31T18:00:00+01:00"] {
        assert!(until(other).parse::<Grant>().is_err(), "{other}");
    }
    let covers = |own: &str, other: &str| grant(&until(own)).covers(&grant(&until(other)));
    assert!(covers("2026-12-31", "2026-12-31T18:00:00Z") && covers("2026-12-31", "2026-12-30"));
    assert!(!covers("2026-12-30", "2026-12-31"));
    let for_ever = grant(&until("2026-12-31").replace(" until 2026-12-31", ""));
    assert!(for_ever.covers(&grant(&until("2026-12-31"))) && !grant(&until("2026-12-31")).covers(&for_ever));
}

#[test]
fn a_deny_that_ends_takes_nothing_away() {
    let mut desired = Sandbox { isolation: IsolationWish::Hardware, ..Sandbox::smallest("dev") };
    let ends = NetworkRule { until: end("2026-12-31"), ..rule(Effect::Deny, "gist.acme.example") };
    desired.network.rules = vec![rule(Effect::Allow, "**.acme.example"), ends];
    assert_eq!(set_of(&desired).to_string(), "net * **.acme.example:443\n");
    // Approved without the gists: the file's own deny, which ends, does not stand in for that.
    let approved = set(&["net * **.acme.example:443 except gist.acme.example"]);
    let restricted = restrict(&desired, &approved, &ground());
    let denies = restricted.sandbox.network.rules.iter().filter(|rule| rule.effect == Effect::Deny);
    assert_eq!(denies.map(|rule| rule.until).collect::<Vec<_>>(), [end("2026-12-31"), None]);
    assert_eq!(set_of(&restricted.sandbox), approved);
}

#[test]
fn what_an_ending_approval_covers_ends_with_it() {
    let mut desired = Sandbox::smallest("dev");
    let requests = vec![matching(&["GET", "POST"], &[])];
    desired.network.rules = vec![
        rule(Effect::Allow, "a.example"),
        NetworkRule { http: requests, ..rule(Effect::Allow, "b.example") },
        NetworkRule { until: end("2026-06-30"), ..rule(Effect::Allow, "c.example") },
        NetworkRule { until: end("2028-06-30"), ..rule(Effect::Allow, "d.example") },
    ];
    desired.network.preset = Preset::Balanced;
    desired.network.host_services = full().network.host_services;
    desired.ports = full().ports;
    let always = set(&["net GET b.example:443"]);
    let mut soon: Vec<Grant> = set_of(&desired).grants().to_vec();
    soon.retain(|grant| grant.to_string() != "net GET,POST b.example:443");
    soon.push(grant("net POST b.example:443"));
    let later = set(&["net * a.example:443"]);
    let (soon, e26, e27) = (soon.into_iter().collect(), end("2026-12-31"), end("2027-12-31"));
    let restricted = restrict_by(&desired, &[(None, &always), (e26, &soon), (e27, &later)], &ground());
    assert!(restricted.parked.is_empty(), "{}", restricted.parked);
    assert_eq!(restricted.sandbox.network.preset_until, e26);
    assert!(restricted.sandbox.network.host_services.iter().all(|service| service.until == e26));
    assert_eq!(restricted.sandbox.ports, desired.ports);
    let rules = restricted.sandbox.network.rules.iter();
    let found: Vec<_> = rules.map(|rule| (rule.pattern(), rule.http.len(), rule.until)).collect();
    let expected = [
        ("a.example", 0, e27),
        ("b.example", 1, None),
        ("b.example", 1, e26),
        ("c.example", 0, end("2026-06-30")),
        ("d.example", 0, e26),
    ];
    assert_eq!(found, expected.map(|(pattern, http, until)| (pattern.to_owned(), http, until)));
    // The break: the same approvals without an end end nothing.
    let restricted = restrict_by(&desired, &[(None, &always), (None, &soon)], &ground());
    assert_eq!(*restricted.sandbox, desired);
}

fn set_of(sandbox: &Sandbox) -> GrantSet {
    granted(sandbox, &ground()).into_iter().map(|granted| granted.grant).collect()
}
