//! One step: a command in the guest, for which the set-up waits, or which runs on beside the agent.
//!
//! A step in the background that ends badly before the set-up is over, or [`AT_ONCE`] after its start, was never there: that
//! fails the set-up. Later it is a remark in the status.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, timeout, timeout_at},
};

use super::{SetupError, Work, place, tail::Tail};
use crate::{
    model::desired::SetupStep,
    wire::{self, ExecRequest},
    zones::keeper::{
        errand::{Command, CommandError},
        ports,
    },
};

/// How long a step in the background that nobody asks whether it is ready may take to fail.
const AT_ONCE: Duration = Duration::from_secs(2);

/// A command that runs on beside the agent.
pub(super) struct Background {
    step: SetupStep,
    ended: oneshot::Receiver<Ended>,
    tail: Rc<RefCell<Tail>>,
    /// Until then its end is worth waiting for.
    watched: Instant,
}

struct Ended {
    how: String,
    badly: bool,
}

impl Work<'_> {
    pub(super) async fn step(&self, kind: &str, step: &SetupStep) -> Result<(), SetupError> {
        self.log.append(format!("==> setup.{kind}: {}\n", step.name).as_bytes());
        let tail = Rc::<RefCell<Tail>>::default();
        let failed = |how| failed(step, how, &tail);
        let limit = Duration::from_secs(step.timeout_s);
        let started = Instant::now();
        let mut command = Command::start(&self.keeper.guest, &request(step))
            .await
            .map_err(|error| failed(error.to_string()))?;
        if step.background {
            let mut running = self.background(step, command, &tail);
            self.ready(step, limit, &mut running).await.map_err(failed)?;
            self.background.borrow_mut().push(running);
            return Ok(());
        }
        let keep = |bytes: &[u8]| {
            self.log.append(bytes);
            tail.borrow_mut().add(bytes);
        };
        let code = match timeout(limit, command.end(keep)).await {
            Err(_) => return Err(failed(format!("did not end within {} s", step.timeout_s))),
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Ok(Ok(code)) => code,
        };
        let words = format!("<== exit code {code} after {:.1} s\n", started.elapsed().as_secs_f32());
        self.log.append(words.as_bytes());
        if code == 0 { Ok(()) } else { Err(failed(ended_with(code))) }
    }

    /// Lets a command run on beside the agent.
    fn background(&self, step: &SetupStep, mut command: Command, tail: &Rc<RefCell<Tail>>) -> Background {
        let (tell, ended) = oneshot::channel();
        let (log, kept, name) = (Rc::clone(&self.log), Rc::clone(tail), step.name.clone());
        let keeper = Rc::downgrade(self.keeper);
        tokio::task::spawn_local(async move {
            let output = |bytes: &[u8]| {
                log.append(bytes);
                kept.borrow_mut().add(bytes);
            };
            let ended = match command.end(output).await {
                Ok(code) => Ended { how: ended_with(code), badly: code != 0 },
                Err(CommandError::NotStarted(how)) => Ended { how, badly: true },
                // The machine went down.
                Err(CommandError::Guest(_)) => return,
            };
            log.append(format!("<== {name} {}\n", ended.how).as_bytes());
            if let (Err(ended), Some(keeper)) = (tell.send(ended), keeper.upgrade()) {
                keeper.remark(format!("the background step `{name}` {}", ended.how));
            }
        });
        let watched = Instant::now() + if step.ready_port.is_some() { Duration::ZERO } else { AT_ONCE };
        Background { step: step.clone(), ended, tail: Rc::clone(tail), watched }
    }

    async fn ready(&self, step: &SetupStep, limit: Duration, running: &mut Background) -> Result<(), String> {
        let Some(port) = step.ready_port else { return Ok(()) };
        tokio::select! {
            answered = ports::connect(&self.keeper.guest, port, limit) => match answered {
                Ok(Some(_)) => Ok(()),
                Ok(None) => Err(format!("is not ready: port {port} did not answer within {} s", step.timeout_s)),
                Err(error) => Err(format!("is not ready: {error}")),
            },
            Ok(ended) = &mut running.ended => Err(format!("{} before port {port} answered", ended.how)),
        }
    }

    /// The last thing of a set-up: whether what shall run on beside the agent does.
    pub(super) async fn watch_background(&self) -> Result<(), SetupError> {
        for running in self.background.take() {
            let Background { step, mut ended, tail, watched } = running;
            // One that has ended is seen, however late it is.
            if let Ok(Ok(ended)) = timeout_at(watched, &mut ended).await
                && ended.badly
            {
                return Err(failed(&step, format!("{} in the background", ended.how), &tail));
            }
        }
        Ok(())
    }
}

fn failed(step: &SetupStep, how: String, tail: &RefCell<Tail>) -> SetupError {
    let lines = tail.borrow().lines();
    SetupError::Step { step: step.name.clone(), place: place(&step.origin), how, lines }
}

fn request(step: &SetupStep) -> ExecRequest {
    ExecRequest {
        version: wire::VERSION,
        argv: vec!["sh".to_owned(), "-c".to_owned(), step.run.clone()],
        env: BTreeMap::new(),
        working_dir: None,
        user: None,
        tty: None,
        stdin: false,
    }
}

fn ended_with(code: u8) -> String {
    match code {
        129..=192 => format!("was ended by signal {}", code - 128),
        _ => format!("ended with exit code {code}"),
    }
}
