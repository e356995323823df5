//! What every command is given.

use super::{
    client::{self, Client},
    failure::{CommandResult, Failure, Kind, Outcome},
    ops::{Found, Operations, Progress, Proposal, Source, TrustedTip, Wish},
    output::Output,
    progress::Bars,
    prompt::Prompt,
};
use crate::{
    model::status::{Phase, SandboxStatus},
    store::How,
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

    /// The running sandbox; starts it when it is stopped, and says so. One whose set-up failed is running: that is how
    /// one looks into it.
    ///
    /// # Errors
    /// When it does not start.
    pub fn running(&self, sandbox: &Found) -> Result<(), Failure> {
        match self.ready(sandbox) {
            Err(failure) if failure.object().code == "setup_failed" => {
                let message = failure.object().message.lines().next().unwrap_or_default();
                let message = message.trim_end_matches("; it said last:");
                let name = &sandbox.desired.name;
                self.out.say(format!("warning: {message}; `cofferdam logs {name} --setup` shows all of it"));
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
                self.ops.machines().start(sandbox, self.progress().as_ref()).map(drop)
            }
        }
    }

    /// Shows a proposal, asks for what nobody has approved, and carries out what is; the rest is parked.
    ///
    /// # Errors
    /// Kind `Pending` where everything was to be approved first and is not.
    pub fn carry_out(&self, source: &Source, wish: &Wish) -> Result<Carried, Failure> {
        let proposal = self.ops.plans().propose(source, wish)?;
        for warning in &proposal.warnings {
            self.out.say(format!("warning: {warning}"));
        }
        self.say_trusted(&proposal.trusted);
        let proposal = self.ask(proposal, wish)?;
        self.carry_out_planned(proposal, wish)
    }

    /// Says which refs are trusted here, and whether their approvals count.
    pub fn say_trusted(&self, tips: &[TrustedTip]) {
        for tip in tips {
            self.out.say(super::render::line(&tip.to_string()));
        }
    }

    /// Carries out a proposal that was looked at before.
    ///
    /// # Errors
    /// As [`Self::carry_out`].
    pub fn carry_out_planned(&self, proposal: Proposal, wish: &Wish) -> Result<Carried, Failure> {
        if wish.require_approved && !proposal.asked.is_empty() {
            self.ops.plans().park(&proposal)?;
            self.out.say(super::render::asked(&proposal.asked));
            return Err(pending("nothing was started: not everything is approved"));
        }
        if proposal.says_something() {
            self.out.say(super::render::proposal(&proposal));
        }
        let statuses = self.ops.plans().apply(&proposal, wish, &*self.progress())?;
        if !proposal.asked.is_empty() {
            self.out.say(super::render::parked(&proposal.asked));
        }
        Ok(Carried { statuses, proposal })
    }

    /// Gets answers for what nobody has approved: from `--yes`, else from a person, else none.
    fn ask(&self, proposal: Proposal, wish: &Wish) -> Result<Proposal, Failure> {
        if proposal.asked.is_empty() {
            return Ok(proposal);
        }
        let (ids, how): (Vec<String>, How) = if wish.yes {
            let covered = proposal.asked.iter().filter(|asked| asked.yes);
            (covered.map(|asked| asked.id.clone()).collect(), How::Yes)
        } else if self.prompt.is_interactive() {
            self.out.say(super::render::asked(&proposal.asked));
            if !self.prompt.confirm(&question(&proposal), || pending("there is nobody to ask"))? {
                return Ok(proposal);
            }
            (proposal.asked.iter().map(|asked| asked.id.clone()).collect(), How::Asked)
        } else {
            return Ok(proposal);
        };
        if ids.is_empty() { Ok(proposal) } else { self.ops.plans().approve(&proposal, &ids, how) }
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

/// What to ask, and what comes of a no.
fn question(proposal: &Proposal) -> String {
    let blocked: Vec<String> = proposal
        .plan
        .iter()
        .flat_map(|plan| plan.blocked())
        .map(|(name, grant)| format!("{name} does not start without {grant}"))
        .collect();
    match blocked.is_empty() {
        true => "Approve all of this? Without it the rest starts, and this waits.".to_owned(),
        false => format!("Approve all of this? {}.", blocked.join("; ")),
    }
}

fn pending(message: &str) -> Failure {
    Failure::new(Kind::Pending, "approval_pending", message)
        .hint("`cofferdam pending` shows what waits, `cofferdam approve NAME` approves it")
}

/// What came of a proposal.
pub struct Carried {
    /// What was proposed.
    pub proposal: Proposal,
    /// Where its sandboxes stand.
    pub statuses: Vec<crate::model::status::SandboxStatus>,
}

impl Carried {
    /// Exit code 5 when something was parked.
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        if self.proposal.asked.is_empty() { Outcome::Done } else { Outcome::Answer(Kind::Pending) }
    }
}
