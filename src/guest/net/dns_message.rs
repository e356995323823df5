//! The little of DNS that a forwarder must know (RFC 1035, 4.1): header, question, nothing else.

/// Bytes of a header.
const HEADER: usize = 12;
/// Longest query that is forwarded. Real ones are far below; this is what fits one packet everywhere.
pub const QUERY_MAX: usize = 1232;

const RESPONSE: u8 = 0x80;
const OPCODE: u8 = 0x78;
const TRUNCATED: u8 = 0x02;
const SERVER_FAILURE: u8 = 2;

/// Whether this looks like one ordinary question. What does not is dropped (B12): a tunnel that speaks something
/// else on port 53 gets no answer.
pub fn is_query(message: &[u8]) -> bool {
    message.len() <= QUERY_MAX
        && question_end(message).is_some()
        && message[2] & (RESPONSE | OPCODE) == 0
        && count(message, 4) == 1
        && count(message, 6) == 0
}

/// Whether this is an answer at all.
pub fn is_answer(message: &[u8]) -> bool {
    message.len() >= HEADER && message[2] & RESPONSE != 0
}

/// The message's id.
pub fn id(message: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(message.get(..2)?.try_into().ok()?))
}

/// Gives the message another id.
pub fn set_id(message: &mut [u8], id: u16) {
    if let Some(bytes) = message.get_mut(..2) {
        bytes.copy_from_slice(&id.to_be_bytes());
    }
}

/// Bytes that the asker can take in one datagram: 512, or what fits everywhere where it speaks EDNS at all.
pub fn datagram_limit(query: &[u8]) -> usize {
    if count(query, 10) > 0 { 1232 } else { 512 }
}

/// The answer, or what says "ask again by TCP" where it is too long.
pub fn fitting(answer: Vec<u8>, limit: usize) -> Vec<u8> {
    if answer.len() <= limit {
        return answer;
    }
    let mut short = question_only(&answer);
    short[2] |= TRUNCATED;
    short
}

/// "I could not find out", for this query.
pub fn server_failure(query: &[u8]) -> Vec<u8> {
    let mut answer = question_only(query);
    answer[2] |= RESPONSE;
    answer[3] = SERVER_FAILURE;
    answer
}

/// Header and question of a message of at least a header's length.
fn question_only(message: &[u8]) -> Vec<u8> {
    let end = question_end(message);
    let mut short = message[..end.unwrap_or(HEADER)].to_vec();
    short[4..HEADER].copy_from_slice(&[0, u8::from(end.is_some()), 0, 0, 0, 0, 0, 0]);
    short
}

fn count(message: &[u8], at: usize) -> u16 {
    message.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Where the first question ends: labels, a zero, type and class. Compression has no place there.
fn question_end(message: &[u8]) -> Option<usize> {
    let mut at = HEADER;
    loop {
        match *message.get(at)? {
            0 => break,
            length @ 1..=63 => at += usize::from(length) + 1,
            _ => return None,
        }
        // RFC 1035, 3.1: a name is at most 255 bytes.
        if at > HEADER + 255 {
            return None;
        }
    }
    let end = at + 1 + 4;
    (end <= message.len()).then_some(end)
}

#[cfg(test)]
pub mod tests {
    use super::*;

    /// A question for the A record of `name`.
    pub fn query(id: u16, name: &str) -> Vec<u8> {
        let mut message = [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]].concat();
        for label in name.split('.') {
            message.push(label.len() as u8);
            message.extend_from_slice(label.as_bytes());
        }
        message.extend_from_slice(&[0, 0, 1, 0, 1]);
        message
    }

    #[test]
    fn b12_what_is_no_question_is_dropped() {
        let good = query(7, "a.example");
        assert!(is_query(&good));
        for length in 0..good.len() {
            assert!(!is_query(&good[..length]), "cut at {length}");
        }
        let broken = |at: usize, value: u8| {
            let mut message = good.clone();
            message[at] = value;
            message
        };
        for (at, value) in [(2, 0x80), (2, 0x28), (5, 2), (5, 0), (7, 1), (12, 0xc0), (12, 200)] {
            assert!(!is_query(&broken(at, value)), "byte {at} = {value}");
        }
        let mut long = good.clone();
        long.resize(QUERY_MAX + 1, 0);
        assert!(!is_query(&long));
        assert!(!is_query(&[0xff; 300]));
    }

    #[test]
    fn long_answers_are_cut_to_the_question() {
        let mut answer = query(7, "a.example");
        let question = answer.len();
        answer[2] |= RESPONSE;
        answer.resize(600, 1);
        assert_eq!(fitting(answer.clone(), 1232), answer);
        let short = fitting(answer, 512);
        assert_eq!((short.len(), short[2] & TRUNCATED), (question, TRUNCATED));
        let failure = server_failure(&query(7, "a.example"));
        assert_eq!((failure[3], id(&failure), is_answer(&failure)), (2, Some(7), true));
    }
}
