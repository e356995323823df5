//! The real program without machines: files, answers and proposals are the host's own; a sandbox that is applied is
//! noted, "runs" at once, and its session leaves a trail as a guest's would.

use std::{
    cell::RefCell,
    collections::BTreeMap,
    path::{Path, PathBuf},
    rc::Rc,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use serde_json::Value;

use crate::{
    audit::{
        chain,
        trail::{Limits, Trail},
    },
    cli::{
        command::attach::Wish,
        failure::{CommandResult, Failure, Outcome},
        host::Host,
        ops,
        ops::{
            Account, Approvals, BuiltTemplate, Documents, Found, KeptTemplate, Kits, Machines as _,
            Operations, Plans, PortEdit, Progress, Proposal, Rules, Source, Templates,
        },
        tests::keeper::FakeKeeper,
    },
    model::{
        desired::Sandbox,
        event::{Decision, Draft},
        name::Name,
        status::{Phase, PublishedPort, SandboxStatus},
    },
    plan::Plan,
    store::{How, NewSandbox, Owner, Store},
    template::doctor::Hardware,
};

/// Sandboxes that were applied, by name; they outlive one command.
pub(super) type Made = Rc<RefCell<BTreeMap<String, Sandbox>>>;

pub(super) struct Rehearsal {
    pub(super) host: Host,
    pub(super) made: Made,
    /// Where trails lie.
    pub(super) trails: PathBuf,
    /// Where sandboxes that are applied have a record and a keeper; elsewhere they are noted only.
    pub(super) machines: Option<Machines>,
}

/// Records of the host's store, each with a keeper that has no machine.
#[derive(Clone)]
pub(super) struct Machines {
    pub(super) store: Store,
    pub(super) owner: Owner,
    pub(super) runtime: PathBuf,
    pub(super) keepers: Rc<RefCell<BTreeMap<String, FakeKeeper>>>,
}

impl Machines {
    /// Makes what a plan makes; gives whether that was all of it.
    fn make(&self, proposal: &Proposal) -> bool {
        let mut made = false;
        for wanted in proposal.plan.iter().flat_map(Plan::wanted) {
            let name = wanted.name.clone();
            if self.keepers.borrow().contains_key(name.as_str()) {
                continue;
            }
            let created_at = "2026-01-02T03:04:05Z".to_owned();
            let new =
                NewSandbox { name: name.clone(), owner: self.owner.clone(), created_at, desired: wanted };
            let record = self.store.create(new).unwrap();
            self.store.reach(&record.id, record.generation, None).unwrap();
            let keeper = FakeKeeper::of(&self.store, &record.id, &self.runtime);
            self.keepers.borrow_mut().insert(name.to_string(), keeper);
            made = true;
        }
        made
    }
}

impl Rehearsal {
    fn socket(&self, sandbox: &Sandbox) -> PathBuf {
        self.trails.join(format!("{}.socket", sandbox.name))
    }

    fn found(&self, sandbox: &Sandbox) -> Found {
        let audit = self.trails.join(sandbox.name.as_str());
        Found {
            id: "0123456789ab".to_owned(),
            desired: sandbox.clone(),
            socket: self.socket(sandbox),
            console_log: audit.join("console.log"),
            setup_log: audit.join("setup.log"),
            audit,
        }
    }
}

fn status(sandbox: &Sandbox) -> SandboxStatus {
    let running = SandboxStatus::new(sandbox.name.to_string(), "0123456789ab", Phase::Running);
    SandboxStatus { agent: sandbox.agent.kit.clone(), ..running }
}

/// What a guest does in these stories: fetches packages, and tries what nobody allowed.
fn requests() -> [(&'static str, &'static str, Decision); 4] {
    [
        ("net.connect", "npm.corp.example:443", Decision::Allow),
        ("http.request", "GET https://npm.corp.example/left-pad", Decision::Allow),
        ("http.request", "GET https://paste.example/", Decision::Deny),
        ("http.request", "GET https://paste.example/", Decision::Deny),
    ]
}

impl Operations for Rehearsal {
    fn documents(&self) -> &dyn Documents {
        &self.host
    }

    fn kits(&self) -> &dyn Kits {
        &self.host
    }

    fn plans(&self) -> &dyn Plans {
        self
    }

    fn approvals(&self) -> &dyn Approvals {
        &self.host
    }

    fn machines(&self) -> &dyn ops::Machines {
        self
    }

    fn rules(&self) -> &dyn Rules {
        &self.host
    }

    fn templates(&self) -> &dyn Templates {
        self
    }

    fn account(&self) -> &dyn Account {
        &self.host
    }
}

impl Plans for Rehearsal {
    fn propose(&self, source: &Source, wish: &ops::Wish) -> Result<Proposal, Failure> {
        self.host.propose(source, wish)
    }

    fn approve(&self, proposal: &Proposal, ids: &[String], how: How) -> Result<Proposal, Failure> {
        self.host.approve(proposal, ids, how)
    }

    fn park(&self, proposal: &Proposal) -> Result<(), Failure> {
        self.host.park(proposal)
    }

    fn propose_delete(&self, source: &Source) -> Result<Proposal, Failure> {
        self.host.propose_delete(source)
    }

    fn apply(
        &self,
        proposal: &Proposal,
        wish: &ops::Wish,
        on: &dyn Progress,
    ) -> Result<Vec<SandboxStatus>, Failure> {
        if let Some(machines) = &self.machines {
            if !machines.make(proposal) {
                return self.host.apply(proposal, wish, on);
            }
            self.host.park(proposal)?;
            return self.host.list(true);
        }
        self.host.park(proposal)?;
        let mut made = self.made.borrow_mut();
        std::fs::create_dir_all(&self.trails).unwrap();
        for sandbox in proposal.desired.iter().filter(|sandbox| !made.contains_key(sandbox.name.as_str())) {
            FakeKeeper::at(&self.socket(sandbox), serde_json::to_value(status(sandbox)).unwrap());
        }
        made.extend(proposal.desired.iter().map(|sandbox| (sandbox.name.to_string(), sandbox.clone())));
        Ok(proposal.desired.iter().map(status).collect())
    }
}

impl ops::Machines for Rehearsal {
    fn ports(&self, _: &Found, _: &PortEdit) -> Result<Vec<PublishedPort>, Failure> {
        Ok(Vec::new())
    }

    fn find(&self, reference: &str) -> Result<Found, Failure> {
        match self.made.borrow().get(reference) {
            Some(sandbox) => Ok(self.found(sandbox)),
            None => self.host.find(reference),
        }
    }

    fn list(&self, here: bool) -> Result<Vec<SandboxStatus>, Failure> {
        if self.machines.is_some() {
            return self.host.list(here);
        }
        Ok(self.made.borrow().values().map(status).collect())
    }

    fn start(&self, sandbox: &Found, _: &dyn Progress) -> Result<SandboxStatus, Failure> {
        Ok(status(&sandbox.desired))
    }

    fn stop(&self, sandbox: &Found, _: Duration, _: bool) -> Result<SandboxStatus, Failure> {
        Ok(status(&sandbox.desired))
    }

    fn remove(&self, sandbox: &Found, _: bool) -> Result<(), Failure> {
        self.made.borrow_mut().remove(sandbox.desired.name.as_str());
        std::fs::remove_file(&sandbox.socket).unwrap();
        Ok(())
    }

    fn suspend(&self, sandbox: &Found, suspended: bool) -> Result<SandboxStatus, Failure> {
        self.host.suspend(sandbox, suspended)
    }

    fn await_status(
        &self,
        sandbox: &Found,
        reached: &dyn Fn(&SandboxStatus) -> bool,
        limit: Duration,
    ) -> Result<Option<SandboxStatus>, Failure> {
        self.host.await_status(sandbox, reached, limit)
    }

    fn trails(&self, _: Option<&Found>) -> Result<Vec<PathBuf>, Failure> {
        Ok(vec![self.trails.clone()])
    }

    fn session(&self, sandbox: &Found, _: Wish) -> CommandResult {
        let now = Instant::now();
        let context = chain::Context::default();
        let (mut trail, _) = Trail::open(&sandbox.audit, Limits::default(), now).unwrap();
        for (action, resource, decision) in requests() {
            let draft = Draft {
                time: Timestamp::now().to_string(),
                action: action.into(),
                resource: resource.into(),
                decision,
                rule: None,
                reason: "no_rule".into(),
                detail: serde_json::Map::new(),
            };
            trail.append(draft, &context, now).unwrap();
        }
        Ok(Outcome::Passed(0))
    }

    fn hardware(&self) -> Hardware {
        Hardware::Usable
    }

    fn demo(&self, name: Option<&Name>, on: &dyn Progress) -> Result<Value, Failure> {
        self.host.demo(name, on)
    }
}

impl Templates for Rehearsal {
    fn build_templates(
        &self,
        _: &Source,
        _: Option<&str>,
        _: bool,
        _: &dyn Progress,
    ) -> Result<Vec<BuiltTemplate>, Failure> {
        Ok(Vec::new())
    }

    fn kept(&self) -> Result<Vec<KeptTemplate>, Failure> {
        Ok(Vec::new())
    }

    fn remove_templates(
        &self,
        _: &[String],
        _: bool,
        _: &dyn Progress,
    ) -> Result<Vec<KeptTemplate>, Failure> {
        Ok(Vec::new())
    }

    fn cache(&self) -> &Path {
        self.host.cache()
    }

    fn prepare_cache(&self, _: &dyn Progress) -> Result<(), Failure> {
        Ok(())
    }
}
