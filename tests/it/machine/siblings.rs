//! Two sandboxes side by side, of one name in two folders.

use super::rig::{Home, Output, shared};

/// The sandbox `dev` of the folder `twin`, beside the shared one of `ws`.
struct Twin(&'static Home);

impl Twin {
    fn boot() -> Self {
        let home = &shared().home;
        home.define("twin", "dev", "  workspace: {mode: direct}\n");
        home.run_in("twin", &["apply", "--yes", "--wait"]).ok();
        Self(home)
    }

    fn guest(&self, script: &str) -> Output {
        self.0.run_in("twin", &["exec", "dev", "--", "bash", "-c", script])
    }
}

impl Drop for Twin {
    fn drop(&mut self) {
        self.0.run_in("twin", &["rm", "--force", "dev"]);
    }
}

#[test]
fn a13_two_sandboxes_of_one_name_do_not_see_each_other() {
    let shared = shared();
    let twin = Twin::boot();
    let home = &shared.home;

    // The name means the one of the folder; elsewhere it is a question.
    let folder = |below: &str| format!("{}\n", home.path(below).display());
    assert_eq!(shared.guest("pwd").ok(), folder("ws"));
    assert_eq!(twin.guest("pwd").ok(), folder("twin"));
    let error = home.run_in("data", &["stop", "dev"]);
    assert_eq!(error.code, 2, "{error:#?}");
    assert!(error.stderr.contains("ws/dev") && error.stderr.contains("twin/dev"), "{error:#?}");
    assert_eq!(home.run_in("data", &["exec", "twin/dev", "--", "pwd"]).ok(), folder("twin"));

    // A server inside is reached from inside, and from nowhere else.
    let serve = "perl -MIO::Socket::INET -e '
        my $s = IO::Socket::INET->new(Listen => 5, LocalAddr => \"0.0.0.0\", LocalPort => 7070, ReuseAddr => 1) or die $!;
        while (my $c = $s->accept) { sysread($c, my $r, 4096); print $c \"HTTP/1.0 200 OK\\r\\n\\r\\nsibling\\n\"; close $c }' >/dev/null 2>&1 &
        for i in $(seq 50); do curl -sf http://127.0.0.1:7070/ && break; done";
    assert_eq!(twin.guest(serve).ok(), "sibling\n");
    for address in ["127.0.0.1", "198.18.0.1", "dev", "10.0.2.15", "twin.dev.internal"] {
        let answer = shared.guest(&format!("curl -sS -m 10 http://{address}:7070/ 2>/dev/null")).stdout;
        assert!(!answer.contains("sibling"), "{address}: {answer}");
    }

    // An address that was handed out for a name here means nothing there.
    let script =
        "for i in 1 2 3 4 5 6 7 8; do getent ahostsv4 only-here-$i.test; done | tail -1 | cut -d' ' -f1";
    let address = shared.guest(script).ok();
    let there = twin.guest(&format!("curl -sS -k -m 10 -w '%{{http_code}}' https://{}/", address.trim()));
    assert!(!there.stdout.contains("only-here") && !there.stdout.ends_with("200"), "{there:#?}");
    // Nor do rules, keys and addresses of one hold for the other.
    assert!(shared.curl("https://other.test/").starts_with("200"));
    assert!(twin.guest("curl -sS https://other.test/").stdout.starts_with("Blocked by sandbox policy"));
    assert_eq!(twin.guest("echo \"[$TICKETS_TOKEN]\"").ok(), "[]\n");
    // Each has an authority of its own.
    let authority = "sha256sum /usr/local/share/ca-certificates/cofferdam.crt";
    assert_ne!(shared.guest(authority).ok(), twin.guest(authority).ok());
    shared.nothing_leaked();
}
