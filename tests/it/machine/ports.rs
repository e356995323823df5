//! Ports of the sandbox on this host's loopback.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
};

use super::{lifecycle::Machine, rig::Home};

/// A server on the guest's loopback only. It answers when its client has said its last.
pub const SERVER: &str = r#"
  setup:
    start:
      - name: web
        background: true
        ready: {port: 3000}
        run: |
          exec perl -MIO::Socket::INET -e '
            $s = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => 3000, Listen => 9, ReuseAddr => 1) or die;
            while ($c = $s->accept) { local $/; $heard = <$c>; print $c "heard $heard"; close $c }'
"#;

/// Somebody else's server, and its port.
fn taken() -> (TcpListener, u16) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let port = listener.local_addr().expect("it listens").port();
    (listener, port)
}

/// Asks as `nc -N` does: the question, the end of what is sent, then the answer to its end.
fn ask(port: u64, question: &str) -> std::io::Result<String> {
    let port = u16::try_from(port).expect("a port");
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(question.as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

fn host_port(status: &serde_json::Value, guest: u64) -> Option<u64> {
    let ports = status["ports"].as_array()?;
    ports.iter().find(|port| port["guest"] == guest)?["host"].as_u64()
}

#[test]
fn a_server_on_the_guests_loopback_is_reached_under_the_next_free_port() {
    let (listener, wish) = taken();
    let machine = Machine::boot("ports", &format!("  ports: [{{guest: 3000, host: {wish}}}]\n{SERVER}"));
    let home = &machine.home;
    let status = home.status();
    let port = host_port(&status, 3000).unwrap_or_else(|| panic!("it is published: {status:#}"));
    assert_ne!(port, u64::from(wish));
    assert_eq!(status["ports"][0]["address"], "127.0.0.1");
    assert_eq!(ask(port, "hello").expect("it answers"), "heard hello");
    let long = "x".repeat(3 << 20);
    assert_eq!(ask(port, &long).expect("it answers").len(), long.len() + 6);
    let table = home.run(&["ls"]).ok();
    assert!(table.contains(&format!("{port}→3000")), "{table}");
    drop(listener);

    // Live: published and withdrawn while the machine runs.
    let booted = machine.guest("cat /proc/sys/kernel/random/boot_id").ok();
    let shown = home.run(&["ports", "dev", "--publish", &format!("{wish}:3000"), "-o", "json"]).json();
    assert_eq!(host_port(&shown, 3000), Some(wish.into()), "{shown:#}");
    assert_eq!(ask(wish.into(), "again").expect("it answers"), "heard again");
    assert!(ask(port, "there?").is_err(), "the old one is closed");
    home.run(&["ports", "dev", "-p", "4000"]).ok();
    let nobody = host_port(&home.status(), 4000).expect("it is published");
    assert!(ask(nobody, "there?").is_err(), "no server: a reset, and no empty answer");
    home.run(&["ports", "dev", "--unpublish", "3000"]).ok();
    assert!(ask(wish.into(), "there?").is_err());
    assert_eq!(machine.guest("cat /proc/sys/kernel/random/boot_id").ok(), booted, "it never restarted");
    let trail = home.events(Some("dev"));
    let published = trail.iter().filter(|event| event["action"] == "port.publish").count();
    assert!(published >= 4, "{trail:#?}");
    // Down, nothing listens.
    home.run(&["stop", "dev"]).ok();
    assert_eq!(host_port(&home.status(), 4000), None);
    assert!(ask(nobody, "there?").is_err());
}

#[test]
fn a_fixed_port_that_is_taken_keeps_the_sandbox_from_starting_and_nothing_else() {
    let (listener, wish) = taken();
    let home = Home::new("port-fixed");
    home.define("ws", "dev", &format!("  ports: [{{guest: 3000, host: {wish}, fixed: true}}]\n{SERVER}"));
    let error = home.run(&["apply", "--yes", "--wait", "-o", "json"]).refused(1);
    let message = error["message"].as_str().expect("a message");
    assert!(message.contains(&format!("port {wish} of 127.0.0.1 is taken")), "{error:#}");
    let status = home.status();
    assert_eq!((status["phase"].as_str(), host_port(&status, 3000)), (Some("failed"), None), "{status:#}");
    drop(listener);
    // Once it is free, the same sandbox comes up on it.
    let machine = Machine::of(home);
    machine.start();
    assert_eq!(ask(wish.into(), "hello").expect("it answers"), "heard hello");
}
