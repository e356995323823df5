//! What the guest is told, and what the trail says of it.

use std::{collections::HashMap, sync::atomic::Ordering};

use tokio::io::AsyncWriteExt;

use super::{
    plan::{Plan, allow, plan, rule},
    rig::{Rig, ask, drained},
};
use crate::model::{
    api::PolicyRevision,
    event::Decision,
    parked::{Idle, ParkedRule},
    rule::{Effect, Protocol},
};

#[tokio::test]
async fn the_one_denial_shape() {
    let rig = Rig::new(plan(None)).await;
    let text = rig.get("api.stripe.test", "/v1", "").await;
    let id = text.lines().find_map(|line| line.strip_prefix("cofferdam-request: ")).unwrap().to_owned();
    insta::assert_snapshot!(text.replace(&id, "r-ID").lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n"), @r#"
    HTTP/1.1 403 Blocked by sandbox policy: no rule allows api.stripe.test:443
    content-type: text/plain; charset=utf-8
    cache-control: no-store
    cofferdam-decision: deny
    cofferdam-rule: no_rule
    cofferdam-request: r-ID
    content-length: 381

    Blocked by sandbox policy: no rule allows api.stripe.test:443.
    This is deliberate. Every route out of this sandbox is judged the same way, so do not retry and do not look for another one.
    If the task needs it, propose this line under spec.network.rules of sandbox.yaml, and a person will decide:
      - {allow: "api.stripe.test:443", why: "..."}
    Request r-ID (no_rule).
    "#);
    let event = rig.denial().await;
    assert_eq!(event.detail["request"], id, "the event has the same id");
    // The same on the proxied path, and as JSON when that is asked for.
    let (stream, _) = rig.tunnel("api.stripe.test:443").await;
    let mut stream = rig.tls(stream, "api.stripe.test").await.unwrap();
    let text =
        ask(&mut stream, "GET / HTTP/1.1\r\nHost: api.stripe.test\r\nAccept: application/json\r\n\r\n").await;
    let body: serde_json::Value = serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["error"]["reason"], "no_rule");
    assert_eq!(rig.dials(), 0);
}

#[tokio::test]
async fn what_waits_is_told_as_what_waits() {
    let rig = Rig::new(plan(None)).await;
    let parked = |idle| ParkedRule::of(&allow("api.stripe.test"), idle);
    let policy = |parked: Option<ParkedRule>, revision| PolicyRevision {
        revision,
        rules: vec![allow("api.test")],
        parked: parked.into_iter().collect(),
        ..PolicyRevision::default()
    };
    rig.order(policy(parked(Idle::Waits), 2));
    rig.applied(2).await;
    let text = rig.get("api.stripe.test", "/v1", "").await;
    let id = text.lines().find_map(|line| line.strip_prefix("cofferdam-request: ")).unwrap().to_owned();
    insta::assert_snapshot!(text.replace(&id, "r-ID").lines().filter(|line| !line.starts_with("date:")).collect::<Vec<_>>().join("\n"), @r"
    HTTP/1.1 403 Blocked by sandbox policy: sandbox.yaml:7 allows api.stripe.test:443 and waits for approval: cofferdam pending
    content-type: text/plain; charset=utf-8
    cache-control: no-store
    cofferdam-decision: deny
    cofferdam-rule: waits_for_approval
    cofferdam-request: r-ID
    content-length: 453

    Blocked by sandbox policy: sandbox.yaml:7 allows api.stripe.test:443 and waits for approval: cofferdam pending.
    This is deliberate. Every route out of this sandbox is judged the same way, so do not retry and do not look for another one.
    The line is there already: do not propose it again. A person decides with `cofferdam pending` and `cofferdam approve` on the host; the next request after that passes.
    Request r-ID (waits_for_approval).
    ");
    let event = rig.denial().await;
    assert_eq!((event.reason.as_str(), &event.rule), ("waits_for_approval", &None));
    assert_eq!(event.detail["parked"], "sandbox.yaml:7");
    // A person says no.
    rig.order(policy(parked(Idle::Rejected), 3));
    rig.applied(3).await;
    let text = rig.get("api.stripe.test", "/v1", "").await;
    assert!(
        text.contains(
            "403 Blocked by sandbox policy: sandbox.yaml:7 allows api.stripe.test:443 and a person"
        ),
        "{text}"
    );
    assert!(text.contains("do not propose it again"), "{text}");
    assert_eq!((rig.events().await.pop().unwrap().reason.as_str(), rig.dials()), ("rejected", 0));
    // A person says yes: the next request passes. Handed over as a rule, what waits would do this by itself.
    rig.order(PolicyRevision { rules: vec![allow("api.stripe.test")], ..policy(None, 4) });
    rig.applied(4).await;
    rig.get("api.stripe.test", "/v1", "").await;
    assert_eq!(rig.dials(), 1);
}

#[tokio::test]
async fn denials_name_their_rule_and_line() {
    let rules = vec![allow("api.test"), rule(Effect::Deny, "**.test", 0, None)];
    let rig = Rig::new(Plan { rules, ..Plan::default() }).await;
    let text = rig.get("api.test", "/", "").await;
    assert!(text.contains("rule dev/**.test:0 denies api.test:443"), "{text}");
    assert!(text.contains("sandbox.yaml:7"), "{text}");
    assert_eq!(rig.denial().await.rule.unwrap().line, Some(7));
}

#[tokio::test]
async fn responses_carry_nothing_of_ours_and_no_other_protocol() {
    let rig = Rig::new(plan(None)).await;
    let text = rig.get("api.test", "/alt", "").await.to_ascii_lowercase();
    assert!(!text.contains("alt-svc") && !text.contains("forged"), "{text}");
    let text = rig.get("api.test", "/redirect", "").await;
    assert!(text.starts_with("HTTP/1.1 302"), "redirects are the guest's to follow: {text}");
    assert_eq!(rig.dials(), 2);
}

#[tokio::test]
async fn what_fails_in_the_world_was_allowed_all_the_same() {
    let raw = rule(Effect::Allow, "db.test", 5432, Some(Protocol::Tcp));
    let rules = vec![allow("api.test"), rule(Effect::Allow, "api.test", 80, None), raw];
    for (answers, reason) in [
        (["api.test", "db.test"].map(|name| (name.to_owned(), vec![])).into(), "upstream_unresolved"),
        (HashMap::new(), "upstream_unreachable"),
    ] {
        let rig = Rig::new(Plan { rules: rules.clone(), answers, ..Plan::default() }).await;
        rig.world.refuses.store(true, Ordering::Relaxed);
        let text = rig.get("api.test", "/", "").await;
        assert!(text.starts_with("HTTP/1.1 502 Sandbox gateway: api.test:443"), "{text}");
        let mut plain = rig.dial("api.test", 80).await;
        let text = ask(&mut plain, "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 502") && text.contains("cofferdam-decision: error"), "{text}");
        let mut raw = rig.dial("db.test", 5432).await;
        let _closed = raw.write_all(b"\x00").await;
        assert!(drained(&mut raw).await.is_empty());
        let events = rig.events().await;
        let rules: Vec<&str> = events.iter().map(|event| event.rule.as_ref().unwrap().id.as_str()).collect();
        assert_eq!(rules, ["dev/api.test:443", "dev/api.test:80", "dev/db.test:5432"], "one event for each");
        for event in events {
            assert_eq!((event.decision, event.reason.as_str()), (Decision::Allow, reason));
            assert_eq!(event.detail["outcome"], "failed");
        }
    }
}

#[tokio::test]
async fn a_request_has_one_event_whatever_its_connection_does() {
    let rig = Rig::new(plan(None)).await;
    let mut stream = rig.tls(rig.dial("api.test", 443).await, "api.test").await.unwrap();
    let get = |path| format!("GET {path} HTTP/1.1\r\nHost: api.test\r\n\r\n");
    assert!(ask(&mut stream, &get("/bye")).await.ends_with("ok"));
    assert!(ask(&mut stream, &get("/again")).await.ends_with("ok"), "a closed connection is replaced");
    assert!(ask(&mut stream, &get("/switch")).await.starts_with("HTTP/1.1 502"));
    let events = rig.events().await;
    let requests = events.iter().filter(|event| event.action == "http.request");
    let requests: Vec<&str> = requests.map(|event| event.resource.as_str()).collect();
    assert_eq!(requests, ["/bye", "/again", "/switch"].map(|path| format!("GET https://api.test{path}")));
    let others: Vec<(&str, &str)> = events
        .iter()
        .filter(|event| event.action != "http.request")
        .map(|event| (event.action.as_str(), event.reason.as_str()))
        .collect();
    assert_eq!(others, [("http.response", "upstream_upgrade")]);
}
