//! The texts that findings point into.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
};

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::problem::{Span, escaped, is_unprintable};

/// Words of an original that parts of words are looked for in.
const NEAR_WORDS: usize = 4_096;
/// Shortest part of a word that tells anything, in bytes.
const PART_MIN: usize = 3;

/// Bytes that are read on either side of a place: what is longer is not drawn.
const NEAR: usize = 16 << 10;

/// A text that findings point into, as it may be shown: what a terminal would obey is replaced by signs of the
/// same length, so that spans stay right.
#[derive(Clone)]
pub struct Source(Arc<Text>);

struct Text {
    name: String,
    shown: Box<str>,
    /// Where its lines begin, once something of it is drawn.
    lines: OnceLock<Vec<usize>>,
    /// What it was made of.
    original: Option<Original>,
}

/// The text that another one was made of, and where its words stand, in their order.
struct Original {
    source: Source,
    words: Vec<(String, Span)>,
    first: HashMap<String, usize>,
}

impl Source {
    /// A text under the name that its user knows it by.
    #[must_use]
    pub fn new(name: &str, text: &str) -> Self {
        Self::with(name, text, None)
    }

    /// A text that was made of another one, which its user knows: what is found in this one is told where the same words
    /// stand in that one.
    pub(super) fn made_of(original: &Self, words: Vec<(String, Span)>, text: &str) -> Self {
        let mut first = HashMap::new();
        for (at, (word, _)) in words.iter().enumerate() {
            first.entry(word.clone()).or_insert(at);
        }
        let name = original.name().to_owned();
        Self::with(&name, text, Some(Original { source: original.clone(), words, first }))
    }

    fn with(name: &str, text: &str, original: Option<Original>) -> Self {
        let clean = !text.chars().any(is_unprintable);
        let shown = if clean { text.to_owned() } else { text.chars().fold(String::new(), printable) };
        Self(Arc::new(Text { name: escaped(name), shown: shown.into(), lines: OnceLock::new(), original }))
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// All of it.
    pub(super) fn text(&self) -> &str {
        &self.0.shown
    }

    /// What stands at `span`.
    #[must_use]
    pub fn slice(&self, span: Span) -> &str {
        self.text().get(span.start as usize..span.end as usize).unwrap_or_default()
    }

    /// The text and the place that a person is shown for a place in this one.
    pub(super) fn told(&self, span: Span) -> (Self, Span) {
        match &self.0.original {
            None => (self.clone(), span),
            Some(original) => (original.source.clone(), original.find(self.slice(span))),
        }
    }

    /// Where its lines begin.
    fn lines(&self) -> &[usize] {
        self.0.lines.get_or_init(|| {
            let text = self.text().as_bytes();
            let breaks = memchr::memchr2_iter(b'\r', b'\n', text);
            let ends = breaks.filter(|at| text[*at] == b'\n' || text.get(at + 1) != Some(&b'\n'));
            std::iter::once(0).chain(ends.map(|at| at + 1)).collect()
        })
    }

    /// Number, from 0, of the line that a byte stands in.
    fn line_of(&self, offset: usize) -> usize {
        self.lines().partition_point(|begin| *begin <= offset).saturating_sub(1)
    }

    /// The beginning of the character at a byte, or the end of the text.
    fn whole(&self, offset: usize) -> usize {
        let text = self.text();
        (0..=offset.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default()
    }
}

impl Original {
    /// Where these words stand: as they are, else the longest word of which they were made, else what they are part of,
    /// else the beginning.
    fn find(&self, words: &str) -> Span {
        let words = words.trim_matches(['"', '\'']);
        if let Some(at) = self.first.get(words) {
            return self.words[*at].1;
        }
        let near = || self.words.iter().take(NEAR_WORDS);
        let part = near().filter(|(word, _)| word.len() >= PART_MIN && words.contains(word.as_str()));
        let part = part.rev().max_by_key(|(word, _)| word.len());
        let whole = || near().find(|(word, _)| words.len() >= PART_MIN && word.contains(words));
        let start = Span { line: 1, column: 1, ..Span::default() };
        part.or_else(whole).map_or(start, |(_, span)| *span)
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Source").field(&self.0.name).finish_non_exhaustive()
    }
}

/// miette counts the lines of the whole text for each place that it draws; here it is given those around the place, and
/// of very long ones a part.
impl SourceCode for Source {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let line = self.line_of(span.offset());
        // One line more than is asked for: with none above, miette takes the place for the first of the text.
        let above = self.lines()[line.saturating_sub(before + 1)];
        let begin = above.max(self.whole(span.offset().saturating_sub(NEAR)));
        let end = self.whole((span.offset() + span.len()).saturating_add(NEAR)).max(begin);
        let near = SourceSpan::new(span.offset().saturating_sub(begin).into(), span.len());
        let found = self.text().as_bytes()[begin..end].read_span(&near, before, after)?;
        let number = self.line_of(begin);
        let start = self.lines()[line];
        let column = if before == 0 && start < begin { span.offset() - start } else { found.column() };
        let at = SourceSpan::new((found.span().offset() + begin).into(), found.span().len());
        let contents = MietteSpanContents::new_named(
            self.0.name.clone(),
            found.data(),
            at,
            found.line() + number,
            column,
            found.line_count() + number,
        );
        Ok(Box::new(contents.with_language("yaml")))
    }
}

fn printable(mut shown: String, sign: char) -> String {
    match (is_unprintable(sign), sign.len_utf8()) {
        (false, _) => shown.push(sign),
        (true, 1) => shown.push('?'),
        (true, 2) => shown.push_str("??"),
        (true, _) => shown.push('\u{fffd}'),
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::meter::measure;

    #[test]
    fn what_was_made_of_a_text_is_told_where_its_words_stand() {
        let original = Source::new("spec.yaml", "a: 10.0.0.0/8\nb: word\nb: word\n");
        let at = |start, end, line, column| Span { start, end, line, column };
        let words = [("a", at(0, 1, 1, 1)), ("10.0.0.0/8", at(3, 13, 1, 4)), ("word", at(17, 21, 2, 4))];
        let words = words.map(|(word, span)| (word.to_owned(), span)).into();
        let made = Source::made_of(&original, words, "\"word\" 10.0.0.0/8:443 ord other");
        let told = |start, end| {
            let (source, span) = made.told(at(start, end, 1, 1));
            (source.name().to_owned(), source.slice(span).to_owned(), span.line)
        };
        assert_eq!(told(0, 6), ("spec.yaml".into(), "word".into(), 2));
        assert_eq!(told(7, 21).1, "10.0.0.0/8");
        assert_eq!(told(22, 25).1, "word");
        assert_eq!((told(26, 31).1.as_str(), told(26, 31).2), ("", 1));
        assert_eq!(original.told(at(0, 1, 1, 1)).1, at(0, 1, 1, 1));
    }

    #[test]
    fn a_place_is_read_as_miette_reads_it_in_the_whole_text() {
        for text in [
            "",
            "a",
            "a\nbc\n\nd: e\n",
            "a\r\nb\rc\n\r\nd",
            "\n\n\n\n\n",
            "one: two\nthree: [four,\n five]\nsix",
        ] {
            let source = Source::new("x", text);
            let all =
                (0..=text.len()).flat_map(|from| (0..=text.len() - from).map(move |length| (from, length)));
            for (from, length) in all {
                for (before, after) in [(0, 0), (1, 1), (2, 0), (0, 2), (3, 3)] {
                    let span = SourceSpan::new(from.into(), length);
                    let parts = |source: &dyn SourceCode| {
                        let it = source.read_span(&span, before, after).ok()?;
                        Some((it.data().to_vec(), *it.span(), it.line(), it.column()))
                    };
                    assert_eq!(parts(&source), parts(&text), "{text:?} {span:?} {before} {after}");
                }
            }
        }
    }

    /// Found through the binary: a hundred findings at the end of a long text, or of a long line, took seconds.
    #[test]
    fn the_end_of_a_long_text_costs_what_its_beginning_does() {
        for text in ["key: välue\n".repeat(100_000), ",ä ".repeat(300_000)] {
            let source = Source::new("x", &text);
            let read = |offset: usize| {
                let found = source.read_span(&SourceSpan::new(offset.into(), 1), 0, 0).unwrap();
                assert!(std::str::from_utf8(found.data()).is_ok());
                (found.line(), found.column())
            };
            assert_eq!(read(0), (0, 0));
            let end = text.len() - 1;
            let lines = text[..end].matches('\n').count();
            let column = end - text[..end].rfind('\n').map_or(0, |at| at + 1);
            assert_eq!(read(end), (lines, column));
            let ((), many) = measure(|| (0..200).for_each(|_| assert_eq!(read(end), (lines, column))));
            // 200 times all of it would be 200 MB to look at.
            assert!(many.cpu.as_millis() < 500, "{many:?}");
        }
    }
}
