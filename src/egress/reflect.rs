//! Values that a server sends back: found in a stream of bytes and written over, before the guest sees them.
//!
//! A host that a secret is bound to receives the value, and may echo it: a debug page, an error that quotes the
//! request, a resource that was written a moment ago. What is looked for is the value as it is and in the spellings
//! that echoes use ([`spellings`]). A host that hands it out in another form can: binding a secret to it means
//! trusting it that far.
//!
//! What is written over a value is as long as the value, so lengths and ranges of the message stay true.

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use memchr::memmem::{Finder, find};
use zeroize::Zeroizing;

use crate::model::redacted::Redacted;

/// Shortest value that is looked for in bodies, in bytes. A shorter one would be found in ordinary text.
const LENGTH_MIN: usize = 8;

/// One spelling of a secret's value.
pub(crate) struct Spelling {
    /// Which secret, by its place in the list of secrets.
    pub secret: usize,
    value: Redacted,
    placeholder: String,
}

/// Every spelling of a value that an echo may have: as it is, in a JSON text, percent-encoded (RFC 3986, 2.1), and in
/// base64 (RFC 4648) on its own.
pub(crate) fn spellings(secret: usize, value: &[u8], placeholder: &str) -> Vec<Spelling> {
    let json = || {
        let text = serde_json::to_string(std::str::from_utf8(value).ok()?).ok()?;
        Some(text.trim_matches('"').as_bytes().to_vec())
    };
    let percent = value.iter().flat_map(|byte| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => vec![*byte],
        other => format!("%{other:02X}").into_bytes(),
    });
    let mut found: Vec<Redacted> = Vec::new();
    for value in [
        Some(value.to_vec()),
        json(),
        Some(percent.collect()),
        Some(STANDARD.encode(value).trim_end_matches('=').as_bytes().to_vec()),
    ]
    .into_iter()
    .flatten()
    {
        if value.len() >= LENGTH_MIN && found.iter().all(|other| other.expose() != value) {
            found.push(Redacted::new(value));
        }
    }
    let spelling = |value| Spelling { secret, value, placeholder: placeholder.to_owned() };
    found.into_iter().map(spelling).collect()
}

impl Spelling {
    /// The placeholder, cut or filled up to the value's length.
    fn cover(&self, place: &mut [u8]) {
        let filled = self.placeholder.bytes().chain(std::iter::repeat(b'*'));
        for (byte, cover) in place.iter_mut().zip(filled) {
            *byte = cover;
        }
    }
}

/// Looks through one stream. Holds back the end of what came when a value may begin there, and nothing else, so that a
/// stream of events is not delayed.
pub(crate) struct Masker {
    spellings: Arc<[Spelling]>,
    held: Zeroizing<Vec<u8>>,
}

impl Masker {
    /// For one stream.
    pub fn new(spellings: Arc<[Spelling]>) -> Self {
        Self { spellings, held: Zeroizing::default() }
    }

    /// Whether something is held back.
    pub fn holds(&self) -> usize {
        self.held.len()
    }

    /// What may go on now that `bytes` came, and the secrets that were found.
    pub fn push(&mut self, bytes: &[u8], found: &mut Vec<usize>) -> Vec<u8> {
        let mut all = std::mem::take(&mut *self.held);
        all.extend_from_slice(bytes);
        self.cover(&mut all, found);
        let kept = self.spellings.iter().map(|it| begins_at_end(&all, it.value.expose())).max().unwrap_or(0);
        self.held = Zeroizing::new(all.split_off(all.len() - kept));
        all
    }

    /// The rest, when no more comes.
    pub fn finish(&mut self) -> Vec<u8> {
        std::mem::take(&mut *self.held)
    }

    fn cover(&self, all: &mut [u8], found: &mut Vec<usize>) {
        for spelling in self.spellings.iter() {
            let finder = Finder::new(spelling.value.expose());
            let mut from = 0;
            while let Some(at) = finder.find(&all[from..]) {
                let end = from + at + spelling.value.expose().len();
                spelling.cover(&mut all[from + at..end]);
                found.push(spelling.secret);
                from = end;
            }
        }
    }
}

/// How many of the last bytes are a beginning of `value`: the longest such.
fn begins_at_end(bytes: &[u8], value: &[u8]) -> usize {
    let longest = bytes.len().min(value.len().saturating_sub(1));
    let tail = &bytes[bytes.len() - longest..];
    let mut from = 0;
    while let Some(at) = find(&tail[from..], &value[..1]) {
        let rest = &tail[from + at..];
        if value.starts_with(rest) {
            return rest.len();
        }
        from += at + 1;
    }
    0
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VALUE: &[u8] = b"sk-real/\"42\"";
    const PLACEHOLDER: &str = "sk-0000";

    fn all() -> Arc<[Spelling]> {
        spellings(3, VALUE, PLACEHOLDER).into()
    }

    fn masked(chunks: &[&[u8]]) -> (Vec<u8>, Vec<usize>) {
        let (mut masker, mut found) = (Masker::new(all()), Vec::new());
        let mut out: Vec<u8> = chunks.iter().flat_map(|chunk| masker.push(chunk, &mut found)).collect();
        out.extend(masker.finish());
        (out, found)
    }

    #[test]
    fn e05_every_spelling_is_covered_and_lengths_stay() {
        for text in [
            r#"key sk-real/"42" end"#,
            r#"{"k":"sk-real/\"42\""}"#,
            "?k=sk-real%2F%2242%22&",
            "c2stcmVhbC8iNDIi",
        ] {
            let (out, found) = masked(&[text.as_bytes()]);
            let out = String::from_utf8(out).unwrap();
            assert_eq!((out.len(), found.as_slice()), (text.len(), &[3][..]), "{text} → {out}");
            assert!(out.contains("sk-0000*") && !out.contains("real"), "{text} → {out}");
        }
    }

    #[test]
    fn a_stream_waits_only_where_a_value_may_begin() {
        let (mut masker, mut found) = (Masker::new(all()), Vec::new());
        assert_eq!(masker.push(b"data: tokens\n\n", &mut found), b"data: tokens\n\n");
        assert_eq!(masker.push(b"data: sk-re", &mut found), b"data: ");
        assert_eq!(masker.push(b"tail\n\n", &mut found), b"sk-retail\n\n");
        assert!(found.is_empty());
    }

    #[test]
    fn short_values_are_left_alone() {
        assert!(spellings(0, b"on", "x").is_empty());
    }

    proptest! {
        /// Wherever the stream is cut: nothing of the value passes, and nothing else changes.
        #[test]
        fn e05_cuts_hide_nothing(before in "[a-z/\"-]{0,20}", cuts in proptest::collection::vec(0usize..60, 0..6)) {
            let text = [before.as_bytes(), b"<", VALUE, b">", VALUE, b"s"].concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect();
            let (out, found) = masked(&chunks);
            let cover = b"sk-0000*****";
            prop_assert_eq!(out, [before.as_bytes(), b"<", cover, b">", cover, b"s"].concat());
            prop_assert_eq!(found, vec![3, 3]);
        }

        #[test]
        fn without_a_value_nothing_changes(chunks in proptest::collection::vec("[sk/real\"42-]{0,9}", 0..9)) {
            let whole = chunks.concat();
            prop_assume!(find(whole.as_bytes(), VALUE).is_none());
            let chunks: Vec<&[u8]> = chunks.iter().map(|chunk| chunk.as_bytes()).collect();
            let (out, found) = masked(&chunks);
            prop_assert_eq!(out, whole.into_bytes());
            prop_assert!(found.is_empty());
        }
    }
}
