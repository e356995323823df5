//! Just enough of Rust's grammar to find paths: identifiers and punctuation, without comments and literals.

/// A token with its line, from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    pub text: String,
    pub line: usize,
}

/// The identifiers, `::` and other punctuation characters of `source`.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut lexer = Lexer { rest: source, line: 1, tokens: Vec::new() };
    while !lexer.rest.is_empty() {
        lexer.step();
    }
    lexer.tokens
}

struct Lexer<'a> {
    rest: &'a str,
    line: usize,
    tokens: Vec<Token>,
}

impl Lexer<'_> {
    fn step(&mut self) {
        let rest = self.rest;
        if rest.starts_with("//") {
            self.skip(rest.find('\n').unwrap_or(rest.len()));
        } else if rest.starts_with("/*") {
            self.skip(block_comment(rest));
        } else if let Some(length) = raw_string(rest) {
            self.skip(length);
        } else if let Some(prefix) = ["\"", "b\"", "c\""].into_iter().find(|prefix| rest.starts_with(*prefix))
        {
            self.skip(prefix.len() + quoted(&rest[prefix.len()..], '"'));
        } else if let Some(body) = rest.strip_prefix("b'") {
            self.skip(2 + quoted(body, '\''));
        } else if let Some(body) = rest.strip_prefix('\'') {
            self.skip(1 + char_or_lifetime(body));
        } else if rest.starts_with("::") {
            self.token(2);
        } else {
            let word = |character: char| character.is_alphanumeric() || character == '_';
            let length = rest.find(|character| !word(character)).unwrap_or(rest.len());
            match rest.chars().next() {
                Some(first) if length == 0 && first.is_whitespace() => self.skip(first.len_utf8()),
                Some(first) if length == 0 => self.token(first.len_utf8()),
                _ => self.token(length),
            }
        }
    }

    fn token(&mut self, length: usize) {
        self.tokens.push(Token { text: self.rest[..length].to_owned(), line: self.line });
        self.skip(length);
    }

    fn skip(&mut self, length: usize) {
        self.line += self.rest[..length].matches('\n').count();
        self.rest = &self.rest[length..];
    }
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0_u32, 0);
    while at < text.len() {
        if text[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if text[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += text[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

fn raw_string(text: &str) -> Option<usize> {
    let body = ["br", "cr", "r"].into_iter().find_map(|prefix| text.strip_prefix(prefix))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let content = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = content.find(&end).map_or(content.len(), |at| at + end.len());
    Some(text.len() - content.len() + length)
}

/// Length of what follows an opening quote, the closing one included.
fn quoted(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            found if found == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// What follows a `'`: the rest of a character literal, or nothing, for a lifetime's name is a token like others.
fn char_or_lifetime(text: &str) -> usize {
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (Some('\\'), _) => quoted(text, '\''),
        (Some(character), Some('\'')) => character.len_utf8() + 1,
        _ => 0,
    }
}

#[test]
fn literals_and_comments_hold_no_tokens() {
    let source = r####"a /* b /* c */ d */ "e \" f" r#"g " h"# 'i' '\'' b'\\' &'j k // l
m::n"####;
    let found: Vec<String> = tokens(source).into_iter().map(|token| token.text).collect();
    assert_eq!(found, ["a", "&", "j", "k", "m", "::", "n"]);
    assert_eq!(tokens(source).last().unwrap().line, 2);
}
