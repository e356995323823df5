//! Names and certificates on intercepted TLS.

use super::rig::{KEY, shared};

#[test]
fn c01_a_name_at_another_names_address_is_refused() {
    let shared = shared();
    let answer = shared.curl("--connect-to api.test:443:other.test:443 https://api.test/c01");
    assert!(!answer.starts_with('2'), "{answer}");
    let reverse = shared.curl("--connect-to other.test:443:closed.test:443 https://other.test/c01");
    assert!(!reverse.starts_with('2'), "{reverse}");
    assert!(!shared.api.received("/c01") && !shared.other.received("/c01"));
    shared.nothing_leaked();
    let event =
        shared.home.events(Some("dev")).into_iter().rev().find(|event| event["reason"] == "sni_mismatch");
    assert_eq!(event.expect("it is recorded")["decision"], "deny");
    assert!(shared.curl("https://api.test/").starts_with("200"));
}

#[test]
fn c02_another_host_inside_the_tunnel_is_refused() {
    let shared = shared();
    let answer = shared.curl("-H 'Host: closed.test' https://other.test/c02");
    assert!(answer.starts_with('4'), "{answer}");
    assert!(!shared.other.received("/c02"));
}

#[test]
fn c16_a_server_that_cannot_prove_its_name_gets_no_key() {
    let shared = shared();
    for (name, server) in &shared.flawed {
        let answer = shared.curl(&format!("-H \"authorization: Bearer $TICKETS_TOKEN\" https://{name}/c16"));
        assert!(answer.starts_with("502"), "{name}: {answer}");
        assert!(server.connections() > 0, "{name} was asked");
        assert!(!server.received("/c16") && !server.received(KEY), "{name}");
        assert_eq!(shared.last_event(&format!("{name}/c16"))["reason"], "upstream_tls", "{name}");
    }
}

#[test]
fn c17_the_authority_signs_for_one_name_and_a_day_and_its_key_is_not_inside() {
    let shared = shared();
    let leaf = "openssl s_client -connect api.test:443 -servername api.test </dev/null 2>/dev/null | openssl x509 -noout";
    let names = shared.guest(&format!("{leaf} -ext subjectAltName")).ok();
    assert_eq!(names.matches("DNS:").count(), 1, "{names}");
    assert!(names.contains("DNS:api.test\n"), "{names}");
    // Fails: it will have expired by then.
    assert_eq!(shared.guest(&format!("{leaf} -checkend 86401")).code, 1);
    assert_eq!(shared.guest(&format!("{leaf} -checkend 60")).code, 0);
    let keys = "grep -rlE 'BEGIN ([A-Z]+ )?PRIVATE KEY' /etc /home /root /run /tmp /var /usr/local 2>/dev/null; exit 0";
    assert_eq!(shared.home.guest_root("dev", keys).ok(), "");
    let certificate = "grep -rl 'BEGIN CERTIFICATE' /usr/local/share/ca-certificates";
    assert!(
        shared.home.guest_root("dev", certificate).ok().contains("cofferdam.crt"),
        "the search finds what is there"
    );
}

#[test]
fn d12_plain_http_is_judged_as_https_is() {
    let shared = shared();
    let denied = shared.curl("http://closed.test/d12");
    assert!(denied.starts_with("403 Blocked by sandbox policy: no rule allows closed.test:80"), "{denied}");
    assert!(shared.curl("http://other.test/d12").starts_with("403"), "allowed with TLS only");
    assert!(shared.curl("http://plain.test/d12").starts_with("200 reached"));
    shared.nothing_leaked();
}
