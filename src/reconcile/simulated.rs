//! A host that exists in memory: durable state as the store keeps it, machines that hold what they were started with,
//! agents that write their work to the data disk, and faults at every effect.

use std::collections::{BTreeMap, BTreeSet};

use super::{Outlook, World};
use crate::{
    model::{
        desired::{Network, Sandbox},
        name::{Name, SandboxId},
        progress::Unfinished,
        status::Phase,
    },
    plan::Observed,
};

/// What an effect that did not succeed says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault(pub(super) &'static str);

/// What happens to one effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Luck {
    /// It is done.
    Good,
    /// It fails, and nothing has happened.
    Fails,
    /// It is done, and says that it failed.
    FailsAfter,
    /// The program ends before it.
    Dies,
    /// The program ends after it.
    DiesAfter,
}

/// One sandbox.
#[derive(Debug, Clone)]
pub(super) struct Box {
    pub(super) desired: Sandbox,
    pub(super) generation: u64,
    pub(super) unfinished: Option<Unfinished>,
    pub(super) orphaned: bool,
    /// Its system disk, with the template that it was first booted on; none while it is blank.
    pub(super) system: Option<Option<String>>,
    /// Whether a new system disk was asked for, and nothing has run since.
    renewable: bool,
    /// What agents have written.
    pub(super) data: Option<BTreeSet<u64>>,
    pub(super) machine: Option<Machine>,
}

/// What a running machine holds, whatever the record says.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) policy: Network,
    pub(super) booted: Sandbox,
    pub(super) ports: BTreeSet<u16>,
}

/// Deliberate breaks of the world's promises.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Break {
    #[default]
    None,
    /// A new definition is written without what is still to be done.
    ForgetsTheRest,
    /// The end of the work is noted before the work.
    NotesTheEndFirst,
    /// Renewing takes the data disk too.
    RenewsBothDisks,
    /// The planner is told of no session.
    ForgetsSessions,
}

/// The host.
pub(super) struct Simulated {
    pub(super) boxes: BTreeMap<SandboxId, Box>,
    /// Where somebody works.
    pub(super) busy: BTreeSet<SandboxId>,
    /// Everything that an agent ever wrote, and where.
    pub(super) work: Vec<(SandboxId, u64)>,
    /// The calls of this pass.
    pub(super) trace: Vec<(&'static str, SandboxId)>,
    /// What was done that may never be.
    pub(super) crimes: Vec<String>,
    pub(super) random: Random,
    /// One effect in this many meets a fault; 0: none does.
    pub(super) one_in: u64,
    /// What happens to the effect that comes after so many others, once.
    pub(super) next_luck: Option<(usize, Luck)>,
    pub(super) broken: Break,
    /// Whether sandboxes without a document shall go.
    pub(super) prune: bool,
    /// Definitions whose preset a person refused.
    pub(super) refused: BTreeSet<Name>,
    dead: bool,
    next: u64,
}

impl Simulated {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            boxes: BTreeMap::new(),
            busy: BTreeSet::new(),
            work: Vec::new(),
            trace: Vec::new(),
            crimes: Vec::new(),
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            one_in: 0,
            next_luck: None,
            broken: Break::None,
            prune: false,
            refused: BTreeSet::new(),
            dead: false,
            next: 0,
        }
    }

    /// The program is started again after it may have died.
    pub(super) fn revive(&mut self) {
        self.dead = false;
        self.trace.clear();
    }

    fn luck(&mut self) -> Luck {
        // The effect itself is in the trace already.
        if let Some((_, luck)) = self.next_luck.take_if(|(after, _)| self.trace.len() > *after) {
            return luck;
        }
        if self.one_in == 0 || self.random.below(self.one_in) != 0 {
            return Luck::Good;
        }
        [Luck::Fails, Luck::FailsAfter, Luck::Dies, Luck::DiesAfter][self.random.below(4) as usize]
    }

    /// One effect, with its luck. A program that died has no further effect.
    fn effect<T>(
        &mut self,
        name: &'static str,
        id: &SandboxId,
        act: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        if self.dead {
            return Err(Fault("died"));
        }
        self.trace.push((name, id.clone()));
        match self.luck() {
            Luck::Good => act(self),
            Luck::Fails => Err(Fault("failed")),
            Luck::FailsAfter => act(self).and(Err(Fault("failed"))),
            Luck::Dies => {
                self.dead = true;
                Err(Fault("died"))
            }
            Luck::DiesAfter => {
                let _ = act(self);
                self.dead = true;
                Err(Fault("died"))
            }
        }
    }

    fn of(&mut self, id: &SandboxId) -> Result<&mut Box, Fault> {
        self.boxes.get_mut(id).ok_or(Fault("no such sandbox"))
    }

    /// The ports of the recorded definition, where nobody else has one of them.
    fn take_ports(&mut self, id: &SandboxId) -> Result<BTreeSet<u16>, Fault> {
        let ports: BTreeSet<u16> = self.of(id)?.desired.ports.iter().filter_map(|port| port.host).collect();
        for (other, it) in &self.boxes {
            let taken = it.machine.as_ref().is_some_and(|machine| !machine.ports.is_disjoint(&ports));
            if other != id && taken {
                self.crimes.push(format!("{id} takes a port that {other} still holds"));
                return Err(Fault("port taken"));
            }
        }
        Ok(ports)
    }

    fn boot(&mut self, id: &SandboxId) -> Result<(), Fault> {
        let wanted = self.of(id)?.desired.clone();
        let ports = self.take_ports(id)?;
        let token = self.work.len() as u64;
        let it = self.of(id)?;
        if it.machine.is_some() {
            return Ok(());
        }
        let (Some(system), Some(data)) = (&mut it.system, &mut it.data) else { return Err(Fault("no disk")) };
        system.get_or_insert_with(|| wanted.template.image.clone());
        // The agent works as soon as it runs.
        data.insert(token);
        it.renewable = false;
        it.machine = Some(Machine { policy: wanted.network.clone(), booted: wanted, ports });
        self.work.push((id.clone(), token));
        Ok(())
    }
}

impl World for Simulated {
    type Failure = Fault;

    fn observe(&mut self) -> Result<Vec<Observed>, Fault> {
        let observed = |(id, it): (&SandboxId, &Box)| Observed {
            id: id.clone(),
            recorded: it.desired.clone(),
            generation: it.generation,
            phase: if it.machine.is_some() { Phase::Running } else { Phase::Stopped },
            unfinished: it.unfinished,
            orphaned: it.orphaned,
            ports: it.machine.as_ref().map(|machine| machine.ports.clone()).unwrap_or_default(),
        };
        Ok(self.boxes.iter().map(observed).collect())
    }

    fn create(&mut self, wanted: &Sandbox) -> Result<SandboxId, Fault> {
        self.next += 1;
        let next = self.next.to_be_bytes();
        let id = SandboxId::from_bytes([next[2], next[3], next[4], next[5], next[6], next[7]]);
        let unfinished = (self.broken != Break::ForgetsTheRest).then_some(Unfinished::Disks);
        let new = Box {
            desired: wanted.clone(),
            generation: 1,
            unfinished,
            orphaned: false,
            system: None,
            renewable: false,
            data: None,
            machine: None,
        };
        self.effect("create", &id.clone(), |world| {
            if world.boxes.values().any(|it| it.desired.name == new.desired.name) {
                return Err(Fault("the name is taken"));
            }
            world.boxes.insert(id.clone(), new);
            Ok(id)
        })
    }

    fn furnish(&mut self, id: &SandboxId) -> Result<(), Fault> {
        // Two effects: a crash may lie between the disks.
        self.effect("system disk", id, |world| {
            let it = world.of(id)?;
            it.system.get_or_insert_default();
            Ok(())
        })?;
        self.effect("data disk", id, |world| {
            world.of(id)?.data.get_or_insert_default();
            Ok(())
        })
    }

    fn record(&mut self, id: &SandboxId, wanted: &Sandbox, until: Unfinished) -> Result<(), Fault> {
        let broken = self.broken;
        self.effect("record", id, |world| {
            let it = world.of(id)?;
            let news = it.desired != *wanted || it.unfinished < Some(until);
            it.renewable |= news && until == Unfinished::Renew;
            it.generation += u64::from(it.desired != *wanted);
            it.desired = wanted.clone();
            it.orphaned = false;
            if broken != Break::ForgetsTheRest {
                it.unfinished = it.unfinished.max(Some(until));
            }
            if broken == Break::NotesTheEndFirst {
                it.unfinished = None;
            }
            Ok(())
        })
    }

    fn reach(&mut self, id: &SandboxId, left: Option<Unfinished>) -> Result<(), Fault> {
        self.effect("reach", id, |world| {
            world.of(id)?.unfinished = left;
            Ok(())
        })
    }

    fn enforce(&mut self, id: &SandboxId) -> Result<(), Fault> {
        self.effect("enforce", id, |world| {
            let ports = world.take_ports(id)?;
            let it = world.of(id)?;
            let machine = it.machine.as_mut().ok_or(Fault("it does not run"))?;
            machine.policy = it.desired.network.clone();
            machine.ports = ports;
            Ok(())
        })
    }

    fn renew(&mut self, id: &SandboxId) -> Result<(), Fault> {
        let broken = self.broken;
        self.effect("renew", id, |world| {
            let it = world.of(id)?;
            if it.machine.is_some() {
                world.crimes.push(format!("{id} loses the disk that it runs on"));
                return Err(Fault("it runs"));
            }
            if !it.renewable {
                world.crimes.push(format!("{id} loses what was installed since its disk was renewed"));
                return Err(Fault("it was renewed"));
            }
            let it = world.of(id)?;
            it.system = Some(None);
            if broken == Break::RenewsBothDisks {
                it.data = Some(BTreeSet::new());
            }
            Ok(())
        })
    }

    fn start(&mut self, id: &SandboxId) -> Result<(), Fault> {
        self.effect("start", id, |world| world.boot(id))
    }

    fn stop(&mut self, id: &SandboxId) -> Result<(), Fault> {
        self.effect("stop", id, |world| {
            // One whose document is gone is stopped at once; the others wait for whoever works there.
            let orphaned = world.of(id)?.orphaned;
            if world.busy.remove(id) && !orphaned {
                world.crimes.push(format!("{id} is stopped while somebody works in it"));
            }
            world.of(id)?.machine = None;
            Ok(())
        })
    }

    fn orphan(&mut self, id: &SandboxId) -> Result<(), Fault> {
        self.effect("orphan", id, |world| {
            world.of(id)?.orphaned = true;
            Ok(())
        })
    }

    fn remove(&mut self, id: &SandboxId) -> Result<(), Fault> {
        self.effect("remove", id, |world| {
            if world.of(id)?.machine.is_some() {
                world.crimes.push(format!("{id} is removed while it runs"));
            }
            if !world.prune {
                world.crimes.push(format!("{id} is removed, and nobody asked for that"));
            }
            world.boxes.remove(id);
            Ok(())
        })
    }

    fn outlook(&self, _: &Fault) -> Outlook {
        Outlook::Retry
    }

    fn words(&self, failure: &Fault) -> String {
        failure.0.to_owned()
    }
}

/// Numbers that look random and are the same for the same seed (xorshift64*).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % end
    }
}
