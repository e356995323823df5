//! A grant has one spelling, and no other is read.

use super::*;

#[test]
fn every_consequence_has_one_line() {
    assert_eq!(
        texts(&full()),
        [
            "net * api.example:443",
            "net GET,HEAD registry:npm (npm.corp.example:443)",
            "net tcp db.corp.example:5432 private",
            "net GET,POST github.com:443 /acme/web/**",
            "net GET,POST github.com:443 /acme/web.git/**",
            "ask * **.acme.example:443 except gist.acme.example",
            "host-service model 11434 GET,POST /v1/**",
            "secret github → github.com",
            "secret github → api.example x-api-key",
            "workspace . direct",
            "mount \"~/my data\" read",
            "mount /srv/out write",
            "port 3000",
            "port 3001 → 8080",
            "isolation emulation-ok",
        ]
    );
    let mut open = Sandbox::smallest("dev");
    open.isolation = IsolationWish::Hardware;
    open.network.preset = Preset::Open;
    open.network.rules =
        vec![NetworkRule { http: vec![matching(&["POST"], &[])], ..rule(Effect::Deny, "gist.example") }];
    open.workspace =
        Some(Workspace { path: "/home/ann/web/a".into(), mode: WorkspaceMode::Read, origin: origin() });
    assert_eq!(
        texts(&open),
        ["net preset open except POST gist.example"],
        "reading the repository needs no grant"
    );
}

#[test]
fn texts_read_back() {
    for text in texts(&full()).iter().map(String::as_str).chain([
        "net GET,HEAD registry:npm",
        "net GET,HEAD registry:npm (unpinned)",
        "net * **.acme.example:443 except registry:npm (unpinned)",
        "net * registry:*",
        "net preset balanced except **.gist.example except GET,POST x.example:80-90 /a/**",
        "net any * x.example:443",
        "net https GET x.example:8443 /\"",
        "net tls x.example:443",
        "net tcp 10.0.0.0/8:22 private",
        "net tcp [2001:db8::/32]:22",
        "net GET,HEAD registry:apt (apt.example:443) during setup",
        "net GET registry:apt during setup",
        "net tcp 10.0.0.0/8:22 private during setup except 10.1.2.3",
        "secret a → b.example:8443 x-api-key",
        "workspace ~/x read",
        "workspace ./a direct",
        "mount ~ read",
        "mount \"/a\\u{202e}b\" write",
        "host-service model 1 *",
    ]) {
        let text = &text.replace("/\"", "\"/\\\"\"");
        assert_eq!(grant(text).to_string(), *text);
    }
}

#[test]
fn no_other_spelling_is_read() {
    for text in [
        "",
        " ",
        "net",
        "net * api.example",
        "net HEAD,GET registry:npm",
        "net GET,GET registry:npm",
        "net get api.example:443",
        "net  * api.example:443",
        "net * api.example:443 ",
        "net * API.example:443",
        "net * 10.1.0.0/8:22",
        "net https * api.example:443",
        "net tcp * api.example:22",
        "net * api.example:443 /**",
        "net * api.example:443 /a/**/**",
        "net * api.example:443 private public",
        "net * api.example:443 except",
        "net * api.example:443 except other.example",
        "net * api.example:443 except registry:npm",
        "net * registry:npm (api.example:443",
        "net * registry:np*",
        "net * bundle:pastes (unpinned)",
        "net * api.example:443 (unpinned)",
        "net * registry:npm (pinned)",
        "net * bundle:",
        "net preset locked-down",
        "ask preset open",
        "mount ../x read",
        "mount ./a/../b read",
        "mount ./a/ read",
        "mount a read",
        "mount /a//b read",
        "mount /a own",
        "mount \"/a\" read",
        "mount /a\u{202e}b read",
        "mount \"/a\u{1b}\" read",
        "mount \"/a read",
        "secret a b",
        "secret a → b.example:443",
        "secret a → *.example",
        "secret a → b.example authorization",
        "port 0x1",
        "port 70000",
        "port 01",
        "port 3000 →",
        "isolation hardware",
        "build-step npm",
        "port 3000\n",
    ] {
        assert!(text.parse::<Grant>().is_err(), "{text:?}");
    }
    let error = "net HEAD,GET registry:npm".parse::<Grant>().unwrap_err();
    assert_eq!(error.to_string(), "`net HEAD,GET registry:npm` is written `net GET,HEAD registry:npm`");
    assert_eq!("x".repeat(GRANT_MAX + 1).parse::<Grant>(), Err(GrantError::TooLong));
}

#[test]
fn another_spelling_is_told_with_the_right_one() {
    for (text, right) in [
        ("net * docs.example", "net * docs.example:443"),
        ("net  GET docs.example  /v1/**", "net GET docs.example:443 /v1/**"),
        ("ask * **.docs.example", "ask * **.docs.example:443"),
        ("mount ~/datasets/ read", "mount ~/datasets read"),
        ("mount /srv//out write", "mount /srv/out write"),
        ("mount ./data/ read", "mount ./data read"),
        ("workspace ./. direct", "workspace . direct"),
        ("workspace ./ direct", "workspace . direct"),
        ("port 3000 -> 8080", "port 3000 → 8080"),
        ("port  3000", "port 3000"),
        ("secret a -> b.example", "secret a → b.example"),
        ("net * *.EXAMPLE:443", "net * *.example:443"),
    ] {
        let error = text.parse::<Grant>().expect_err(text);
        assert_eq!(error.to_string(), format!("`{text}` is written `{right}`"));
        assert!(right.parse::<Grant>().is_ok(), "{right}");
    }
    for text in ["everything", "net", "mount", "mount ../x read", "mount ~/x", "port -> 1", "\"net\" *", ""] {
        let error = text.parse::<Grant>().expect_err(text);
        assert!(error.to_string().contains("is not a grant"), "{text}: {error}");
    }
}
