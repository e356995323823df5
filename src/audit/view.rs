//! Events for a terminal. What a guest chose (hosts, paths, reasons) cannot move the cursor, hide text or turn it
//! round.

use std::{borrow::Cow, collections::HashMap, fmt::Write};

use crate::model::{
    event::{Decision, Event, RuleRef},
    text::visible,
};

/// Rows that a [`Summary`] keeps apart; a guest that invents names fills no memory.
pub const ROWS_MAX: usize = 10_000;

/// The word for a decision, as `--output json` has it.
#[must_use]
pub fn decision(decision: Decision) -> &'static str {
    match decision {
        Decision::Allow => "allow",
        Decision::Deny => "deny",
        Decision::ApprovalRequired => "approval_required",
        Decision::Unknown => "unknown",
    }
}

/// A rule as `id (layer, file:line)`.
#[must_use]
pub fn rule(rule: &RuleRef) -> String {
    let mut text = format!("{} ({}", visible(&rule.id), rule.layer);
    if let Some(file) = &rule.file {
        let _ = write!(text, ", {}", visible(file));
        if let Some(line) = rule.line {
            let _ = write!(text, ":{line}");
        }
    }
    text.push(')');
    text
}

/// A time without the fraction of its second: for people. What has another form is shown as it is.
#[must_use]
pub fn seconds(time: &str) -> Cow<'_, str> {
    match time.split_once('.') {
        Some((whole, rest)) if rest.trim_end_matches('Z').bytes().all(|byte| byte.is_ascii_digit()) => {
            Cow::Owned(format!("{}Z", visible(whole)))
        }
        _ => visible(time),
    }
}

/// One event on one line, without a line feed.
#[must_use]
pub fn line(event: &Event) -> String {
    let mut text = format!("{}  {:<8}", seconds(&event.time), decision(event.decision));
    if let Some(sandbox) = &event.sandbox {
        let _ = write!(text, "  {}", visible(&sandbox.name));
    }
    let _ = write!(text, "  {}  {}", visible(&event.action), visible(&event.resource));
    let _ = write!(text, "  {}", visible(&event.reason));
    if let Some(by) = &event.rule {
        let _ = write!(text, "  by {}", rule(by));
        if !by.why.is_empty() {
            let _ = write!(text, ": {}", visible(&by.why));
        }
    }
    text
}

/// Equal decisions about one resource.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    /// Whose, where a summary tells sandboxes apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sandbox: Option<String>,
    /// What was decided about.
    pub resource: String,
    /// The outcome.
    pub decision: Decision,
    /// The rule, when one decided.
    pub rule: Option<RuleRef>,
    /// Reason code.
    pub reason: String,
    /// How often.
    pub count: u64,
    /// Time of the first, RFC 3339.
    pub first: String,
    /// Time of the last, RFC 3339.
    pub last: String,
}

/// What events of one row have in common.
type Key = (Option<String>, String, Decision, Option<String>, String);

/// What `policy log` shows: rows in the order in which they first appeared.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Summary {
    /// The rows, at most [`ROWS_MAX`].
    pub rows: Vec<Row>,
    /// Events that found no row any more.
    pub left_out: u64,
    #[serde(skip)]
    by_sandbox: bool,
    #[serde(skip)]
    index: HashMap<Key, usize>,
}

impl Summary {
    /// One that tells the events of different sandboxes apart.
    #[must_use]
    pub fn of_several() -> Self {
        Self { by_sandbox: true, ..Self::default() }
    }

    /// Takes in the next event.
    pub fn add(&mut self, event: Event) {
        let rule = event.rule.as_ref().map(|rule| rule.id.clone());
        let whose = event.sandbox.as_ref().filter(|_| self.by_sandbox).map(|sandbox| sandbox.name.clone());
        let key = (whose.clone(), event.resource.clone(), event.decision, rule, event.reason.clone());
        if let Some(row) = self.index.get(&key).and_then(|index| self.rows.get_mut(*index)) {
            row.count += 1;
            row.last = event.time;
        } else if self.rows.len() < ROWS_MAX {
            self.index.insert(key, self.rows.len());
            let Event { resource, decision, rule, reason, time, .. } = event;
            self.rows.push(Row {
                sandbox: whose,
                resource,
                decision,
                rule,
                reason,
                count: 1,
                first: time.clone(),
                last: time,
            });
        } else {
            self.left_out += 1;
        }
    }

    /// The rows as lines for a terminal, columns aligned.
    #[must_use]
    pub fn text(&self) -> String {
        let shown: Vec<_> = self.rows.iter().map(|row| visible(&row.resource)).collect();
        // One very long name does not push every other row off the screen.
        let width = shown.iter().map(|resource| resource.chars().count()).max().unwrap_or(0).min(60);
        let whose = |row: &Row| row.sandbox.as_deref().map(visible).unwrap_or_default().into_owned();
        let names = self.rows.iter().map(|row| whose(row).chars().count()).max().unwrap_or(0).min(60);
        let mut text = String::new();
        for (row, resource) in self.rows.iter().zip(&shown) {
            if self.by_sandbox {
                let _ = write!(text, "{:<names$}  ", whose(row));
            }
            let by = row.rule.as_ref().map_or_else(|| visible(&row.reason).into_owned(), rule);
            let (word, count, last) = (decision(row.decision), row.count, seconds(&row.last));
            let _ = writeln!(text, "{word:<8}  {resource:<width$}  {count:>6}×  {last}  {by}");
        }
        if self.left_out > 0 {
            let _ = writeln!(text, "and {} events about further resources", self.left_out);
        }
        text
    }
}

impl Extend<Event> for Summary {
    fn extend<I: IntoIterator<Item = Event>>(&mut self, events: I) {
        events.into_iter().for_each(|event| self.add(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        audit::{
            chain::{Context, Head, link},
            fixture::draft,
        },
        model::rule::Layer,
    };

    fn event(resource: &str, rule: Option<RuleRef>) -> Event {
        let draft = crate::model::event::Draft { rule, ..draft(resource) };
        link(&Head::genesis(), draft, &Context::default(), "e".to_owned()).unwrap().0
    }

    #[test]
    fn what_a_terminal_would_act_on_is_shown() {
        for (text, shown) in [
            ("api.example:443", "api.example:443"),
            ("Zürich 東京", "Zürich 東京"),
            ("\u{1b}[2Jgone", "\\u{1b}[2Jgone"),
            ("a\nb\rc\t", "a\\nb\\rc\\t"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("moc.\u{202e}x", "moc.\\u{202e}x"),
            ("a\u{200b}b\u{2028}", "a\\u{200b}b\\u{2028}"),
            ("\u{e0041}", "\\u{e0041}"),
        ] {
            assert_eq!(visible(text), shown);
        }
    }

    #[test]
    fn no_field_of_an_event_reaches_the_terminal_raw() {
        let evil = "x\u{1b}]0;\u{7}\n";
        let rule = RuleRef {
            id: evil.into(),
            layer: Layer::Repository,
            file: Some(evil.into()),
            line: Some(3),
            why: evil.into(),
        };
        let mut event = event(evil, Some(rule));
        event.time = evil.into();
        event.action = evil.into();
        event.reason = evil.into();
        event.sandbox = Some(crate::model::event::EventSandbox {
            id: evil.into(),
            name: evil.into(),
            agent: evil.into(),
        });
        assert!(!line(&event).contains(char::is_control), "{:?}", line(&event));
        let mut summary = Summary::default();
        summary.add(event);
        assert!(!summary.text().trim_end().contains(char::is_control), "{:?}", summary.text());
    }

    #[test]
    fn a_line_reads_as_a_sentence() {
        let rule = RuleRef {
            id: "dev/network.rules[2]".into(),
            layer: Layer::Repository,
            file: Some("sandbox.yaml".into()),
            line: Some(9),
            why: "exfiltration".into(),
        };
        assert_eq!(
            line(&event("paste.example:443", Some(rule))),
            "2026-01-02T03:04:05Z  deny      net.connect  paste.example:443  no_rule  \
             by dev/network.rules[2] (repository, sandbox.yaml:9): exfiltration"
        );
    }

    #[test]
    fn rows_of_several_sandboxes_say_whose_they_are() {
        let of = |name: &str, resource: &str| {
            let mut event = event(resource, None);
            let (id, agent) = ("0123456789ab".to_owned(), "shell".to_owned());
            event.sandbox = Some(crate::model::event::EventSandbox { id, name: name.into(), agent });
            event
        };
        let mut summary = Summary::of_several();
        summary.extend([of("dev", "a:443"), of("docs-1", "a:443"), of("dev", "a:443")]);
        let expected = "dev     deny      a:443       2×  2026-01-02T03:04:05Z  no_rule\n\
                        docs-1  deny      a:443       1×  2026-01-02T03:04:05Z  no_rule\n";
        assert_eq!(summary.text(), expected);
    }

    #[test]
    fn equal_decisions_are_one_row_and_rows_are_bounded() {
        let mut summary = Summary::default();
        summary.extend(["a:443", "b:443", "a:443"].map(|resource| event(resource, None)));
        let rows: Vec<_> = summary.rows.iter().map(|row| (row.resource.as_str(), row.count)).collect();
        assert_eq!(rows, [("a:443", 2), ("b:443", 1)]);
        summary.extend((0..ROWS_MAX).map(|index| event(&format!("{index}.example:443"), None)));
        assert_eq!((summary.rows.len(), summary.left_out), (ROWS_MAX, 2));
    }
}
