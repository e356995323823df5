//! Words of a grant's text: separated by one space, in quotes where they hold anything but letters, digits and plain
//! signs, so that no name or path can pass for two words, or show as something else.

use std::fmt;

/// Writes one word.
pub(super) fn write(word: &str, out: &mut impl fmt::Write) -> fmt::Result {
    if !word.is_empty() && word.chars().all(is_plain) {
        return out.write_str(word);
    }
    out.write_char('"')?;
    for sign in word.chars() {
        match sign {
            '"' | '\\' => write!(out, "\\{sign}")?,
            ' ' => out.write_char(' ')?,
            sign if is_plain(sign) => out.write_char(sign)?,
            sign => write!(out, "{}", sign.escape_unicode())?,
        }
    }
    out.write_char('"')
}

fn is_plain(sign: char) -> bool {
    sign == '→' || sign.is_alphanumeric() || (sign.is_ascii_graphic() && !matches!(sign, '"' | '\\'))
}

/// Splits a text into its words. `None` where it is not of this form.
pub(super) fn split(text: &str) -> Option<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        let mut word = String::new();
        if rest.next_if_eq(&'"').is_some() {
            quoted(&mut rest, &mut word)?;
        } else {
            while let Some(sign) = rest.next_if(|sign| *sign != ' ') {
                word.push(Some(sign).filter(|sign| is_plain(*sign))?);
            }
            if word.is_empty() {
                return None;
            }
        }
        words.push(word);
        match rest.next() {
            None => return Some(words),
            Some(' ') => {}
            Some(_) => return None,
        }
    }
}

fn quoted(rest: &mut impl Iterator<Item = char>, word: &mut String) -> Option<()> {
    loop {
        match rest.next()? {
            '"' => return Some(()),
            '\\' => match rest.next()? {
                sign @ ('"' | '\\') => word.push(sign),
                'u' => word.push(escaped(rest)?),
                _ => return None,
            },
            sign => word.push(sign),
        }
    }
}

fn escaped(rest: &mut impl Iterator<Item = char>) -> Option<char> {
    if rest.next()? != '{' {
        return None;
    }
    let mut digits = String::new();
    loop {
        match rest.next()? {
            '}' => break,
            digit if digit.is_ascii_hexdigit() && digits.len() < 6 => digits.push(digit),
            _ => return None,
        }
    }
    u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
}
