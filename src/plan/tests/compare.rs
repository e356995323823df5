//! What two commits define, compared: every grant counts, and nothing but what is said.

use super::planning::{allow, ground, origin, sandbox};
use crate::{
    model::{
        desired::{Sandbox, Start, Workspace, WorkspaceMode},
        unit::Bytes,
    },
    plan::{
        Action, Plan, Planned, compare,
        render::{View, github, json, markdown, sarif, text},
    },
};

fn with(change: impl FnOnce(&mut Sandbox)) -> Sandbox {
    let mut it = sandbox("dev");
    it.workspace =
        Some(Workspace { path: "/home/ann/web".into(), mode: WorkspaceMode::Read, origin: origin(3) });
    change(&mut it);
    it
}

fn only(plan: &Plan) -> &Planned {
    assert_eq!(plan.steps.len(), 1);
    &plan.steps[0]
}

fn between(before: &[Sandbox], after: &[Sandbox]) -> Plan {
    compare(ground(), before, after)
}

fn texts(noted: &[crate::plan::Noted]) -> Vec<String> {
    noted.iter().map(|noted| noted.grant.to_string()).collect()
}

#[test]
fn what_is_fixed_when_a_sandbox_is_made_is_a_grant_of_its_definition() {
    let work = |path: &str, mode| {
        let path = path.into();
        with(|it| it.workspace = Some(Workspace { path, mode, origin: origin(3) }))
    };
    let read = work("/home/ann/web", WorkspaceMode::Read);
    for (path, mode, grant) in [
        ("/home/ann/web", WorkspaceMode::Direct, "workspace . direct"),
        ("/home/ann/data2", WorkspaceMode::Direct, "workspace ~/data2 direct"),
        ("/srv/data", WorkspaceMode::Read, "workspace /srv/data read"),
    ] {
        let wider = work(path, mode);
        let plan = between(std::slice::from_ref(&read), std::slice::from_ref(&wider));
        let step = only(&plan);
        assert_eq!(texts(&step.grants), [grant]);
        assert!(plan.widens() && plan.changes_something());
        assert_eq!(step.headline(), "changes for new sandboxes; those that are there stay as they are");
        let view = View { plan: &plan, against: Some("main"), warnings: &[], covered: false };
        assert!(text(&view).contains(&format!("  grants: {grant}  sandbox.yaml:3\n")), "{}", text(&view));
        assert!(text(&view).ends_with("1 sandbox, 1 changes, 1 widens\n"), "{}", text(&view));
        assert!(markdown(&view).contains("### Cofferdam: this permits more\n"));
        assert!(
            github(&view)
                .starts_with(&format!("::warning file=sandbox.yaml,line=3,title=dev may now::{grant}\n"))
        );
        assert_eq!(sarif(&view)["runs"][0]["results"][0]["ruleId"], "grant");
        assert_eq!(json(&view)["widens"], true);
        // The other way round it narrows, and that is a change, too.
        let plan = between(&[wider], std::slice::from_ref(&read));
        assert!(!plan.widens() && plan.changes_something());
        assert_eq!(texts(&only(&plan).narrows), [grant]);
    }
    let larger = with(|it| it.resources.disk = Bytes::gib(50));
    let plan = between(&[with(|_| {})], &[larger]);
    assert!(!plan.widens() && plan.changes_something());
}

#[test]
fn what_is_made_on_demand_is_granted_like_anything_else() {
    let wanted = with(|it| it.start = Start::OnDemand);
    let plan = between(&[], std::slice::from_ref(&wanted));
    assert_eq!(texts(&only(&plan).grants), ["net * api.example:443"]);
    assert!(plan.widens() && !only(&plan).is_quiet());
    assert_eq!((only(&plan).action, only(&plan).headline().as_str()), (Action::Create, "is new"));
    let wider = with(|it| {
        it.start = Start::OnDemand;
        it.network.rules.push(allow("more.example"));
    });
    assert_eq!(texts(&only(&between(&[wanted], &[wider])).grants), ["net * more.example:443"]);
}

#[test]
fn where_it_stands_and_in_which_order_is_no_change() {
    let before = with(|it| it.network.rules.push(allow("docs.example")));
    let after = with(|it| {
        it.network.rules.insert(0, allow("docs.example"));
        it.network.rules[0].why = "another reason".to_owned();
        it.network.rules[1].origin = origin(77);
        it.provenance.commit = Some("4be0643f1d98".to_owned());
        it.provenance.file_digest = Some("ab".repeat(32));
    });
    let plan = between(std::slice::from_ref(&before), &[after]);
    assert!(!plan.changes_something() && only(&plan).is_quiet(), "{plan:?}");
    // The break: what is said does count.
    let plan = between(&[before], &[with(|_| {})]);
    assert!(plan.changes_something() && !plan.widens());
}

#[test]
fn what_is_gone_narrows() {
    let plan = between(&[with(|_| {})], &[]);
    assert_eq!((only(&plan).action, plan.widens()), (Action::Orphan, false));
    assert_eq!(texts(&only(&plan).narrows), ["net * api.example:443"]);
}
