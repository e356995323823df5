//! What every command is given.

use super::{
    client::{self, Client},
    failure::{CommandResult, Failure, Outcome},
    ops::{Found, Operations, Progress, Proposal, Source},
    output::Output,
    progress::Bars,
    prompt::Prompt,
};

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

    /// The running sandbox; starts it when it is stopped, and says so.
    ///
    /// # Errors
    /// When it does not start.
    pub fn running(&self, sandbox: &Found) -> Result<Client, Failure> {
        let client = Client::new(&sandbox.socket);
        let answer = client::block_on(async {
            match client.wait().await {
                Ok(status) => Ok(Some(status)),
                Err(client::ClientError::NotRunning) => Ok(None),
                Err(error) => Err(error.into()),
            }
        })?;
        if answer.is_none_or(|status| status.phase != crate::model::status::Phase::Running) {
            self.out.say(format!("starting {}", sandbox.desired.name));
            self.ops.start(sandbox, self.progress().as_ref())?;
        }
        Ok(client)
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

/// What came of a proposal.
pub struct Carried {
    /// What was proposed.
    pub proposal: Proposal,
    /// Where its sandboxes stand.
    pub statuses: Vec<crate::model::status::SandboxStatus>,
}
