//! What a file brought, made harmless for where it is shown.

use std::fmt::Write as _;

use crate::model::text::visible;

/// The first `max` characters, and a sign that there were more.
pub(super) fn short(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// Text within Markdown prose: nothing of it is markup, a mention, a reference or a link. Everything but letters,
/// digits, spaces and a few signs becomes a character reference, which no Markdown reads as markup; signs that join
/// words to links (`.`, `:`, `/`, `@`, `#`) among them.
pub(super) fn prose(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() * 2);
    for sign in visible(text).chars() {
        match sign {
            // `www.` and `http` begin a link only with the signs that are escaped; a lone word begins none.
            ' ' | ',' | ';' | '…' | '→' => escaped.push(sign),
            sign if sign.is_alphanumeric() => escaped.push(sign),
            sign => {
                let _ = write!(escaped, "&#{};", u32::from(sign));
            }
        }
    }
    escaped
}

/// Text in a `code` element of HTML, which Markdown leaves alone but for references and what looks like a line of
/// its own.
pub(super) fn code(text: &str) -> String {
    format!("<code>{}</code>", prose(text))
}
