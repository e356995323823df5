//! C: names and certificates in TLS, on both sides.

use rustls_pki_types::{CertificateDer, pem::PemObject};
use tokio::io::AsyncWriteExt;

use super::{
    plan::{CANARY, PLACEHOLDER, Plan, bound, plan, rule},
    rig::{Rig, drained},
};
use crate::{
    egress::faults::Check,
    model::{
        event::Decision,
        rule::{Effect, Protocol},
    },
};

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
