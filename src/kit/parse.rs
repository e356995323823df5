//! YAML text to [`Node`]s, strictly and within bounds.
//!
//! serde-saphyr's event parser (granit) reads the syntax; this keeps of YAML 1.2 what cannot be misread. Refused:
//! anchors and aliases (also the way of YAML bombs), tags, merge keys, directives, keys that are not text, a key
//! twice, numbers with a leading zero, characters that a terminal obeys. The first error of syntax ends a file, because what
//! follows it cannot be trusted; the documents before it are still returned.

use serde_saphyr::granit_parser::{self, Event, Marker, Parser, ScalarStyle, Span as Range, StrInput};

use super::{
    findings::Findings,
    problem::{Code, Problem, Source, Span, is_unprintable, quoted},
    scalar::{self, Plain},
    syntax::syntax,
    tree::{Key, Kind, Node},
};

/// Largest file, in bytes: room for 10,000 documents of 800 bytes, far from what hurts to hold.
pub const FILE_MAX: usize = 8 << 20;
/// Deepest nesting of collections; the format needs 9.
const DEPTH_MAX: usize = 64;
/// Longest single value, in bytes: no longer one fits into an environment or an argument list (Linux,
/// MAX_ARG_STRLEN).
const SCALAR_MAX: usize = 128 << 10;

/// The documents of a file that hold anything, in order, and what is wrong with their YAML.
pub(super) fn documents(name: &str, bytes: &[u8]) -> (Vec<Node>, Findings) {
    match decode(name, bytes) {
        Ok(text) => documents_of(Source::new(name, text), text),
        Err(findings) => (Vec::new(), findings),
    }
}

/// As [`documents`], of a text that findings point into as `source`.
pub(super) fn documents_of(source: Source, text: &str) -> (Vec<Node>, Findings) {
    let mut documents = Vec::new();
    let mut builder = Builder { findings: Findings::new(source), open: Vec::new(), root: None };
    let options = granit_parser::options! {
        disallow_directives: true,
        emit_comments: false,
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    let mut parser = Parser::new_from_str_with_options(text, options);
    if let Err(problem) = builder.read(&mut parser, text, &mut documents) {
        builder.findings.push(*problem);
    }
    (documents, builder.findings)
}

/// Whether bytes are YAML as this format has it, with nothing wrong in it.
#[must_use]
pub fn is_yaml(bytes: &[u8]) -> bool {
    documents("bytes", bytes).1.errors() == 0
}

/// The text of a file without its byte order mark.
pub(super) fn decode<'a>(name: &str, bytes: &'a [u8]) -> Result<&'a str, Findings> {
    let fail = |code, shown: &str, offset: usize, message: String, help: &str| {
        let source = Source::new(name, shown);
        let mut findings = Findings::new(source);
        let problem = findings.at(code, place(shown, offset), message);
        findings.push(problem.help(help));
        findings
    };
    if bytes.len() > FILE_MAX {
        let message = format!("a file has at most {} MiB, this one is larger", FILE_MAX >> 20);
        return Err(fail(Code::TooLarge, "", 0, message, "split it into several files in .cofferdam/"));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let valid = std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default();
        let message = "the file is not UTF-8 from here on".to_owned();
        fail(Code::Encoding, valid, valid.len(), message, "save it as UTF-8")
    })?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match text.char_indices().find(|(_, sign)| is_unprintable(*sign)) {
        None => Ok(text),
        Some((at, sign)) => {
            let message = format!("a control character (U+{:04X}) cannot stand in a file", u32::from(sign));
            Err(fail(
                Code::Encoding,
                text,
                at,
                message,
                "remove it; inside double quotes it may be written as an escape",
            ))
        }
    }
}

/// Line and column of a byte offset.
pub(super) fn place(text: &str, offset: usize) -> Span {
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    let end = text[offset..].chars().next().map_or(offset, |sign| offset + sign.len_utf8());
    Span { start: small(offset), end: small(end), line: small(line), column: small(column) }
}

/// A file has at most [`FILE_MAX`] bytes, so no offset, line or column in it exceeds 32 bits.
fn small(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn span(range: &Range) -> Span {
    let offset = |marker: &Marker| small(marker.byte_offset().unwrap_or_default());
    let (start, end) = (offset(&range.start), offset(&range.end));
    Span { start, end: end.max(start), line: small(range.start.line()), column: small(range.start.col() + 1) }
}

/// A collection whose end has not come yet.
enum Open {
    List(Span, Vec<Node>),
    Map(Span, Option<Key>, Vec<(Key, Node)>),
}

struct Builder {
    findings: Findings,
    open: Vec<Open>,
    root: Option<Node>,
}

type Step = Result<(), Box<Problem>>;

impl Builder {
    fn read<'a>(
        &mut self,
        parser: &mut Parser<'a, StrInput<'a>>,
        text: &str,
        documents: &mut Vec<Node>,
    ) -> Step {
        while let Some(next) = parser.next_event() {
            let (event, range) = next.map_err(|error| Box::new(syntax(&self.findings, text, &error)))?;
            match event {
                Event::DocumentStart(..) => {
                    self.open.clear();
                    self.root = None;
                }
                Event::DocumentEnd => {
                    documents.extend(self.root.take().filter(|root| root.kind != Kind::Null))
                }
                event => self.event(event, span(&range))?,
            }
        }
        Ok(())
    }

    fn event(&mut self, event: Event<'_>, span: Span) -> Step {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span)?;
                self.scalar(text.into_owned(), style, span)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span)?;
                self.push(Open::List(span, Vec::new()), span)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_properties(anchor, tag.is_some(), span)?;
                self.push(Open::Map(span, None, Vec::new()), span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(span),
            Event::Alias(_) | Event::UnresolvedAlias(_) => self.feature(span, "aliases (`*name`)"),
            _ => Ok(()),
        }
    }

    fn feature(&self, span: Span, what: &str) -> Step {
        let problem =
            self.findings.at(Code::YamlFeature, span, format!("{what} are not part of this format"));
        Err(Box::new(problem.help("write the value out where it is needed")))
    }

    fn refuse_properties(&self, anchor: usize, tag: bool, span: Span) -> Step {
        match (anchor, tag) {
            (0, false) => Ok(()),
            (0, true) => self.feature(span, "tags (`!name`)"),
            _ => self.feature(span, "anchors (`&name`)"),
        }
    }

    fn push(&mut self, open: Open, span: Span) -> Step {
        if let Some(Open::Map(_, None, _)) = self.open.last() {
            let problem =
                self.findings.at(Code::YamlFeature, span, "a key must be text, not a list or a mapping");
            return Err(Box::new(problem.help("a value that begins with `{` or `[` may need quotes")));
        }
        if self.open.len() == DEPTH_MAX {
            return Err(Box::new(too_deep(&self.findings, span)));
        }
        self.open.push(open);
        Ok(())
    }

    fn scalar(&mut self, text: String, style: ScalarStyle, span: Span) -> Step {
        if text.len() > SCALAR_MAX {
            let message = format!("a value has at most {} KiB", SCALAR_MAX >> 10);
            return Err(Box::new(self.findings.at(Code::TooLarge, span, message)));
        }
        if let Some(Open::Map(_, key @ None, _)) = self.open.last_mut() {
            if style == ScalarStyle::Plain && (text == "<<" || text.is_empty()) {
                let what = if text.is_empty() { "empty keys" } else { "merge keys (`<<`)" };
                return self.feature(span, what);
            }
            *key = Some(Key { text, span });
            return Ok(());
        }
        let kind = match style {
            ScalarStyle::Plain => match scalar::plain(&text) {
                Plain::Is(kind) => kind,
                Plain::LeadingZero => {
                    let message =
                        format!("{} is octal to some readers of YAML and decimal to others", quoted(&text));
                    let problem = self.findings.at(Code::AmbiguousNumber, span, message);
                    self.findings
                        .push(problem.label("leading zero").help(format!("write \"{text}\" in quotes")));
                    Kind::Text(text)
                }
            },
            _ => Kind::Text(text),
        };
        self.node(Node { span, kind });
        Ok(())
    }

    fn close(&mut self, end: Span) -> Step {
        let node = match self.open.pop() {
            Some(Open::List(start, items)) => Node { span: until(start, end), kind: Kind::List(items) },
            Some(Open::Map(start, _, entries)) => {
                Node { span: until(start, end), kind: Kind::Map(self.without_duplicates(entries)) }
            }
            None => return Ok(()),
        };
        self.node(node);
        Ok(())
    }

    fn node(&mut self, node: Node) {
        match self.open.last_mut() {
            Some(Open::List(_, items)) => items.push(node),
            Some(Open::Map(_, key, entries)) => entries.extend(key.take().map(|key| (key, node))),
            None => self.root = Some(node),
        }
    }

    /// Reports keys that stand twice and keeps the first of each.
    fn without_duplicates(&mut self, entries: Vec<(Key, Node)>) -> Vec<(Key, Node)> {
        let mut order: Vec<usize> = (0..entries.len()).collect();
        order.sort_by_key(|index| &entries[*index].0.text);
        let same = |pair: &[usize]| entries[pair[0]].0.text == entries[pair[1]].0.text;
        if !order.windows(2).any(same) {
            return entries;
        }
        let mut first: std::collections::HashMap<String, u32> = std::collections::HashMap::new();
        let mut kept = Vec::with_capacity(entries.len());
        for (key, node) in entries {
            if let Some(line) = first.get(&key.text) {
                let message = format!("the key {} stands twice", quoted(&key.text));
                let problem = self.findings.at(Code::DuplicateKey, key.span, message);
                self.findings
                    .push(problem.label(format!("first on line {line}")).help("keep one of the two"));
                continue;
            }
            first.insert(key.text.clone(), key.span.line);
            kept.push((key, node));
        }
        kept
    }
}

fn until(start: Span, end: Span) -> Span {
    Span { end: end.end.max(start.end), ..start }
}

pub(super) fn too_deep(findings: &Findings, span: Span) -> Problem {
    findings
        .at(Code::TooLarge, span, format!("lists and mappings nest at most {DEPTH_MAX} deep"))
        .help("no key of this format lies that deep: is a bracket or brace not closed?")
}
