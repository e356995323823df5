//! The host's own trail: what happens outside a running sandbox.

use std::time::Instant;

use jiff::Timestamp;

use super::Host;
use crate::{
    audit::{
        chain::Context,
        trail::{Limits, Trail},
    },
    cli::failure::{Failure, Kind},
    model::{
        desired::Sandbox,
        event::{Draft, EventProvenance, EventSandbox},
    },
};

impl Host {
    /// Writes to the host's own trail: what happens outside a running sandbox.
    pub(super) fn note(&self, draft: Draft, about: Option<&Sandbox>) -> Result<(), Failure> {
        self.note_all(vec![draft], about)
    }

    /// As [`Host::note`] for several events: by one writer, which leaves one segment, and all on the disk at once.
    pub(super) fn note_all(&self, drafts: Vec<Draft>, about: Option<&Sandbox>) -> Result<(), Failure> {
        if drafts.is_empty() {
            return Ok(());
        }
        let failed = |error: &dyn std::error::Error| {
            Failure::new(Kind::Failed, "audit", format!("the audit trail does not take the event: {error}"))
        };
        let provenance = about.map(|sandbox| EventProvenance {
            commit: sandbox.provenance.commit.clone(),
            file_digest: sandbox.provenance.file_digest.clone(),
            policy_hash: None,
            approved_by: None,
        });
        let context = Context {
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            user: self.user.clone(),
            org: None,
            sandbox: about.map(|sandbox| EventSandbox {
                id: String::new(),
                name: sandbox.name.to_string(),
                agent: sandbox.agent.kit.clone(),
            }),
            provenance: provenance.unwrap_or_default(),
            isolation: None,
        };
        let dir = self.store.audit();
        let now = Instant::now();
        // Commands write one after the other; each holds the trail for a few milliseconds.
        let _turn = self.store.audit_turn().map_err(|error| failed(&error))?;
        let time = Timestamp::now().to_string();
        let mut trail = match Trail::open(&dir, Limits::default(), now) {
            Ok((trail, _)) => trail,
            Err(error) if error.bad().is_some() => {
                Trail::recover(&dir, Limits::default(), time, &context, now)
                    .map_err(|error| failed(&error))?
            }
            Err(error) => return Err(failed(&error)),
        };
        for draft in drafts {
            trail.append(draft, &context, now).map_err(|error| failed(&error))?;
        }
        trail.sync().map_err(|error| failed(&error))?;
        Ok(())
    }
}
