//! A and B: the host, metadata services, and every spelling of an address.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    plan::{PUBLIC, Plan, allow, origin, plan, rule},
    rig::{Rig, ask, drained},
};
use crate::{
    egress::faults::Check,
    model::{
        event::Decision,
        rule::{Addresses, Effect, HostPattern, HostService, NetworkRule, Protocol},
    },
    wire::StreamKind,
};

/// Where container engines put the host.
const HOST: &str = "192.168.65.254";

#[tokio::test]
async fn a10_the_host_answers_only_on_declared_services() {
    let service = HostService {
        until: None,
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
