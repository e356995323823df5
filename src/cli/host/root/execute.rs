//! One step in the machine that was made for it.

use std::{collections::BTreeMap, fs::File, io, os::fd::OwnedFd, path::PathBuf, time::Duration};

use tokio::sync::mpsc;

use super::log;
use crate::{
    cli::{
        client::{self, Client},
        failure::{Failure, Kind},
        session::{self, Ended, Session, SessionError},
    },
    model::session::SessionKind,
    wire::{self, exec::ExecRequest},
};

/// Longest time of one step.
pub(super) const STEP_LIMIT: Duration = Duration::from_secs(60 * 60);

/// How a step ended, and the end of its output.
pub(super) type Execution = (Result<Ended, SessionError>, String);

/// Runs a step's text as root, to its end; gives the end of its output.
pub(super) fn execute(socket: PathBuf, run: &str, heard: impl FnMut(&str)) -> Result<Execution, Failure> {
    let request = ExecRequest {
        version: wire::VERSION,
        argv: vec!["sh".to_owned(), "-c".to_owned(), run.to_owned()],
        env: BTreeMap::from([("DEBIAN_FRONTEND".to_owned(), "noninteractive".to_owned())]),
        working_dir: Some("/root".to_owned()),
        user: Some("root".to_owned()),
        tty: None,
        stdin: false,
    };
    let (reader, writer) = io::pipe().map_err(|error| local(&error))?;
    let errors = writer.try_clone().map_err(|error| local(&error))?;
    let file = |end: io::PipeWriter| File::from(OwnedFd::from(end));
    let output = session::Output::from_files(file(writer), file(errors));
    std::thread::scope(|scope| {
        let session = scope.spawn(move || {
            client::block_on(async {
                let guest = Client::new(socket).exec(SessionKind::Exec, &request).await?;
                // Nobody sends one: this command's own signals end it, and the machine with it.
                let (_none, events) = mpsc::channel(1);
                let timeout = Some(STEP_LIMIT);
                Ok(Session { guest, input: None, output, events, timeout }.run().await)
            })
        });
        let log = log::follow(reader, heard);
        let ended =
            session.join().unwrap_or_else(|_| Err(local(&io::Error::other("a thread ended early"))))?;
        Ok((ended, log))
    })
}

/// This process failed, not the step.
pub(super) fn local(error: &io::Error) -> Failure {
    Failure::new(Kind::Failed, "template", "cannot run a template's step").caused_by(error)
}
