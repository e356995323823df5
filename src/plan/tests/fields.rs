//! Every leaf of the desired state has a class: changed alone, it is planned as that class, and where it stands in a
//! file, or why, is the only thing that counts as nothing.

use serde_json::{Value, json};

use super::planning::{ground, input, origin, running};
use crate::{
    model::{
        desired::{
            Access, Agent, BuildStep, File, FileMerge, IsolationWish, KitName, KitUse, Mount, Network, Port,
            Preset, Provenance, Resources, Sandbox, Setup, SetupStep, Start, Task, Template, Workspace,
            WorkspaceMode,
        },
        rule::{
            Addresses, During, Effect, HostPattern, HostService, HttpMatch, NetworkRule, Ports, Protocol,
        },
        secret::{Injection, SecretBinding},
        unit::Bytes,
    },
    plan::{Change, Class, make},
};

fn step(name: &str) -> SetupStep {
    SetupStep {
        name: name.to_owned(),
        run: format!("run {name}"),
        timeout_s: 60,
        background: true,
        ready_port: Some(3000),
        origin: origin(1),
    }
}

fn http() -> Vec<HttpMatch> {
    vec![HttpMatch { methods: vec!["GET".to_owned()], paths: vec!["/v1/**".to_owned()] }]
}

fn rule() -> NetworkRule {
    NetworkRule {
        until: "2026-12-31".parse().ok(),
        id: "dev/1".to_owned(),
        effect: Effect::Allow,
        host: HostPattern::Exact("api.example".to_owned()),
        ports: Ports::one(443),
        protocol: Some(Protocol::Https),
        http: http(),
        addresses: Addresses::Public,
        during: During::Setup,
        set: Some("registry:npm".to_owned()),
        why: "dependencies".to_owned(),
        origin: origin(9),
    }
}

/// One with everything in it. It names each field, so a new one does not compile before it stands here, and has no
/// class before the test below says so.
fn full() -> Sandbox {
    let one = |text: &str| vec![text.to_owned()];
    Sandbox {
        name: "dev".parse().expect("a name"),
        labels: [("team".to_owned(), "web".to_owned())].into(),
        start: Start::Always,
        agent: Agent {
            kit: "shell".into(),
            written: Some(KitName {
                kit: "./agents/shell".into(),
                args: [("a".to_owned(), json!(1))].into(),
            }),
            command: one("bash"),
            task: Some(one("task")),
            resume: Some(one("resume")),
            tty: Some(true),
        },
        kits: vec![KitUse {
            name: "review".into(),
            source: "kits/review".into(),
            digest: Some("0".into()),
            written: Some(KitName { kit: "./kits/review".into(), args: [("a".to_owned(), json!(1))].into() }),
        }],
        template: Template {
            image: "debian-12".into(),
            packages: one("jq"),
            versions: [("jq".to_owned(), "1.6-2".to_owned())].into(),
            steps: vec![BuildStep { run: "true".into(), origin: origin(2) }],
        },
        workspace: Some(Workspace {
            path: "/home/ann/web".into(),
            mode: WorkspaceMode::Read,
            origin: origin(3),
        }),
        mounts: vec![Mount {
            source: "/home/ann/data".into(),
            target: "/data".into(),
            access: Access::Read,
            why: "data".into(),
            origin: origin(4),
        }],
        working_dir: Some("/home/ann/web/shop".into()),
        env: [("NODE_ENV".to_owned(), "test".to_owned())].into(),
        files: vec![File {
            path: "~/.npmrc".into(),
            content: b"token=${{ secrets.x.placeholder }}".to_vec(),
            merge: FileMerge::Replace,
            placeholders: false,
            mode: Some(0o644),
            origin: origin(5),
        }],
        setup: Setup { create: vec![step("create")], start: vec![step("start")] },
        task: Some(Task {
            prompt: "tidy up".into(),
            file: Some("tasks/nightly.md".into()),
            timeout_s: Some(2700),
        }),
        network: Network {
            preset: Preset::LockedDown,
            preset_until: "2026-12-31".parse().ok(),
            rules: vec![rule()],
            host_services: vec![HostService {
                until: "2026-12-31".parse().ok(),
                name: "model".into(),
                port: 11434,
                http: http(),
                why: "inference".into(),
                origin: origin(6),
            }],
        },
        secrets: vec![SecretBinding {
            name: "key".into(),
            env: Some("KEY".into()),
            placeholder: "{alnum:32}".into(),
            required: true,
            inject: vec![Injection {
                host: "api.example".into(),
                port: 443,
                header: "authorization".into(),
                format: "Bearer {}".into(),
            }],
            why: "the model".into(),
            origin: origin(7),
        }],
        ports: vec![Port { guest: 3000, host: Some(8080), fixed: true, origin: origin(8) }],
        resources: Resources { cpus: 2, memory: Bytes::gib(1), disk: Bytes::gib(4) },
        isolation: IsolationWish::Hardware,
        provenance: Provenance {
            file: Some("/home/ann/web/sandbox.yaml".into()),
            file_digest: Some("0".into()),
            commit: Some("0".into()),
        },
        origins: [("agent".to_owned(), origin(10))].into(),
    }
}

/// The class of each field, and nothing of what only says where and why.
const CLASSES: [(&str, Class); 25] = {
    use Class::{CreateOnly, Live, Replace, Restart};
    [
        ("/labels", Live),
        ("/start", Live),
        ("/kits", Live),
        ("/network", Live),
        ("/ports", Live),
        ("/task", Live),
        ("/provenance", Live),
        ("/origins", Live),
        ("/agent", Restart),
        ("/workingDir", Restart),
        ("/env", Restart),
        ("/files", Restart),
        ("/setup/start", Restart),
        ("/mounts", Restart),
        ("/secrets", Restart),
        ("/resources/cpus", Restart),
        ("/resources/memory", Restart),
        ("/isolation", Restart),
        ("/template/image", Replace),
        ("/template/packages", Replace),
        ("/template/versions", Replace),
        ("/template/steps", Replace),
        ("/setup/create", Replace),
        ("/workspace", CreateOnly),
        ("/resources/disk", CreateOnly),
    ]
};

/// Which class a leaf has: places and reasons are live, wherever they stand.
fn class(leaf: &str) -> Option<Class> {
    if is_place(leaf) {
        return Some(Class::Live);
    }
    CLASSES.iter().find(|(field, _)| leaf == *field || leaf.starts_with(&format!("{field}/"))).map(|it| it.1)
}

/// Whether it only says where something stands, why, and under which name.
fn is_place(leaf: &str) -> bool {
    leaf.contains("/origin/")
        || leaf.ends_with("/why")
        || leaf.contains("/written/")
        || (leaf.starts_with("/network/rules/") && leaf.ends_with("/id"))
        || (leaf.starts_with("/kits/") && leaf.ends_with("/source"))
}

/// Pointers to all leaves of a document.
fn leaves(value: &Value, at: String, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(key, value)| {
                leaves(value, format!("{at}/{}", key.replace('~', "~0").replace('/', "~1")), found)
            });
        }
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(index, value)| leaves(value, format!("{at}/{index}"), found));
        }
        _ => found.push(at),
    }
}

/// The sandbox with another value at `leaf`: the first that it may have there.
fn changed(whole: &Value, leaf: &str) -> Sandbox {
    let old = whole.pointer(leaf).expect("it is a leaf of it");
    let mut others = vec![json!("8.8.8.8"), json!(443), json!(0), json!(true), json!(false), json!("AAAA")];
    others.extend(old.as_str().map(|text| json!(format!("{text}x"))));
    others.extend(
        [
            "direct",
            "write",
            "emulation-ok",
            "onDemand",
            "json",
            "open",
            "deny",
            "http",
            "private",
            "user",
            "always",
            "2027-12-31",
        ]
        .map(Value::from),
    );
    for other in others.iter().filter(|other| *other != old) {
        let mut like = whole.clone();
        *like.pointer_mut(leaf).expect("it is a leaf of it") = other.clone();
        if let Ok(sandbox) = serde_json::from_value::<Sandbox>(like)
            && sandbox != full()
        {
            return sandbox;
        }
    }
    panic!("{leaf}: no other value fits; name one above");
}

fn planned(wanted: Sandbox) -> Vec<Change> {
    let mut input = input(vec![wanted], vec![running(&full(), 1)]);
    input.ground = ground();
    make(&input).steps.remove(0).changes
}

#[test]
fn every_leaf_of_the_model_has_its_class() {
    let whole = serde_json::to_value(full()).expect("it is data");
    let mut all = Vec::new();
    leaves(&whole, String::new(), &mut all);
    assert!(all.len() > 80, "{}", all.len());
    for leaf in all.iter().filter(|leaf| *leaf != "/name") {
        let expected = class(leaf).unwrap_or_else(|| panic!("{leaf} has no class"));
        let wanted = changed(&whole, leaf);
        let found = super::super::fields::changes(&full(), &wanted);
        let words: Vec<&str> = found.iter().map(|change| &*change.field).collect();
        assert_eq!(found.iter().map(|change| change.class).max(), Some(expected), "{leaf}: {words:?}");
        // A field of its own says so; only places and reasons are the provenance's.
        let by_the_way = words == ["provenance"];
        let place = is_place(leaf) || leaf.starts_with("/provenance") || leaf.starts_with("/origins");
        assert_eq!(by_the_way, place, "{leaf}: {words:?}");
        // And the plan says the same.
        let planned = planned(wanted);
        let planned = planned.iter().map(|change| change.class).max();
        assert_eq!(planned, Some(expected).filter(|class| *class != Class::CreateOnly), "{leaf}");
    }
}

#[test]
fn files_that_stand_in_for_placeholders_come_with_a_restart() {
    let mut wanted = full();
    wanted.files[0].placeholders = true;
    let changes = planned(wanted);
    assert_eq!(changes, [Change { field: "files".into(), class: Class::Restart }]);
}
