//! The guest's resolver. Nothing is looked up anywhere: a name gets its synthetic address, and the answer is built
//! anew from the question's name and type alone, so that nothing else of a query has an effect.

use std::net::Ipv4Addr;

use hickory_proto::{
    op::{Message, MessageType, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RData, Record, RecordType, rdata::A},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::policy::{authority, floor};

use super::{
    audit::{Attempt, deny},
    faults::Check,
    io::BoxIo,
    limits,
    names::{NoAddress, exists},
    shared::Shared,
};

/// Seconds that a guest may keep an answer. The binding holds for the sandbox's life; a short time keeps a cloned
/// guest from remembering another's.
const TTL: u32 = 60;

/// A query that can be answered.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    id: u16,
    recursion_desired: bool,
    query: Query,
    /// The name, when it is one: lower case, letters, digits, hyphens and underscores.
    name: Option<String>,
}

/// Parses one query. `None`: not one, or of a form that gets no answer.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<Question> {
    if bytes.len() > limits::DNS_QUERY_BYTES {
        return None;
    }
    let message = Message::from_vec(bytes).ok()?;
    let metadata = message.metadata;
    let [query] = message.queries.as_slice() else { return None };
    let query_only = metadata.message_type == MessageType::Query && metadata.op_code == OpCode::Query;
    if !query_only || query.query_class() != DNSClass::IN {
        return None;
    }
    let labels: Option<Vec<&str>> =
        query.name().iter().map(|label| std::str::from_utf8(label).ok()).collect();
    // A label with a dot in it must not become two.
    let name = labels
        .filter(|labels| labels.iter().all(|label| !label.contains('.')))
        .and_then(|labels| authority::name(&labels.join(".")).ok());
    let mut clean = Query::query(query.name().clone(), query.query_type());
    clean.set_query_class(DNSClass::IN);
    Some(Question { id: metadata.id, recursion_desired: metadata.recursion_desired, query: clean, name })
}

impl Question {
    fn answer(&self, code: ResponseCode, address: Option<Ipv4Addr>) -> Option<Vec<u8>> {
        let mut message = Message::response(self.id, OpCode::Query);
        message.metadata.recursion_desired = self.recursion_desired;
        message.metadata.recursion_available = true;
        message.metadata.response_code = code;
        message.add_query(self.query.clone());
        if let Some(address) = address {
            let owner: Name = self.query.name().clone();
            message.add_answer(Record::from_rdata(owner, TTL, RData::A(A(address))));
        }
        message.to_vec().ok()
    }
}

/// Serves one stream of queries.
pub(crate) async fn serve(shared: &Shared, mut stream: BoxIo) {
    loop {
        let Ok(length) = stream.read_u16().await else { return };
        if usize::from(length) > limits::DNS_QUERY_BYTES {
            return;
        }
        let mut query = vec![0; usize::from(length)];
        if stream.read_exact(&mut query).await.is_err() {
            return;
        }
        // What is no query gets no answer; other queries of the stream do.
        let Some(question) = parse(&query) else { continue };
        let Some(answer) = respond(shared, &question).await else { continue };
        let Ok(length) = u16::try_from(answer.len()) else { continue };
        let mut framed = length.to_be_bytes().to_vec();
        framed.extend(answer);
        if stream.write_all(&framed).await.is_err() {
            return;
        }
    }
}

async fn respond(shared: &Shared, question: &Question) -> Option<Vec<u8>> {
    if shared.faults.skips(Check::OwnResolver) {
        let _passed_on = shared.upstream.world.lookup(&question.query.name().to_string()).await;
    }
    if !shared.dns_rate.take() {
        limit_event(shared, "dns_rate", "more queries than a sandbox may send").await;
        return question.answer(ResponseCode::Refused, None);
    }
    let name = question.name.as_deref().filter(|name| exists(name, &shared.policy.load()));
    let Some(name) = name else { return question.answer(ResponseCode::NXDomain, None) };
    if question.query.query_type() != RecordType::A {
        // The name exists, and has no such record: no IPv6, no HTTPS records with addresses or keys of their own.
        return question.answer(ResponseCode::NoError, None);
    }
    if name == floor::GATEWAY {
        return question.answer(ResponseCode::NoError, Some(shared.names.gateway()));
    }
    if shared.faults.skips(Check::LateResolution) {
        let _looked_up = shared.upstream.world.lookup(name).await;
    }
    match shared.names.address_of(name, &shared.control).await {
        Ok(address) => question.answer(ResponseCode::NoError, Some(address)),
        Err(NoAddress::Lost) => question.answer(ResponseCode::ServFail, None),
        Err(NoAddress::Full) => {
            limit_event(shared, "names_full", "more names than a sandbox may use").await;
            question.answer(ResponseCode::Refused, None)
        }
    }
}

async fn limit_event(shared: &Shared, reason: &str, what: &str) {
    if shared.limit_events.take() {
        let attempt = Attempt::new("net.dns", what.to_owned());
        // Without a keeper there is nobody to tell, and nothing passes.
        let _lost = shared.control.event(deny(&attempt, reason, None)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(name: &str, kind: RecordType) -> Vec<u8> {
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
        message.to_vec().unwrap()
    }

    #[test]
    fn names_are_taken_in_one_spelling() {
        let name = |text: &str| parse(&query(text, RecordType::A)).unwrap().name;
        assert_eq!(name("API.Example.TEST.").as_deref(), Some("api.example.test"));
        assert_eq!(name("a\\.b.test.").as_deref(), None, "a dot inside a label");
        let odd = Name::from_labels([&b"a b"[..], &b"test"[..]]).unwrap();
        let mut message = Message::new(7, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(odd, RecordType::A));
        assert_eq!(parse(&message.to_vec().unwrap()).unwrap().name, None, "a space");
    }

    #[test]
    fn b12_what_is_no_query_is_dropped() {
        assert!(parse(b"").is_none());
        assert!(parse(&[0xff; 300]).is_none());
        assert!(parse(&vec![0; 5000]).is_none());
        let mut response = query("a.test.", RecordType::A);
        response[2] |= 0x80;
        assert!(parse(&response).is_none());
        let mut two = Message::new(7, MessageType::Query, OpCode::Query);
        two.add_query(Query::query(Name::from_ascii("a.test.").unwrap(), RecordType::A));
        two.add_query(Query::query(Name::from_ascii("b.test.").unwrap(), RecordType::A));
        assert!(parse(&two.to_vec().unwrap()).is_none());
    }
}
