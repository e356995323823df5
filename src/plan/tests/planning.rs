//! What the planner decides, and that it always decides the same.

use std::collections::BTreeMap;

use crate::{
    model::{
        desired::{
            BuildStep, IsolationWish, Mount, Port, Sandbox, SetupStep, Start, Workspace, WorkspaceMode,
        },
        name::{Name, SandboxId},
        progress::Unfinished,
        rule::{Addresses, During, Effect, HostPattern, Layer, NetworkRule, Origin, Ports, Protocol},
        secret::{Injection, SecretBinding},
        status::Phase,
        unit::Bytes,
    },
    plan::{
        Action, Approvals, Observed, PlanInput, Reason,
        facts::{Facts, Lack, Refusal, Unbuilt},
        grant::{GrantSet, Ground, Held, Waits, granted},
        input_from, input_text, make, plan_from, plan_text,
    },
};

pub(super) fn ground() -> Ground {
    Ground { root: "/home/ann/web".into(), home: "/home/ann".into() }
}

pub(super) fn origin(line: u32) -> Origin {
    Origin { layer: Layer::Repository, file: Some("sandbox.yaml".to_owned()), line: Some(line) }
}

pub(super) fn allow(host: &str) -> NetworkRule {
    NetworkRule {
        until: None,
        id: format!("dev/{host}"),
        effect: Effect::Allow,
        host: HostPattern::Exact(host.to_owned()),
        ports: Ports::one(443),
        protocol: Some(Protocol::Https),
        http: Vec::new(),
        addresses: Addresses::Public,
        during: During::Always,
        set: None,
        why: "the service that we work on".to_owned(),
        origin: origin(9),
    }
}

pub(super) fn sandbox(name: &str) -> Sandbox {
    let mut sandbox = Sandbox::smallest(name);
    sandbox.isolation = IsolationWish::Hardware;
    sandbox.provenance.file = Some("/home/ann/web/sandbox.yaml".into());
    sandbox.network.rules = vec![allow("api.example")];
    sandbox
}

pub(super) fn id(number: u8) -> SandboxId {
    SandboxId::from_bytes([number; 6])
}

pub(super) fn running(sandbox: &Sandbox, number: u8) -> Observed {
    Observed {
        id: id(number),
        recorded: sandbox.clone(),
        generation: 3,
        phase: Phase::Running,
        unfinished: None,
        orphaned: false,
        ports: std::collections::BTreeSet::new(),
    }
}

pub(super) fn input(desired: Vec<Sandbox>, observed: Vec<Observed>) -> PlanInput {
    let approve = |sandbox: &Sandbox| {
        let set: Held = granted(sandbox, &ground()).into_iter().map(|it| it.grant).collect();
        (sandbox.name.clone(), set)
    };
    let definitions: BTreeMap<Name, Held> = desired.iter().map(approve).collect();
    PlanInput {
        ground: ground(),
        scope: vec!["/home/ann/web".into()],
        desired,
        observed,
        sessions: BTreeMap::new(),
        silent: std::collections::BTreeSet::new(),
        suspended: std::collections::BTreeSet::new(),
        approvals: Approvals { definitions, ..Approvals::default() },
        facts: BTreeMap::new(),
        registries: BTreeMap::new(),
        now: false,
        prune: false,
        at: None,
    }
}

/// The action for `dev` when `change` was made to its file.
fn after(change: impl FnOnce(&mut Sandbox)) -> (Action, Vec<Reason>) {
    let before = sandbox("dev");
    let mut wanted = before.clone();
    change(&mut wanted);
    let mut plan = make(&input(vec![wanted], vec![running(&before, 1)]));
    assert_eq!(plan.steps.len(), 1);
    let step = plan.steps.remove(0);
    (step.action, step.reasons)
}

#[test]
fn each_field_has_its_class() {
    let step = |run: &str| SetupStep {
        name: run.to_owned(),
        run: run.to_owned(),
        timeout_s: 60,
        background: false,
        ready_port: None,
        origin: origin(1),
    };
    let mount = Mount {
        source: "/home/ann/data".into(),
        target: "/data".to_owned(),
        access: crate::model::desired::Access::Read,
        why: "data".to_owned(),
        origin: origin(1),
    };
    assert_eq!(after(|_| {}), (Action::Nothing, vec![Reason::InSync]));
    assert_eq!(after(|it| it.labels.extend([("a".to_owned(), "b".to_owned())])).0, Action::UpdateLive);
    assert_eq!(after(|it| it.network.rules.push(allow("b.example"))).0, Action::UpdateLive);
    assert_eq!(after(|it| it.network.rules[0].origin.line = Some(30)).0, Action::UpdateLive);
    let port = Port { guest: 80, host: None, fixed: false, origin: origin(1) };
    assert_eq!(after(|it| it.ports.push(port)).0, Action::UpdateLive);
    assert_eq!(after(|it| it.resources.cpus = 4).0, Action::Restart);
    assert_eq!(after(|it| it.env.extend([("A".to_owned(), "b".to_owned())])).0, Action::Restart);
    assert_eq!(after(|it| it.mounts.push(mount)).0, Action::Restart);
    assert_eq!(after(|it| it.setup.start.push(step("npm start"))).0, Action::Restart);
    assert_eq!(after(|it| it.setup.create.push(step("npm ci"))).0, Action::Replace);
    assert_eq!(after(|it| it.template.packages.push("jq".to_owned())).0, Action::Replace);
    let build = BuildStep { run: "npm i -g x".to_owned(), origin: origin(1) };
    assert_eq!(after(|it| it.template.steps.push(build)).0, Action::Replace);
    let fixed = |field: &str| (Action::Nothing, vec![Reason::CreateOnly { field: field.to_owned() }]);
    assert_eq!(after(|it| it.resources.disk = Bytes::gib(9)), fixed("resources.disk"));
    let workspace = Workspace { path: "/home/ann/web".into(), mode: WorkspaceMode::Read, origin: origin(1) };
    assert_eq!(after(|it| it.workspace = Some(workspace)), fixed("workspace"));
}

#[test]
fn where_something_stands_starts_nothing_anew() {
    let mount = |line| Mount {
        source: "/home/ann/data".into(),
        target: "/data".to_owned(),
        access: crate::model::desired::Access::Read,
        why: format!("reason {line}"),
        origin: origin(line),
    };
    let mut before = sandbox("dev");
    before.mounts.push(mount(4));
    let mut wanted = before.clone();
    wanted.mounts = vec![mount(5)];
    let plan = make(&input(vec![wanted], vec![running(&before, 1)]));
    assert_eq!(plan.steps[0].action, Action::UpdateLive);
    assert_eq!(plan.steps[0].consequences(), ["at once: the places and reasons that events name"]);
}

#[test]
fn a_fixed_field_keeps_the_others_moving() {
    let before = sandbox("dev");
    let mut wanted = before.clone();
    wanted.resources.disk = Bytes::gib(9);
    wanted.resources.cpus = 8;
    let plan = make(&input(vec![wanted], vec![running(&before, 1)]));
    let step = &plan.steps[0];
    let recorded = step.wanted.as_ref().expect("something changes");
    assert_eq!(
        (step.action, recorded.resources.disk, recorded.resources.cpus),
        (Action::Restart, before.resources.disk, 8)
    );
    assert_eq!(step.reasons, [Reason::CreateOnly { field: "resources.disk".to_owned() }]);
}

#[test]
fn a_busy_sandbox_is_not_started_anew() {
    let before = sandbox("dev");
    let mut wanted = before.clone();
    wanted.resources.cpus = 4;
    wanted.network.rules.clear();
    let mut input = input(vec![wanted], vec![running(&before, 1)]);
    input.sessions.insert(id(1), 2);
    let step = make(&input).steps.remove(0);
    assert_eq!(step.action, Action::UpdateLive, "what tightens applies at once");
    assert_eq!(step.reasons, [Reason::Busy { sessions: 2, then: Action::Restart }]);
    assert!(step.waits_for_sessions().is_some());
    assert_eq!(step.wanted.expect("rules change").resources.cpus, 2);
    assert_eq!(step.narrows[0].grant.to_string(), "net * api.example:443");
    input.now = true;
    let step = make(&input).steps.remove(0);
    assert_eq!(step.action, Action::Restart);
    assert_eq!(step.headline(), "is started anew: 2 sessions are open and end");
    assert_eq!(step.waits_for_sessions(), None);
}

#[test]
fn what_an_interrupted_pass_recorded_is_in_force_although_its_restart_waits() {
    let before = sandbox("dev");
    let mut input = input(vec![before.clone()], vec![running(&before, 1)]);
    input.observed[0].unfinished = Some(Unfinished::Stop);
    input.sessions.insert(id(1), 1);
    let step = make(&input).steps.remove(0);
    assert_eq!(step.action, Action::UpdateLive);
    assert_eq!(step.reasons, [Reason::Busy { sessions: 1, then: Action::Restart }]);
}

/// `dev` and `web` change ports, and somebody works in `dev`.
#[test]
fn a_busy_sandbox_gives_its_port_up_at_once_and_takes_the_other_later() {
    let port = |host: u16| Port { guest: 80, host: Some(host), fixed: true, origin: origin(1) };
    let with = |name: &str, host: u16| {
        let mut it = sandbox(name);
        it.ports = vec![port(host)];
        it
    };
    let mut seen = vec![running(&with("dev", 1), 1), running(&with("web", 2), 2)];
    seen[0].ports = [1].into();
    seen[1].ports = [2].into();
    let mut input = input(vec![with("dev", 2), with("web", 1)], seen);
    input.sessions.insert(id(1), 1);
    let plan = make(&input);
    let [dev, web] = plan.steps.as_slice() else { panic!("{plan:#?}") };
    assert_eq!((dev.action, web.action), (Action::UpdateLive, Action::Restart));
    assert_eq!(dev.wanted.as_ref().map(|it| it.ports.len()), Some(0));
    assert!(dev.waits_for_sessions().is_some());
}

#[test]
fn where_sessions_are_unknown_nothing_is_started_anew() {
    let before = sandbox("dev");
    let mut wanted = before.clone();
    wanted.resources.cpus = 4;
    let mut input = input(vec![wanted], vec![running(&before, 1)]);
    input.silent.insert(id(1));
    let step = make(&input).steps.remove(0);
    assert_eq!((step.action, step.wanted.clone()), (Action::Nothing, None));
    assert_eq!(step.reasons, [Reason::SessionsUnknown { then: Action::Restart }]);
    assert!(step.consequences()[0].contains("its keeper does not answer"), "{:?}", step.consequences());
    input.now = true;
    assert_eq!(make(&input).steps[0].action, Action::Restart);
}

#[test]
fn what_is_not_approved_waits_and_the_rest_is_done() {
    let before = sandbox("dev");
    let mut wanted = before.clone();
    wanted.network.rules.push(allow("paste.example"));
    wanted.resources.cpus = 4;
    let mut input = input(vec![before.clone()], vec![running(&before, 1)]);
    input.desired = vec![wanted];
    let step = make(&input).steps.remove(0);
    assert_eq!((step.action, step.reasons.as_slice()), (Action::Restart, [Reason::Parked].as_slice()));
    assert_eq!(step.parked[0].grant.to_string(), "net * paste.example:443");
    assert!(step.grants.is_empty());
    assert_eq!(step.wanted.expect("cpus change").network, before.network);
}

#[test]
fn a_sandbox_waits_for_what_cannot_be_left_out() {
    let mut wanted = sandbox("dev");
    wanted.isolation = IsolationWish::EmulationOk;
    let mut input = input(vec![wanted], Vec::new());
    input.approvals = Approvals::default();
    let step = make(&input).steps.remove(0);
    let [Reason::WaitingForApproval { waits: Waits::Isolation(_) }] = step.reasons.as_slice() else {
        panic!("{:?}", step.reasons)
    };
    assert_eq!((step.action, step.wanted), (Action::Nothing, None));
    // One that runs with less goes on, and takes what tightens.
    let before = sandbox("dev");
    input.observed = vec![running(&before, 1)];
    let step = make(&input).steps.remove(0);
    assert_eq!(step.action, Action::UpdateLive);
    let wanted = step.wanted.expect("its rules are no longer approved");
    assert_eq!((wanted.isolation, wanted.network.rules.len()), (IsolationWish::Hardware, 0));
}

#[test]
fn what_was_refused_is_left_out_and_not_asked_for() {
    let mut wanted = sandbox("dev");
    wanted.isolation = IsolationWish::EmulationOk;
    wanted.network.rules.push(allow("paste.example"));
    let mut input = input(vec![wanted], Vec::new());
    let answer = Refusal { id: "0123".into(), by: "ann".into(), at: "2026-01-02T03:04:05Z".into() };
    let refuse = |input: &mut PlanInput, grants: &[&str]| {
        let all = grants.iter().map(|grant| ((*grant).to_owned(), answer.clone())).collect();
        input.approvals = Approvals::default();
        input.approvals.baseline = ["net * api.example:443", "isolation emulation-ok"]
            .iter()
            .map(|it| it.parse().expect(it))
            .collect();
        input.approvals.rejected.insert("dev".parse().expect("a name"), all);
    };
    refuse(&mut input, &["net * paste.example:443"]);
    let plan = make(&input);
    let step = &plan.steps[0];
    assert_eq!((step.action, step.reasons.as_slice()), (Action::Create, [Reason::Rejected].as_slice()));
    assert!(!plan.is_pending() && step.parked.is_empty());
    let words = step.consequences().join("\n");
    assert!(words.contains("by ann at 2026-01-02T03:04:05Z: `cofferdam approve dev 0123` takes"), "{words}");
    let (text, saved) = (plan_text(&plan), input_text(&input));
    assert_eq!(plan_from(text.as_bytes()).expect("it was just written"), plan);
    assert_eq!(make(&input_from(saved.as_bytes()).expect("it was just written")), plan, "replayed");
    // What was approved by now counts, whatever was said before.
    refuse(&mut input, &["net * api.example:443"]);
    assert_eq!(make(&input).steps[0].reasons, [Reason::Parked]);
    // What cannot be left out keeps all of it.
    refuse(&mut input, &["isolation emulation-ok"]);
    input.approvals.baseline = GrantSet::default();
    let step = make(&input).steps.remove(0);
    assert!(matches!(step.reasons.as_slice(), [Reason::Refused { .. }]), "{step:?}");
    assert_eq!(step.headline(), "does not start, because its isolation was rejected");
    assert_eq!((step.action, step.parked.len(), step.rejected.len()), (Action::Nothing, 2, 1));
}

#[test]
fn nobody_is_asked_about_a_workspace_that_stays() {
    let workspace = |mode| Some(Workspace { path: "/home/ann/web".into(), mode, origin: origin(3) });
    let mut before = sandbox("dev");
    before.workspace = workspace(WorkspaceMode::Read);
    let mut wanted = before.clone();
    wanted.workspace = workspace(WorkspaceMode::Direct);
    let fixed = [Reason::CreateOnly { field: "workspace".to_owned() }];
    let mut input = input(vec![before.clone()], vec![running(&before, 1)]);
    input.desired = vec![wanted.clone()];
    let step = make(&input).steps.remove(0);
    assert_eq!((step.action, step.parked.len(), step.reasons.as_slice()), (Action::Nothing, 0, &fixed[..]));
    assert!(step.consequences()[0].contains("`cofferdam rm dev` and apply"), "{:?}", step.consequences());
    // A new one asks.
    input.observed.clear();
    assert_eq!(make(&input).steps[0].parked[0].grant.to_string(), "workspace . direct");
    // What it has and nobody approves any more keeps it from being started, whatever the file says by now.
    input.desired = vec![before];
    input.observed = vec![running(&wanted, 1)];
    input.observed[0].phase = Phase::Stopped;
    let step = make(&input).steps.remove(0);
    assert_eq!(
        (step.action, step.parked[0].grant.to_string()),
        (Action::Nothing, "workspace . direct".into())
    );
    assert_eq!(step.headline(), "stays as it is before its workspace is approved");
}

#[test]
fn what_a_host_lacks_is_said_where_something_starts() {
    let mut wanted = sandbox("dev");
    wanted.template.packages = vec!["jq".to_owned()];
    let lack = Lack::Secret { secret: "key".into(), message: "secret `key` has no value".into(), hint: None };
    let facts = Facts { lacks: vec![lack.clone()], unbuilt: Unbuilt { packages: 1, steps: 2 } };
    let mut input = input(vec![wanted.clone()], Vec::new());
    input.facts.insert(wanted.name.clone(), facts);
    let step = make(&input).steps.remove(0);
    assert_eq!(
        step.consequences(),
        ["builds a template: 1 package, 2 steps", "warning: secret `key` has no value"]
    );
    // One that runs, and goes on, misses nothing.
    input.observed = vec![running(&wanted, 1)];
    let step = make(&input).steps.remove(0);
    assert!(step.is_quiet() && step.lacks.is_empty(), "{step:?}");
    // One that is started anew does not build, and one that gets a new disk does.
    input.desired[0].resources.cpus += 1;
    let step = make(&input).steps.remove(0);
    assert_eq!((step.lacks.len(), step.builds.is_empty()), (1, true));
    input.observed[0].recorded.template.packages.clear();
    assert!(!make(&input).steps[0].builds.is_empty());
    // What was refused is put in nowhere.
    input.observed.clear();
    let grant = "secret key → api.example".to_owned();
    let answer = Refusal { id: "0".into(), by: "ann".into(), at: "2026-01-02T03:04:05Z".into() };
    input.desired[0].secrets = vec![SecretBinding {
        name: "key".into(),
        env: None,
        placeholder: "{alnum:32}".into(),
        required: true,
        inject: vec![Injection {
            host: "api.example".into(),
            port: 443,
            header: "authorization".into(),
            format: "{}".into(),
        }],
        why: "the model".into(),
        origin: origin(7),
    }];
    assert_eq!(make(&input).steps[0].lacks, [lack]);
    input.approvals.rejected.insert(wanted.name, [(grant, answer)].into());
    assert_eq!(make(&input).steps[0].lacks, []);
}

#[test]
fn a_definition_in_another_file_is_told() {
    let mut before = sandbox("dev");
    before.provenance.file = Some("/home/ann/web/a/sandbox.yaml".into());
    let mut wanted = before.clone();
    wanted.provenance.file = Some("/home/ann/web/b/sandbox.yaml".into());
    wanted.template.packages.push("jq".to_owned());
    let mut input = input(vec![wanted.clone()], vec![running(&before, 1)]);
    let step = make(&input).steps.remove(0);
    assert_eq!(step.action, Action::Replace);
    let words = step.consequences().join("\n");
    assert!(words.contains("its definition is in b/sandbox.yaml now, and was in a/sandbox.yaml"), "{words}");
    input.observed[0].recorded.provenance.file = None;
    assert!(make(&input).steps[0].consequences().join("\n").contains("was in no file"));
    input.observed[0].recorded.provenance.file = wanted.provenance.file;
    assert!(!make(&input).steps[0].consequences().join("\n").contains("its definition"));
}

#[test]
fn an_orphan_is_stopped_and_a_stranger_left_alone() {
    let (gone, mut typed) = (sandbox("gone"), sandbox("typed"));
    typed.provenance.file = None;
    let mut all = input(Vec::new(), vec![running(&gone, 1), running(&typed, 2)]);
    let plan = make(&all);
    assert_eq!(plan.steps.len(), 1);
    assert_eq!((plan.steps[0].name.as_str(), plan.steps[0].action), ("gone", Action::Orphan));
    all.scope = vec!["/home/ann/web/other.yaml".into()];
    assert!(make(&all).steps.is_empty(), "other files were read");
    all.scope = vec!["/home/ann/web".into()];
    all.suspended.insert(id(1));
    assert_eq!(make(&all).steps[0].reasons, [Reason::Suspended]);
}

#[test]
fn a_rule_that_has_ended_asks_for_nothing_and_the_plan_says_so() {
    let mut wanted = sandbox("dev");
    let before = wanted.clone();
    let rule = NetworkRule { until: "2026-12-31".parse().ok(), ..allow("late.example") };
    wanted.network.rules.push(rule.clone());
    let mut input = input(vec![wanted.clone()], vec![running(&before, 1)]);
    input.approvals.definitions.clear();
    input.approvals.baseline = granted(&before, &ground()).into_iter().map(|it| it.grant).collect();
    let at = |now: &str| PlanInput { at: now.parse().ok(), ..input.clone() };
    let open = make(&at("2026-12-31T23:59:59Z")).steps.remove(0);
    assert_eq!(open.parked[0].grant.to_string(), "net * late.example:443 until 2026-12-31");
    let ended = make(&at("2027-01-01T00:00:00Z")).steps.remove(0);
    assert!(ended.parked.is_empty() && ended.action == Action::Nothing, "{ended:?}");
    let words = ended.consequences().join("\n");
    assert!(words.contains("its rule for late.example has ended (2026-12-31)"), "{words}");
    assert!(!ended.is_quiet());
    // One that was in force is taken out.
    let mut running_on = at("2027-01-01T00:00:00Z");
    running_on.observed = vec![running(&wanted, 1)];
    let step = make(&running_on).steps.remove(0);
    assert_eq!(step.action, Action::UpdateLive);
    assert_eq!(step.wanted.map(|wanted| wanted.network.rules.contains(&rule)), Some(false));
}

#[test]
fn on_demand_is_left_to_run() {
    let mut wanted = sandbox("dev");
    wanted.start = Start::OnDemand;
    let step = make(&input(vec![wanted], Vec::new())).steps.remove(0);
    assert_eq!((step.action, step.reasons), (Action::Nothing, vec![Reason::StartOnDemand]));
}

#[test]
fn files_read_back_and_nothing_else_is_read() {
    let before = sandbox("dev");
    let mut wanted = before.clone();
    wanted.resources.cpus = 4;
    let input = input(vec![wanted, sandbox("new")], vec![running(&before, 1)]);
    let plan = make(&input);
    let (text, saved) = (plan_text(&plan), input_text(&input));
    assert_eq!(plan_from(text.as_bytes()).expect("it was just written"), plan);
    assert_eq!(make(&input_from(saved.as_bytes()).expect("it was just written")), plan, "replayed");
    for (bad, why) in [
        (saved.clone(), "this is `cofferdam-plan-input`"),
        (text.replace("\"version\": 1", "\"version\": 2"), "version 2"),
        (text.replace("\"version\": 1", "\"version\": 1, \"more\": 1"), "not a saved plan"),
        (text.replace("\"action\": \"create\"", "\"action\": \"remove\""), "not one that a planner makes"),
        (text.replace("\"generation\": 3,", ""), "not one that a planner makes"),
        (text.replace("net * api.example:443", "net  * api.example:443"), "not a saved plan"),
        (String::new(), "not a saved plan"),
        ("[".repeat(1 << 20), "not a saved plan"),
    ] {
        let error = plan_from(bad.as_bytes()).expect_err(why).to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}
