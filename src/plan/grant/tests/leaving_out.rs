//! What is left of a sandbox without what is not approved.

use super::*;

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
fn of_a_rule_that_was_for_set_up_only_set_up_stays() {
    let mut desired = Sandbox::smallest("dev");
    desired.network.rules = vec![rule(Effect::Allow, "api.example")];
    let approved = set(&["net * api.example:443 during setup", "isolation emulation-ok"]);
    let restricted = restrict(&desired, &approved, &ground());
    assert_eq!(restricted.parked.to_string(), "net * api.example:443\n");
    let kept: Vec<_> = restricted.sandbox.network.rules.iter().map(|rule| rule.during).collect();
    assert_eq!(kept, [During::Setup], "it does not widen to the agent's time");
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
