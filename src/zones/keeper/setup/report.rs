//! How a set-up stands, for status and audit trail.

use serde_json::{Map, json};

use super::super::Keeper;
use crate::model::status::SetupState;

impl Keeper {
    /// The next step begins.
    pub(super) fn setup_step(&self, name: &str) {
        self.status.send_modify(|status| {
            if let Some(setup) = &mut status.setup {
                setup.index += 1;
                setup.step = Some(name.to_owned());
            }
        });
        self.book.save_status(&self.status.borrow());
    }

    /// The set-up is over: with a reason and the last lines where it failed.
    pub(super) fn setup_ended(&self, failure: Option<(String, Vec<String>)>) {
        let mut detail = Map::new();
        self.status.send_modify(|status| {
            let Some(setup) = &mut status.setup else { return };
            match &failure {
                None => {
                    setup.state = SetupState::Done;
                    setup.step = None;
                }
                Some((reason, lines)) => {
                    setup.state = SetupState::Failed;
                    setup.reason = Some(reason.clone());
                    setup.lines.clone_from(lines);
                    detail.insert("reason".to_owned(), json!(reason));
                }
            }
        });
        let word = if failure.is_none() { "succeeded" } else { "failed" };
        self.book.note("sandbox.setup", word, detail);
        self.book.save_status(&self.status.borrow());
    }

    /// Something that a person should know.
    pub(super) fn remark(&self, words: String) {
        self.status.send_modify(|status| status.notes.push(words));
        self.book.save_status(&self.status.borrow());
    }
}
