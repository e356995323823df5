//! Text as a YAML scalar that reads back as the same text.

use std::fmt::Write as _;

use crate::{
    kit::{
        scalar::{Plain, plain},
        tree::Kind,
    },
    model::text::drives,
};

/// `text` as it may stand in flow and block style: bare where nothing can misread it, else in double quotes.
#[must_use]
pub fn scalar(text: &str) -> String {
    if is_bare(text) { text.to_owned() } else { quoted(text) }
}

fn is_bare(text: &str) -> bool {
    // Words that readers of YAML 1.1 take for truth values.
    const TRUTH: [&str; 8] = ["y", "n", "yes", "no", "on", "off", "true", "false"];
    let inner = |sign: char| sign.is_ascii_alphanumeric() || " ./_+@^-".contains(sign);
    let begins = |sign: char| sign.is_ascii_alphanumeric() || sign == '.' || sign == '/';
    // Dates and numbers with underscores are text here and something else to other readers: no digit begins.
    let size = text.strip_suffix("iB").and_then(|text| text.strip_suffix(['K', 'M', 'G', 'T']));
    let is_size =
        size.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    text.starts_with(|sign: char| begins(sign) && (is_size || !sign.is_ascii_digit()))
        && text.chars().all(inner)
        && !text.ends_with(' ')
        && !TRUTH.contains(&text.to_ascii_lowercase().as_str())
        && matches!(plain(text), Plain::Is(Kind::Text(_)))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for sign in text.chars() {
        match sign {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            // Line breaks to YAML, what a file may not hold as it is, and what hides or reorders the rest.
            sign if drives(sign) => {
                let number = u32::from(sign);
                let _ = match number {
                    0..=0xffff => write!(quoted, "\\u{number:04x}"),
                    _ => write!(quoted, "\\U{number:08x}"),
                };
            }
            sign => quoted.push(sign),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::{parse, tree::Node};

    fn read_back(yaml: &str) -> Node {
        let (mut nodes, findings) = parse::documents("x", yaml.as_bytes());
        assert_eq!(findings.errors(), 0, "{yaml}");
        nodes.remove(0)
    }

    #[test]
    fn bare_where_nothing_can_misread_it() {
        for bare in ["npm ci", "shell", "a/b.c", "debian-12", "2GiB", ".", "./x", "/data", "@"] {
            assert_eq!(scalar(bare) == bare, bare != "@", "{bare}");
        }
        for quoted in [
            "", "yes", "No", "null", "~", "1", "1.5", "0x1", "a: b", "a #b", "-x", "a,b", "x ", "12:30",
            "\u{e9}",
        ] {
            assert_eq!(scalar(quoted), format!("\"{quoted}\""), "{quoted}");
        }
    }

    proptest::proptest! {
        #[test]
        fn every_text_reads_back(text in "\\PC{0,20}|[\\x00-\\u{2fff}]{0,20}") {
            let yaml = format!("{{k: {}, l: [{}]}}\n", scalar(&text), scalar(&text));
            let node = read_back(&yaml);
            proptest::prop_assert_eq!(node.get("k").unwrap().text(), Some(text.as_str()));
        }
    }
}
