//! C, D and E: names in TLS, requests, credentials.

use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::io::AsyncWriteExt;

use super::rig::{CANARY, PLACEHOLDER, Plan, Rig, allow, ask, drained, rule, secret};
use crate::{
    egress::faults::Check,
    model::{
        event::Decision,
        rule::{Effect, HttpMatch, NetworkRule, Protocol},
    },
};

fn plan(off: Option<Check>) -> Plan {
    Plan { rules: vec![allow("api.test"), allow("other.test")], off, ..Plan::default() }
}

fn bound(off: Option<Check>) -> Plan {
    let plain = rule(Effect::Allow, "bound.test", 80, None);
    let rules = vec![allow("bound.test"), allow("other.test"), plain];
    Plan { rules, secrets: vec![secret("key", "bound.test", true)], off, ..Plan::default() }
}

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
async fn denials_name_their_rule_and_line() {
    let rules = vec![allow("api.test"), rule(Effect::Deny, "**.test", 0, None)];
    let rig = Rig::new(Plan { rules, ..Plan::default() }).await;
    let text = rig.get("api.test", "/", "").await;
    assert!(text.contains("rule dev/**.test:0 denies api.test:443"), "{text}");
    assert!(text.contains("sandbox.yaml:7"), "{text}");
    assert_eq!(rig.denial().await.rule.unwrap().line, Some(7));
}

#[tokio::test]
async fn c01_the_name_in_tls_is_the_name_of_the_address() {
    let attack = async |off| {
        let rig = Rig::new(plan(off)).await;
        let stream = rig.dial("evil.test", 443).await;
        let shaken = rig.tls(stream, "api.test").await.is_ok();
        (shaken, rig.events().await, rig.dials())
    };
    let (shaken, events, dials) = attack(None).await;
    assert_eq!((shaken, dials, events.len()), (false, 0, 1));
    assert_eq!(events[0].reason, "sni_mismatch");
    assert_eq!(events[0].detail["sni"], "api.test");
    assert!(attack(Some(Check::Sni)).await.0);
}

#[tokio::test]
async fn c02_the_host_header_is_the_name_of_the_connection() {
    let attack = async |off| {
        let rig = Rig::new(plan(off)).await;
        let text = rig.https("api.test", "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
        (text, rig.events().await.remove(0), rig.dials())
    };
    let (text, event, dials) = attack(None).await;
    assert!(text.starts_with("HTTP/1.1 421"), "{text}");
    assert_eq!((event.reason.as_str(), event.decision, dials), ("host_mismatch", Decision::Deny, 0));
    assert!(attack(Some(Check::HostAgreement)).await.0.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn c14_what_is_neither_tls_nor_http_is_closed() {
    let rig = Rig::new(plan(None)).await;
    let mut stream = rig.dial("api.test", 443).await;
    stream.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
    assert!(drained(&mut stream).await.is_empty());
    assert_eq!((rig.denial().await.reason.as_str(), rig.dials()), ("protocol_unknown", 0));
}

#[tokio::test]
async fn c16_no_credential_before_the_certificate_is_verified() {
    let attack = async |origin_certificate, origin_unknown, off| {
        let rig = Rig::new(Plan { origin_certificate, origin_unknown, ..bound(off) }).await;
        let text = rig.get("bound.test", "/", &format!("x-api-key: {PLACEHOLDER}\r\n")).await;
        (text, rig.events().await, rig.received())
    };
    for (name, unknown) in [(Some("other.test"), false), (None, true)] {
        let (text, events, received) = attack(name, unknown, None).await;
        assert!(text.starts_with("HTTP/1.1 502") && text.contains("upstream_tls"), "{text}");
        assert_eq!((events.len(), events[0].reason.as_str()), (1, "upstream_tls"));
        assert_eq!(events[0].decision, Decision::Deny, "the certificate is ours to refuse");
        assert!(received.is_empty(), "{received}");
        let (.., received) = attack(name, unknown, Some(Check::UpstreamCertificate)).await;
        assert!(received.contains(CANARY));
    }
}

#[tokio::test]
async fn c17_c12_a_leaf_has_one_name_and_a_day() {
    let names = async |off| {
        let rig = Rig::new(plan(off)).await;
        let stream = rig.tls(rig.dial("api.test", 443).await, "api.test").await.unwrap();
        let leaf = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        // subjectAltName (2.5.29.17) holds one dNSName [2].
        let san = leaf.windows(3).position(|window| window == [0x55, 0x1d, 0x11]).unwrap();
        let sequence = &leaf[san + 5..];
        assert_eq!(sequence[0], 0x30);
        let inner = &sequence[2..2 + usize::from(sequence[1])];
        let dates: Vec<&[u8]> = leaf
            .windows(15)
            .filter(|window| window[0] == 0x17 && window[1] == 13 && window[14] == b'Z')
            .collect();
        (
            inner.to_vec(),
            dates.iter().map(|date| String::from_utf8_lossy(&date[2..]).into_owned()).collect::<Vec<_>>(),
        )
    };
    let (san, dates) = names(None).await;
    assert_eq!(san, [&[0x82, 8][..], b"api.test"].concat());
    let time = |text: &str| {
        let text = text.trim_end_matches('Z');
        jiff::civil::DateTime::strptime("%y%m%d%H%M%S", text).unwrap()
    };
    let valid = time(&dates[1]).duration_since(time(&dates[0]));
    assert!(valid <= jiff::SignedDuration::from_hours(24), "{valid:?}");
    assert!(names(Some(Check::LeafName)).await.0.len() > san.len());
    let (one, two) = (Rig::new(plan(None)).await, Rig::new(plan(None)).await);
    let der = |rig: &Rig| CertificateDer::from_pem_slice(rig.ca_pem.as_bytes()).unwrap().to_vec();
    assert_ne!(der(&one), der(&two), "each sandbox has its own authority");
    let stream = two.dial("api.test", 443).await;
    assert!(one.tls(stream, "api.test").await.is_err(), "and does not trust the other's");
}

#[tokio::test]
async fn c21_a_connect_authority_has_one_meaning() {
    let attack = async |authority: &str, off| {
        let rig = Rig::new(plan(off)).await;
        let (mut stream, answer) = rig.tunnel(authority).await;
        if answer.starts_with("HTTP/1.1 400") {
            drained(&mut stream).await;
            assert_eq!(rig.denial().await.reason, "malformed_authority", "{authority}");
        }
        assert_eq!(rig.dials(), 0);
        answer
    };
    for authority in [
        "good@evil.test:443",
        "evil.test%00:443",
        "evil%2etest:443",
        "evil.test\t:443",
        "evil.test:443:80",
        "evil.test:66979",
        "evil.test:+443",
        "evil.test:",
        "[::1%25lo]:443",
        "evil.test",
        "evil.test.:443",
        "é.test:443",
    ] {
        let answer = attack(authority, None).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{authority}: {answer}");
        let answer = attack(authority, Some(Check::Authority)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{authority}: {answer}");
    }
    let rig = Rig::new(plan(None)).await;
    let mut stream = rig.stream(crate::wire::StreamKind::Proxy, "198.18.0.1:3128".parse().unwrap()).await;
    let text = ask(&mut stream, "CONNECT api.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 400"), "a differing Host: {text}");
}

#[tokio::test]
async fn d01_d02_d03_framing_has_one_reading() {
    let attack = async |fields: &str, off| {
        let rig = Rig::new(plan(off)).await;
        let request = format!("POST / HTTP/1.1\r\nHost: api.test\r\n{fields}\r\n\r\n0\r\n\r\n");
        let text = rig.https("api.test", &request).await;
        if off.is_none() {
            assert_eq!(
                (rig.denial().await.reason.as_str(), rig.dials()),
                ("malformed_request", 0),
                "{fields}"
            );
            assert!(rig.get("api.test", "/", "").await.ends_with("ok"), "and others are still served");
        }
        text
    };
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 3\r\nContent-Length: 5",
        "Content-Length: 3, 3",
        "Content-Length: +3",
        "Content-Length: 0x3",
        "Content-Length: 99999999999999999999",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding : chunked",
        "Host: other.test",
        "X: a\r\n b",
        "X: a\nY: b",
    ] {
        let text = attack(fields, None).await;
        assert!(text.starts_with("HTTP/1.1 400"), "{fields}: {text}");
    }
    for fields in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
    ] {
        let text = attack(fields, Some(Check::Framing)).await;
        assert!(text.starts_with("HTTP/1.1 200"), "{fields}: {text}");
    }
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "get / HTTP/1.1\r\nHost: api.test\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: api.test\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nHost: api.test\r\n\r\n",
    ] {
        let rig = Rig::new(plan(None)).await;
        let text = rig.https("api.test", request).await;
        assert!(text.starts_with("HTTP/1.1 400"), "{request}: {text}");
        assert_eq!(rig.denial().await.reason, "malformed_request");
    }
}

#[tokio::test]
async fn bodies_pass_in_both_framings_without_their_trailers() {
    let rig = Rig::new(plan(None)).await;
    let mut stream = rig.tls(rig.dial("api.test", 443).await, "api.test").await.unwrap();
    let sized = "POST /a HTTP/1.1\r\nHost: api.test\r\nContent-Length: 5\r\n\r\nhello";
    assert!(ask(&mut stream, sized).await.ends_with("ok"));
    let chunked = "POST /b HTTP/1.1\r\nHost: api.test\r\nTransfer-Encoding: chunked\r\nTrailer: x-t\r\n\r\n5\r\nworld\r\n0\r\nx-t: smuggled\r\n\r\n";
    assert!(ask(&mut stream, chunked).await.ends_with("ok"));
    let received = rig.received();
    assert!(received.contains("hello") && received.contains("world"), "{received}");
    assert!(!received.contains("smuggled"), "{received}");
}

fn read_only() -> NetworkRule {
    let http = vec![HttpMatch { methods: vec!["GET".into()], paths: vec!["/v1/**".into()] }];
    NetworkRule { http, ..allow("api.test") }
}

#[tokio::test]
async fn d05_each_pipelined_request_is_judged() {
    let attack = async |off| {
        let rig = Rig::new(Plan { rules: vec![read_only()], off, ..Plan::default() }).await;
        let mut stream = rig.tls(rig.dial("api.test", 443).await, "api.test").await.unwrap();
        let both =
            "GET /v1/a HTTP/1.1\r\nHost: api.test\r\n\r\nDELETE /v1/b HTTP/1.1\r\nHost: api.test\r\n\r\n";
        let first = ask(&mut stream, both).await;
        assert!(first.ends_with("ok"), "{first}");
        let second = super::rig::read_answer(&mut stream).await;
        (second, rig.received().contains("DELETE"))
    };
    let (second, arrived) = attack(None).await;
    assert!(
        second.starts_with("HTTP/1.1 403 Blocked by sandbox policy: no rule allows this method"),
        "{second}"
    );
    assert!(!arrived);
    assert!(attack(Some(Check::PerRequest)).await.1);
}

#[tokio::test]
async fn d11_nothing_tunnels_inside_an_allowed_connection() {
    for (request, code) in [
        ("CONNECT evil.test:443 HTTP/1.1\r\nHost: api.test\r\n\r\n", "method_refused"),
        ("TRACE / HTTP/1.1\r\nHost: api.test\r\n\r\n", "method_refused"),
        (
            "GET / HTTP/1.1\r\nHost: api.test\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
            "upgrade_unsupported",
        ),
    ] {
        let rig = Rig::new(plan(None)).await;
        let text = rig.https("api.test", request).await;
        assert!(text.starts_with("HTTP/1.1 403"), "{text}");
        assert_eq!((rig.denial().await.reason.as_str(), rig.dials()), (code, 0));
    }
}

#[tokio::test]
async fn d12_plain_http_is_judged_like_https() {
    let attack = async |off| {
        let rig = Rig::new(plan(off)).await;
        let mut stream = rig.dial("evil.test", 80).await;
        let text = ask(&mut stream, "GET /x HTTP/1.1\r\nHost: evil.test\r\n\r\n").await;
        let mut proxied =
            rig.stream(crate::wire::StreamKind::Proxy, "198.18.0.1:3128".parse().unwrap()).await;
        let other = ask(&mut proxied, "GET http://evil.test/x HTTP/1.1\r\nHost: evil.test\r\n\r\n").await;
        (text, other, rig.events().await.len(), rig.dials())
    };
    let (text, other, events, dials) = attack(None).await;
    for text in [text, other] {
        assert!(
            text.starts_with("HTTP/1.1 403 Blocked by sandbox policy: no rule allows evil.test:80\r\n"),
            "{text}"
        );
    }
    assert_eq!((events, dials), (2, 0));
    assert_eq!(attack(Some(Check::Decision)).await.3, 2);
}

#[tokio::test]
async fn d14_what_is_matched_is_what_is_forwarded() {
    let attack = async |path: &str, off| {
        let rig = Rig::new(Plan { rules: vec![read_only()], off, ..Plan::default() }).await;
        let text = rig.get("api.test", path, "").await;
        (text, rig.received())
    };
    for path in [
        "/v1/../admin",
        "/v1/%2e%2e/admin",
        "/v1/..%2fadmin",
        "/v1//x",
        "/v1/;x",
        "/v1/%5c..",
        "/v1/%252e%252e/a",
        "/v1/%00",
    ] {
        let (text, received) = attack(path, None).await;
        assert!(text.starts_with("HTTP/1.1 403") && received.is_empty(), "{path} {text}");
    }
    assert!(attack("/v1/../admin", Some(Check::Path)).await.1.contains("/v1/../admin"));
    let (_, received) = attack("/v1/%41b?q=%2e", None).await;
    assert!(received.starts_with("GET /v1/Ab?q=%2e HTTP/1.1\r\n"), "{received}");
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
        (std::collections::HashMap::new(), "upstream_unreachable"),
    ] {
        let rig = Rig::new(Plan { rules: rules.clone(), answers, ..Plan::default() }).await;
        rig.world.refuses.store(true, std::sync::atomic::Ordering::Relaxed);
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
    let basic =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("x:{PLACEHOLDER}"));
    rig.get("bound.test", "/v1", &format!("Authorization: Basic {basic}\r\n")).await;
    let expected = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("x:{CANARY}"));
    assert!(rig.received().contains(&expected));
}

#[tokio::test]
async fn e01_a_placeholder_goes_to_its_host_only() {
    let basic =
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("x:{PLACEHOLDER}"));
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

#[tokio::test]
async fn spliced_tls_is_not_opened_but_its_name_is_checked() {
    let rules = vec![rule(Effect::Allow, "inner.test", 443, Some(Protocol::Tls))];
    let rig = Rig::new(Plan { rules, ..Plan::default() }).await;
    let stream = rig.dial("inner.test", 443).await;
    assert!(rig.tls(stream, "inner.test").await.is_err(), "the guest sees the origin's own certificate");
    assert_eq!(rig.dials(), 1);
    let stream = rig.dial("inner.test", 443).await;
    assert!(rig.tls(stream, "api.test").await.is_err());
    assert_eq!((rig.dials(), rig.events().await[1].reason.as_str()), (1, "sni_mismatch"));
}
