//! A and B: going around the proxy, and names.

use std::net::SocketAddr;

use hickory_proto::{op::ResponseCode, rr::RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::rig::{PUBLIC, Plan, Rig, allow, ask, drained, name_query, origin, rule};
use crate::{
    egress::faults::Check,
    model::{
        event::Decision,
        rule::{Addresses, Effect, HostPattern, HostService, NetworkRule, Protocol},
    },
    wire::{StreamKind, port},
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

/// Where container engines put the host.
const HOST: &str = "192.168.65.254";

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
async fn a10_no_rule_opens_the_host() {
    let attack = async |off| {
        // A file of the repository grants what other products call the host; the host's resolver knows it.
        let tcp = rule(Effect::Allow, "host.docker.internal", 5432, Some(Protocol::Tcp));
        let rules = vec![NetworkRule { addresses: Addresses::Private, ..tcp }];
        let answers = [("host.docker.internal".to_owned(), vec![HOST])].into();
        let rig = Rig::new(Plan { rules, answers, off, ..Plan::default() }).await;
        let gateway = rig.tcp("198.18.0.1:5432").await;
        let named = rig.dial("host.docker.internal", 5432).await;
        let (tunnel, _) = rig.tunnel("host.docker.internal:5432").await;
        for mut stream in [gateway, named, tunnel] {
            let _closed = stream.write_all(b"\x00").await;
            assert_eq!(stream.read_u8().await.is_ok(), off.is_some());
        }
        let reasons: Vec<String> = rig.events().await.into_iter().map(|event| event.reason).collect();
        (reasons, rig.world.dials.lock().unwrap().clone())
    };
    assert_eq!(attack(None).await, (vec!["host_service".to_owned(); 3], Vec::new()));
    let host = format!("{HOST}:5432").parse().unwrap();
    assert_eq!(attack(Some(Check::HostService)).await.1, [host; 3]);
}

#[tokio::test]
async fn a11_metadata_is_closed_on_every_path() {
    let attack = async |host: &str, off| {
        let rules = ["0.0.0.0/0", "::/0", "metadata.google.internal"].map(|pattern| NetworkRule {
            addresses: Addresses::Private,
            ..rule(Effect::Allow, pattern, 80, Some(Protocol::Http))
        });
        let answers = [("metadata.google.internal".to_owned(), vec!["169.254.169.254"])].into();
        let rig = Rig::new(Plan { rules: rules.into(), answers, off, ..Plan::default() }).await;
        let mut stream = match host.parse() {
            Ok(address) => rig.stream(StreamKind::Tcp, SocketAddr::new(address, 80)).await,
            Err(_) => rig.dial(host, 80).await,
        };
        let bracketed = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let text = ask(&mut stream, &format!("GET /latest HTTP/1.1\r\nHost: {bracketed}\r\n\r\n")).await;
        (text, rig.events().await.remove(0), rig.dials())
    };
    for host in [
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "metadata.google.internal",
    ] {
        let (text, event, dials) = attack(host, None).await;
        assert!(
            text.starts_with("HTTP/1.1 403 Blocked by sandbox policy: rule floor.metadata denies"),
            "{text}"
        );
        assert_eq!(
            (event.reason.as_str(), event.rule.unwrap().id.as_str()),
            ("floor.metadata", "floor.metadata")
        );
        assert_eq!(dials, 0);
        let (text, _, dials) = attack(host, Some(Check::Floor)).await;
        assert!(text.ends_with("ok") && dials == 1, "without the floor {host} answers: {text}");
    }
}

#[tokio::test]
async fn a11_no_allowed_name_leads_to_metadata() {
    let attack = async |address, off| {
        let answers = [("api.test".to_owned(), vec![address])].into();
        let rules = vec![NetworkRule { addresses: Addresses::Private, ..allow("api.test") }];
        let rig = Rig::new(Plan { rules, answers, off, ..Plan::default() }).await;
        let text = rig.get("api.test", "/", "").await;
        (text, rig.events().await.remove(0), rig.dials())
    };
    for address in ["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"] {
        let (text, event, dials) = attack(address, None).await;
        assert!(text.starts_with("HTTP/1.1 403") && text.contains("floor.metadata"), "{text}");
        assert_eq!((event.reason.as_str(), event.decision, dials), ("resolved_private", Decision::Deny, 0));
        assert_eq!(event.rule.unwrap().id, "floor.metadata");
        assert_eq!(attack(address, Some(Check::ResolvedAddress)).await.2, 1);
    }
}

/// Spellings of an address, each with what it is.
const SPELLINGS: [(&str, &str); 16] = [
    ("2130706433", "floor.loopback"),
    ("0x7f000001", "floor.loopback"),
    ("0177.0.0.1", "floor.loopback"),
    ("127.1", "floor.loopback"),
    ("[::ffff:127.0.0.1]", "floor.loopback"),
    ("[64:ff9b::7f00:1]", "floor.loopback"),
    ("[2002:7f00:1::]", "floor.loopback"),
    ("0xa9fea9fe", "floor.metadata"),
    ("0.0.0.0", "floor.unspecified"),
    ("[::]", "floor.unspecified"),
    // A public one, for which there is no rule.
    ("1572395042", "ip_literal"),
    ("0x5db8d822", "ip_literal"),
    ("0135.0270.0330.042", "ip_literal"),
    ("93.12113954", "ip_literal"),
    ("[::ffff:5db8:d822]", "ip_literal"),
    ("[2002:5db8:d822::1]", "ip_literal"),
];

#[tokio::test]
async fn a12_every_spelling_of_an_address_is_an_address() {
    let attack = async |spelling: &str, off| {
        // Every name is open; a resolver makes of each spelling what it wants.
        let open =
            NetworkRule { host: HostPattern::Any, ..rule(Effect::Allow, "any", 80, Some(Protocol::Tcp)) };
        let rig = Rig::new(Plan { rules: vec![open], off, ..Plan::default() }).await;
        let (mut stream, answer) = rig.tunnel(&format!("{spelling}:80")).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let _closed = stream.write_all(b"\x00").await;
        let answered = stream.read_u8().await.is_ok();
        assert_eq!(rig.world.lookups.lock().unwrap().len(), rig.dials(), "{spelling}");
        (answered, rig.events().await.remove(0).reason, rig.dials())
    };
    for (spelling, code) in SPELLINGS {
        assert_eq!(attack(spelling, None).await, (false, code.to_owned(), 0), "{spelling}");
        let (answered, _, dials) = attack(spelling, Some(Check::Spelling)).await;
        assert!(answered && dials == 1, "as a name it would be looked up: {spelling}");
    }
    let rig = Rig::new(plan(None)).await;
    let mut stream = rig.stream(StreamKind::Proxy, "198.18.0.1:3128".parse().unwrap()).await;
    let text = ask(&mut stream, "GET http://2130706433/ HTTP/1.1\r\nHost: 2130706433\r\n\r\n").await;
    assert!(text.starts_with("HTTP/1.1 403") && text.contains("floor.loopback"), "{text}");
    assert_eq!((rig.denial().await.reason.as_str(), rig.dials()), ("floor.loopback", 0));
}

#[tokio::test]
async fn a12_ipv4_inside_ipv6_is_judged_as_ipv4() {
    let attack = async |address: &str, off| {
        // Whoever allowed the translator's prefix allowed no IPv4 address by it.
        let rules =
            ["64:ff9b::/96", "2002::/16"].map(|net| rule(Effect::Allow, net, 443, Some(Protocol::Tcp)));
        let rig = Rig::new(Plan { rules: rules.into(), off, ..Plan::default() }).await;
        let mut stream = rig.tcp(&format!("[{address}]:443")).await;
        let _closed = stream.write_all(b"\x00").await;
        let answered = stream.read_u8().await.is_ok();
        (answered, rig.events().await.remove(0).reason, rig.dials())
    };
    for address in ["64:ff9b::5db8:d822", "2002:5db8:d822::1"] {
        assert_eq!(attack(address, None).await, (false, "no_name_binding".to_owned(), 0), "{address}");
        assert_eq!(attack(address, Some(Check::Spelling)).await.2, 1, "{address}");
    }
}

#[tokio::test]
async fn a13_an_address_of_another_sandbox_means_nothing_here() {
    let attack = async |shared_table: bool| {
        let one = Rig::new(plan(None)).await;
        let address = one.resolve("api.test").await.unwrap();
        // The break: a keeper that hands the table of one sandbox to the other.
        let names = if shared_table { vec![("api.test".to_owned(), address.into())] } else { Vec::new() };
        let two = Rig::new(Plan { names, ..plan(None) }).await;
        let stream = two.tcp(&format!("{address}:443")).await;
        let shaken = match two.tls(stream, "api.test").await {
            Ok(mut stream) => ask(&mut stream, "GET / HTTP/1.1\r\nHost: api.test\r\n\r\n").await,
            Err(_) => String::new(),
        };
        assert_eq!(one.events().await.len(), 0, "and nothing of it reaches the other");
        (shaken.ends_with("ok"), two.events().await.remove(0).reason, two.dials())
    };
    assert_eq!(attack(false).await, (false, "no_name_binding".to_owned(), 0));
    assert_eq!(attack(true).await, (true, "rule_allows".to_owned(), 1));
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
    let attack = async |off| {
        let rig = Rig::new(plan(off)).await;
        for kind in [
            RecordType::AAAA,
            RecordType::TXT,
            RecordType::ANY,
            RecordType::SRV,
            RecordType::HTTPS,
            RecordType::SVCB,
        ] {
            let answer = rig.query("api.test", kind).await;
            let answered = (answer.metadata.response_code, answer.answers.len());
            assert_eq!(answered, (ResponseCode::NoError, 0), "{kind}");
        }
        for name in
            ["db", "localhost", "printer.local", "1.0.0.127.in-addr.arpa", "vault.internal", "a.localdomain"]
        {
            let answer = rig.query(name, RecordType::A).await;
            assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain, "{name}");
        }
        rig.world.lookups.lock().unwrap().len()
    };
    assert_eq!(attack(None).await, 0);
    assert_eq!(
        attack(Some(Check::OwnResolver)).await,
        12,
        "a resolver that asks on tells the world each name"
    );
}

#[tokio::test]
async fn b02_another_resolver_is_just_an_address() {
    let attack = async |off| {
        let rig = Rig::new(plan(off)).await;
        // DNS over TCP, which is no DNS for us: the guest's own sockets on port 53 end in its resolver.
        let mut stream = rig.tcp("8.8.8.8:53").await;
        stream.write_all(b"\x00\x1d\x00\x07\x01").await.unwrap();
        let answered = stream.read_u8().await.is_ok();
        (answered, rig.events().await.remove(0).reason, rig.dials())
    };
    assert_eq!(attack(None).await, (false, "no_name_binding".to_owned(), 0));
    assert_eq!(attack(Some(Check::Decision)).await.2, 1);
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
async fn e15_egress_serves_one_port_of_the_guest() {
    let attack = async |off| {
        let rig = Rig::new(plan(off)).await;
        let mut answers = 0;
        for port in (0..64).filter(|port| *port != port::HOST_EGRESS).chain([1024, 3128, u32::MAX]) {
            let destination = "198.18.0.1:53".parse().unwrap();
            let mut stream = rig.stream_on(port, StreamKind::Dns, destination).await;
            let _closed = stream.write_all(&name_query("api.test")).await;
            answers += usize::from(stream.read_u16().await.is_ok());
        }
        answers
    };
    assert_eq!(attack(None).await, 0);
    assert_eq!(attack(Some(Check::StreamPort)).await, 66, "without the check every port answers");
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
