//! JSON with comments and trailing commas, as editors' files are written, to the same [`Node`]s as YAML.
//!
//! Strict otherwise: a key twice, a lone surrogate, a bare word, a second value are errors with their place. The
//! first error ends the file, because what follows it cannot be trusted.

use crate::kit::{
    findings::Findings,
    parse,
    problem::{Code, Problem, Source, Span, quoted},
    tree::{Key, Kind, Node},
};

/// Longest file, in bytes; those that people write have a few thousand.
const FILE_MAX: usize = 1 << 20;
/// Deepest nesting; the formats that are read here need 6.
const DEPTH_MAX: usize = 32;
/// Most values and keys together.
const NODES_MAX: usize = 50_000;

/// The value in a file, or what is wrong with it.
pub(super) fn read(name: &str, bytes: &[u8]) -> Result<(Node, Findings), Vec<Problem>> {
    if bytes.len() > FILE_MAX {
        let findings = Findings::new(Source::new(name, ""));
        let message = format!("a file of this sort has at most {} MiB, this one is larger", FILE_MAX >> 20);
        return Err(vec![findings.at(Code::TooLarge, parse::place("", 0), message)]);
    }
    let text = parse::decode(name, bytes).map_err(|findings| findings.into_parts().0)?;
    let findings = Findings::new(Source::new(name, text));
    let mut reader = Reader { text, at: 0, line: 1, column: 1, nodes: 0, findings: &findings };
    match reader.document() {
        Ok(node) => Ok((node, findings)),
        Err(problem) => Err(vec![*problem]),
    }
}

type Step<T> = Result<T, Box<Problem>>;

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    column: u32,
    nodes: usize,
    findings: &'a Findings,
}

impl Reader<'_> {
    fn document(&mut self) -> Step<Node> {
        self.space()?;
        let node = self.value(0)?;
        self.space()?;
        match self.peek() {
            None => Ok(node),
            Some(_) => self.fail("something follows the end of the value", "remove it"),
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let sign = self.peek()?;
        self.at += sign.len_utf8();
        if sign == '\n' {
            (self.line, self.column) = (self.line + 1, 1);
        } else {
            self.column += 1;
        }
        Some(sign)
    }

    fn takes(&mut self, word: &str) -> bool {
        let there = self.text[self.at..].starts_with(word);
        if there {
            for _ in word.chars() {
                self.next();
            }
        }
        there
    }

    fn here(&self) -> Span {
        let start = u32::try_from(self.at).unwrap_or(u32::MAX);
        Span { start, end: start, line: self.line, column: self.column }
    }

    fn since(&self, begin: Span) -> Span {
        Span { end: u32::try_from(self.at).unwrap_or(u32::MAX), ..begin }
    }

    fn fail<T>(&self, message: impl Into<String>, help: &str) -> Step<T> {
        self.fail_at(self.here(), Code::Syntax, message, help)
    }

    fn fail_at<T>(&self, span: Span, code: Code, message: impl Into<String>, help: &str) -> Step<T> {
        Err(Box::new(self.findings.at(code, span, message).help(help)))
    }

    /// Spaces and comments.
    fn space(&mut self) -> Step<()> {
        loop {
            let begin = self.here();
            if self.takes("//") {
                while self.peek().is_some_and(|sign| sign != '\n') {
                    self.next();
                }
            } else if self.takes("/*") {
                while !self.takes("*/") {
                    if self.next().is_none() {
                        return self.fail_at(begin, Code::Syntax, "this comment does not end", "add `*/`");
                    }
                }
            } else if self.peek().is_some_and(|sign| matches!(sign, ' ' | '\t' | '\r' | '\n')) {
                self.next();
            } else {
                return Ok(());
            }
        }
    }

    fn value(&mut self, depth: usize) -> Step<Node> {
        let begin = self.here();
        self.nodes += 1;
        if depth > DEPTH_MAX || self.nodes > NODES_MAX {
            let message = "the file is deeper or longer than any of its sort";
            return self.fail_at(begin, Code::TooLarge, message, "take out what is not needed");
        }
        let kind = match self.peek() {
            Some('{') => self.map(depth)?,
            Some('[') => self.list(depth)?,
            Some('"') => Kind::Text(self.string()?),
            Some('-' | '0'..='9') => self.number()?,
            _ if self.takes("true") => Kind::Bool(true),
            _ if self.takes("false") => Kind::Bool(false),
            _ if self.takes("null") => Kind::Null,
            Some(_) => return self.fail("no value begins like this", "text stands in double quotes"),
            None => return self.fail("the file ends where a value should be", "complete it"),
        };
        if self.peek().is_some_and(|sign| sign.is_alphanumeric() || sign == '_') {
            return self.fail("something follows a value directly", "separate values with commas");
        }
        Ok(Node { span: self.since(begin), kind })
    }

    /// After an entry: `,` and perhaps the end, or the end. True where another entry follows.
    fn goes_on(&mut self, close: &str) -> Step<bool> {
        self.space()?;
        let comma = self.takes(",");
        self.space()?;
        if self.takes(close) {
            return Ok(false);
        }
        if comma { Ok(true) } else { self.fail(format!("`,` or `{close}` is missing"), "add it") }
    }

    fn list(&mut self, depth: usize) -> Step<Kind> {
        let mut items = Vec::new();
        self.next();
        self.space()?;
        let mut more = !self.takes("]");
        while more {
            items.push(self.value(depth + 1)?);
            more = self.goes_on("]")?;
        }
        Ok(Kind::List(items))
    }

    fn map(&mut self, depth: usize) -> Step<Kind> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        self.next();
        self.space()?;
        let mut more = !self.takes("}");
        while more {
            let begin = self.here();
            if self.peek() != Some('"') {
                return self.fail("a key in double quotes is missing", "write \"key\": value");
            }
            let key = Key { text: self.string()?, span: self.since(begin) };
            if !seen.insert(key.text.clone()) {
                let message = format!("the key {} stands here a second time", quoted(&key.text));
                return self.fail_at(key.span, Code::DuplicateKey, message, "remove one of them");
            }
            self.space()?;
            if !self.takes(":") {
                return self.fail("`:` is missing after a key", "add it");
            }
            self.space()?;
            entries.push((key, self.value(depth + 1)?));
            more = self.goes_on("}")?;
        }
        Ok(Kind::Map(entries))
    }

    fn number(&mut self) -> Step<Kind> {
        let begin = self.here();
        let from = self.at;
        while self.peek().is_some_and(|sign| sign.is_ascii_alphanumeric() || matches!(sign, '+' | '-' | '.'))
        {
            self.next();
        }
        let text = &self.text[from..self.at];
        // serde_json knows the grammar of a number; what it takes here is one, for it has no space and no bracket.
        match serde_json::from_str::<serde_json::Number>(text) {
            Ok(number) => {
                Ok(number.as_i64().map_or(Kind::Float(number.as_f64().unwrap_or(f64::NAN)), Kind::Int))
            }
            Err(_) => self.fail_at(begin, Code::Syntax, format!("{} is no number", quoted(text)), "quote it"),
        }
    }

    fn string(&mut self) -> Step<String> {
        let begin = self.here();
        let from = self.at;
        self.next();
        loop {
            match self.next() {
                Some('"') => break,
                Some('\\') => {
                    self.next();
                }
                Some('\n') | None => {
                    return self.fail_at(begin, Code::Syntax, "this text has no closing quote", "add it");
                }
                Some(_) => {}
            }
        }
        // Escapes are serde_json's business: it refuses what is none, and lone surrogates.
        serde_json::from_str(&self.text[from..self.at]).or_else(|_| {
            self.fail_at(begin, Code::Syntax, "this text has a wrong escape", "write \\\\ for a backslash")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::meter::measure;

    fn json(node: &Node) -> serde_json::Value {
        match &node.kind {
            Kind::Null | Kind::Open => serde_json::Value::Null,
            Kind::Bool(value) => (*value).into(),
            Kind::Int(value) => (*value).into(),
            Kind::Float(value) => (*value).into(),
            Kind::Text(value) => value.as_str().into(),
            Kind::List(items) => items.iter().map(json).collect(),
            Kind::Map(entries) => entries.iter().map(|(key, node)| (key.text.clone(), json(node))).collect(),
        }
    }

    #[test]
    fn json_of_editors_is_read() {
        let text = "\u{feff}// head\n{\n  /* a */ \"a\": [1, -2.5, true, null,], // tail\n  \"b\\u00e9\": \"x\\n\\ud83d\\ude00\",\n}\n";
        let (node, _) = read("x", text.as_bytes()).unwrap();
        let expected = serde_json::json!({"a": [1, -2.5, true, null], "b\u{e9}": "x\n\u{1f600}"});
        assert_eq!(json(&node), expected);
        let (key, value) = node.entry("b\u{e9}").unwrap();
        assert_eq!((key.span.line, key.span.column, value.span.column), (4, 3, 14));
    }

    #[test]
    fn plain_json_means_what_it_means_elsewhere() {
        for text in ["{}", "[]", "[[],{}]", "\"\"", "0", "-0", "1e3", "[1,2]", "{\"a\":{\"b\":[null]}}"] {
            let elsewhere: serde_json::Value = serde_json::from_str(text).unwrap();
            let (node, _) = read("x", text.as_bytes()).unwrap();
            assert_eq!(
                json(&node).to_string().replace("1000.0", "1e3"),
                elsewhere.to_string().replace("1000.0", "1e3")
            );
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (text, place, message) in [
            ("", (1, 1), "the file ends where a value should be"),
            ("{\n \"a\" 1}", (2, 6), "`:` is missing after a key"),
            ("{\"a\": 1 \"b\": 2}", (1, 9), "`,` or `}` is missing"),
            ("[1,,2]", (1, 4), "no value begins like this"),
            ("{\"a\":1,\n\"a\":2}", (2, 1), "the key `a` stands here a second time"),
            ("{a: 1}", (1, 2), "a key in double quotes is missing"),
            ("\"x\ny\"", (1, 1), "this text has no closing quote"),
            ("\"\\ud800\"", (1, 1), "this text has a wrong escape"),
            ("\"\\x\"", (1, 1), "this text has a wrong escape"),
            ("01", (1, 1), "`01` is no number"),
            ("/* x", (1, 1), "this comment does not end"),
            ("1 2", (1, 3), "something follows the end of the value"),
            ("nullx", (1, 5), "something follows a value directly"),
        ] {
            let problems = read("x", text.as_bytes()).unwrap_err();
            let problem = &problems[0];
            assert_eq!(
                ((problem.line(), problem.column()), problem.message.as_str()),
                (place, message),
                "{text}"
            );
        }
    }

    #[test]
    fn hostile_bytes_are_bounded() {
        for bytes in [
            "[".repeat(1 << 19),
            "{\"a\":".repeat(100_000),
            "1,".repeat(1 << 19),
            format!("[{}]", "1,".repeat(200_000)),
            "/*".repeat(1 << 19),
            "\"".repeat(1 << 19) + "x",
            "#".repeat(FILE_MAX + 1),
            "\u{1b}[2J".to_owned(),
            format!("{{{}}}", (0..40_000).map(|n| format!("\"{n}\":{n},")).collect::<String>() + "\"0\":1"),
        ] {
            let (read, cost) = measure(|| read("x", bytes.as_bytes()));
            assert!(read.is_err());
            let small = cost.asked <= (1 << 20) + 256 * bytes.len() as u64 && cost.cpu.as_secs() < 5;
            assert!(small, "{cost:?} for {} bytes", bytes.len());
        }
        assert!(read("x", b"\xff").is_err());
    }
}
