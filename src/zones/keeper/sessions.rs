//! Open sessions: who works in the sandbox now. What the keeper itself runs there (files, set-up) is none.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use jiff::Timestamp;

use super::Keeper;
use crate::{
    model::session::{OpenSession, SessionKind, TaskStatus},
    wire::overheard::Overheard,
};

/// Longest name of a program that is kept, in characters.
const PROGRAM_MAX: usize = 64;

/// The sessions of one keeper, in the order in which they began.
#[derive(Default)]
pub(super) struct Sessions {
    open: RefCell<BTreeMap<u64, OpenSession>>,
    begun: std::cell::Cell<u64>,
}

/// One session; it ends when this is dropped.
pub(super) struct Session {
    keeper: Rc<Keeper>,
    number: u64,
    kind: SessionKind,
    /// What the guest says of its end.
    pub(super) overheard: Overheard,
}

impl Session {
    /// Somebody begins to work in the sandbox.
    pub(super) fn begin(keeper: Rc<Keeper>, kind: SessionKind, program: &str) -> Self {
        let number = keeper.sessions.begun.replace(keeper.sessions.begun.get() + 1);
        let since = Timestamp::now().to_string();
        let program = program.chars().take(PROGRAM_MAX).collect();
        if kind == SessionKind::Task {
            keeper.note_task(TaskStatus::begun(since.clone()));
        }
        keeper.sessions.open.borrow_mut().insert(number, OpenSession { kind, program, since });
        keeper.show_sessions();
        Self { keeper, number, kind, overheard: Overheard::default() }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let ended = self.keeper.sessions.open.borrow_mut().remove(&self.number);
        // Of several tasks, the one that began last is the sandbox's.
        let task = self.keeper.status.borrow().task.clone();
        if let (SessionKind::Task, Some(ended), Some(mut task)) = (self.kind, ended, task)
            && task.since == ended.since
        {
            task.end(self.overheard.code(), Timestamp::now().to_string());
            self.keeper.note_task(task);
        }
        self.keeper.show_sessions();
    }
}

impl Keeper {
    fn show_sessions(&self) {
        let open = self.sessions.open.borrow().values().cloned().collect();
        self.status.send_modify(|status| status.sessions = open);
    }

    /// A task outlives its terminal, and what became of it outlives the machine.
    fn note_task(&self, task: TaskStatus) {
        self.status.send_modify(|status| status.task = Some(task));
        self.book.save_status(&self.status.borrow());
    }
}
