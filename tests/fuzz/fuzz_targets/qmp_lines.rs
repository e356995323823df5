//! A machine that has been taken over speaks QMP: bounded, and each answer belongs to a question.
//!
//! The first byte chooses where the rest is cut: the same bytes mean the same however they arrive.
#![no_main]

use cofferdam::engine::qmp::{Command, Connection, Event, Message, QmpError, Reply};
use libfuzzer_sys::fuzz_target;

const ASKED: [Command; 4] = [Command::Negotiate, Command::QueryStatus, Command::Stop, Command::Quit];

fuzz_target!(|bytes: &[u8]| {
    let Some((cut, bytes)) = bytes.split_first() else { return };
    let whole = talk(std::iter::once(bytes));
    let parts = talk(bytes.chunks(usize::from(*cut) + 1));
    assert_eq!(whole, parts);
    let answers = whole.0.iter().filter_map(|message| match message {
        Message::Reply(command, reply) => Some((command, reply)),
        Message::Event(_) => None,
    });
    assert!(answers.clone().map(|(command, _)| command).eq(&ASKED[..answers.clone().count()]));
    for (_, reply) in answers {
        match reply {
            Reply::Done => {}
            Reply::Status { status: text, .. } | Reply::Failed { reason: text } => harmless(text),
        }
    }
    for message in &whole.0 {
        if let Message::Event(Event::Shutdown { reason: text, .. } | Event::Other(text)) = message {
            harmless(text);
        }
    }
    if let Err(error) = whole.1 {
        harmless(&error.to_string());
    }
});

fn talk<'b>(parts: impl Iterator<Item = &'b [u8]>) -> (Vec<Message>, Result<(), QmpError>) {
    let mut connection = Connection::new();
    for command in ASKED {
        connection.ask(command);
    }
    let mut ended = Ok(());
    for part in parts {
        ended = connection.feed(part);
        if ended.is_err() {
            break;
        }
    }
    (std::iter::from_fn(|| connection.next_message()).collect(), ended)
}

/// Short, and nothing in it that a terminal obeys.
fn harmless(text: &str) {
    assert!(text.len() < 16 * 1024 && !text.contains(char::is_control), "{text:?}");
}
