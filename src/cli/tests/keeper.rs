//! A keeper without a machine: it listens where a sandbox's keeper does, says what it is told to say, and takes every
//! order.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::Path,
    sync::{Arc, Condvar, Mutex},
    thread,
};

use serde_json::{Value, json};

use crate::{
    model::{launch::CONTROL_SOCKET, name::SandboxId},
    store::Store,
};

/// What it says of itself, and whether it answers at all.
struct State {
    status: Value,
    silent: bool,
    asked: Vec<String>,
    /// Orders that it still refuses.
    refuses: u32,
}

/// One keeper; it listens for as long as the process lives.
#[derive(Clone)]
pub(in crate::cli) struct FakeKeeper(Arc<(Mutex<State>, Condvar)>);

impl FakeKeeper {
    /// The keeper of a sandbox that runs.
    pub(in crate::cli) fn of(store: &Store, id: &SandboxId, runtime: &Path) -> Self {
        let record = store.load(id).unwrap();
        let folder = store.sandbox(id).make_sockets(runtime).unwrap();
        let mut status = serde_json::to_value(record.status(crate::model::status::Phase::Running)).unwrap();
        status["sessions"] = json!([]);
        Self::at(&folder.join(CONTROL_SOCKET), status)
    }

    /// One that says this.
    pub(in crate::cli) fn at(socket: &Path, status: Value) -> Self {
        let listener = UnixListener::bind(socket).unwrap();
        let state = State { status, silent: false, asked: Vec::new(), refuses: 0 };
        let keeper = Self(Arc::new((Mutex::new(state), Condvar::new())));
        let serving = keeper.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keeper = serving.clone();
                thread::spawn(move || keeper.answer(stream));
            }
        });
        keeper
    }

    /// Changes what it says.
    pub(in crate::cli) fn set(&self, key: &str, value: Value) {
        self.0.0.lock().unwrap().status[key] = value;
        self.0.1.notify_all();
    }

    /// Somebody begins to work.
    pub(in crate::cli) fn open(&self, kind: &str, program: &str) {
        let session = json!({"kind": kind, "program": program, "since": "2026-01-02T03:04:05Z"});
        self.0.0.lock().unwrap().status["sessions"].as_array_mut().unwrap().push(session);
    }

    /// It hangs from now on.
    pub(in crate::cli) fn hang(&self) {
        self.0.0.lock().unwrap().silent = true;
    }

    /// It refuses so many orders from now on.
    pub(in crate::cli) fn refuse(&self, orders: u32) {
        self.0.0.lock().unwrap().refuses = orders;
    }

    /// Waits until it is asked this.
    pub(in crate::cli) fn await_question(&self, question: &str) {
        let (state, changed) = &*self.0;
        let unasked = |it: &mut State| it.asked.iter().all(|asked| asked != question);
        drop(changed.wait_while(state.lock().unwrap(), unasked).unwrap());
    }

    /// Orders that it was given, without questions.
    pub(in crate::cli) fn orders(&self) -> Vec<String> {
        let asked = &self.0.0.lock().unwrap().asked;
        asked.iter().filter(|line| line.starts_with("POST")).cloned().collect()
    }

    fn answer(&self, stream: UnixStream) {
        let mut reader = BufReader::new(&stream);
        let (mut first, mut line, mut length) = (String::new(), String::new(), 0);
        reader.read_line(&mut first).unwrap();
        while {
            line.clear();
            reader.read_line(&mut line).unwrap()
        } > 2
        {
            if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap();
            }
        }
        reader.read_exact(&mut vec![0; length]).unwrap();
        let asked = first.rsplit_once(' ').map_or("", |(asked, _)| asked).to_owned();
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.asked.push(asked.clone());
        changed.notify_all();
        if asked == "GET /v1/idle" {
            state = changed.wait_while(state, |it| it.status["sessions"] != json!([])).unwrap();
        }
        // What it never says, nobody hears.
        drop(changed.wait_while(state, |it| it.silent || asked == "GET /v1/end").unwrap());
        let mut state = self.0.0.lock().unwrap();
        let refused = asked.starts_with("POST") && state.refuses > 0;
        state.refuses -= u32::from(refused);
        let (code, body) = match asked.as_str() {
            _ if refused => (500, json!({"code": "policy", "kind": "failed", "message": "not now"})),
            "POST /v1/policy/reload" => (200, json!({"revision": 2, "hash": "00ff", "closed": 0})),
            _ => (200, state.status.clone()),
        };
        drop(state);
        let body = body.to_string();
        // The command may have left.
        let _ = write!(&stream, "HTTP/1.1 {code} X\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    }
}
