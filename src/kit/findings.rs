//! Collects what is wrong with one file, within a bound.

use super::problem::{Code, Problem, Source, Span};

/// Most errors, and most warnings, kept of one file: one that is wrong throughout says no more with ten thousand.
const PER_FILE_MAX: usize = 100;

/// Collects the findings in one file.
#[derive(Debug)]
pub(super) struct Findings {
    source: Source,
    errors: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Findings {
    pub(super) fn new(source: Source) -> Self {
        Self { source, errors: Vec::new(), warnings: Vec::new() }
    }

    pub(super) fn source(&self) -> &Source {
        &self.source
    }

    /// How many errors there are.
    pub(super) fn errors(&self) -> usize {
        self.errors.len()
    }

    /// Whether one of the errors from the `first` on is of a sort.
    pub(super) fn has(&self, code: Code, first: usize) -> bool {
        self.errors[first..].iter().any(|problem| problem.code == code)
    }

    /// First bytes of the errors from the `first` on, in order.
    pub(super) fn error_places(&self, first: usize) -> Vec<u32> {
        let mut places: Vec<u32> = self.errors[first..].iter().map(|problem| problem.span.start).collect();
        places.sort_unstable();
        places
    }

    /// A finding in this file, to be completed and handed to [`Self::push`].
    pub(super) fn at(&self, code: Code, span: Span, message: impl Into<String>) -> Problem {
        Problem::new(code, &self.source, span, message)
    }

    /// Whether further errors would not be kept: nothing need be worked out for them.
    pub(super) fn is_full(&self) -> bool {
        self.errors.len() > PER_FILE_MAX
    }

    /// Keeps a finding; past the bound only the fact that there are more.
    pub(super) fn push(&mut self, problem: Problem) {
        let kept = if problem.warning { &mut self.warnings } else { &mut self.errors };
        match kept.len() {
            ..PER_FILE_MAX => kept.push(problem),
            PER_FILE_MAX => {
                let message =
                    format!("more than {PER_FILE_MAX} findings; those after this place are not shown");
                kept.push(Problem { code: Code::TooLarge, label: None, help: None, message, ..problem });
            }
            _ => {}
        }
    }

    /// Errors and warnings, each in the order of their places.
    pub(super) fn into_parts(mut self) -> (Vec<Problem>, Vec<Problem>) {
        for kept in [&mut self.errors, &mut self.warnings] {
            kept.sort_by_key(|problem| problem.span.start);
        }
        (self.errors, self.warnings)
    }
}
