//! C and D: what a request may say, and that it is read in one way.

use super::{
    plan::{Plan, allow, plan},
    rig::{Rig, ask, drained, read_answer},
};
use crate::{
    egress::faults::Check,
    model::{
        event::Decision,
        rule::{HttpMatch, NetworkRule},
    },
    wire::StreamKind,
};

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
    let mut stream = rig.stream(StreamKind::Proxy, "198.18.0.1:3128".parse().unwrap()).await;
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
        let second = read_answer(&mut stream).await;
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
        let mut proxied = rig.stream(StreamKind::Proxy, "198.18.0.1:3128".parse().unwrap()).await;
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
