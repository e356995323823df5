//! What ended a command, for the person or the script that gave it: one object, as text with the source line
//! where there is one, or as JSON.

mod kind;
mod text;

use std::{borrow::Cow, error::Error, path::Path};

use miette::Diagnostic;
use serde::{Deserialize, Serialize};

pub use self::kind::{Kind, Outcome};
use self::text::{Plain, Several, render_diagnostic, render_plain};
use super::output::Format;

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
mod tests;
