//! Progress on a terminal: one line per step, gone when the command is done.

use std::cell::RefCell;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{ops::Progress, output::visible};

/// One bar at a time; nothing at all where nobody looks.
pub struct Bars {
    shown: bool,
    current: RefCell<Option<(String, ProgressBar)>>,
}

impl Bars {
    /// Bars that are drawn, or not.
    #[must_use]
    pub fn new(shown: bool) -> Self {
        Self { shown, current: RefCell::new(None) }
    }

    fn bar(&self, title: &str) -> ProgressBar {
        let mut current = self.current.borrow_mut();
        if let Some((open, bar)) = current.as_ref()
            && open == title
        {
            return bar.clone();
        }
        if let Some((_, finished)) = current.take() {
            finished.finish_and_clear();
        }
        let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{prefix:<28} {bar:24} {percent:>3}%  {wide_msg}");
        bar.set_style(style.expect("the template is constant"));
        bar.set_prefix(visible(title).into_owned());
        *current = Some((title.to_owned(), bar.clone()));
        bar
    }
}

impl Progress for Bars {
    fn step(&self, title: &str, permille: Option<u16>, now: &str) {
        if self.shown {
            let bar = self.bar(title);
            if let Some(permille) = permille {
                bar.set_position(permille.into());
            }
            bar.set_message(visible(now).into_owned());
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        if let Some((_, bar)) = self.current.get_mut().take() {
            bar.finish_and_clear();
        }
    }
}
