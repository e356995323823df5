//! A: going around the proxy, and what an open connection may still do.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    plan::{PUBLIC, Plan, allow, plan, rule},
    rig::{Rig, ask, drained, name_query},
};
use crate::{
    egress::faults::Check,
    model::rule::{During, Effect, NetworkRule, Protocol},
    wire::{StreamKind, port},
};

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
async fn what_set_up_may_reach_is_closed_when_it_is_over() {
    // `kept` is a keeper that forgets to withdraw.
    let attack = async |kept: bool| {
        let fetch = NetworkRule { during: During::Setup, ..allow("api.test") };
        let rules = vec![fetch, allow("other.test")];
        let rig = Rig::new(Plan { rules: rules.clone(), ..Plan::default() }).await;
        let before = rig.get("api.test", "/", "").await;
        assert!(before.starts_with("HTTP/1.1 403"), "not before the first step: {before}");
        rig.order_stage(2, rules.clone(), true);
        rig.applied(2).await;
        let mut fetched = rig.tls(rig.dial("api.test", 443).await, "api.test").await.unwrap();
        let text = ask(&mut fetched, "GET /slow HTTP/1.1\r\nHost: api.test\r\n\r\n").await;
        assert!(text.starts_with("HTTP/1.1 200"), "{text}");
        rig.order_stage(3, rules, kept);
        let closed = rig.applied(3).await;
        (closed, rig.get("api.test", "/", "").await)
    };
    let (closed, text) = attack(false).await;
    assert_eq!(closed, 1);
    assert!(text.starts_with("HTTP/1.1 403") && text.contains("(allowed during set-up only)"), "{text}");
    let (closed, text) = attack(true).await;
    assert_eq!(closed, 0);
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
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
