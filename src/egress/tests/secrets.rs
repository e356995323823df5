//! E: credentials.

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{
    plan::{CANARY, PLACEHOLDER, Plan, bound, secret},
    rig::{Rig, ask},
};
use crate::egress::faults::Check;

#[tokio::test]
async fn the_real_key_arrives_and_only_there() {
    for header in [
        format!("x-api-key: {PLACEHOLDER}"),
        format!("Authorization: Bearer {PLACEHOLDER}"),
        format!("Authorization: token {PLACEHOLDER}"),
    ] {
        let rig = Rig::new(bound(None)).await;
        let text = rig.get("bound.test", "/v1", &format!("{header}\r\nCookie: session=1\r\n")).await;
        assert!(text.ends_with("ok"), "{text}");
        let received = rig.received();
        assert!(received.contains(CANARY) && !received.contains(PLACEHOLDER), "{received}");
        assert!(!received.contains("session=1"), "a cookie is a credential too: {received}");
        let events = rig.events().await;
        let actions: Vec<&str> = events.iter().map(|event| event.action.as_str()).collect();
        assert_eq!(actions, ["http.request", "secret.use"]);
        assert!(!format!("{events:?}").contains(CANARY));
    }
    let rig = Rig::new(bound(None)).await;
    let basic = STANDARD.encode(format!("x:{PLACEHOLDER}"));
    rig.get("bound.test", "/v1", &format!("Authorization: Basic {basic}\r\n")).await;
    let expected = STANDARD.encode(format!("x:{CANARY}"));
    assert!(rig.received().contains(&expected));
}

#[tokio::test]
async fn e01_a_placeholder_goes_to_its_host_only() {
    let basic = STANDARD.encode(format!("x:{PLACEHOLDER}"));
    let get = async |path: &str, header: &str, off| {
        let rig = Rig::new(bound(off)).await;
        let text = rig.get("other.test", path, header).await;
        (text, rig.events().await, rig.received())
    };
    let header = format!("x-api-key: {PLACEHOLDER}\r\n");
    for (path, header) in [
        ("/", header.as_str()),
        ("/", &format!("x-other: a{PLACEHOLDER}b\r\n")),
        ("/", &format!("Authorization: Basic {basic}\r\n")),
        (&format!("/{PLACEHOLDER}"), ""),
        (&format!("/?q={}", PLACEHOLDER.replace('-', "%2d")), ""),
        (&format!("/?q={}", PLACEHOLDER.replace('-', "%252d")), ""),
    ] {
        let (text, events, received) = get(path, header, None).await;
        assert!(text.starts_with("HTTP/1.1 403") && received.is_empty(), "{path} {header} {text}");
        assert_eq!((events.len(), events[0].reason.as_str()), (1, "placeholder_misuse"));
    }
    let (_, _, received) = get("/", &header, Some(Check::PlaceholderScope)).await;
    assert!(received.contains(CANARY), "without the scope the key itself would leave: {received}");
}

#[tokio::test]
async fn e02_no_secret_over_plain_http() {
    let attack = async |off| {
        let rig = Rig::new(bound(off)).await;
        let mut stream = rig.dial("bound.test", 80).await;
        let request = format!("GET / HTTP/1.1\r\nHost: bound.test\r\nx-api-key: {PLACEHOLDER}\r\n\r\n");
        let text = ask(&mut stream, &request).await;
        (text, rig.events().await, rig.received())
    };
    let (text, events, received) = attack(None).await;
    assert!(text.starts_with("HTTP/1.1 403") && received.is_empty(), "{text}");
    assert_eq!((events.len(), events[0].reason.as_str()), (1, "placeholder_misuse"));
    assert!(attack(Some(Check::PlainInjection)).await.2.contains(CANARY));
}

#[tokio::test]
async fn e05_a_reflected_value_is_masked() {
    let rig = Rig::new(bound(None)).await;
    let text = rig.get("bound.test", "/reflect", &format!("x-api-key: {PLACEHOLDER}\r\n")).await;
    assert!(text.contains(PLACEHOLDER) && !text.contains(CANARY), "{text}");
    assert!(rig.events().await.iter().any(|event| event.reason == "secret_reflected"));
}

#[tokio::test]
async fn e05_a_value_in_a_body_is_masked() {
    let attack = async |off, path: &str| {
        let rig = Rig::new(bound(off)).await;
        let headers = format!("x-api-key: {PLACEHOLDER}\r\nAccept-Encoding: gzip\r\nRange: bytes=0-9\r\n");
        let text = rig.get("bound.test", path, &headers).await;
        let reasons: Vec<String> = rig.events().await.into_iter().map(|event| event.reason).collect();
        (text, reasons, rig.received().to_ascii_lowercase())
    };
    let (text, reasons, received) = attack(None, "/echo").await;
    let (_, body) = text.split_once("\r\n\r\n").unwrap();
    assert!(body.starts_with("{\"key\":\"") && body.ends_with("\"}"), "{text}");
    assert!(
        !text.contains(CANARY) && body.contains(&PLACEHOLDER[..CANARY.len().min(PLACEHOLDER.len())]),
        "{text}"
    );
    assert!(reasons.iter().any(|reason| reason == "secret_reflected"), "{reasons:?}");
    assert!(received.contains("accept-encoding: identity") && !received.contains("range:"), "{received}");
    assert!(attack(Some(Check::Reflection), "/echo").await.0.contains(CANARY));

    let (text, reasons, _) = attack(None, "/zip").await;
    assert!(text.starts_with("HTTP/1.1 502") && !text.contains("ok"), "{text}");
    assert!(reasons.iter().any(|reason| reason == "response_encoded"), "{reasons:?}");
    assert!(attack(Some(Check::Reflection), "/zip").await.0.ends_with("ok"));
}

#[tokio::test]
async fn e09_e10_no_other_credential_for_a_credentialed_host() {
    let ours = format!("x-api-key: {PLACEHOLDER}\r\n");
    let attack = async |path: &str, header: &str, off| {
        let rig = Rig::new(bound(off)).await;
        let text = rig.get("bound.test", path, header).await;
        (text, rig.events().await.remove(0).reason, rig.received())
    };
    for (path, header) in [
        ("/", "x-api-key: sk-attacker\r\n"),
        ("/", "Authorization: Bearer sk-attacker\r\n"),
        ("/", &format!("{ours}Authorization: Bearer sk-attacker\r\n")),
        ("/", &format!("{ours}X-Api-Key: sk-attacker\r\n")),
        ("/", &format!("{ours}{ours}")),
        ("/", &format!("{ours}Proxy-Authorization: Basic eA==\r\n")),
        ("/", &format!("x-api-key: {PLACEHOLDER}x\r\n")),
        ("/?key=sk-attacker", ""),
        ("/?a=1&API%5fkey=sk-attacker", ""),
    ] {
        let (text, reason, received) = attack(path, header, None).await;
        assert!(text.starts_with("HTTP/1.1 403") && received.is_empty(), "{path} {header} {text}");
        assert!(matches!(reason.as_str(), "foreign_credential" | "placeholder_misuse"), "{header} {reason}");
    }
    let (_, _, received) = attack("/", "x-api-key: sk-attacker\r\n", Some(Check::ForeignCredential)).await;
    assert!(received.contains("sk-attacker"));
}

#[tokio::test]
async fn e16_a_base_url_elsewhere_gets_a_denial() {
    let attack = async |off, also_off| {
        let rig = Rig::new(Plan { also_off, ..bound(off) }).await;
        let text = rig.get("evil.test", "/v1", &format!("x-api-key: {PLACEHOLDER}\r\n")).await;
        (text, rig.events().await.remove(0).reason, rig.received())
    };
    let (text, reason, received) = attack(None, None).await;
    assert!(
        text.starts_with("HTTP/1.1 403 Blocked by sandbox policy: no rule allows evil.test:443"),
        "{text}"
    );
    assert_eq!((reason.as_str(), received.as_str()), ("no_rule", ""));
    // Were the host allowed, the scope of the placeholder would still hold.
    let (text, reason, received) = attack(Some(Check::Decision), None).await;
    assert!(text.starts_with("HTTP/1.1 403"), "{text}");
    assert_eq!((reason.as_str(), received.as_str()), ("placeholder_misuse", ""));
    let (.., received) = attack(Some(Check::Decision), Some(Check::PlaceholderScope)).await;
    assert!(received.contains(CANARY), "without both the key is with the attacker");
}

#[tokio::test]
async fn a_secret_without_a_value_says_so() {
    let plan = Plan { secrets: vec![secret("key", "bound.test", false)], ..bound(None) };
    let rig = Rig::new(plan).await;
    let text = rig.get("bound.test", "/", &format!("x-api-key: {PLACEHOLDER}\r\n")).await;
    assert!(text.starts_with("HTTP/1.1 503") && text.contains("cofferdam secret set key"), "{text}");
    assert_eq!(rig.denial().await.reason, "secret_missing");
}

#[tokio::test]
async fn a_secret_leaves_only_after_it_is_recorded() {
    let attack = async |off| {
        let rig = Rig::new(Plan { unrecorded: true, ..bound(off) }).await;
        let request = format!("GET / HTTP/1.1\r\nHost: bound.test\r\nx-api-key: {PLACEHOLDER}\r\n\r\n");
        let mut stream = rig.tls(rig.dial("bound.test", 443).await, "bound.test").await.unwrap();
        let answered =
            tokio::time::timeout(std::time::Duration::from_millis(300), ask(&mut stream, &request)).await;
        assert!(rig.events().await.iter().any(|event| event.action == "secret.use"));
        (answered.is_ok(), rig.received())
    };
    let (answered, received) = attack(None).await;
    assert!(!answered && received.is_empty(), "{received}");
    assert!(attack(Some(Check::Recorded)).await.1.contains(CANARY));
}
