//! A `sandbox.yaml` in the making: what `init` proposes, made from what lies in a repository or from another tool's
//! file. Pure: it writes text and reads nothing.
//!
//! Every entry stands on one line, so that what a check refuses can be turned into a comment with the reason beside
//! it: what is not available yet, or not right here, stays visible and harmless.

mod ecosystem;
mod fitness;
mod scalar;
#[cfg(test)]
mod tests;

pub use ecosystem::{Ends, Files, Proposal};
pub use scalar::scalar;

use super::wire::envelope::API_VERSION;

/// A file in the making.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Name of the sandbox.
    pub name: String,
    /// Its agent's kit.
    pub agent: String,
    /// What it says beyond that.
    pub entries: Vec<Entry>,
    /// Comments at the end: what was seen and has no place in the file.
    pub remarks: Vec<String>,
}

/// One line of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it stands.
    pub place: Place,
    /// Its YAML in flow style: an item without its dash, or a key with its value.
    pub text: String,
    /// A word beside it.
    pub note: Option<String>,
    /// The place in another tool's file that it was made of.
    pub from: Option<From>,
    /// Why it is only a comment.
    pub refused: Option<String>,
    /// Entries that are of no use without one another have the same word here: where one is a comment, all are.
    pub group: Option<&'static str>,
}

/// A place in another tool's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// The key there.
    pub key: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1.
    pub column: u32,
}

/// Where an entry stands, in the order of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// `kits`.
    Kits,
    /// A key of `spec` itself: `workspace: …`.
    Spec,
    /// A key of `template`.
    Template,
    /// `template.run`.
    Run,
    /// `mounts`.
    Mounts,
    /// `env`.
    Env,
    /// `setup.create`.
    Create,
    /// `setup.start`.
    Start,
    /// `network.rules`.
    Rules,
    /// `secrets`.
    Secrets,
    /// `ports`.
    Ports,
    /// `resources`.
    Resources,
}

impl Place {
    const ALL: [Self; 12] = [
        Self::Kits,
        Self::Spec,
        Self::Template,
        Self::Run,
        Self::Mounts,
        Self::Env,
        Self::Create,
        Self::Start,
        Self::Rules,
        Self::Secrets,
        Self::Ports,
        Self::Resources,
    ];

    /// The keys above an entry, and whether it is an item of a list.
    const fn above(self) -> (&'static [&'static str], bool) {
        match self {
            Self::Kits => (&["kits"], true),
            Self::Spec => (&[], false),
            Self::Template => (&["template"], false),
            Self::Run => (&["template", "run"], true),
            Self::Mounts => (&["mounts"], true),
            Self::Env => (&["env"], false),
            Self::Create => (&["setup", "create"], true),
            Self::Start => (&["setup", "start"], true),
            Self::Rules => (&["network", "rules"], true),
            Self::Secrets => (&["secrets"], true),
            Self::Ports => (&["ports"], true),
            Self::Resources => (&["resources"], false),
        }
    }
}

/// A line of the file, and the entries that it stands for: a key, for all below it.
struct Line {
    text: String,
    entries: Vec<usize>,
}

impl Draft {
    /// An empty one.
    #[must_use]
    pub fn new(name: &str, agent: &str) -> Self {
        Self { name: name.to_owned(), agent: agent.to_owned(), entries: Vec::new(), remarks: Vec::new() }
    }

    /// Adds an entry without anything beside it.
    pub fn add(&mut self, place: Place, text: impl Into<String>) -> &mut Entry {
        let entry = Entry { place, text: text.into(), note: None, from: None, refused: None, group: None };
        self.entries.push(entry);
        let last = self.entries.len() - 1;
        &mut self.entries[last]
    }

    /// The file's text.
    #[must_use]
    pub fn render(&self) -> String {
        self.lines().iter().map(|line| format!("{}\n", line.text)).collect()
    }

    /// Turns what stands on these lines of the text into comments, each for its reason; for a key, all below it; and
    /// what is of no use without it. False where nothing of the kind stands there.
    pub fn refuse(&mut self, found: &[(u32, &str)]) -> bool {
        let lines = self.lines();
        let mut changed = false;
        for (line, reason) in found {
            let at = usize::try_from(*line).unwrap_or(usize::MAX).wrapping_sub(1);
            let Some(meant) = lines.get(at) else { continue };
            for index in &meant.entries {
                changed |= self.comment(*index, reason);
            }
        }
        changed
    }

    /// Makes one entry a comment, and what is of no use without it.
    fn comment(&mut self, at: usize, reason: &str) -> bool {
        if self.entries[at].refused.is_some() {
            return false;
        }
        self.entries[at].refused = Some(reason.to_owned());
        let Some(group) = self.entries[at].group else { return true };
        for entry in self.entries.iter_mut().filter(|entry| entry.group == Some(group)) {
            entry.refused.get_or_insert_with(|| reason.to_owned());
        }
        true
    }

    fn lines(&self) -> Vec<Line> {
        let mut lines: Vec<Line> = [
            "# yaml-language-server: $schema=.cofferdam/schemas/sandbox.json".to_owned(),
            "# How agents run in this repository; `cofferdam schema explain sandbox.spec` tells of every key.".to_owned(),
            format!("apiVersion: {API_VERSION}"),
            "kind: Sandbox".to_owned(),
            format!("metadata: {{name: {}}}", scalar(&self.name)),
            "spec:".to_owned(),
            format!("  agent: {}", scalar(&self.agent)),
        ]
        .map(|text| Line { text, entries: Vec::new() })
        .into();
        let groups = Place::ALL.iter().filter_map(|place| place.above().0.first().copied());
        let mut seen: Vec<&str> = Vec::new();
        self.group(None, &mut lines);
        for group in groups {
            if !seen.contains(&group) {
                seen.push(group);
                self.group(Some(group), &mut lines);
            }
        }
        for remark in &self.remarks {
            lines.push(Line { text: format!("  # {}", one_line(remark)), entries: Vec::new() });
        }
        lines
    }

    /// Everything below one key of `spec`; below none, the keys that stand alone.
    fn group(&self, key: Option<&str>, lines: &mut Vec<Line>) {
        let of_group = |place: Place| place.above().0.first().copied() == key;
        let inside: Vec<usize> = Place::ALL
            .iter()
            .flat_map(|place| (0..self.entries.len()).filter(|at| self.entries[*at].place == *place))
            .filter(|at| of_group(self.entries[*at].place))
            .collect();
        match (key, inside.as_slice()) {
            (_, []) => {}
            (None, entries) => {
                entries.iter().for_each(|at| lines.push(self.line(*at, "  ", &self.entries[*at].text)))
            }
            (Some(_), [only]) => lines.push(self.line(*only, "  ", &self.inline(*only))),
            (Some(key), entries) => self.block(key, entries, lines),
        }
    }

    /// The keys above a single entry and the entry on one line, as people write it: `setup: {create: [npm ci]}`.
    fn inline(&self, at: usize) -> String {
        let entry = &self.entries[at];
        let (keys, is_item) = entry.place.above();
        let inner = if is_item { format!("[{}]", entry.text) } else { format!("{{{}}}", entry.text) };
        let (last, before) = keys.split_last().unwrap_or((&"", &[]));
        before.iter().rev().fold(format!("{last}: {inner}"), |text, key| format!("{key}: {{{text}}}"))
    }

    fn block(&self, key: &str, entries: &[usize], lines: &mut Vec<Line>) {
        lines.push(self.header(entries, 1, key));
        let mut place = None;
        for at in entries {
            let entry = &self.entries[*at];
            let (keys, is_item) = entry.place.above();
            if let [_, below] = keys
                && place != Some(entry.place)
            {
                let same = |other: &&usize| self.entries[**other].place == entry.place;
                let beneath: Vec<usize> = entries.iter().filter(same).copied().collect();
                lines.push(self.header(&beneath, 2, below));
            }
            place = Some(entry.place);
            let text = if is_item { format!("- {}", entry.text) } else { entry.text.clone() };
            // Where all of a group is comment, its lines stand below one another as they would without the signs.
            let active = entries.iter().any(|other| self.entries[*other].refused.is_none());
            let depth = keys.len() + 1;
            let line = if active || entry.refused.is_none() {
                self.line(*at, &"  ".repeat(depth), &text)
            } else {
                self.line(*at, "  ", &format!("{}{text}", "  ".repeat(depth - 1)))
            };
            lines.push(line);
        }
    }

    /// A key with entries below it; a comment where all of them are.
    fn header(&self, entries: &[usize], depth: usize, key: &str) -> Line {
        let active = entries.iter().any(|at| self.entries[*at].refused.is_none());
        let text = match active {
            true => format!("{}{key}:", "  ".repeat(depth)),
            false => format!("  # {}{key}:", "  ".repeat(depth - 1)),
        };
        Line { text, entries: entries.to_vec() }
    }

    fn line(&self, at: usize, indent: &str, text: &str) -> Line {
        let entry = &self.entries[at];
        let words: Vec<&str> =
            [&entry.note, &entry.refused].into_iter().flatten().map(String::as_str).collect();
        let beside =
            if words.is_empty() { String::new() } else { format!("  # {}", one_line(&words.join("; "))) };
        let sign = if entry.refused.is_some() { "# " } else { "" };
        Line { text: format!("{indent}{sign}{text}{beside}"), entries: vec![at] }
    }
}

/// A comment ends with its line, and shows nothing that a terminal would obey.
fn one_line(text: &str) -> String {
    super::problem::escaped(text)
}
