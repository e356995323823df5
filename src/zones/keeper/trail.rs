//! What the keeper notes in the audit trail, and when that reaches the disk.

use std::{io, path::Path, rc::Rc, time::Instant};

use jiff::Timestamp;
use serde_json::{Map, json};

use super::book::Book;
use crate::{
    audit::{
        TrailError,
        chain::Context,
        trail::{Limits, Trail},
    },
    lifecycle::Lifecycle,
    model::{
        event::{Decision, Draft},
        rule::NetworkRule,
        status::{PublishedPort, SandboxStatus},
    },
};

impl Book {
    /// Notes which ports were opened and which closed.
    pub(super) fn note_ports(&self, before: &[PublishedPort], after: &[PublishedPort]) {
        let opened = after.iter().filter(|port| !before.contains(port)).map(|port| ("published", port));
        let closed = before.iter().filter(|port| !after.contains(port)).map(|port| ("withdrawn", port));
        for (reason, port) in closed.chain(opened) {
            let resource = format!("{}:{} → {}", port.address, port.host, port.guest);
            self.note_about("port.publish", resource, reason, Map::new());
        }
    }

    /// Notes that a rule says nothing from now on.
    pub(super) fn note_ended(&self, rule: &NetworkRule) {
        let detail = Map::from_iter([
            ("rule".to_owned(), json!(rule.id)),
            ("effect".to_owned(), json!(rule.effect)),
            ("until".to_owned(), json!(rule.until)),
        ]);
        self.note_about("policy.change", rule.pattern(), "ended", detail);
    }

    /// Writes a decision to the trail. It is outside egress when this returns, and on the disk within 100 ms.
    pub(super) fn record_event(&self, draft: Draft) -> io::Result<()> {
        let mut trail = self.trail.borrow_mut();
        trail.append(draft, &self.context.borrow(), Instant::now()).map_err(io::Error::other)?;
        if self.config.sync_each {
            trail.sync().map_err(io::Error::other)?;
        }
        drop(trail);
        self.written.notify_one();
        Ok(())
    }

    /// Brings the trail to the disk and seals its segments when that is due, for as long as the keeper lives.
    pub(super) async fn keep_synced(self: Rc<Self>) {
        loop {
            let due = {
                let trail = self.trail.borrow();
                [trail.sync_due(), trail.seal_due()].into_iter().flatten().min()
            };
            match due {
                Some(instant) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(instant.into()) => self.sync_now(),
                        () = self.written.notified() => {}
                    }
                }
                None => self.written.notified().await,
            }
        }
    }

    fn sync_now(&self) {
        let now = Instant::now();
        let mut trail = self.trail.borrow_mut();
        let seal = trail.seal_due().is_some_and(|due| due <= now);
        let done = if seal { trail.seal(now) } else { trail.sync().map(drop) };
        if let Err(error) = done {
            self.complain(&format!("audit: {error}"));
        }
    }

    /// The guest has answered.
    pub(super) fn started(&self, status: &SandboxStatus) {
        let mut detail = Map::new();
        detail.insert("kernel".to_owned(), json!(status.kernel));
        detail.insert("boot_ms".to_owned(), json!(status.boot_ms));
        detail.insert("jail_missing".to_owned(), json!(self.missing_layers()));
        self.note("sandbox.start", "started", detail);
    }

    /// The sandbox is down: last words, and the end of the control socket.
    pub(super) fn close(&self, lifecycle: &Lifecycle) {
        let mut detail = Map::new();
        detail.insert("phase".to_owned(), json!(lifecycle.phase()));
        detail.insert("why".to_owned(), json!(lifecycle.reason()));
        self.note("sandbox.stop", "stopped", detail);
        let now = Instant::now();
        if let Err(error) = self.trail.borrow_mut().seal(now) {
            self.complain(&format!("audit: {error}"));
        }
        if let Err(error) = self.dir.remove_sockets() {
            self.complain(&format!("sockets: {error}"));
        }
    }

    pub(super) fn note(&self, action: &str, reason: &str, detail: Map<String, serde_json::Value>) {
        self.note_about(action, self.record.name.to_string(), reason, detail);
    }

    fn note_about(
        &self,
        action: &str,
        resource: String,
        reason: &str,
        detail: Map<String, serde_json::Value>,
    ) {
        let draft = Draft {
            time: Timestamp::now().to_string(),
            action: action.to_owned(),
            resource,
            decision: Decision::Allow,
            rule: None,
            reason: reason.to_owned(),
            detail,
        };
        if let Err(error) = self.record_event(draft) {
            self.complain(&format!("audit: {error}"));
        }
    }
}

/// A trail whose end is broken is moved aside and a new chain begins with an event that says so: refusing to start
/// would let whoever broke the file keep the sandbox down.
pub(super) fn open_trail(dir: &Path, context: &Context) -> Result<Trail, TrailError> {
    match Trail::open(dir, Limits::default(), Instant::now()) {
        Ok((trail, _)) => Ok(trail),
        Err(error) if error.bad().is_some() => {
            Trail::recover(dir, Limits::default(), Timestamp::now().to_string(), context, Instant::now())
        }
        Err(error) => Err(error),
    }
}
