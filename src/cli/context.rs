//! What every command is given.

use super::{
    client::{self, Client},
    failure::{CommandResult, Failure, Outcome},
    ops::{Found, Operations, Progress, Proposal, Source},
    output::Output,
    progress::Bars,
    prompt::Prompt,
};
use crate::model::status::{Phase, SandboxStatus};

/// Streams, somebody to ask, and the rest of the program.
pub struct Context<'a> {
    /// Data, talk and errors.
    pub out: Output,
    /// Somebody to ask, or nobody.
    pub prompt: Prompt,
    /// The rest of the program.
    pub ops: &'a dyn Operations,
}

impl Context<'_> {
    /// Progress bars on a terminal, else nothing.
    #[must_use]
    pub fn progress(&self) -> Box<dyn Progress> {
        Box::new(Bars::new(self.out.shows_progress()))
    }

    /// The running sandbox; starts it when it is stopped, and says so. One whose set-up failed is running: that is how
    /// one looks into it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn running(&self, sandbox: &Found) -> Result<(), Failure> {
        match self.ready(sandbox) {
            Err(failure) if failure.object().code == "setup_failed" => {
                self.out.say(format!("warning: {}", failure.object().message));
                Ok(())
            }
            other => other,
        }
    }

    /// As [`Context::running`], with its set-up done.
    ///
    /// # Errors
    /// When it does not start, or its set-up failed.
    pub fn ready(&self, sandbox: &Found) -> Result<(), Failure> {
        let client = Client::new(&sandbox.socket);
        let name = &sandbox.desired.name;
        let answer = client::block_on(async {
            match client.status().await {
                Ok(status) if status.is_settled() => Ok(Some(status)),
                Ok(status) => {
                    self.out.say(waiting(&status));
                    Ok(Some(client.wait().await?))
                }
                Err(client::ClientError::NotRunning) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })?;
        match answer.filter(|status| status.phase == Phase::Running) {
            Some(status) => super::failure::setup(&status).map_or(Ok(()), Err),
            None => {
                self.out.say(format!("starting {name}"));
                self.ops.start(sandbox, self.progress().as_ref()).map(drop)
            }
        }
    }

    /// Shows a proposal, asks where it widens, and carries it out.
    ///
    /// # Errors
    /// Kind `Pending` when nobody can be asked or the answer was no.
    pub fn carry_out(&self, source: &Source, yes: bool, wait: bool) -> Result<Carried, Failure> {
        let proposal = self.ops.propose(source)?;
        for warning in &proposal.warnings {
            self.out.say(format!("warning: {warning}"));
        }
        if !proposal.changes_something() {
            return Ok(Carried { statuses: self.ops.apply(&proposal, wait, &*self.progress())?, proposal });
        }
        self.out.say(super::render::proposal(&proposal));
        if proposal.widens() && !yes {
            let agreed = self.prompt.confirm("Grant this and go on?", || {
                super::failure::Failure::new(
                    super::failure::Kind::Pending,
                    "approval_pending",
                    "this needs an approval, and there is nobody to ask",
                )
                .hint("look at what it grants above, then pass --yes")
            })?;
            if !agreed {
                let message = "not approved; nothing was changed";
                return Err(Failure::new(super::failure::Kind::Pending, "not_approved", message));
            }
        }
        let statuses = self.ops.apply(&proposal, wait, &*self.progress())?;
        Ok(Carried { statuses, proposal })
    }

    /// Prints where sandboxes stand.
    ///
    /// # Errors
    /// When standard output takes no more.
    pub fn show_statuses(&self, statuses: &[crate::model::status::SandboxStatus]) -> CommandResult {
        let value = serde_json::json!({ "sandboxes": statuses });
        self.out.data(&value, || super::render::statuses(statuses))?;
        Ok(Outcome::Done)
    }
}

fn waiting(status: &SandboxStatus) -> String {
    let name = &status.name;
    match status.setup.as_ref().and_then(|setup| Some((setup, setup.step.as_ref()?))) {
        Some((setup, step)) => {
            format!("waiting for the set-up of {name}: step {} of {}, {step}", setup.index, setup.total)
        }
        None => format!("waiting for {name}"),
    }
}

/// What came of a proposal.
pub struct Carried {
    /// What was proposed.
    pub proposal: Proposal,
    /// Where its sandboxes stand.
    pub statuses: Vec<crate::model::status::SandboxStatus>,
}
