//! Text of others, made harmless where a person reads it. A guest, a repository's file, a server or a program of the host
//! chose it, so it may try to move the cursor, reorder what is shown, or hide in it.

use std::borrow::Cow;

/// Whether a character drives what shows it in place of being shown: C0, DEL and C1 controls; separators of lines and
/// paragraphs; bidirectional controls, which reorder; soft hyphens, fillers, zero-width characters, variation selectors and
/// tags, which hide. Commands to the runner of a workflow, which are several characters, are the business of [`visible`].
#[must_use]
pub const fn drives(sign: char) -> bool {
    matches!(sign,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}'
        | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// `1 problem`, `2 problems`.
#[must_use]
pub fn counted(number: usize, word: &str) -> String {
    format!("{number} {word}{}", if number == 1 { "" } else { "s" })
}

/// On one line, with every such character written as `\n`, `\t`, `\u{…}`.
#[must_use]
pub fn visible(text: &str) -> Cow<'_, str> {
    escape(text, drives)
}

/// As [`visible`], but lines stay lines.
#[must_use]
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escape(text, |sign| sign != '\n' && drives(sign))
}

/// As [`visible`], but tabs stay tabs: a line of a program's output.
#[must_use]
pub fn visible_columns(line: &str) -> Cow<'_, str> {
    escape(line, |sign| sign != '\t' && drives(sign))
}

/// Begins a command to the runner of a workflow, anywhere in a line of its log.
const RUNNER: &str = "##[";

fn escape(text: &str, hostile: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(&hostile) && !text.contains(RUNNER) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for sign in text.chars() {
        if hostile(sign) {
            shown.extend(sign.escape_default());
        } else if sign == '[' && shown.ends_with("##") {
            shown.extend(sign.escape_unicode());
        } else {
            shown.push(sign);
        }
    }
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_drives_a_terminal_is_written_out() {
        for (text, shown) in [
            ("plain ä 漢 …→", "plain ä 漢 …→"),
            ("\x1b[2Ja", "\\u{1b}[2Ja"),
            ("a\r\nb\tc", "a\\r\\nb\\tc"),
            ("\u{202e}txt.exe", "\\u{202e}txt.exe"),
            ("a\u{200d}b\u{e0041}", "a\\u{200d}b\\u{e0041}"),
            ("see ##[stop-commands]x #[1]", "see ##\\u{5b}stop-commands]x #[1]"),
            ("\u{85}\u{9b}31m", "\\u{85}\\u{9b}31m"),
        ] {
            assert_eq!(visible(text), shown);
        }
        assert_eq!(visible_lines("a\nb\tc"), "a\nb\\tc");
        assert_eq!(visible_columns("a\nb\tc"), "a\\nb\tc");
        assert!((0..=0x0010_ffff).filter_map(char::from_u32).filter(|sign| sign.is_control()).all(drives));
    }
}
