//! A and B: going around the proxy, and names.

use hickory_proto::{op::ResponseCode, rr::RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::rig::{PUBLIC, Plan, Rig, allow, ask, drained, origin, rule};
use crate::{
    egress::faults::Check,
    model::rule::{Effect, HostService, Protocol},
};

fn plan(off: Option<Check>) -> Plan {
    Plan { rules: vec![allow("api.test")], off, ..Plan::default() }
}

#[tokio::test]
async fn an_allowed_request_passes_on_both_paths() {
    let rig = Rig::new(plan(None)).await;
    let text = rig.get("api.test", "/v1", "").await;
    assert!(text.starts_with("HTTP/1.1 200") && text.ends_with("ok"), "{text}");
    let (stream, answer) = rig.tunnel("api.test:443").await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut stream = rig.tls(stream, "api.test").await.unwrap();
    let text = ask(&mut stream, "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert!(text.ends_with("ok"), "{text}");
    let again = ask(&mut stream, "GET /2 HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
    assert!(again.ends_with("ok"), "the connection is kept: {again}");
    assert_eq!(rig.dials(), 2, "one connection to the world for each of the guest");
    let events = rig.events().await;
    assert_eq!(
        events.iter().map(|event| event.resource.as_str()).collect::<Vec<_>>(),
        ["GET https://api.test/v1", "GET https://api.test/", "GET https://api.test/2"]
    );
}

#[tokio::test]
async fn a01_a_raw_socket_reaches_nobody() {
    let attack = async |off| {
        let rig = Rig::new(plan(off)).await;
        let mut stream = rig.tcp(&format!("{PUBLIC}:443")).await;
        stream.write_all(b"\x01\x02raw").await.unwrap();
        if off.is_some() {
            stream.read_u8().await.unwrap();
        } else {
            assert!(drained(&mut stream).await.is_empty());
            assert_eq!(rig.denial().await.reason, "no_name_binding");
        }
        assert!(rig.world.lookups.lock().unwrap().is_empty());
        rig.dials()
    };
    assert_eq!(attack(None).await, 0);
    assert_eq!(attack(Some(Check::Decision)).await, 1, "without the decision it would be dialled");
}

#[tokio::test]
async fn a02_tls_to_a_bare_address_is_denied() {
    let rig = Rig::new(plan(None)).await;
    let stream = rig.tcp(&format!("{PUBLIC}:443")).await;
    let mut stream = rig.tls(stream, PUBLIC).await.unwrap();
    let text = ask(&mut stream, &format!("GET / HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n")).await;
    assert!(
        text.starts_with("HTTP/1.1 403 Blocked by sandbox policy: no rule allows 93.184.216.34:443\r\n"),
        "{text}"
    );
    assert_eq!(rig.denial().await.reason, "ip_literal");

    let attack = async |off| {
        let rig = Rig::new(plan(off)).await;
        let (stream, _) = rig.tunnel(&format!("{PUBLIC}:443")).await;
        let mut stream = rig.tls(stream, PUBLIC).await.unwrap();
        ask(&mut stream, &format!("GET / HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n")).await;
        (rig.dials(), rig.events().await[0].reason.clone())
    };
    assert_eq!(attack(None).await, (0, "ip_literal".to_owned()));
    assert_eq!(attack(Some(Check::Decision)).await.0, 1);
}

#[tokio::test]
async fn a04_other_ports_of_an_allowed_host_are_closed() {
    for port in [22, 25, 5432, 8080, 65535] {
        let rig = Rig::new(plan(None)).await;
        let mut stream = rig.dial("api.test", port).await;
        stream.write_all(b"SSH-2.0-x\r\n").await.unwrap();
        assert!(drained(&mut stream).await.is_empty());
        assert_eq!((rig.denial().await.reason.as_str(), rig.dials()), ("port", 0), "{port}");
    }
    let rig = Rig::new(plan(Some(Check::Decision))).await;
    let mut stream = rig.dial("api.test", 5432).await;
    stream.write_all(b"\x00\x01").await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), 0, "without the decision the port answers");
}

#[tokio::test]
async fn a10_the_host_answers_only_on_declared_services() {
    let service = HostService {
        name: "model".into(),
        port: 11434,
        http: Vec::new(),
        why: "inference".into(),
        origin: origin(),
    };
    let rig = Rig::new(Plan { services: vec![service], ..plan(None) }).await;
    for port in [22, 80, 5432] {
        let mut stream = rig.tcp(&format!("198.18.0.1:{port}")).await;
        let _closed = stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await;
        assert!(drained(&mut stream).await.is_empty());
    }
    for alias in ["db.host.internal", "host.docker.internal", "gateway.cofferdam.internal"] {
        let (mut stream, _) = rig.tunnel(&format!("{alias}:5432")).await;
        stream.write_all(b"\x00").await.unwrap();
        assert!(drained(&mut stream).await.is_empty());
    }
    assert!(rig.resolve("host.docker.internal").await.is_none());
    let events = rig.events().await;
    assert_eq!(events.len(), 6);
    assert!(events.iter().all(|event| event.reason == "host_service"), "{events:#?}");
    assert_eq!(rig.dials(), 0);
    let mut stream = rig.dial("model.host.internal", 80).await;
    let text = ask(&mut stream, "GET /v1/models HTTP/1.1\r\nHost: model.host.internal\r\n\r\n").await;
    assert!(text.ends_with("ok"), "{text}");
    assert_eq!(*rig.world.dials.lock().unwrap(), ["127.0.0.1:11434".parse().unwrap()]);
}

#[tokio::test]
async fn a11_metadata_is_closed_on_every_path() {
    let rules = || {
        vec![
            rule(Effect::Allow, "0.0.0.0/0", 0, Some(Protocol::Http)),
            rule(Effect::Allow, "metadata.google.internal", 80, None),
        ]
    };
    let request = |host: &str| format!("GET /latest HTTP/1.1\r\nHost: {host}\r\n\r\n");
    for host in ["169.254.169.254", "100.100.100.200", "168.63.129.16"] {
        let rig = Rig::new(Plan { rules: rules(), ..Plan::default() }).await;
        let mut stream = rig.tcp(&format!("{host}:80")).await;
        let text = ask(&mut stream, &request(host)).await;
        assert!(
            text.starts_with("HTTP/1.1 403 Blocked by sandbox policy: rule floor.metadata denies"),
            "{text}"
        );
        assert_eq!((rig.denial().await.reason.as_str(), rig.dials()), ("floor.metadata", 0));
    }
    let rig = Rig::new(Plan { rules: rules(), ..Plan::default() }).await;
    let mut stream = rig.dial("metadata.google.internal", 80).await;
    let text = ask(&mut stream, &request("metadata.google.internal")).await;
    assert!(text.contains("floor.metadata"), "{text}");
    // An allowed name that leads there.
    let attack = async |off| {
        let answers = [("api.test".to_owned(), vec!["169.254.169.254"])].into();
        let rig = Rig::new(Plan { answers, ..plan(off) }).await;
        let text = rig.get("api.test", "/", "").await;
        (text, rig.events().await.remove(0), rig.dials())
    };
    let (text, event, dials) = attack(None).await;
    assert!(text.starts_with("HTTP/1.1 403") && text.contains("floor.metadata"), "{text}");
    assert_eq!((event.reason.as_str(), dials), ("resolved_private", 0));
    assert_eq!(event.rule.unwrap().id, "floor.metadata");
    assert_eq!(attack(Some(Check::ResolvedAddress)).await.2, 1);
}

#[tokio::test]
async fn a12_every_spelling_of_an_address_is_an_address() {
    for spelling in [
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "0.0.0.0",
        "[::]",
    ] {
        let rig =
            Rig::new(Plan { rules: vec![rule(Effect::Allow, "**.test", 443, None)], ..Plan::default() })
                .await;
        let (mut stream, answer) = rig.tunnel(&format!("{spelling}:80")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let text = ask(&mut stream, "GET / HTTP/1.1\r\nHost: x.test\r\n\r\n").await;
        assert!(!text.contains("200 OK"), "{spelling} {text}");
        assert_eq!((rig.dials(), rig.world.lookups.lock().unwrap().len()), (0, 0), "{spelling}");
        rig.denial().await;
    }
}

#[tokio::test]
async fn a13_an_address_of_another_sandbox_means_nothing_here() {
    let one = Rig::new(plan(None)).await;
    let two = Rig::new(plan(None)).await;
    let address = one.resolve("api.test").await.unwrap();
    let mut stream = two.tcp(&format!("{address}:443")).await;
    assert!(drained(&mut stream).await.is_empty());
    assert_eq!((two.denial().await.reason.as_str(), two.dials()), ("no_name_binding", 0));
}

#[tokio::test]
async fn b01_names_carry_nothing_out() {
    let attack = async |off| {
        let rig = Rig::new(plan(off)).await;
        for kind in [RecordType::A, RecordType::AAAA, RecordType::TXT, RecordType::NULL, RecordType::HTTPS] {
            rig.query("736563726574.evil.test", kind).await;
        }
        let lookups = rig.world.lookups.lock().unwrap().len();
        let text = rig.get("736563726574.evil.test", "/", "").await;
        assert!(off.is_some() || text.starts_with("HTTP/1.1 403"), "{text}");
        lookups + rig.dials()
    };
    assert_eq!(attack(None).await, 0);
    assert_ne!(attack(Some(Check::LateResolution)).await, 0);
}

#[tokio::test]
async fn b02_b06_only_names_have_addresses() {
    let rig = Rig::new(plan(None)).await;
    for kind in [
        RecordType::AAAA,
        RecordType::TXT,
        RecordType::ANY,
        RecordType::SRV,
        RecordType::HTTPS,
        RecordType::SVCB,
    ] {
        let answer = rig.query("api.test", kind).await;
        assert_eq!(
            (answer.metadata.response_code, answer.answers.len()),
            (ResponseCode::NoError, 0),
            "{kind}"
        );
    }
    for name in
        ["db", "localhost", "printer.local", "1.0.0.127.in-addr.arpa", "vault.internal", "a.localdomain"]
    {
        let answer = rig.query(name, RecordType::A).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
    }
    // Another resolver's address is just an address; DNS over TCP to it is no DNS for us.
    let mut stream = rig.tcp("8.8.8.8:53").await;
    stream.write_all(b"\x00\x1d\x00\x07\x01").await.unwrap();
    assert!(drained(&mut stream).await.is_empty());
    assert_eq!((rig.denial().await.reason.as_str(), rig.dials()), ("no_name_binding", 0));
}

#[tokio::test]
async fn b08_b10_one_closed_address_closes_a_name() {
    let attack = async |addresses: Vec<&'static str>, off| {
        let answers = [("api.test".to_owned(), addresses)].into();
        let rig = Rig::new(Plan { answers, ..plan(off) }).await;
        let text = rig.get("api.test", "/", "").await;
        (text.starts_with("HTTP/1.1 200"), rig.events().await.remove(0).reason, rig.dials())
    };
    for addresses in [
        vec!["10.0.0.7"],
        vec!["127.0.0.1"],
        vec![PUBLIC, "192.168.1.1"],
        vec!["::ffff:10.0.0.1"],
        vec!["fe80::1", PUBLIC],
    ] {
        assert_eq!(
            attack(addresses.clone(), None).await,
            (false, "resolved_private".to_owned(), 0),
            "{addresses:?}"
        );
        assert_eq!(attack(addresses, Some(Check::ResolvedAddress)).await.2, 1);
    }
}

#[tokio::test]
async fn b18_a_guessed_synthetic_address_leads_nowhere() {
    let attack = async |off| {
        let rules = vec![allow("api.test"), rule(Effect::Allow, "unbound.test", 443, Some(Protocol::Tcp))];
        let rig = Rig::new(Plan { rules, ..plan(off) }).await;
        let known = u32::from(rig.resolve("api.test").await.unwrap());
        let mut stream = rig.tcp(&format!("{}:443", std::net::Ipv4Addr::from(known + 1))).await;
        let _closed = stream.write_all(b"x").await;
        if off.is_none() {
            assert!(drained(&mut stream).await.is_empty());
            assert_eq!(rig.denial().await.reason, "no_name_binding");
        } else {
            stream.read_u8().await.unwrap();
        }
        rig.dials()
    };
    assert_eq!(attack(None).await, 0);
    assert_eq!(attack(Some(Check::NameBinding)).await, 1);
}

#[tokio::test]
async fn tcp_rules_carry_bytes_both_ways_with_half_close() {
    let rules = vec![rule(Effect::Allow, "db.test", 5432, Some(Protocol::Tcp))];
    let rig = Rig::new(Plan { rules, ..Plan::default() }).await;
    let mut stream = rig.dial("db.test", 5432).await;
    stream.write_all(b"\x00ping").await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(drained(&mut stream).await, b"\x00ping");
    assert_eq!(rig.events().await[0].action, "net.connect");
}

#[tokio::test]
async fn a18_a_policy_reaches_open_connections() {
    let attack = async |off| {
        let rules = vec![
            allow("api.test"),
            rule(Effect::Allow, "db.test", 5432, Some(Protocol::Tcp)),
            allow("other.test"),
        ];
        let rig = Rig::new(Plan { rules, ..plan(off) }).await;
        let mut events = rig.tls(rig.dial("api.test", 443).await, "api.test").await.unwrap();
        let text = ask(&mut events, "GET /slow HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        let mut raw = rig.dial("db.test", 5432).await;
        raw.write_all(b"\x00").await.unwrap();
        raw.read_u8().await.unwrap();
        let mut kept = rig.tls(rig.dial("other.test", 443).await, "other.test").await.unwrap();
        ask(&mut kept, "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
        rig.order_policy(2, vec![allow("other.test")]);
        let closed = rig.applied(2).await;
        if off.is_none() {
            drained(&mut events).await;
            drained(&mut raw).await;
            let reasons: Vec<String> = rig.events().await.into_iter().map(|event| event.reason).collect();
            assert_eq!(reasons.iter().filter(|reason| *reason == "policy_reload").count(), 2, "{reasons:?}");
        }
        let text = ask(&mut kept, "GET /2 HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
        assert!(text.ends_with("ok"), "what is still allowed stays open: {text}");
        let text = rig.get("api.test", "/", "").await;
        assert!(text.starts_with("HTTP/1.1 403"), "{text}");
        closed
    };
    assert_eq!(attack(None).await, 2);
    assert_eq!(attack(Some(Check::Reload)).await, 0);
}

#[tokio::test]
async fn h08_large_bodies_stream_over_the_real_network() {
    const UP: usize = 8 << 20;
    const DOWN: usize = 16 << 20;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let resolve = [("api.test:80".to_owned(), listener.local_addr().unwrap())].into();
    let rules = vec![rule(Effect::Allow, "api.test", 80, None)];
    let rig = Rig::new(Plan { rules, resolve, ..Plan::default() }).await;
    let origin = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        let mut chunk = vec![0; 1 << 16];
        let body = |read: &[u8]| read.windows(4).position(|window| window == b"\r\n\r\n").map(|end| end + 4);
        let mut start = None;
        while start.is_none_or(|start| read.len() < start + UP) {
            let count = stream.read(&mut chunk).await.unwrap();
            read.extend_from_slice(&chunk[..count]);
            start = start.or_else(|| body(&read));
        }
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {DOWN}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(&vec![7; DOWN]).await.unwrap();
        read.len() - start.unwrap()
    });
    let (mut down, mut up) = rig.dial("api.test", 80).await.into_split();
    let head =
        format!("POST /x HTTP/1.1\r\nHost: api.test\r\nContent-Length: {UP}\r\nConnection: close\r\n\r\n");
    let sending = tokio::spawn(async move {
        up.write_all(head.as_bytes()).await.unwrap();
        up.write_all(&vec![9; UP]).await.unwrap();
        up
    });
    let answer = drained(&mut down).await;
    assert_eq!(origin.await.unwrap(), UP);
    sending.await.unwrap();
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(&[7; 64]) && answer.len() > DOWN);
}
