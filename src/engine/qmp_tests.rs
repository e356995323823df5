use proptest::prelude::*;

use super::*;

const GREETING: &str =
    "{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7}}, \"capabilities\": [\"oob\"]}}\r\n";

fn ready() -> Connection {
    let mut connection = Connection::new();
    connection.ask(Command::Negotiate);
    connection.feed(GREETING.as_bytes()).unwrap();
    connection.feed(b"{\"return\": {}}\r\n").unwrap();
    assert_eq!(connection.next_message(), Some(Message::Reply(Command::Negotiate, Reply::Done)));
    connection
}

#[test]
fn a_conversation() {
    let mut connection = ready();
    assert_eq!(connection.ask(Command::QueryStatus), b"{\"execute\":\"query-status\"}\n");
    connection.ask(Command::Continue);
    let said = "{\"return\": {\"status\": \"paused\", \"singlestep\": false, \"running\": false}}\n\
        {\"timestamp\": {\"seconds\": 1}, \"event\": \"RESUME\"}\n\
        {\"error\": {\"class\": \"GenericError\", \"desc\": \"no \\u001b[2J\"}}\n\
        {\"event\": \"SHUTDOWN\", \"data\": {\"guest\": true, \"reason\": \"guest-shutdown\"}}\n\
        {\"event\": \"BLOCK_IO_ERROR\", \"data\": {\"device\": \"\", \"nospace\": true}}\n\
        {\"event\": \"NEW_THING\", \"data\": 7}\n";
    // In pieces, as a socket gives them.
    for piece in said.as_bytes().chunks(7) {
        connection.feed(piece).unwrap();
    }
    let messages: Vec<_> = std::iter::from_fn(|| connection.next_message()).collect();
    assert_eq!(
        messages,
        [
            Message::Reply(Command::QueryStatus, Reply::Status { running: false, status: "paused".into() }),
            Message::Event(Event::Resumed),
            Message::Reply(Command::Continue, Reply::Failed { reason: "no \\u{1b}[2J".into() }),
            Message::Event(Event::Shutdown { by_guest: true, reason: "guest-shutdown".into() }),
            Message::Event(Event::DiskError { no_space: true }),
            Message::Event(Event::Other("NEW_THING".into())),
        ]
    );
}

#[test]
fn hostile_lines_end_the_connection() {
    let refused = |mut connection: Connection, bytes: &[u8]| connection.feed(bytes).unwrap_err();
    assert_eq!(refused(ready(), &vec![b'a'; LINE_LIMIT + 1]), QmpError::LongLine);
    assert!(matches!(refused(ready(), b"\x1b[2J\n"), QmpError::Unexpected(text) if text == "\\u{1b}[2J"));
    // An answer that nobody asked for, a second greeting, an answer before the greeting.
    assert!(matches!(refused(ready(), b"{\"return\": {}}\n"), QmpError::Unexpected(_)));
    assert!(matches!(refused(ready(), GREETING.as_bytes()), QmpError::Unexpected(_)));
    assert!(matches!(refused(Connection::new(), b"{\"event\": \"STOP\"}\n"), QmpError::Unexpected(_)));
    let nested = format!("{{\"event\": \"X\", \"data\": {}}}\n", "[".repeat(50_000));
    assert!(
        matches!(refused(ready(), nested.as_bytes()), QmpError::Unexpected(text) if text.len() <= TEXT_LIMIT)
    );
    let flood = b"{\"event\":\"STOP\"}\n".repeat(WAITING_LIMIT + 1);
    assert_eq!(refused(ready(), &flood), QmpError::Flood);
    let mut asked = ready();
    asked.ask(Command::QueryStatus);
    assert!(matches!(refused(asked, b"{\"return\": {\"running\": 3}}\n"), QmpError::Unexpected(_)));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = ready().feed(&bytes);
    }

    #[test]
    fn how_the_bytes_are_cut_does_not_matter(cut in 0usize..120) {
        let said = b"{\"event\":\"STOP\"}\n\n{\"event\":\"RESUME\"}\n{\"event\":\"SHUTDOWN\",\"data\":{\"guest\":false}}\n";
        let mut connection = ready();
        let (one, two) = said.split_at(cut.min(said.len()));
        connection.feed(one).unwrap();
        connection.feed(two).unwrap();
        prop_assert_eq!(std::iter::from_fn(|| connection.next_message()).count(), 3);
    }
}
