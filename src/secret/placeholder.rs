//! What stands for a secret in the guest: a random text of the form that clients expect of a key.

use std::fmt::Write;

/// Longest placeholder, in bytes; real keys are shorter.
const LENGTH_MAX: usize = 512;

/// Random characters that a placeholder has at least: 64 bits, so that nobody guesses or meets one by chance.
const RANDOM_MIN: usize = 16;

const ALNUM: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// Why a form gives no placeholder.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// A brace that begins or ends nothing.
    #[error("`{0}` in a placeholder's form is not understood; write {{alnum:N}} or {{hex:N}}")]
    Field(String),
    /// A character that no header or variable should hold.
    #[error("a placeholder's form has printable ASCII without spaces, quotes and backslashes only")]
    Character,
    /// Too long.
    #[error("a placeholder has at most {LENGTH_MAX} bytes")]
    TooLong,
    /// Too easily guessed.
    #[error(
        "a placeholder needs at least {RANDOM_MIN} random characters, this form has {0}; write more in {{alnum:N}}"
    )]
    TooPlain(usize),
    /// The kernel gave no random number.
    #[error("the kernel gave no random number: {0}")]
    Random(getrandom::Error),
}

enum Piece<'a> {
    Text(&'a str),
    Random(&'static [u8], usize),
}

/// Checks a form such as `ghu_{alnum:36}` without making a placeholder of it.
///
/// # Errors
/// What is wrong with it.
pub fn check(form: &str) -> Result<(), FormError> {
    parse(form).map(drop)
}

/// Makes a placeholder of `form`; each call gives another.
///
/// # Errors
/// What is wrong with the form.
pub fn generate(form: &str) -> Result<String, FormError> {
    let mut placeholder = String::new();
    for piece in parse(form)? {
        match piece {
            Piece::Text(text) => placeholder.push_str(text),
            Piece::Random(alphabet, count) => {
                for _ in 0..count {
                    placeholder.push(pick(alphabet)?);
                }
            }
        }
    }
    Ok(placeholder)
}

/// Whether `placeholder` could have been made of `form`.
#[must_use]
pub fn fits(form: &str, placeholder: &str) -> bool {
    let Ok(pieces) = parse(form) else { return false };
    let mut rest = placeholder.as_bytes();
    for piece in pieces {
        let after = match piece {
            Piece::Text(text) => rest.strip_prefix(text.as_bytes()),
            Piece::Random(alphabet, count) => rest
                .split_at_checked(count)
                .filter(|(random, _)| random.iter().all(|byte| alphabet.contains(byte)))
                .map(|(_, after)| after),
        };
        let Some(after) = after else { return false };
        rest = after;
    }
    rest.is_empty()
}

fn parse(form: &str) -> Result<Vec<Piece<'_>>, FormError> {
    if !form.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\`$".contains(&byte)) {
        return Err(FormError::Character);
    }
    let (mut pieces, mut rest) = (Vec::new(), form);
    let (mut length, mut random) = (0, 0_usize);
    while !rest.is_empty() && length <= LENGTH_MAX {
        let end = rest.find(['{', '}']).unwrap_or(rest.len());
        let (text, from_brace) = rest.split_at(end);
        if !text.is_empty() {
            pieces.push(Piece::Text(text));
            length += text.len();
        }
        rest = from_brace;
        if let Some(start) = from_brace.chars().next() {
            let end = from_brace.find('}').map_or(from_brace.len(), |end| end + 1);
            let (field, after) = from_brace.split_at(end);
            let (alphabet, count) =
                read_field(field).filter(|_| start == '{').ok_or_else(|| shorten(field))?;
            pieces.push(Piece::Random(alphabet, count));
            (length, random, rest) = (length + count, random + count, after);
        }
    }
    if length > LENGTH_MAX {
        return Err(FormError::TooLong);
    }
    if random < RANDOM_MIN { Err(FormError::TooPlain(random)) } else { Ok(pieces) }
}

fn read_field(field: &str) -> Option<(&'static [u8], usize)> {
    let (kind, count) = field.strip_prefix('{')?.strip_suffix('}')?.split_once(':')?;
    let alphabet: &'static [u8] = match kind {
        "alnum" => ALNUM,
        "hex" => HEX,
        _ => return None,
    };
    let digits = (1..=3).contains(&count.len()) && count.bytes().all(|byte| byte.is_ascii_digit());
    let count = count.parse().ok().filter(|count| digits && *count > 0)?;
    Some((alphabet, count))
}

fn shorten(field: &str) -> FormError {
    FormError::Field(field.chars().take(40).collect())
}

/// One character, all equally likely: bytes beyond the last whole multiple are drawn again.
fn pick(alphabet: &[u8]) -> Result<char, FormError> {
    let fair = 256 - 256 % alphabet.len();
    loop {
        let mut byte = [0];
        getrandom::fill(&mut byte).map_err(FormError::Random)?;
        let index = usize::from(byte[0]);
        if index < fair {
            return Ok(char::from(alphabet[index % alphabet.len()]));
        }
    }
}

/// The form of a placeholder for a secret of which no more is known than its name.
#[must_use]
pub fn default_form(name: &str) -> String {
    let mut form = String::from("cofferdam_");
    for character in name.chars().filter(char::is_ascii_alphanumeric).take(32) {
        let _ = write!(form, "{}", character.to_ascii_lowercase());
    }
    form + "_{alnum:32}"
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_placeholder_has_its_form_and_comes_once() {
        let made: std::collections::BTreeSet<_> =
            (0..500).map(|_| generate("ghu_{alnum:36}").unwrap()).collect();
        assert_eq!(made.len(), 500);
        for placeholder in &made {
            let random = placeholder.strip_prefix("ghu_").unwrap();
            assert!(random.len() == 36 && random.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        }
        let hex = generate("sk-{hex:16}-x{hex:4}").unwrap();
        assert_eq!((hex.len(), &hex[..3], &hex[19..21]), (25, "sk-", "-x"));
        assert!(generate(&default_form("staging key/1")).unwrap().starts_with("cofferdam_stagingkey1_"));
    }

    #[test]
    fn every_character_of_an_alphabet_is_met() {
        let met: std::collections::BTreeSet<_> =
            (0..40).flat_map(|_| generate("{alnum:512}").unwrap().into_bytes()).collect();
        assert_eq!(met.len(), ALNUM.len());
    }

    #[test]
    fn bad_forms_are_refused() {
        let field = |text: &str| Err(FormError::Field(text.to_owned()));
        for (form, expected) in [
            ("{alnum:16}", Ok(())),
            ("", Err(FormError::TooPlain(0))),
            ("plain", Err(FormError::TooPlain(0))),
            ("{alnum:15}", Err(FormError::TooPlain(15))),
            ("{alnum:0}{hex:16}", field("{alnum:0}")),
            ("{alnum:+9}{hex:16}", field("{alnum:+9}")),
            ("{alnum:9999}", field("{alnum:9999}")),
            ("{alnum}", field("{alnum}")),
            ("{base64:32}", field("{base64:32}")),
            ("{hex:32", field("{hex:32")),
            ("{{hex:32}}", field("{{hex:32}")),
            ("{hex:32}}", field("}")),
            ("{alnum:513}", Err(FormError::TooLong)),
            ("{hex:32}\r\nX: y", Err(FormError::Character)),
            ("{hex:32} ", Err(FormError::Character)),
            ("{hex:32}$HOME", Err(FormError::Character)),
            ("ü{hex:32}", Err(FormError::Character)),
        ] {
            assert_eq!(check(form), expected, "{form}");
        }
    }

    #[test]
    fn a_placeholder_fits_its_own_form_and_no_other() {
        let made = generate("ghu_{alnum:36}").unwrap();
        assert!(fits("ghu_{alnum:36}", &made));
        for other in
            ["ghu_{alnum:35}", "ghu_{alnum:37}", "gho_{alnum:36}", "{alnum:40}x", "ghu_{hex:36}", "x"]
        {
            assert!(!fits(other, &made), "{other} {made}");
        }
    }

    proptest! {
        #[test]
        fn a_placeholder_is_bounded_and_fit_for_a_header(form in "[a-z{}:0-9]{0,40}|\\PC{0,40}") {
            if let Ok(placeholder) = generate(&form) {
                prop_assert!(placeholder.len() <= LENGTH_MAX);
                prop_assert!(placeholder.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
