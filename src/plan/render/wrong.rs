//! Files that are wrong, where a plan was asked for: in the form in which the plan would have come, so that whoever
//! waits for that learns what is wrong from it. What such a file brought is as hostile as what a right one brings.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    MARKDOWN_MAX, MARKER,
    escape::{code, prose, short},
    github::annotation,
    sarif::{location, log, plain},
};
use crate::model::text::visible;

/// One thing that is wrong.
#[derive(Debug, Clone, Copy)]
pub struct Wrong<'a> {
    /// Its stable word.
    pub code: &'a str,
    /// What it is.
    pub message: &'a str,
    /// What to do.
    pub hint: Option<&'a str>,
    /// The file.
    pub file: Option<&'a str>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// The column, from 1.
    pub column: Option<u32>,
}

/// Longest message of one, in characters.
const TEXT_MAX: usize = 600;
/// Most that a workflow's log gets; a forge shows ten of a kind.
const ANNOTATIONS_MAX: usize = 50;
/// Room for what follows the last one, in characters.
const FOOT: usize = 400;

impl Wrong<'_> {
    fn place(&self) -> Option<String> {
        let mut place = self.file?.to_owned();
        for number in [self.line, self.column].into_iter().flatten() {
            let _ = write!(place, ":{number}");
        }
        Some(place)
    }

    fn sentence(&self) -> String {
        let hint = self.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
        format!("{}{hint}", self.message)
    }
}

/// As a comment, with the same first line as a plan's: it takes the place of the last plan.
#[must_use]
pub fn markdown(all: &[Wrong<'_>]) -> String {
    let title =
        if all.iter().any(|wrong| wrong.file.is_some()) { "the files are wrong" } else { "there is no plan" };
    let mut out = format!("{MARKER}\n### Cofferdam: {title}\n\n");
    let mut left = all.len();
    let mut used = out.chars().count();
    for wrong in all {
        let place =
            wrong.place().map(|place| format!("{} ", code(&short(&place, TEXT_MAX)))).unwrap_or_default();
        let line = format!("- {place}{}\n", code(&short(&wrong.sentence(), TEXT_MAX)));
        let length = line.chars().count();
        if used + length + FOOT > MARKDOWN_MAX {
            break;
        }
        out.push_str(&line);
        (left, used) = (left - 1, used + length);
    }
    if left > 0 {
        let _ = writeln!(out, "- **{left} more are not shown: a comment has no room for them.**");
    }
    let _ = writeln!(out, "\n{}", prose("What the change permits is shown when this is put right."));
    out
}

/// For code scanners: what has a place is a result, what has none a notification.
#[must_use]
pub fn sarif(all: &[Wrong<'_>]) -> Value {
    let text = |wrong: &Wrong<'_>| json!({ "text": plain(&wrong.sentence()) });
    let mut rules: Vec<&str> = all.iter().map(|wrong| wrong.code).collect();
    rules.sort_unstable();
    rules.dedup();
    let result = |wrong: &Wrong<'_>| {
        let file = wrong.file?;
        Some(json!({
            "ruleId": wrong.code,
            "level": "error",
            "message": text(wrong),
            "locations": location(file, wrong.line, wrong.column),
        }))
    };
    let notification = |wrong: &Wrong<'_>| {
        let told = || json!({ "level": "error", "message": text(wrong), "descriptor": { "id": wrong.code } });
        wrong.file.is_none().then(told)
    };
    let notifications: Vec<Value> = all.iter().filter_map(notification).collect();
    let rules: Vec<Value> = rules.into_iter().map(|id| json!({ "id": visible(id) })).collect();
    let mut log = log(&rules, all.iter().filter_map(result).collect());
    log["runs"][0]["invocations"] = json!([{
        "executionSuccessful": notifications.is_empty(),
        "toolExecutionNotifications": notifications,
    }]);
    log
}

/// For the log of a workflow: one annotation a line.
#[must_use]
pub fn github(all: &[Wrong<'_>]) -> String {
    let one = |wrong: &Wrong<'_>| {
        let place = (wrong.file, wrong.line, wrong.column);
        annotation("error", place, wrong.code, &wrong.sentence())
    };
    let mut out: String = all.iter().take(ANNOTATIONS_MAX).map(one).collect();
    let more = all.len().saturating_sub(ANNOTATIONS_MAX);
    if more > 0 {
        out.push_str(&annotation(
            "error",
            (None, None, None),
            "cofferdam",
            &format!("{more} more are not shown"),
        ));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: Wrong<'static> = Wrong {
        code: "unknown_key",
        message: "unknown key `x` @all #1 <img src=x> [a](https://evil.example) \n::warning::y %0A ##[group]\u{202e}",
        hint: Some("did you\r\nmean `y`?"),
        file: Some("a,b:c%0A\n::d/s\u{2028}.yaml"),
        line: Some(3),
        column: Some(7),
    };
    const PLACELESS: Wrong<'static> = Wrong {
        code: "shallow",
        message: "this clone is shallow",
        hint: None,
        file: None,
        line: None,
        column: None,
    };

    #[test]
    fn a_comment_is_marked_and_nothing_in_it_is_markup() {
        let text = markdown(&[HOSTILE, PLACELESS]);
        assert!(
            text.starts_with("<!-- cofferdam-plan -->\n### Cofferdam: the files are wrong\n\n- <code>"),
            "{text}"
        );
        assert_eq!(text.lines().filter(|line| line.starts_with("- ")).count(), 2);
        for markup in ["@all", " #1", "<img", "](", "https://", "::", "\u{202e}", "`"] {
            assert!(!text.contains(markup), "{markup}: {text}");
        }
        assert!(markdown(&[PLACELESS]).contains("### Cofferdam: there is no plan\n"));
        let message = "@".repeat(2_000);
        let long = markdown(&vec![Wrong { message: &message, ..HOSTILE }; 5_000]);
        assert!(
            long.chars().count() <= MARKDOWN_MAX && long.contains(" more are not shown"),
            "{}",
            long.len()
        );
    }

    #[test]
    fn a_workflow_gets_one_command_a_line() {
        let text = github(&[HOSTILE, PLACELESS]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with(
            "::error file=a%2Cb%3Ac%250A\\n%3A%3Ad/s\\u{2028}.yaml,line=3,col=7,title=unknown_key::"
        ));
        assert!(!lines[0].contains("##["), "{text}");
        assert_eq!(lines[1], "::error title=shallow::this clone is shallow");
        let many = github(&vec![HOSTILE; 500]);
        assert_eq!(many.lines().count(), ANNOTATIONS_MAX + 1);
    }

    #[test]
    fn a_scanner_gets_places_and_what_has_none() {
        let log = sarif(&[HOSTILE, PLACELESS]);
        let run = &log["runs"][0];
        let place = &run["results"][0]["locations"][0]["physicalLocation"];
        assert_eq!(place["region"], json!({ "startLine": 3, "startColumn": 7 }));
        assert_eq!(place["artifactLocation"]["uri"], "a%2Cb%3Ac%250A%0A%3A%3Ad/s%E2%80%A8.yaml");
        assert_eq!(run["results"].as_array().map(Vec::len), Some(1));
        assert_eq!(run["invocations"][0]["executionSuccessful"], false);
        let told = &run["invocations"][0]["toolExecutionNotifications"][0];
        assert_eq!(told["message"]["text"], "this clone is shallow");
        let rules: Vec<&Value> = run["tool"]["driver"]["rules"].as_array().into_iter().flatten().collect();
        assert_eq!(rules, [&json!({ "id": "shallow" }), &json!({ "id": "unknown_key" })]);
    }
}
