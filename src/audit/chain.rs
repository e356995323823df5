//! One event's bytes, and how it is linked to the event before. Pure.
//!
//! A line of a trail is an [`Event`] as compact JSON, members in the order of the struct, `hash` last:
//!
//! ```text
//! {"time":…,"seq":7,…,"prev":"<hash of seq 6>","hash":"<64 hexadecimal digits>"}
//! └───────────────── these bytes, then `}`, are hashed ─────────┘
//! ```
//!
//! `hash` is SHA-256 over the line's bytes with the member `hash` and the comma before it taken out. So a verifier
//! needs no canonical form of JSON: it takes the last member off the very bytes that were written.

use sha2::{Digest, Sha256};

use crate::model::event::{Draft, Event, EventProvenance, EventSandbox, SCHEMA};

/// Longest line of a trail in bytes, line feed included. Readers refuse longer ones without reading on.
pub const LINE_MAX: usize = 1 << 20;

/// `prev` of a chain's first event.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

const HASH_MEMBER: &[u8] = b",\"hash\":\"";
const HASH_DIGITS: usize = 64;
const HASH_TAIL: usize = HASH_MEMBER.len() + HASH_DIGITS + 2;

/// Where a chain stands: the event that the next one is linked to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Head {
    /// Number of the last event; 0 before the first.
    pub seq: u64,
    /// `hash` of the last event; [`GENESIS`] before the first.
    pub hash: String,
}

impl Head {
    /// Before the first event.
    #[must_use]
    pub fn genesis() -> Self {
        Self { seq: 0, hash: GENESIS.to_owned() }
    }

    /// After `event`.
    #[must_use]
    pub fn after(event: &Event) -> Self {
        Self { seq: event.seq, hash: event.hash.clone() }
    }
}

/// What an event says beyond the decision: who decided where, and under which files.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// Host name.
    pub host: String,
    /// The user whose sandbox it is.
    pub user: String,
    /// The organisation, where one governs.
    pub org: Option<String>,
    /// The sandbox, unless the event is about the host.
    pub sandbox: Option<EventSandbox>,
    /// Under which files and policy.
    pub provenance: EventProvenance,
    /// `hardware` or `emulated`, once that is known.
    pub isolation: Option<String>,
}

/// Why a line is not the next event of a chain.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// No line feed within [`LINE_MAX`] bytes.
    #[error("the line is longer than {LINE_MAX} bytes")]
    TooLong,
    /// The file ends within the line.
    #[error("the line is torn: its end was never written, or was cut off")]
    Torn,
    /// A sealed file without an event.
    #[error("the sealed file is empty")]
    Empty,
    /// Not an event of this version.
    #[error("the line is not an event of {SCHEMA}: {0}")]
    NotAnEvent(String),
    /// The bytes are not those that were hashed.
    #[error("the hash does not match: the line was changed after it was written")]
    Hash,
    /// Not linked to the event before.
    #[error("`prev` is not the hash of the event before: one of the two was replaced")]
    Prev,
    /// Events are missing.
    #[error("events {expected} to {} are missing: the next one is {found}", .found - 1)]
    Gap {
        /// The number that should come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// An event came twice or late.
    #[error("event {found} stands where event {expected} should: the order was changed")]
    Order {
        /// The number that should come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A head that was known before is not in the chain.
    #[error("event {seq} is not the one that was there when its hash was noted: the chain was rewritten")]
    Rewritten {
        /// Its number.
        seq: u64,
    },
    /// The chain ends before a head that was known.
    #[error("the chain ends at event {found}, but had reached {expected} before: its end was cut off")]
    Cut {
        /// Number of the head that was known.
        expected: u64,
        /// Number of the last event.
        found: u64,
    },
}

/// An event would not fit a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the event needs {bytes} bytes; a line of the audit trail has at most {LINE_MAX}")]
pub struct TooLong {
    /// Bytes of its line.
    pub bytes: usize,
}

/// Makes the event after `head` and its line, line feed included.
///
/// # Errors
/// When the line would be longer than [`LINE_MAX`].
pub fn link(
    head: &Head,
    draft: Draft,
    context: &Context,
    event_id: String,
) -> Result<(Event, Vec<u8>), TooLong> {
    let mut event = Event {
        time: draft.time,
        seq: head.seq + 1,
        event_id,
        schema: SCHEMA.to_owned(),
        host: context.host.clone(),
        user: context.user.clone(),
        org: context.org.clone(),
        sandbox: context.sandbox.clone(),
        provenance: context.provenance.clone(),
        isolation: context.isolation.clone(),
        action: draft.action,
        resource: draft.resource,
        decision: draft.decision,
        rule: draft.rule,
        reason: draft.reason,
        detail: draft.detail,
        prev: head.hash.clone(),
        hash: String::new(),
    };
    let mut line = serde_json::to_vec(&event).expect("an event's keys are all strings");
    let bytes = line.len() + HASH_DIGITS + 1;
    if bytes > LINE_MAX {
        return Err(TooLong { bytes });
    }
    // The line ends `,"hash":""}`: that is taken off, the rest hashed with its brace, and the digits put in.
    let body = line.len() - HASH_MEMBER.len() - 2;
    event.hash = digest(&line[..body]);
    line.truncate(body);
    line.extend_from_slice(HASH_MEMBER);
    line.extend_from_slice(event.hash.as_bytes());
    line.extend_from_slice(b"\"}\n");
    Ok((event, line))
}

/// Reads one line without its line feed and holds its bytes against its own hash; its place is not judged.
///
/// # Errors
/// The line's [`Flaw`].
pub fn read(line: &[u8]) -> Result<Event, Flaw> {
    let foreign = |why: &str| Flaw::NotAnEvent(why.to_owned());
    let body = line.len().checked_sub(HASH_TAIL).ok_or_else(|| foreign("it is too short"))?;
    let digits = line[body..]
        .strip_prefix(HASH_MEMBER)
        .and_then(|rest| rest.strip_suffix(b"\"}"))
        .ok_or_else(|| foreign("it does not end with its hash"))?;
    if digest(&line[..body]).as_bytes() != digits {
        return Err(Flaw::Hash);
    }
    // The parser's message may quote the line.
    let event: Event = serde_json::from_slice(line)
        .map_err(|error| foreign(&error.to_string().escape_debug().to_string()))?;
    if event.schema != SCHEMA {
        return Err(foreign("it names another schema"));
    }
    Ok(event)
}

/// Whether `event` is the one after `head`.
///
/// # Errors
/// The [`Flaw`] of its place.
pub fn follows(head: &Head, event: &Event) -> Result<(), Flaw> {
    let (expected, found) = (head.seq.saturating_add(1), event.seq);
    match found.cmp(&expected) {
        std::cmp::Ordering::Greater => Err(Flaw::Gap { expected, found }),
        std::cmp::Ordering::Less => Err(Flaw::Order { expected, found }),
        std::cmp::Ordering::Equal if event.prev != head.hash => Err(Flaw::Prev),
        std::cmp::Ordering::Equal => Ok(()),
    }
}

fn digest(body: &[u8]) -> String {
    use std::fmt::Write;
    let mut hasher = Sha256::new();
    hasher.update(body);
    hasher.update(b"}");
    hasher.finalize().iter().fold(String::with_capacity(HASH_DIGITS), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every write");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::fixture::draft;
    use proptest::prelude::*;

    fn line(head: &Head, resource: &str) -> (Event, Vec<u8>) {
        let (event, mut line) = link(head, draft(resource), &Context::default(), "e-1".to_owned()).unwrap();
        assert_eq!(line.pop(), Some(b'\n'));
        (event, line)
    }

    #[test]
    fn a_line_is_the_event_with_its_hash_last() {
        let (event, line) = line(&Head::genesis(), "api.example:443");
        assert_eq!(line, serde_json::to_vec(&event).unwrap());
        assert_eq!((event.seq, event.prev.as_str()), (1, GENESIS));
        let text = String::from_utf8(line).unwrap();
        assert!(
            text.starts_with(r#"{"time":"2026-01-02T03:04:05.000000006Z","seq":1,"event_id":"e-1""#),
            "{text}"
        );
        // Anyone can compute it: take the last member off, hash the rest.
        let body = text.replace(&format!(",\"hash\":\"{}\"", event.hash), "");
        let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hash, event.hash);
    }

    #[test]
    fn g14_every_changed_byte_is_found() {
        let (_, line) = line(&Head::genesis(), "api.example:443");
        assert!(read(&line).is_ok());
        for index in 0..line.len() {
            let mut changed = line.clone();
            changed[index] ^= 1;
            assert!(read(&changed).is_err(), "byte {index}");
        }
    }

    #[test]
    fn a_hash_of_upper_case_digits_is_not_ours() {
        let (event, line) = line(&Head::genesis(), "x");
        let text = String::from_utf8(line).unwrap().replace(&event.hash, &event.hash.to_uppercase());
        assert_eq!(read(text.as_bytes()), Err(Flaw::Hash));
    }

    #[test]
    fn an_event_too_long_for_a_line_is_refused() {
        let long = link(&Head::genesis(), draft(&"x".repeat(LINE_MAX)), &Context::default(), String::new());
        assert!(long.unwrap_err().bytes > LINE_MAX);
        let room = LINE_MAX - line(&Head::genesis(), "").1.len() - 1;
        let (_, full) =
            link(&Head::genesis(), draft(&"x".repeat(room)), &Context::default(), "e-1".into()).unwrap();
        assert_eq!(full.len(), LINE_MAX);
    }

    proptest! {
        #[test]
        fn what_is_linked_reads_back_and_follows(resource in ".*", seq in 0_u64..u64::MAX) {
            let head = Head { seq, hash: "ab".repeat(32) };
            let (event, line) = line(&head, &resource);
            let read = read(&line).unwrap();
            prop_assert_eq!(&read, &event);
            prop_assert_eq!(follows(&head, &read), Ok(()));
            prop_assert!(!line.contains(&b'\n'));
        }

        #[test]
        fn hostile_lines_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = read(&bytes);
        }
    }
}
