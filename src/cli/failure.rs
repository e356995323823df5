//! What ended a command, for the person or the script that gave it: one object, as text with the source line
//! where there is one, or as JSON. The only place that knows exit codes.

mod text;

use std::{borrow::Cow, error::Error, path::Path};

use miette::Diagnostic;
use serde::{Deserialize, Serialize};

use self::text::{Plain, Several, render_diagnostic, render_plain};
use super::output::Format;

/// Classes of failure; each has an exit code that scripts rely on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// 1: it was tried and did not work.
    Failed,
    /// 2: the command line is wrong.
    Usage,
    /// 3: a file that a person wrote is wrong.
    File,
    /// 4: policy denies it.
    Denied,
    /// 5: it waits for an approval.
    Pending,
    /// 6: there is no such thing.
    NotFound,
    /// 7: it took longer than was permitted.
    TimedOut,
    /// 8: this host lacks something.
    HostLacks,
}

/// Which of several kinds is reported: the earliest here.
const PRECEDENCE: [Kind; 8] = [
    Kind::Usage,
    Kind::File,
    Kind::HostLacks,
    Kind::Denied,
    Kind::Failed,
    Kind::TimedOut,
    Kind::NotFound,
    Kind::Pending,
];

impl Kind {
    /// The exit code of this kind.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::File => 3,
            Self::Denied => 4,
            Self::Pending => 5,
            Self::NotFound => 6,
            Self::TimedOut => 7,
            Self::HostLacks => 8,
        }
    }

    /// Of several, the one that is reported.
    #[must_use]
    pub fn first(kinds: impl IntoIterator<Item = Self>) -> Option<Self> {
        let rank = |kind: &Self| PRECEDENCE.iter().position(|other| other == kind);
        kinds.into_iter().min_by_key(rank)
    }
}

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Exit code 0.
    Done,
    /// It answered, and the answer is of this kind: `policy check` of a denied host.
    Answer(Kind),
    /// The exit code of a command in the sandbox.
    Passed(u8),
}

impl Outcome {
    /// The process's exit code.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Answer(kind) => kind.exit_code(),
            Self::Passed(code) => code,
        }
    }
}

/// What every command returns.
pub type CommandResult = Result<Outcome, Failure>;

/// `SetupFailed`, where a running sandbox's set-up did.
#[must_use]
pub fn setup(status: &crate::model::status::SandboxStatus) -> Option<Failure> {
    let failed = status.failed_setup()?;
    let name = &status.name;
    let reason = failed.reason.as_deref().unwrap_or("no reason is known");
    let mut message = format!("SetupFailed: sandbox {name}: {reason}");
    if !failed.lines.is_empty() {
        message = format!("{message}; it said last:\n{}", failed.lines.join("\n"));
    }
    Some(Failure::new(Kind::Failed, "setup_failed", message).hint(format!(
        "the sandbox stays up: `cofferdam logs {name} --setup` shows all of it, `cofferdam exec {name} -- COMMAND` \
         looks inside, `cofferdam restart {name}` goes on with the step that failed"
    )))
}

/// A failure on its way to the person or script. Boxed, because results travel far and failures are rare.
#[derive(Debug)]
pub struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    object: ErrorObject,
    diagnostic: Option<Box<dyn Diagnostic + Send + Sync>>,
    exit: Option<u8>,
    silent: bool,
}

/// The JSON form of a failure; the control API answers with the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorObject {
    /// Stable word for exactly this failure: `unknown_key`, `sandbox_not_found`.
    pub code: Cow<'static, str>,
    /// Its class, which gives the exit code.
    pub kind: Kind,
    /// What happened, for a person.
    pub message: String,
    /// The file that is at fault.
    #[serde(default)]
    pub file: Option<String>,
    /// Line in it, from 1.
    #[serde(default)]
    pub line: Option<u32>,
    /// Column in that line, from 1.
    #[serde(default)]
    pub column: Option<u32>,
    /// What to do next.
    #[serde(default)]
    pub hint: Option<String>,
    /// What lay beneath, outermost first.
    #[serde(default)]
    pub causes: Vec<String>,
    /// Further failures of the same run, when there were several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ErrorObject>,
}

impl Failure {
    /// A failure of this kind, with its stable code and a message for a person.
    #[must_use]
    pub fn new(kind: Kind, code: &'static str, message: impl Into<String>) -> Self {
        Self::from(ErrorObject {
            code: Cow::Borrowed(code),
            kind,
            message: message.into(),
            file: None,
            line: None,
            column: None,
            hint: None,
            causes: Vec::new(),
            problems: Vec::new(),
        })
    }

    /// A wrong command line.
    #[must_use]
    pub fn usage(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Kind::Usage, code, message)
    }

    /// A part of the contract that a later release brings.
    #[must_use]
    pub fn not_available(what: &str) -> Self {
        Self::usage("not_available", format!("{what} is not available yet"))
    }

    /// A failure whose message is that of `error` and whose causes are its sources.
    #[must_use]
    pub fn from_error(kind: Kind, code: &'static str, error: &(dyn Error + 'static)) -> Self {
        let mut failure = Self::new(kind, code, error.to_string());
        failure.0.object.causes = chain(error.source());
        failure
    }

    /// The reader of standard output has gone: nothing is left to say, and nobody to say it to.
    #[must_use]
    pub fn output_closed() -> Self {
        let mut failure = Self::new(Kind::Failed, "output_closed", "standard output was closed");
        failure.0.silent = true;
        failure
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.object.hint = Some(hint.into());
        self
    }

    /// Adds what lay beneath.
    #[must_use]
    pub fn caused_by(mut self, error: &(dyn Error + 'static)) -> Self {
        self.0.object.causes = chain(Some(error));
        self
    }

    /// Names the place in a file.
    #[must_use]
    pub fn at(mut self, file: impl AsRef<Path>, line: Option<u32>, column: Option<u32>) -> Self {
        self.0.object.file = Some(file.as_ref().to_string_lossy().into_owned());
        self.0.object.line = line;
        self.0.object.column = column;
        self
    }

    /// Shows this in text output, where it has the source line and a label.
    #[must_use]
    pub fn diagnostic(mut self, diagnostic: impl Diagnostic + Send + Sync + 'static) -> Self {
        self.0.diagnostic = Some(Box::new(diagnostic));
        self
    }

    /// Ends the process with this code whatever the kind: `exec` keeps 1 to 123 for the command's own.
    #[must_use]
    pub fn exit_with(mut self, code: u8) -> Self {
        self.0.exit = Some(code);
        self
    }

    /// As [`Self::exit_with`], where nothing more exact was said before.
    #[must_use]
    pub fn default_exit(mut self, code: u8) -> Self {
        self.0.exit.get_or_insert(code);
        self
    }

    /// The failure's kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.object.kind
    }

    /// The failure's stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.0.object.code
    }

    /// The JSON form.
    #[must_use]
    pub fn object(&self) -> &ErrorObject {
        &self.0.object
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        self.0.exit.unwrap_or_else(|| self.kind().exit_code())
    }

    /// One failure out of several: the first by precedence speaks, the others stand in `problems`.
    #[must_use]
    pub fn several(mut failures: Vec<Self>) -> Option<Self> {
        let first = Kind::first(failures.iter().map(Self::kind))?;
        let at = failures.iter().position(|failure| failure.kind() == first)?;
        let mut failure = failures.remove(at);
        let rest: Vec<Box<dyn Diagnostic + Send + Sync>> = failures
            .into_iter()
            .map(|other| {
                failure.0.object.problems.push(other.0.object.clone());
                other.0.diagnostic.unwrap_or_else(|| Box::new(Plain(render_plain(&other.0.object))))
            })
            .collect();
        if !rest.is_empty() {
            let main = failure.0.diagnostic.take();
            let main = main.unwrap_or_else(|| Box::new(Plain(render_plain(&failure.0.object))));
            failure.0.diagnostic = Some(Box::new(Several { main, rest }));
        }
        Some(failure)
    }

    /// What goes to standard error, or nothing when there is nobody to tell.
    #[must_use]
    pub fn render(&self, format: Format) -> Option<String> {
        if self.0.silent {
            return None;
        }
        Some(match (format, &self.0.diagnostic) {
            (Format::Json, _) => super::output::json_text(&self.0.object, false),
            (Format::Text, Some(diagnostic)) => {
                render_diagnostic(diagnostic.as_ref()) + &text::count(&self.0.object)
            }
            (Format::Text, None) => render_plain(&self.0.object),
        })
    }
}

impl From<ErrorObject> for Failure {
    fn from(mut object: ErrorObject) -> Self {
        object.message = text::without_number(object.message);
        Self(Box::new(Inner { object, diagnostic: None, exit: None, silent: false }))
    }
}

fn chain(mut error: Option<&(dyn Error + 'static)>) -> Vec<String> {
    let mut causes = Vec::new();
    while let Some(cause) = error {
        causes.push(text::without_number(cause.to_string()));
        error = cause.source();
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_the_documented_ones() {
        let codes: Vec<u8> = PRECEDENCE.iter().map(|kind| kind.exit_code()).collect();
        assert_eq!(codes, [2, 3, 8, 4, 1, 7, 6, 5]);
    }

    #[test]
    fn of_several_kinds_the_documented_one_is_reported() {
        for (index, first) in PRECEDENCE.iter().enumerate() {
            assert_eq!(Kind::first(PRECEDENCE[index..].iter().rev().copied()), Some(*first));
        }
        assert_eq!(Kind::first([]), None);
    }

    #[test]
    fn json_errors_have_one_shape() {
        let failure = Failure::new(Kind::File, "unknown_key", "unknown key `mout`")
            .at("sandbox.yaml", Some(3), Some(5))
            .hint("did you mean `mounts`?");
        assert_eq!(
            failure.render(Format::Json).unwrap(),
            concat!(
                r#"{"code":"unknown_key","kind":"file","message":"unknown key `mout`","file":"sandbox.yaml","#,
                r#""line":3,"column":5,"hint":"did you mean `mounts`?","causes":[]}"#,
                "\n"
            )
        );
        assert_eq!(failure.exit_code(), 3);
    }

    #[test]
    fn several_failures_are_one_object() {
        let all = vec![
            Failure::new(Kind::NotFound, "b", "second"),
            Failure::new(Kind::File, "a", "first"),
            Failure::new(Kind::Denied, "c", "third"),
        ];
        let failure = Failure::several(all).unwrap();
        assert_eq!((failure.code(), failure.exit_code()), ("a", 3));
        assert_eq!(failure.object().problems.len(), 2);
        assert_eq!(failure.render(Format::Text).unwrap(), "error: first\nerror: second\nerror: third\n");
    }

    #[test]
    fn a_line_too_long_to_be_drawn_is_a_place_in_figures() {
        #[derive(Debug, thiserror::Error, miette::Diagnostic)]
        #[error("unknown key")]
        #[diagnostic(help("did you mean another?"))]
        struct Bad {
            #[source_code]
            text: miette::NamedSource<String>,
            #[label("here")]
            span: miette::SourceSpan,
        }
        let text = format!("a: [\n{}x]", "1, ".repeat(30_000));
        let bad = Bad { text: miette::NamedSource::new("long.yaml", text), span: (90_005, 1).into() };
        let failure = Failure::new(Kind::File, "x", "unknown key").diagnostic(bad);
        let text = failure.render(Format::Text).unwrap();
        assert_eq!(text, "long.yaml:2:90001: unknown key\n  help: did you mean another?\n");
    }

    #[test]
    fn what_the_system_says_comes_without_its_number() {
        let error = std::io::Error::from_raw_os_error(17);
        let failure = Failure::new(Kind::Failed, "x", format!("cannot write: {error}")).caused_by(&error);
        assert_eq!(failure.object().message, "cannot write: File exists");
        assert_eq!(failure.object().causes, ["File exists"]);
    }

    #[test]
    fn the_last_line_counts() {
        let problem = |file: &str| Failure::new(Kind::File, "x", "wrong").at(file, Some(1), None);
        let drawn = |text: &str| problem(text).diagnostic(Plain("drawn".to_owned()));
        let shown = |all: Vec<Failure>| Failure::several(all).unwrap().render(Format::Text).unwrap();
        assert_eq!(shown(vec![drawn("a.yaml")]), "drawn\n");
        assert!(shown(vec![drawn("a.yaml"), drawn("a.yaml")]).ends_with("error: 2 problems in a.yaml\n"));
        assert!(shown(vec![drawn("a.yaml"), drawn("b.yaml")]).ends_with("error: 2 problems in 2 files\n"));
    }

    #[test]
    fn what_a_file_brought_cannot_drive_the_terminal() {
        #[derive(Debug, thiserror::Error, miette::Diagnostic)]
        #[error("unknown key")]
        struct Bad {
            #[source_code]
            text: String,
            #[label("here \u{9b}2J")]
            span: miette::SourceSpan,
        }
        let bad = Bad { text: "a: \u{1b}[2J\nb: 1\n".to_owned(), span: (0, 1).into() };
        let failure = Failure::new(Kind::File, "x", "unknown key\u{1b}[0m").diagnostic(bad);
        let text = failure.render(Format::Text).unwrap();
        assert!(text.contains("\\u{1b}[2J") && text.contains("\\u{9b}2J"), "{text}");
        assert!(!text.contains('\u{1b}') && !text.contains('\u{9b}'), "{text}");
        assert!(!failure.render(Format::Json).unwrap().contains('\u{1b}'));
    }
}
