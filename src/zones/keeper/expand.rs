//! Expressions that only the keeper can answer: `${{ secrets.NAME.placeholder }}` and its last twenty characters,
//! `${{ secrets.NAME.placeholder.last20 }}` (some clients keep only those). A placeholder is no secret.

use std::collections::BTreeMap;

const OPEN: &str = "${{";
const CLOSE: &str = "}}";
/// Characters of `last20`.
const LAST: usize = 20;

/// `text` with every known expression answered; one that names no secret of the sandbox stays as it stands.
pub(super) fn expand(text: &str, placeholders: &BTreeMap<String, String>) -> String {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        let (before, from) = rest.split_at(at);
        expanded.push_str(before);
        let inner = &from[OPEN.len()..];
        let known = inner
            .find(CLOSE)
            .and_then(|end| Some((answer(inner[..end].trim(), placeholders)?, &inner[end + CLOSE.len()..])));
        match known {
            Some((value, after)) => {
                expanded.push_str(&value);
                rest = after;
            }
            None => {
                expanded.push_str(OPEN);
                rest = inner;
            }
        }
    }
    expanded.push_str(rest);
    expanded
}

/// As [`expand`] for a file's bytes; bytes that are no text hold no expression.
pub(super) fn expand_bytes(bytes: &[u8], placeholders: &BTreeMap<String, String>) -> Vec<u8> {
    match std::str::from_utf8(bytes) {
        Ok(text) => expand(text, placeholders).into_bytes(),
        Err(_) => bytes.to_vec(),
    }
}

fn answer(expression: &str, placeholders: &BTreeMap<String, String>) -> Option<String> {
    let path = expression.strip_prefix("secrets.")?;
    let (name, last) = match path.strip_suffix(".last20") {
        Some(path) => (path.strip_suffix(".placeholder").unwrap_or(path), true),
        None => (path.strip_suffix(".placeholder")?, false),
    };
    let placeholder = placeholders.get(name)?;
    if !last {
        return Some(placeholder.clone());
    }
    let skipped = placeholder.chars().count().saturating_sub(LAST);
    Some(placeholder.chars().skip(skipped).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_put_in_and_everything_else_stays() {
        let known = BTreeMap::from([
            ("github".to_owned(), "ghu_0123456789abcdefghijABCDEFGHIJ".to_owned()),
            ("short".to_owned(), "abc".to_owned()),
        ]);
        for (text, expected) in [
            ("plain", "plain"),
            ("a ${{ secrets.short.placeholder }} b", "a abc b"),
            ("${{secrets.short.placeholder}}${{ secrets.short.placeholder }}", "abcabc"),
            ("${{ secrets.github.placeholder.last20 }}", "abcdefghijABCDEFGHIJ"),
            ("${{ secrets.github.last20 }}", "abcdefghijABCDEFGHIJ"),
            ("${{ secrets.short.last20 }}", "abc"),
            ("${{ secrets.other.placeholder }}", "${{ secrets.other.placeholder }}"),
            ("${{ task.prompt }} ${{ secrets.short.placeholder }}", "${{ task.prompt }} abc"),
            ("${{ secrets.short.placeholder", "${{ secrets.short.placeholder"),
            ("${{ ${{ secrets.short.placeholder }}", "${{ abc"),
        ] {
            assert_eq!(expand(text, &known), expected, "{text}");
        }
        assert_eq!(expand_bytes(b"\xff${{ secrets.short.placeholder }}", &known)[0], 0xff);
    }
}
