//! Questions to a person. There is no question without a terminal, in CI, or with `--no-input`: then the caller
//! fails and names the flag that answers.

use std::io::{self, BufRead, IsTerminal, Write};

use super::{failure::Failure, output::visible_lines};

/// Whether somebody can be asked.
pub struct Prompt(Who);

/// Who would answer.
enum Who {
    Nobody,
    Person,
    /// Somebody in a test: what was asked with its answer goes to the second.
    #[cfg(test)]
    Script(std::cell::RefCell<std::collections::VecDeque<String>>, std::cell::RefCell<Box<dyn Write>>),
}

/// Longest answer that is read, in bytes: the answer is a word.
const ANSWER_MAX: u64 = 1024;

impl Prompt {
    /// Decides from `--no-input`, the value of `CI`, and whether questions can be seen and answered.
    #[must_use]
    pub fn new(no_input: bool, ci: Option<&str>, terminal: bool) -> Self {
        let ci = ci.is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1");
        Self(if terminal && !no_input && !ci { Who::Person } else { Who::Nobody })
    }

    /// A person who gives these answers.
    #[cfg(test)]
    pub(super) fn script(answers: impl IntoIterator<Item = String>, shown: impl Write + 'static) -> Self {
        Self(Who::Script(answers.into_iter().collect::<std::collections::VecDeque<_>>().into(), {
            let shown: Box<dyn Write> = Box::new(shown);
            shown.into()
        }))
    }

    /// The same, from the process's environment and streams.
    #[must_use]
    pub fn from_process(no_input: bool) -> Self {
        let ci = std::env::var("CI").ok();
        Self::new(no_input, ci.as_deref(), io::stdin().is_terminal() && io::stderr().is_terminal())
    }

    /// Whether a question would be asked.
    #[must_use]
    pub const fn is_interactive(&self) -> bool {
        !matches!(self.0, Who::Nobody)
    }

    /// Asks for a yes; `otherwise` is the failure where nobody can be asked.
    ///
    /// # Errors
    /// `otherwise` where nobody can be asked; another when the terminal cannot be read.
    pub fn confirm(&self, question: &str, otherwise: impl FnOnce() -> Failure) -> Result<bool, Failure> {
        let answered = match &self.0 {
            Who::Nobody => return Err(otherwise()),
            Who::Person => ask(question, &mut io::stdin().lock(), &mut io::stderr()),
            #[cfg(test)]
            Who::Script(answers, shown) => {
                let answer = answers.borrow_mut().pop_front().unwrap_or_default();
                let mut shown = shown.borrow_mut();
                let answered = ask(question, &mut answer.as_bytes(), &mut *shown);
                answered.and_then(|yes| writeln!(shown, "{answer}").map(|()| yes))
            }
        };
        answered
            .map_err(|error| Failure::usage("no_answer", "the question could not be asked").caused_by(&error))
    }
}

fn ask(question: &str, answers: &mut impl BufRead, talk: &mut impl Write) -> io::Result<bool> {
    write!(talk, "{} [y/N] ", visible_lines(question))?;
    talk.flush()?;
    let mut answer = String::new();
    io::Read::take(answers, ANSWER_MAX).read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_only_a_person() {
        for (no_input, ci, terminal, asks) in [
            (false, None, true, true),
            (false, Some("false"), true, true),
            (false, Some("true"), true, false),
            (false, Some("1"), true, false),
            (true, None, true, false),
            (false, None, false, false),
        ] {
            assert_eq!(
                Prompt::new(no_input, ci, terminal).is_interactive(),
                asks,
                "{no_input} {ci:?} {terminal}"
            );
        }
    }

    #[test]
    fn only_yes_is_yes() {
        for (answer, yes) in
            [("y\n", true), ("Yes\n", true), ("\n", false), ("", false), ("n\n", false), ("yep\n", false)]
        {
            let mut talk = Vec::new();
            assert_eq!(ask("Apply?\u{1b}[2J", &mut answer.as_bytes(), &mut talk).unwrap(), yes, "{answer:?}");
            assert_eq!(talk, b"Apply?\\u{1b}[2J [y/N] ");
        }
    }

    #[test]
    fn where_nobody_can_be_asked_the_caller_fails() {
        let prompt = Prompt::new(true, None, true);
        let failure = prompt.confirm("?", || Failure::usage("needs_yes", "pass --yes")).unwrap_err();
        assert_eq!(failure.code(), "needs_yes");
    }
}
