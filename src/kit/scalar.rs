//! What a plain (unquoted) scalar means: YAML 1.2.2, section 10.3 (core schema), and nothing of YAML 1.1.

use super::tree::Kind;

/// A plain scalar, read.
#[derive(Debug, PartialEq)]
pub(super) enum Plain {
    /// It means this.
    Is(Kind),
    /// Digits after a leading zero: octal to readers of YAML 1.1, decimal to those of 1.2.
    LeadingZero,
}

/// Reads a plain scalar.
pub(super) fn plain(text: &str) -> Plain {
    Plain::Is(match text {
        "" | "~" | "null" | "Null" | "NULL" => Kind::Null,
        "true" | "True" | "TRUE" => Kind::Bool(true),
        "false" | "False" | "FALSE" => Kind::Bool(false),
        _ if has_leading_zero(text) => return Plain::LeadingZero,
        _ => number(text).unwrap_or_else(|| Kind::Text(text.to_owned())),
    })
}

fn unsigned(text: &str) -> &str {
    text.strip_prefix(['-', '+']).unwrap_or(text)
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn has_leading_zero(text: &str) -> bool {
    let text = unsigned(text);
    text.len() > 1 && text.starts_with('0') && digits(text)
}

fn number(text: &str) -> Option<Kind> {
    let first = unsigned(text).bytes().next()?;
    if !first.is_ascii_digit() && first != b'.' {
        return None;
    }
    let radix = |prefix: &str, radix| {
        let digits = text.strip_prefix(prefix).filter(|digits| !digits.starts_with(['+', '-']));
        digits.and_then(|digits| i64::from_str_radix(digits, radix).ok())
    };
    if let Some(number) = radix("0x", 16).or_else(|| radix("0o", 8)) {
        return Some(Kind::Int(number));
    }
    if digits(unsigned(text)) {
        // Beyond 64 bits it stays a number, so that the message speaks of one.
        return text.parse().map(Kind::Int).or_else(|_| text.parse().map(Kind::Float)).ok();
    }
    match unsigned(text) {
        ".inf" | ".Inf" | ".INF" => {
            Some(Kind::Float(if text.starts_with('-') { f64::NEG_INFINITY } else { f64::INFINITY }))
        }
        ".nan" | ".NaN" | ".NAN" if unsigned(text) == text => Some(Kind::Float(f64::NAN)),
        body if is_float(body) => text.parse().map(Kind::Float).ok(),
        _ => None,
    }
}

/// `( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )?`
fn is_float(body: &str) -> bool {
    let (mantissa, exponent) = body.split_once(['e', 'E']).map_or((body, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let any_digit = !whole.is_empty() || !fraction.is_empty();
    all_digits && any_digit && exponent.is_none_or(|exponent| digits(unsigned(exponent)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_core_schema_and_no_more() {
        let text = |text: &str| Kind::Text(text.to_owned());
        for (written, kind) in [
            ("~", Kind::Null),
            ("true", Kind::Bool(true)),
            ("yes", text("yes")),
            ("on", text("on")),
            ("0", Kind::Int(0)),
            ("-12", Kind::Int(-12)),
            ("0x1F", Kind::Int(31)),
            ("0o17", Kind::Int(15)),
            ("1_000", text("1_000")),
            ("12:30", text("12:30")),
            ("1.5", Kind::Float(1.5)),
            (".5e3", Kind::Float(500.0)),
            ("-.inf", Kind::Float(f64::NEG_INFINITY)),
            ("99999999999999999999", Kind::Float(1e20)),
            ("2.1.271", text("2.1.271")),
            ("8GiB", text("8GiB")),
            ("1e", text("1e")),
            (".", text(".")),
            ("-", text("-")),
            ("0x", text("0x")),
            ("0x-1", text("0x-1")),
        ] {
            assert_eq!(plain(written), Plain::Is(kind), "{written}");
        }
        for written in ["0644", "007", "-01", "00"] {
            assert_eq!(plain(written), Plain::LeadingZero, "{written}");
        }
    }
}
