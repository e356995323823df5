//! Path patterns: segments, `*` inside a segment for any text, `**` as a segment for any number of segments.

/// A path pattern, split once. Matching takes time in the product of the lengths, never more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathGlob {
    segments: Vec<String>,
    ignore_case: bool,
}

impl PathGlob {
    /// From `/v1/**`. A deny ignores case, because some origins do.
    #[must_use]
    pub fn new(pattern: &str, ignore_case: bool) -> Self {
        let text = if ignore_case { pattern.to_ascii_lowercase() } else { pattern.to_owned() };
        let segments = text.strip_prefix('/').unwrap_or(&text).split('/').map(str::to_owned).collect();
        Self { segments, ignore_case }
    }

    /// Whether a canonical path matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let lower;
        let path = if self.ignore_case {
            lower = path.to_ascii_lowercase();
            &lower
        } else {
            path
        };
        let segments: Vec<&str> = path.strip_prefix('/').unwrap_or(path).split('/').collect();
        wildcard(
            &self.segments,
            &segments,
            |pattern| pattern == "**",
            |pattern, segment| one_segment(pattern, segment),
        )
    }
}

fn one_segment(pattern: &str, segment: &str) -> bool {
    wildcard(pattern.as_bytes(), segment.as_bytes(), |byte| *byte == b'*', |pattern, byte| pattern == byte)
}

/// The usual two-pointer match: on failure only the last star is tried again.
fn wildcard<P, T>(
    pattern: &[P],
    text: &[T],
    star: impl Fn(&P) -> bool,
    one: impl Fn(&P, &T) -> bool,
) -> bool {
    let (mut at, mut position) = (0, 0);
    let mut retry = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(part) if star(part) => {
                retry = Some((at, position));
                at += 1;
            }
            Some(part) if one(part, &text[position]) => {
                at += 1;
                position += 1;
            }
            _ => {
                let Some((star_at, taken)) = retry else { return false };
                retry = Some((star_at, taken + 1));
                at = star_at + 1;
                position = taken + 1;
            }
        }
    }
    pattern[at..].iter().all(star)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, path, expected) in [
            ("/v1/**", "/v1/a/b", true),
            ("/v1/**", "/v1", true),
            ("/v1/**", "/v2/a", false),
            ("/v1/*", "/v1/a", true),
            ("/v1/*", "/v1/a/b", false),
            ("/**", "/", true),
            ("/**/git-upload-pack", "/a/b.git/git-upload-pack", true),
            ("/**/git-upload-pack", "/a/b.git/git-receive-pack", false),
            ("/a*c/d", "/abbc/d", true),
            ("/a*c/d", "/ab/c/d", false),
            ("/V1", "/v1", false),
        ] {
            assert_eq!(PathGlob::new(pattern, false).matches(path), expected, "{pattern} {path}");
        }
        assert!(PathGlob::new("/admin/**", true).matches("/ADMIN/x"));
    }
}
