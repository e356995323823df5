//! What a build tells while it runs. The command line draws it; nothing here prints.

/// The parts of [`super::Cache::ensure`], in the order in which they run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Another command holds the cache's lock.
    Waiting,
    /// Fetching the kernel's packages and packing its modules.
    Kernel,
    /// Building the base root file system.
    Base,
    /// Building it with further packages.
    Packages,
}

impl Step {
    /// For a progress bar.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Waiting => "waiting for another cofferdam that builds the same",
            Self::Kernel => "guest kernel",
            Self::Base => "base template",
            Self::Packages => "template with packages",
        }
    }
}

/// One piece of news.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report<'a> {
    /// A step begins.
    Started(Step),
    /// A step has come so far, in thousandths (an estimate that never falls), and does this now.
    Advanced(Step, u16, &'a str),
    /// A step is done.
    Finished(Step),
}

/// Receives the news, on the thread that builds.
pub trait Progress {
    /// Must not block for long: the build waits.
    fn report(&self, report: Report<'_>);
}

impl<F: Fn(Report<'_>)> Progress for F {
    fn report(&self, report: Report<'_>) {
        self(report);
    }
}

/// For whoever does not want to know.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn report(&self, _: Report<'_>) {}
}

/// One step's thousandths, kept from falling.
pub(super) struct Meter<'a> {
    progress: &'a dyn Progress,
    step: Step,
    reached: u16,
}

impl<'a> Meter<'a> {
    pub(super) fn start(progress: &'a dyn Progress, step: Step) -> Self {
        progress.report(Report::Started(step));
        Self { progress, step, reached: 0 }
    }

    pub(super) fn advance(&mut self, permille: u16, what: &str) {
        self.reached = self.reached.max(permille.min(1000));
        self.progress.report(Report::Advanced(self.step, self.reached, what));
    }

    pub(super) fn finish(self) {
        self.progress.report(Report::Finished(self.step));
    }
}
