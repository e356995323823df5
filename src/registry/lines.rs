//! Configuration files of lines: `key = value` under `[section]` headers, as pip, npm, go and (for the few keys that
//! matter) TOML have them. What is not such a line is passed over.

/// One `key = value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// The section's header without brackets; empty before the first.
    pub section: String,
    pub key: String,
    /// Without quotes and trailing comment.
    pub value: String,
}

pub(super) fn lines(text: &str) -> Vec<Line> {
    let mut section = String::new();
    let mut found: Vec<Line> = Vec::new();
    for line in text.lines() {
        let line_trimmed = line.trim();
        if line_trimmed.is_empty() || line_trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line_trimmed.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            section = header.0.trim_start_matches('[').trim().replace(['"', '\''], "");
            continue;
        }
        match line_trimmed.split_once('=') {
            Some((key, value)) => {
                let key = key.trim().trim_matches(['"', '\'']).to_owned();
                found.push(Line { section: section.clone(), key, value: unquoted(value) });
            }
            // pip writes several values below each other, indented.
            None if line.starts_with([' ', '\t']) => {
                if let Some(last) = found.last_mut() {
                    last.value = format!("{} {line_trimmed}", last.value).trim().to_owned();
                }
            }
            None => {}
        }
    }
    found
}

fn unquoted(value: &str) -> String {
    let value = value.trim();
    for quote in ['"', '\''] {
        if let Some((inside, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inside.to_owned();
        }
    }
    value.split(" #").next().unwrap_or_default().trim().to_owned()
}

#[test]
fn lines_are_read_as_their_clients_read_them() {
    let line = |section: &str, key: &str, value: &str| Line {
        section: section.into(),
        key: key.into(),
        value: value.into(),
    };
    let text = "# a\nregistry = https://a.example/ # b\n[global]\nindex-url=https://b.example/\nextra-index-url =\n    \
                https://c.example/\n  https://d.example/\n[source.\"x\"]\nregistry = \"sparse+https://e.example/#f\" # g\n[[index]]\nurl = 'u'\nnonsense\n";
    assert_eq!(
        lines(text),
        [
            line("", "registry", "https://a.example/"),
            line("global", "index-url", "https://b.example/"),
            line("global", "extra-index-url", "https://c.example/ https://d.example/"),
            line("source.x", "registry", "sparse+https://e.example/#f"),
            line("index", "url", "u"),
        ]
    );
}
