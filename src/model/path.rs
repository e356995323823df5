//! Request paths in one spelling. Path rules are matched on it, and it is what is forwarded, so that origin and rule
//! see the same bytes.

/// The canonical form of an origin-form path without its query: percent-encoding only where RFC 3986 demands it,
/// upper-case hexadecimal digits. `None` when an origin may read it in more than one way (dot segments, encoded
/// or doubled slashes, backslashes, parameters, control bytes, double encoding, broken UTF-8): such a path never
/// matches an allow with paths, and always matches a deny with paths.
#[must_use]
pub fn canonical(path: &str) -> Option<String> {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return None;
    }
    let mut canonical = String::with_capacity(bytes.len());
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while let Some(&byte) = bytes.get(index) {
        if byte == b'%' {
            let value = hexadecimal(bytes.get(index + 1..index + 3)?)?;
            // A byte that would change the structure of the path.
            if matches!(value, b'/' | b'\\' | b';' | 0..=0x1f | 0x7f) {
                return None;
            }
            if is_unreserved(value) {
                canonical.push(char::from(value));
            } else {
                canonical.push_str(&format!("%{value:02X}"));
            }
            decoded.push(value);
            index += 3;
        } else {
            if matches!(byte, b'\\' | b';') || !byte.is_ascii_graphic() {
                return None;
            }
            canonical.push(char::from(byte));
            decoded.push(byte);
            index += 1;
        }
    }
    // A percent sign before two digits, however each of the three was written, would be decoded a second time.
    if decoded.windows(3).any(|part| part[0] == b'%' && hexadecimal(&part[1..]).is_some()) {
        return None;
    }
    let decoded = std::str::from_utf8(&decoded).ok()?;
    let mut segments = decoded[1..].split('/').peekable();
    while let Some(segment) = segments.next() {
        let doubled_slash = segment.is_empty() && segments.peek().is_some();
        // Some origins drop trailing dots and spaces; this covers `.` and `..`.
        if doubled_slash || segment.ends_with(['.', ' ']) {
            return None;
        }
    }
    Some(canonical)
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    if digits.len() != 2 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d14_ambiguous_paths_have_no_canonical_form() {
        for path in [
            "",
            "a",
            "*",
            "/..",
            "/.",
            "/a/../b",
            "/a/./b",
            "/%2e%2e/b",
            "/%2E./b",
            "/.%2e",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a\\b",
            "/a//b",
            "//a",
            "/a;x=1",
            "/a%3bx",
            "/a%00",
            "/a%0d%0a",
            "/a%7f",
            "/%252e%252e/",
            "/a%252fb",
            "/a%25%32fb",
            "/a%252%66b",
            "/%25%32%65%25%32%65/b",
            "/%c0%af",
            "/%e0%80%af",
            "/a.",
            "/a%20",
            "/a./b",
            "/a%2e/b",
            "/a%",
            "/a%2",
            "/a%zz",
            "/a b",
            "/ä",
        ] {
            assert_eq!(canonical(path), None, "{path:?}");
        }
    }

    proptest::proptest! {
        // Found by fuzzing: an encoded percent sign before encoded digits became a second encoding.
        #[test]
        fn d14_what_is_canonical_stays_so(path in "/(%25|%3[0-9]|%4[1-6]|[0-9a-f/.%]){0,12}") {
            let once = canonical(&path);
            proptest::prop_assert_eq!(once.as_deref().and_then(canonical), once);
        }
    }

    #[test]
    fn equal_paths_have_one_form() {
        for (path, expected) in [
            ("/", "/"),
            ("/v1/messages", "/v1/messages"),
            ("/v1/", "/v1/"),
            ("/%41%2d%7e", "/A-~"),
            ("/a%c3%a4", "/a%C3%A4"),
            ("/@scope/x", "/@scope/x"),
            ("/100%25", "/100%25"),
            ("/a.b/c", "/a.b/c"),
        ] {
            assert_eq!(canonical(path).as_deref(), Some(expected), "{path}");
            assert_eq!(canonical(expected).as_deref(), Some(expected), "canonical twice: {expected}");
        }
    }
}
