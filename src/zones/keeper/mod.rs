//! The keeper: one per sandbox. It owns the sandbox's lifecycle, control socket, guest control channel and audit
//! trail. It holds secrets only as sealed memory files that it never maps.
//!
//! ```text
//! launcher ──ended──▶ ┌──────────────┐ ──start, kill──▶ launcher
//! guest ───said─────▶ │  happenings  │ ──power off────▶ guest
//! commands ─asked───▶ │  (lifecycle) │ ──status───────▶ watchers, status.json
//! timers ───────────▶ └──────────────┘
//! egress ──reports──▶ book (audit, names) ──acknowledged──▶ egress
//! ```
//!
//! Read in this order: [`machine`] (how it starts), this file's loop, [`api`], [`book`].

mod api;
mod book;
mod clock;
pub(super) mod egress_link;
mod ends;
mod errand;
mod expand;
mod frames;
mod guarded;
mod guest_link;
mod launcher_link;
mod machine;
mod machine_control;
mod output;
mod ports;
mod relay;
mod sessions;
mod setup;
mod shares;
mod trail;
mod upstream;

use std::{
    cell::{Cell, RefCell},
    io::Write,
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::sync::{Notify, mpsc, watch};

use self::{
    book::Book, egress_link::EgressLink, guest_link::GuestLink, launcher_link::LauncherLink, ports::Ports,
};
use super::entry::{self, ZoneError};
use crate::{
    lifecycle::{Action, Event, Lifecycle},
    model::{
        api::PolicyRevision,
        launch::KeeperConfig,
        status::{Phase, SandboxStatus, SetupState},
    },
    policy::layers,
    sys::descriptors::{FIRST, LIFELINE},
    wire::HostMessage,
};

/// How long a guest may take to go down when nobody says otherwise.
const DEFAULT_GRACE: Duration = Duration::from_secs(20);
/// How long killed processes may take to be reaped.
const REAP_LIMIT: Duration = Duration::from_secs(10);

/// How long the machine's own end may come after that of a device that it let go of.
const CAUSE_LIMIT: Duration = Duration::from_secs(2);

/// How long commands may take to read their last answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// Descriptors: the launcher's socket, the pipe on which the keeper announces itself, sealed secrets, and for a machine
/// that runs a build step the command's lifeline.
pub(super) fn main() -> Result<(), ZoneError> {
    let config: KeeperConfig = entry::config()?;
    let lifeline = entry::take(LIFELINE, "the lifeline")?;
    let launcher = entry::take(FIRST, "the launcher's socket")?;
    let announce = entry::take(FIRST + 1, "the announcement pipe")?;
    let secrets = (FIRST + 2..)
        .take(config.secrets.len())
        .map(|number| entry::take(number, "a secret's file"))
        .collect::<Result<Vec<_>, _>>()?;
    let command = (config.throwaway)
        .then(|| {
            let number = (FIRST + 2..).nth(config.secrets.len()).unwrap_or(FIRST + 2);
            entry::take(number, "the command's lifeline")
        })
        .transpose()?;
    rustix::thread::set_no_new_privs(true).map_err(ZoneError::failed("cannot give up new privileges"))?;
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
        .map_err(ZoneError::failed("cannot forbid core dumps"))?;
    entry::watch(lifeline)?;
    command.map_or(Ok(()), entry::watch)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(ZoneError::failed("cannot start the runtime"))?;
    tokio::task::LocalSet::new().block_on(&runtime, keep(config, launcher, announce, secrets))
}

/// What the tasks of one keeper share.
pub(super) struct Keeper {
    book: Rc<Book>,
    guest: GuestLink,
    egress: Rc<EgressLink>,
    ports: Ports,
    status: watch::Sender<SandboxStatus>,
    happenings: mpsc::UnboundedSender<Event>,
    grace: Cell<Duration>,
    policy: RefCell<PolicyRevision>,
    sessions: sessions::Sessions,
    /// Told when another policy is in force: its next end is another.
    policy_changed: Notify,
    /// Connections of commands that wait for an answer.
    answering: watch::Sender<usize>,
}

impl Keeper {
    fn status(&self) -> SandboxStatus {
        self.status.borrow().clone()
    }

    fn happened(&self, event: Event) {
        // The loop that receives outlives every sender.
        let _ = self.happenings.send(event);
    }

    async fn wait_for(&self, reached: impl Fn(&SandboxStatus) -> bool) {
        let mut status = self.status.subscribe();
        let _ = status.wait_for(|status| reached(status)).await;
    }

    /// Reads every layer anew and puts the result in force.
    async fn reload_policy(&self) -> std::io::Result<(PolicyRevision, u32)> {
        let revision = self.policy.borrow().revision + 1;
        let setup = self.policy.borrow().setup;
        let policy = layers::staged(self.book.policy(revision)?, setup);
        let closed = self.enforce(policy.clone()).await?;
        Ok((policy, closed))
    }

    /// Puts rules for set-up steps in force, or takes them back, and notes it where there are any. No file is read: what is
    /// in force is what is taken back. Over once egress has said so, with connections closed that only they permitted.
    async fn stage(&self, setup: bool) -> std::io::Result<()> {
        let before = self.policy.borrow().clone();
        let revision = before.revision + 1;
        let policy = layers::staged(PolicyRevision { revision, ..before }, setup);
        let rules = layers::setup_rules(&policy);
        let closed = self.enforce(policy).await?;
        if !rules.is_empty() {
            let reason = if setup { "setup_begins" } else { "setup_over" };
            let detail = [("rules", json!(rules)), ("closed", json!(closed))];
            let detail = detail.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
            self.book.note("policy.change", reason, detail);
        }
        Ok(())
    }

    /// Puts a policy in force; gives how many connections it closed. Policies reach egress in the order of these calls.
    async fn enforce(&self, policy: PolicyRevision) -> std::io::Result<u32> {
        self.policy.replace(policy.clone());
        self.policy_changed.notify_one();
        let closed = self.egress.apply(policy.clone()).await?;
        self.status.send_modify(|status| self.book.policy_applied(&policy, status));
        self.book.save_status(&self.status.borrow());
        Ok(closed)
    }

    /// Publishes what the files say now. What can be had is published, even where the rest is an error.
    fn reload_ports(&self) -> std::io::Result<()> {
        let before = self.ports.list();
        let changed = self.ports.change(&self.book.ports()?);
        let after = self.ports.list();
        self.book.note_ports(&before, &after);
        self.status.send_modify(|status| status.ports = after);
        self.book.save_status(&self.status.borrow());
        changed.map_err(std::io::Error::other)
    }
}

async fn keep(
    config: KeeperConfig,
    launcher: OwnedFd,
    announce: OwnedFd,
    secrets: Vec<OwnedFd>,
) -> Result<(), ZoneError> {
    let started = Instant::now();
    let book = Rc::new(Book::open(&config).map_err(ZoneError::failed("cannot open the sandbox's state"))?);
    let (status, _) = watch::channel(book.first_status());
    book.save_status(&status.borrow());
    let (ended, mut zones_ended) = mpsc::unbounded_channel();
    let launcher = LauncherLink::new(launcher, book.log(), ended)
        .map_err(ZoneError::failed("cannot listen to the launcher"))?;
    let listener = book.listen().map_err(ZoneError::failed("cannot listen on the control socket"))?;
    let (said, mut guest_said) = mpsc::unbounded_channel();
    // Before anything is started: a port that is taken is known in a moment.
    let machine = async {
        let ports = machine::bind_ports(&book)?;
        Ok((machine::start(&config, &book, &launcher, secrets, said).await?, ports))
    };
    let (machine, ports) = match machine.await {
        Ok(started) => started,
        Err(error) => return give_up(&book, &launcher, announce, &status, &error).await,
    };
    let (happenings, mut happened) = mpsc::unbounded_channel();
    let keeper = Rc::new(Keeper {
        book: Rc::clone(&book),
        guest: machine.guest,
        egress: machine.egress,
        ports,
        status,
        happenings,
        grace: Cell::new(DEFAULT_GRACE),
        policy: RefCell::new(machine.policy),
        sessions: sessions::Sessions::default(),
        policy_changed: Notify::new(),
        answering: watch::Sender::new(0),
    });
    keeper.status.send_modify(|status| {
        machine.isolation.clone_into(&mut status.isolation);
        status.ports = keeper.ports.list();
        keeper.book.policy_applied(&keeper.policy.borrow(), status);
    });
    keeper.book.save_status(&keeper.status.borrow());
    tokio::task::spawn_local(api::serve(listener, Rc::clone(&keeper)));
    tokio::task::spawn_local(Rc::clone(&book).keep_synced());
    tokio::task::spawn_local(ends::keep(Rc::clone(&keeper)));
    announce_ready(announce);
    let boot_limit = Duration::from_secs(config.boot_timeout_s);
    let mut lifecycle = Lifecycle::default();
    let mut deadline =
        Some((Instant::now() + boot_limit, Event::BootTimeout { after_s: config.boot_timeout_s }));
    while !lifecycle.is_over() {
        let timer = deadline.clone();
        let event = tokio::select! {
            Some(event) = happened.recv() => event,
            Some(ended) = zones_ended.recv() => zone_ended(&cause(ended, &mut zones_ended).await),
            Some(said) = guest_said.recv() => heard(&keeper, said, started),
            event = at(timer) => event,
        };
        match lifecycle.apply(event) {
            Some(Action::PowerOff) => {
                deadline = Some((Instant::now() + keeper.grace.get(), Event::GraceOver));
                keeper.guest.tell(&HostMessage::Shutdown).await;
            }
            Some(Action::KillAll) => launcher.kill_all().await,
            None => {}
        }
        if lifecycle.phase() == Phase::Running {
            deadline = None;
        } else if lifecycle.phase() == Phase::Stopping && deadline.is_none() {
            deadline = Some((Instant::now() + keeper.grace.get(), Event::GraceOver));
        }
        publish(&keeper, &lifecycle);
    }
    let reap = async { while !launcher.is_empty().await && zones_ended.recv().await.is_some() {} };
    let _ = tokio::time::timeout(REAP_LIMIT, reap).await;
    keeper.book.close(&lifecycle);
    // Whoever asked for the end shall hear of it.
    let mut answering = keeper.answering.subscribe();
    let _ = tokio::time::timeout(ANSWER_LIMIT, answering.wait_for(|count| *count == 0)).await;
    Ok(())
}

/// The sandbox could not be started: says so to whoever waits, and leaves nothing running.
async fn give_up(
    book: &Book,
    launcher: &LauncherLink,
    announce: OwnedFd,
    status: &watch::Sender<SandboxStatus>,
    error: &machine::StartError,
) -> Result<(), ZoneError> {
    launcher.kill_all().await;
    let message = format!("{error}{}", entry::causes(error));
    status.send_modify(|status| {
        status.phase = Phase::Failed;
        status.reason = Some(message.clone());
    });
    book.save_status(&status.borrow());
    book.complain(&message);
    // Whoever started the sandbox reads the reason from here.
    let _ = std::fs::File::from(announce).write_all(message.as_bytes());
    Ok(())
}

/// The empty announcement: the control socket answers.
fn announce_ready(announce: OwnedFd) {
    drop(announce);
}

async fn at(deadline: Option<(Instant, Event)>) -> Event {
    match deadline {
        Some((instant, event)) => {
            tokio::time::sleep_until(instant.into()).await;
            event
        }
        None => std::future::pending().await,
    }
}

/// What was first: a device that ends by itself was let go of by the machine, whose end is heard of a moment later and says
/// more.
async fn cause(
    ended: launcher_link::Ended,
    later: &mut mpsc::UnboundedReceiver<launcher_link::Ended>,
) -> launcher_link::Ended {
    if !ended.is_let_go() {
        return ended;
    }
    let machine = async {
        while let Some(next) = later.recv().await {
            if !next.is_let_go() {
                return Some(next);
            }
        }
        None
    };
    tokio::time::timeout(CAUSE_LIMIT, machine).await.ok().flatten().unwrap_or(ended)
}

fn zone_ended(ended: &launcher_link::Ended) -> Event {
    match (ended.started, ended.role) {
        (false, role) => Event::StartFailed(format!("cannot start {role}: {}", ended.how)),
        (true, "vmm") => Event::MachineEnded(format!(
            "the machine ended by itself ({}); `logs --console` shows its console",
            ended.how
        )),
        (true, role) => Event::ZoneEnded(format!("the {role} process ended ({})", ended.how)),
    }
}

fn heard(keeper: &Rc<Keeper>, said: guest_link::Said, started: Instant) -> Event {
    match said {
        guest_link::Said::Ready { kernel, notes } => {
            let missing = keeper.book.missing_layers();
            if keeper.book.demands_full_jail() && !missing.is_empty() {
                return Event::StartFailed(format!(
                    "`jail: full` is demanded, and this host lacks {}",
                    missing.join(", ")
                ));
            }
            let first = keeper.status.borrow().kernel.is_none();
            if first {
                let boot_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                keeper.status.send_modify(|status| {
                    status.kernel = Some(kernel);
                    status.notes.extend(notes);
                    status.boot_ms = Some(boot_ms);
                    status.setup = setup::begun(&keeper.book.record().desired);
                });
                if keeper.status.borrow().setup.is_some() {
                    tokio::task::spawn_local(setup::run(Rc::clone(keeper)));
                }
                keeper.book.started(&keeper.status.borrow());
                keeper.book.note_ports(&[], &keeper.ports.list());
                keeper.ports.serve(&keeper.guest);
                tokio::task::spawn_local(clock::keep(keeper.guest.clone()));
            }
            Event::GuestReady
        }
        guest_link::Said::Stopping => Event::GuestStopping,
    }
}

fn publish(keeper: &Keeper, lifecycle: &Lifecycle) {
    let changed = keeper.status.send_if_modified(|status| {
        let reason = lifecycle.reason().map(str::to_owned);
        let missing = keeper.book.missing_layers();
        let changed =
            (status.phase, &status.reason, &status.jail_missing) != (lifecycle.phase(), &reason, &missing);
        status.phase = lifecycle.phase();
        status.reason = reason;
        status.jail_missing = missing;
        if lifecycle.is_over() {
            status.ports.clear();
            status.interrupt(&jiff::Timestamp::now().to_string());
            status.setup = status.setup.take().filter(|setup| setup.state == SetupState::Failed);
        }
        changed
    });
    if changed {
        keeper.book.save_status(&keeper.status.borrow());
    }
}
