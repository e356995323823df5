//! Thousands of lives of a host: documents change, effects fail, the program is killed, machines die. In the end the
//! host is what the documents say, and all work is there.

use super::*;
use crate::{
    model::{
        desired::{Port, Preset, Start},
        rule::{Layer, Origin},
    },
    plan::{
        self, Approvals, Plan, PlanInput,
        facts::{Facts, Lack, Refusal, Refusals, Unbuilt},
        grant::{Grant, GrantSet, Ground, Held, granted},
    },
    reconcile::simulated::{Break, Fault, Luck, Simulated},
};

/// Passes that a host without faults needs at most: ports may have to change hands.
const SETTLE: usize = 8;
const SEEDS: u64 = 3_000;

const NAMES: [&str; 4] = ["api", "dev", "docs", "web"];

/// The smallest document, in a file.
fn document(name: &str) -> Sandbox {
    let mut sandbox = Sandbox::smallest(name);
    sandbox.provenance.file = Some("/repo/sandbox.yaml".into());
    sandbox
}

/// Documents as somebody might write them: each sandbox with a field of each class, and no port twice.
fn documents(random: &mut crate::reconcile::simulated::Random) -> Vec<Sandbox> {
    let origin = || Origin { layer: Layer::Repository, file: None, line: None };
    let shift = random.below(3);
    let mut sandboxes = Vec::new();
    for (index, name) in (0_u64..).zip(NAMES) {
        if random.below(4) == 0 {
            continue;
        }
        let mut sandbox = document(name);
        sandbox.network.preset =
            [Preset::LockedDown, Preset::Balanced, Preset::Open][random.below(3) as usize];
        sandbox.env = [("N".to_owned(), random.below(2).to_string())].into();
        sandbox.template.image = format!("image-{}", random.below(2));
        let host = Some(8_000 + ((index + shift) % 4) as u16);
        sandbox.ports = vec![Port { guest: 80, host, fixed: true, origin: origin() }];
        sandboxes.push(sandbox);
    }
    sandboxes
}

/// Whose presets a person refuses.
fn refusals(random: &mut crate::reconcile::simulated::Random) -> BTreeSet<Name> {
    NAMES.iter().filter(|_| random.below(3) == 0).map(|name| name.parse().expect("a name")).collect()
}

/// The documents as far as nobody has refused what they ask for.
fn granted_of(world: &Simulated, desired: &[Sandbox]) -> Vec<Sandbox> {
    let mut all = desired.to_vec();
    for it in all.iter_mut().filter(|it| world.refused.contains(&it.name)) {
        it.network.preset = Preset::LockedDown;
    }
    all
}

/// The plan that everything is approved for that was not refused.
fn planned(world: &mut Simulated, desired: &[Sandbox], observed: &[Observed]) -> Plan {
    let ground = Ground { root: "/repo".into(), home: "/home".into() };
    let grants = |sandbox: &Sandbox| -> Vec<Grant> {
        granted(sandbox, &ground).into_iter().map(|it| it.grant).collect()
    };
    let approve =
        |sandbox: &Sandbox| (sandbox.name.clone(), grants(sandbox).into_iter().collect::<GrantSet>().into());
    let definitions: BTreeMap<Name, Held> = granted_of(world, desired).iter().map(approve).collect();
    let refuse = |sandbox: &Sandbox| {
        let presets = grants(sandbox).into_iter().filter(|grant| matches!(grant, Grant::Preset { .. }));
        let answer = Refusal { id: "0".into(), by: "ann".into(), at: "2026-01-01T00:00:00Z".into() };
        (sandbox.name.clone(), presets.map(|grant| (grant.to_string(), answer.clone())).collect())
    };
    let refused = desired.iter().filter(|it| world.refused.contains(&it.name));
    let rejected: BTreeMap<Name, Refusals> = refused.map(refuse).collect();
    // What a host lacks is told, and keeps nothing from being tried.
    let lack = Lack::Isolation { message: "this host has no /dev/kvm".into(), hint: None };
    let facts = Facts { lacks: vec![lack], unbuilt: Unbuilt { packages: 1, steps: 1 } };
    plan::make(&PlanInput {
        desired: desired.to_vec(),
        scope: vec!["/repo".into()],
        observed: observed.to_vec(),
        sessions: match world.broken {
            Break::ForgetsSessions => BTreeMap::new(),
            _ => world.busy.iter().map(|id| (id.clone(), 1)).collect(),
        },
        silent: BTreeSet::new(),
        suspended: BTreeSet::new(),
        approvals: Approvals { definitions, rejected, ..Approvals::default() },
        facts: desired.iter().map(|it| (it.name.clone(), facts.clone())).collect(),
        registries: BTreeMap::new(),
        now: false,
        prune: world.prune,
        at: None,
        ground,
    })
}

fn pass(world: &mut Simulated, desired: &[Sandbox], order: &[Half]) -> Verdict {
    let observed = world.observe().expect("the simulated state is readable");
    let plan = planned(world, desired, &observed);
    execute_in(order, world, &plan.wanted(), &observed, plan.executable(), 0, |_| {}).verdict
}

/// What is wrong with the host, given what it shall be.
fn complaints(world: &Simulated, desired: &[Sandbox]) -> Vec<String> {
    let mut wrong = world.crimes.clone();
    for wanted in desired {
        let found: Vec<_> = world.boxes.values().filter(|it| it.desired.name == wanted.name).collect();
        let [it] = found[..] else {
            wrong.push(format!("{} sandboxes are named {}", found.len(), wanted.name));
            continue;
        };
        let Some(machine) = &it.machine else {
            wrong.push(format!("{} does not run", wanted.name));
            continue;
        };
        let (policy, booted) = (machine.policy == wanted.network, &machine.booted);
        if !policy || booted.env != wanted.env {
            wrong.push(format!("{} runs with something else than its document says", wanted.name));
        }
        if machine.ports != wanted.ports.iter().filter_map(|port| port.host).collect() {
            wrong.push(format!("{} has other ports than its document says", wanted.name));
        }
        if it.system != Some(Some(wanted.template.image.clone())) {
            wrong.push(format!("{} runs on another template", wanted.name));
        }
        if it.unfinished.is_some() || it.orphaned || it.desired != *wanted {
            wrong.push(format!("the record of {} is not done: {:?}", wanted.name, it.unfinished));
        }
    }
    for it in world.boxes.values().filter(|it| desired.iter().all(|wanted| wanted.name != it.desired.name)) {
        if it.machine.is_some() || !it.orphaned {
            wrong.push(format!("{} has no document and is no orphan", it.desired.name));
        }
    }
    wrong.extend(lost(world));
    wrong
}

/// Work that is gone.
fn lost(world: &Simulated) -> Vec<String> {
    let kept = |id, token| {
        let data = world.boxes.get(id).and_then(|it| it.data.as_ref());
        data.is_some_and(|data: &BTreeSet<u64>| data.contains(token))
    };
    let lost = world.work.iter().filter(|(id, token)| !kept(id, token));
    lost.map(|(id, token)| format!("work {token} of {id} is lost")).collect()
}

/// Whether a pass added before it had tried every removal.
fn adds_first(world: &Simulated) -> Option<String> {
    let takes = |call: &str| matches!(call, "stop" | "orphan" | "remove" | "enforce");
    let adds = |call: &str| matches!(call, "start" | "create");
    let last = world.trace.iter().rposition(|(call, _)| takes(call))?;
    let first = world.trace.iter().position(|(call, _)| adds(call))?;
    (first < last).then(|| format!("adds before it removes: {:?}", world.trace))
}

/// One life; what is wrong at its end.
fn live(seed: u64, broken: Break, order: &[Half]) -> Vec<String> {
    let mut world = Simulated::new(seed);
    world.broken = broken;
    let mut desired = documents(&mut world.random);
    let mut wrong = Vec::new();
    world.one_in = 2 + world.random.below(12);
    for _ in 0..4 + world.random.below(8) {
        world.revive();
        pass(&mut world, &desired, order);
        wrong.extend(adds_first(&world));
        wrong.extend(lost(&world));
        // Between two passes: a new document, a machine that dies, somebody who comes to work or leaves, nothing.
        match world.random.below(5) {
            0 => {
                desired = documents(&mut world.random);
                world.refused = refusals(&mut world.random);
            }
            1 => {
                if let Some((id, it)) = world.boxes.iter_mut().next() {
                    it.machine = None;
                    world.busy.remove(id);
                }
            }
            2 => {
                let running = world.boxes.iter().filter(|(_, it)| it.machine.is_some());
                world.busy = running.map(|(id, _)| id.clone()).collect();
            }
            3 => world.busy.clear(),
            _ => {}
        }
    }
    world.one_in = 0;
    world.busy.clear();
    let mut verdict = Verdict::Retry { after: std::time::Duration::ZERO };
    for _ in 0..SETTLE {
        world.revive();
        verdict = pass(&mut world, &desired, order);
        wrong.extend(adds_first(&world));
    }
    if verdict != Verdict::Done {
        wrong.push(format!("the last verdict is {verdict:?}"));
    }
    wrong.extend(complaints(&world, &granted_of(&world, &desired)));
    // Planning the planned state is empty.
    let observed = world.observe().expect("the simulated state is readable");
    let rest = planned(&mut world, &desired, &observed).executable();
    wrong.extend(rest.iter().map(|step| format!("{step:?}")));
    wrong
}

#[test]
fn any_interleaving_of_faults_and_passes_ends_in_the_desired_state() {
    for seed in 0..SEEDS {
        assert_eq!(live(seed, Break::None, &Half::ORDER), Vec::<String>::new(), "seed {seed}");
    }
}

/// How many of some lives end wrong.
fn failing(broken: Break, order: &[Half]) -> usize {
    (0..300).filter(|seed| !live(*seed, broken, order).is_empty()).count()
}

#[test]
fn a_host_that_breaks_a_promise_is_found_out() {
    assert_eq!(failing(Break::None, &Half::ORDER), 0);
    for broken in
        [Break::ForgetsTheRest, Break::NotesTheEndFirst, Break::RenewsBothDisks, Break::ForgetsSessions]
    {
        assert!(failing(broken, &Half::ORDER) > 50, "{broken:?}");
    }
}

#[test]
fn adding_before_removing_is_found_out() {
    assert!(failing(Break::None, &[Half::Addition, Half::Removal, Half::Live]) > 50);
    // Leaving the live updates to the end is adding before taking away, too.
    assert!(failing(Break::None, &[Half::Removal, Half::Addition, Half::Live]) > 50);
}

/// `a` and `b` run; `a` gives its port to `b`, and cannot be stopped.
#[test]
fn what_a_failed_removal_still_holds_is_not_taken() {
    let mut world = Simulated::new(1);
    let mut desired = vec![document("a"), document("b"), document("c")];
    let origin = Origin { layer: Layer::Repository, file: None, line: None };
    let port = Port { guest: 80, host: Some(8_080), fixed: true, origin };
    desired[0].ports = vec![port.clone()];
    assert_eq!(pass(&mut world, &desired, &Half::ORDER), Verdict::Done);
    desired[0].ports.clear();
    desired[0].env = [("N".to_owned(), "1".to_owned())].into();
    desired[1].ports = vec![port];
    desired[1].env = desired[0].env.clone();
    desired[2].env = desired[0].env.clone();

    let observed = world.observe().expect("readable");
    let steps = planned(&mut world, &desired, &observed).executable();
    let mut stubborn = Stubborn { world: &mut world, refuses: "stop" };
    let mut begun = Vec::new();
    let report =
        execute(&mut stubborn, &desired, &observed, steps, 0, |step| begun.push(step.name.to_string()));
    assert_eq!(begun, ["a", "b", "c"], "each once, though b is only held");
    let fates: Vec<_> = report.outcomes.into_iter().map(|outcome| outcome.fate).collect();
    let by = desired[0].name.clone();
    assert_eq!(
        fates,
        [
            Fate::Failed(Fault("refused")),
            Fate::Held { claim: Claim::Port(8_080), by },
            // Whoever has nothing to do with it is served.
            Fate::Done,
        ]
    );
    assert_eq!(report.verdict, Verdict::Retry { after: backoff(0) });
    assert_eq!(pass(&mut world, &desired, &Half::ORDER), Verdict::Done);
    assert_eq!(complaints(&world, &desired), Vec::<String>::new());
}

/// A definition that policy refuses costs nobody a machine that runs.
#[test]
fn what_cannot_be_recorded_stops_nothing() {
    for image in ["debian-12", "other"] {
        let mut world = Simulated::new(1);
        let mut desired = vec![document("a"), document("b")];
        assert_eq!(pass(&mut world, &desired, &Half::ORDER), Verdict::Done);
        for sandbox in &mut desired {
            sandbox.env = [("N".to_owned(), "1".to_owned())].into();
            sandbox.template.image = image.to_owned();
        }
        let observed = world.observe().expect("readable");
        let steps = planned(&mut world, &desired, &observed).executable();
        let mut stubborn = Stubborn { world: &mut world, refuses: "record" };
        let report = execute(&mut stubborn, &desired, &observed, steps, 0, |_| {});
        let fates: Vec<_> = report.outcomes.into_iter().map(|outcome| outcome.fate).collect();
        assert_eq!(fates, [Fate::Failed(Fault("refused")), Fate::Done]);
        let first = world.boxes.values().next().and_then(|it| it.machine.as_ref());
        assert!(first.is_some_and(|machine| machine.booted.env.is_empty()), "{image}");
    }
}

/// Nothing but `run` starts one that is started on demand: what a killed pass took down, the next one brings up.
#[test]
fn one_on_demand_that_a_killed_pass_took_down_comes_up_again() {
    let kills =
        (0..10).flat_map(|after| [(after, Luck::Dies), (after, Luck::DiesAfter), (after, Luck::Fails)]);
    for (image, kill) in
        ["debian-12", "other"].iter().flat_map(|image| kills.clone().map(move |it| (image, it)))
    {
        let mut world = Simulated::new(1);
        let mut desired = vec![document("a")];
        pass(&mut world, &desired, &Half::ORDER);
        desired[0].start = Start::OnDemand;
        pass(&mut world, &desired, &Half::ORDER);
        desired[0].env = [("N".to_owned(), "1".to_owned())].into();
        desired[0].template.image = (*image).to_owned();
        world.next_luck = Some(kill);
        for _ in 0..3 {
            world.revive();
            pass(&mut world, &desired, &Half::ORDER);
        }
        assert_eq!(complaints(&world, &desired), Vec::<String>::new(), "{image} {kill:?}");
    }
}

#[test]
fn what_is_pruned_is_stopped_first_wherever_the_pass_is_killed() {
    for kill in (0..3).flat_map(|after| [(after, Luck::Dies), (after, Luck::DiesAfter), (after, Luck::Fails)])
    {
        let mut world = Simulated::new(1);
        let desired = vec![document("a"), document("b")];
        pass(&mut world, &desired, &Half::ORDER);
        world.prune = true;
        world.next_luck = Some(kill);
        for _ in 0..2 {
            world.revive();
            pass(&mut world, &desired[..1], &Half::ORDER);
        }
        let names: Vec<_> = world.boxes.values().map(|it| it.desired.name.as_str()).collect();
        assert_eq!((names, &world.crimes), (vec!["a"], &Vec::new()), "{kill:?}");
    }
}

/// A host that refuses its first sandbox one effect.
struct Stubborn<'a> {
    world: &'a mut Simulated,
    refuses: &'static str,
}

impl Stubborn<'_> {
    fn ask(&self, effect: &str, id: &SandboxId) -> Result<(), Fault> {
        let first = self.world.boxes.keys().next();
        if effect == self.refuses && first == Some(id) { Err(Fault("refused")) } else { Ok(()) }
    }
}

impl World for Stubborn<'_> {
    type Failure = Fault;

    fn stop(&mut self, id: &SandboxId) -> Result<(), Self::Failure> {
        self.ask("stop", id)?;
        self.world.stop(id)
    }

    fn observe(&mut self) -> Result<Vec<Observed>, Self::Failure> {
        self.world.observe()
    }

    fn create(&mut self, wanted: &Sandbox) -> Result<SandboxId, Self::Failure> {
        self.world.create(wanted)
    }

    fn furnish(&mut self, id: &SandboxId) -> Result<(), Self::Failure> {
        self.world.furnish(id)
    }

    fn record(&mut self, id: &SandboxId, wanted: &Sandbox, until: Unfinished) -> Result<(), Self::Failure> {
        self.ask("record", id)?;
        self.world.record(id, wanted, until)
    }

    fn reach(&mut self, id: &SandboxId, left: Option<Unfinished>) -> Result<(), Self::Failure> {
        self.world.reach(id, left)
    }

    fn enforce(&mut self, id: &SandboxId) -> Result<(), Self::Failure> {
        self.world.enforce(id)
    }

    fn renew(&mut self, id: &SandboxId) -> Result<(), Self::Failure> {
        self.world.renew(id)
    }

    fn start(&mut self, id: &SandboxId) -> Result<(), Self::Failure> {
        self.world.start(id)
    }

    fn orphan(&mut self, id: &SandboxId) -> Result<(), Self::Failure> {
        self.world.orphan(id)
    }

    fn remove(&mut self, id: &SandboxId) -> Result<(), Self::Failure> {
        self.world.remove(id)
    }

    fn outlook(&self, failure: &Self::Failure) -> Outlook {
        self.world.outlook(failure)
    }

    fn words(&self, failure: &Self::Failure) -> String {
        self.world.words(failure)
    }
}
