//! Arguments put where `${{ args.NAME }}` stands: in the plain values of a kit's document, and in its files.

use std::borrow::Cow;

use super::arguments::Values;
use crate::kit::{
    findings::Findings,
    near::similar,
    parse::FILE_MAX,
    problem::{Code, Span, quoted},
    resolve::{Budget, LOAD_MAX},
    tree::{Kind, Node},
    wire::argument::Scalar,
};

/// A document with its arguments filled in, and the places that are left open. What is put in counts against `budget`.
pub(super) fn fill<'a>(
    node: &'a Node,
    values: &Values,
    budget: &Budget,
    findings: &mut Findings,
) -> (Cow<'a, Node>, Vec<u32>) {
    let room = FILE_MAX.min(budget.left());
    let mut filling = Filling { values, findings, open: Vec::new(), room };
    let filled = filling.document(node);
    budget.take(room - filling.room);
    (filled.map_or(Cow::Borrowed(node), Cow::Owned), filling.open)
}

struct Filling<'a> {
    values: &'a Values,
    findings: &'a mut Findings,
    open: Vec<u32>,
    /// How many bytes may still be put in: a file of expressions must not become a thousand times as long.
    room: usize,
}

impl Filling<'_> {
    /// Everything below `spec` but the declarations themselves. `None`: nothing was filled in.
    fn document(&mut self, node: &Node) -> Option<Node> {
        let Kind::Map(entries) = &node.kind else { return None };
        let spec = entries.iter().position(|(key, _)| key.text == "spec")?;
        let Kind::Map(below) = &entries[spec].1.kind else { return None };
        let mut changed = Vec::new();
        for (index, (key, node)) in below.iter().enumerate() {
            if key.text != "args"
                && let Some(filled) = self.node(node)
            {
                changed.push((index, filled));
            }
        }
        if changed.is_empty() {
            return None;
        }
        let mut document = node.clone();
        if let Kind::Map(entries) = &mut document.kind
            && let Kind::Map(below) = &mut entries[spec].1.kind
        {
            for (index, filled) in changed {
                below[index].1 = filled;
            }
        }
        Some(document)
    }

    fn node(&mut self, node: &Node) -> Option<Node> {
        let kind = match &node.kind {
            Kind::Text(text) if text.contains("${{") => self.text(text, node.span)?,
            Kind::List(items) => {
                let filled: Vec<_> = items.iter().map(|item| self.node(item)).collect();
                if filled.iter().all(Option::is_none) {
                    return None;
                }
                let items = items.iter().zip(filled);
                Kind::List(items.map(|(item, filled)| filled.unwrap_or_else(|| item.clone())).collect())
            }
            Kind::Map(entries) => {
                let filled: Vec<_> = entries.iter().map(|(_, value)| self.node(value)).collect();
                if filled.iter().all(Option::is_none) {
                    return None;
                }
                let entries = entries.iter().zip(filled);
                let entries = entries
                    .map(|((key, value), filled)| (key.clone(), filled.unwrap_or_else(|| value.clone())));
                Kind::Map(entries.collect())
            }
            _ => return None,
        };
        Some(Node { span: node.span, kind })
    }

    /// A text, which becomes the argument's own sort of value where it is nothing but the argument.
    fn text(&mut self, text: &str, span: Span) -> Option<Kind> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, name, after)) = next(rest, OURS) {
            let Some(value) = self.values.get(name) else {
                self.undeclared(name, span);
                return Some(self.leave(span));
            };
            let Some(value) = value else { return Some(self.leave(span)) };
            if before.is_empty() && after.is_empty() && rest.len() == text.len() {
                let kind = match value {
                    Scalar::Text(text) if text.len() > self.room => return Some(self.full(span)),
                    Scalar::Text(text) => Kind::Text(text.clone()),
                    Scalar::Int(number) => Kind::Int(*number),
                    Scalar::Bool(value) => Kind::Bool(*value),
                };
                self.room -= if let Kind::Text(text) = &kind { text.len() } else { 0 };
                return Some(kind);
            }
            filled.push_str(before);
            filled.push_str(&value.to_string());
            rest = after;
            if self.room < filled.len() {
                return Some(self.full(span));
            }
        }
        if rest.len() == text.len() {
            return None;
        }
        filled.push_str(rest);
        self.room = self.room.saturating_sub(filled.len());
        Some(Kind::Text(filled))
    }

    /// There is no room for more; what follows is not looked at either.
    fn full(&mut self, span: Span) -> Kind {
        let (one, all) = (FILE_MAX >> 20, LOAD_MAX >> 20);
        let message =
            format!("with its arguments a kit has at most {one} MiB, all kits have at most {all} MiB");
        self.findings.push(self.findings.at(Code::TooLarge, span, message));
        self.room = 0;
        self.leave(span)
    }

    fn leave(&mut self, span: Span) -> Kind {
        self.open.push(span.start);
        Kind::Open
    }

    fn undeclared(&mut self, name: &str, span: Span) {
        if self.findings.is_full() {
            return;
        }
        let known = self.values.keys().map(String::as_str);
        let help = match similar(name, known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "declare it under `args`".to_owned(),
        };
        let message = format!("this kit declares no argument {}", quoted(name));
        self.findings.push(self.findings.at(Code::Argument, span, message).help(help));
    }
}

/// The first `${{ args.NAME }}` of a text, `args.` being the prefix: what stands before it, the name, what follows.
fn next<'t>(text: &'t str, prefix: &str) -> Option<(&'t str, &'t str, &'t str)> {
    let mut from = 0;
    while let Some(found) = text[from..].find("${{") {
        let begin = from + found;
        let end = begin + text[begin..].find("}}")?;
        if let Some(name) = text[begin + 3..end].trim().strip_prefix(prefix) {
            return Some((&text[..begin], name, &text[end + 2..]));
        }
        from = begin + 3;
    }
    None
}

/// How our kits write the names of arguments.
pub(super) const OURS: &str = "args.";

/// The bytes of a kit's file with its arguments filled in, which are written with this prefix. Other expressions are the
/// file's own business.
pub(super) fn fill_file(bytes: Vec<u8>, prefix: &str, values: &Values) -> Vec<u8> {
    let Ok(text) = std::str::from_utf8(&bytes) else { return bytes };
    if values.is_empty() || !text.contains("${{") {
        return bytes;
    }
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, name, after)) = next(rest, prefix) {
        filled.push_str(before);
        match values.get(name) {
            Some(Some(value)) if filled.len() < FILE_MAX => filled.push_str(&value.to_string()),
            _ => filled.push_str(&rest[before.len()..rest.len() - after.len()]),
        }
        rest = after;
    }
    filled.push_str(rest);
    filled.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_keep_expressions_that_are_not_arguments() {
        let values = Values::from([("x".to_owned(), Some(Scalar::Int(3)))]);
        let text = "a ${{args.x}} ${{ args.y }} ${{ secrets.T }} ${{ args.x";
        let filled = |prefix: &str| String::from_utf8(fill_file(text.into(), prefix, &values)).unwrap();
        assert_eq!(filled(OURS), "a 3 ${{ args.y }} ${{ secrets.T }} ${{ args.x");
        assert_eq!(filled("kit.args."), text);
    }
}
