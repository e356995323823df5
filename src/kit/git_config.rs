//! Two things that a git configuration says: where hooks lie, and which further files are read as configuration. What
//! runs the first, and what can say the first, must not be the agent's to write.
//!
//! Read more widely than git does: a condition of `includeIf` always holds, and a line that git would refuse may count.

/// Most lines that count: what a person wrote has a handful.
const NAMED_MAX: usize = 64;

/// What a configuration names, as written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitConfig {
    /// `core.hooksPath`: relative to the root of the working tree.
    pub hooks: Vec<String>,
    /// `include.path`, `includeIf.*.path`: relative to the file's own folder.
    pub includes: Vec<String>,
}

impl GitConfig {
    /// Reads the text of a configuration.
    #[must_use]
    pub fn read(text: &str) -> Self {
        let (mut config, mut section) = (Self::default(), String::new());
        let whole = text.replace("\r\n", "\n").replace("\\\n", "");
        for line in whole.lines().map(str::trim) {
            let mut rest = line;
            if let Some(header) = line.strip_prefix('[') {
                let first = header.split(']').next().unwrap_or_default();
                let end = if first.contains('"') { "\"]" } else { "]" };
                let (name, after) = header.split_once(end).unwrap_or((header, ""));
                let plain = name.split([' ', '\t', '"', '.']).next().unwrap_or_default();
                section = plain.to_ascii_lowercase();
                rest = after;
            }
            let Some((key, written)) = rest.split_once('=') else { continue };
            let key = key.trim();
            if key.eq_ignore_ascii_case("hooksPath") && config.hooks.len() < NAMED_MAX {
                config.hooks.push(value(written));
            } else if key.eq_ignore_ascii_case("path")
                && section.starts_with("include")
                && config.includes.len() < NAMED_MAX
            {
                config.includes.push(value(written));
            }
        }
        config
    }
}

/// A value without its quotes, escapes and comment.
fn value(written: &str) -> String {
    let (mut text, mut quoted) = (String::new(), false);
    let mut rest = written.trim().chars();
    while let Some(c) = rest.next() {
        match c {
            '"' => quoted = !quoted,
            '\\' => text.extend(rest.next()),
            '#' | ';' if !quoted => break,
            c => text.push(c),
        }
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_hooks_or_more_configuration_is_found_however_it_is_written() {
        for (text, hooks, includes) in [
            ("[core]\n\thooksPath = scripts/hooks\n", "scripts/hooks", ""),
            ("[CORE] HooksPath=\"my hooks\" # ours\n", "my hooks", ""),
            ("[core]\nhookspath = a\\\n/b ; c\n", "a/b", ""),
            ("[include]\r\n\tpath = ../.gitconfig\r\n", "", "../.gitconfig"),
            ("[includeIf \"gitdir:[a]\"] path = x\n", "", "x"),
            ("[include]path=one\n[user]\npath = two\n", "", "one"),
            ("[remote \"origin\"]\n\turl = hooksPath\n", "", ""),
            ("hooksPath", "", ""),
            ("[", "", ""),
            ("[core]\nhooksPath = \"a\\", "a", ""),
        ] {
            let found = GitConfig::read(text);
            assert_eq!(
                (found.hooks.concat().as_str(), found.includes.concat().as_str()),
                (hooks, includes),
                "{text}"
            );
        }
        let many = GitConfig::read(&"[core]\nhooksPath = x\n".repeat(10_000));
        assert_eq!(many.hooks.len(), NAMED_MAX);
    }
}
