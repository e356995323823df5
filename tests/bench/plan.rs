//! CPU of one plan, for 100, 1,000 and 10,000 sandboxes of which none, or all, have changed:
//! `cargo bench --bench plan`.
//!
//! Demanded: at most 100 ms for 10,000 without a change, and growth in a straight line. Exits with 1 where that fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    hint::black_box,
    process::ExitCode,
    time::Duration,
};

use cofferdam::{
    model::{desired::Sandbox, name::SandboxId, status::Phase},
    plan::{
        Approvals, Observed, PlanInput,
        grant::{Ground, granted},
        make,
    },
};

const COUNTS: [u32; 3] = [100, 1_000, 10_000];
const MOST: Duration = Duration::from_millis(100);

fn main() -> ExitCode {
    println!("{:>9} {:>14} {:>14}", "sandboxes", "unchanged", "all changed");
    let mut unchanged = Vec::new();
    for count in COUNTS {
        let same = input(count, false);
        assert!(!make(&same).changes_something(), "planning the planned state is empty");
        let one = cost(count, &same);
        let all = cost(count, &input(count, true));
        println!("{count:>9} {:>11} µs {:>11} µs", one.as_micros(), all.as_micros());
        unchanged.push(one);
    }
    // Ten times as many may cost twenty times as much: memory is slower than cache.
    let straight = unchanged.windows(2).all(|pair| pair[1] < pair[0] * 20);
    let fast = unchanged[2] <= MOST;
    println!("at most {} ms: {fast}; in a straight line: {straight}", MOST.as_millis());
    if fast && straight { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn input(count: u32, changed: bool) -> PlanInput {
    let ground = Ground { root: "/home/ann/web".into(), home: "/home/ann".into() };
    let desired: Vec<Sandbox> = (0..count).map(sandbox).collect();
    let observed = desired.iter().zip(0_u32..).map(|(wanted, number)| {
        let mut recorded = wanted.clone();
        if changed {
            recorded.resources.cpus += 1;
        }
        let bytes = number.to_be_bytes();
        Observed {
            id: SandboxId::from_bytes([0, 0, bytes[0], bytes[1], bytes[2], bytes[3]]),
            recorded,
            generation: 1,
            phase: Phase::Running,
            unfinished: None,
            orphaned: false,
            ports: BTreeSet::new(),
        }
    });
    let observed = observed.collect();
    let approve = |sandbox: &Sandbox| {
        (sandbox.name.clone(), granted(sandbox, &ground).into_iter().map(|it| it.grant).collect())
    };
    let definitions = desired.iter().map(approve).collect();
    PlanInput {
        scope: vec![ground.root.clone()],
        sessions: BTreeMap::new(),
        silent: BTreeSet::new(),
        suspended: BTreeSet::new(),
        approvals: Approvals { definitions, ..Approvals::default() },
        now: false,
        at: None,
        facts: BTreeMap::new(),
        registries: BTreeMap::new(),
        prune: false,
        ground,
        desired,
        observed,
    }
}

/// One as teams write them: an agent, a workspace, a mount, five rules, two secrets.
fn sandbox(number: u32) -> Sandbox {
    let origin = serde_json::json!({ "layer": "repository", "file": "sandbox.yaml", "line": 7 });
    let rule = |host: &str, http: serde_json::Value| {
        serde_json::json!({
            "id": format!("s{number}/{host}"), "effect": "allow", "host": { "exact": host },
            "ports": { "first": 443, "last": 443 }, "protocol": "https", "http": http,
            "why": "what the service is built of", "origin": origin,
        })
    };
    let read = serde_json::json!([{ "methods": ["GET", "HEAD"], "paths": [] }]);
    let code =
        serde_json::json!([{ "methods": ["GET", "POST"], "paths": ["/acme/web/**", "/acme/web.git/**"] }]);
    let secret = |name: &str, host: &str| {
        serde_json::json!({
            "name": name, "env": "KEY", "placeholder": "{alnum:32}", "required": true, "origin": origin,
            "inject": [{ "host": host, "port": 443, "header": "authorization", "format": "Bearer {}" }],
        })
    };
    let document = serde_json::json!({
        "name": format!("s{number}"),
        "agent": { "kit": "shell", "command": ["bash"] },
        "template": { "image": "debian-12", "packages": ["jq"] },
        "workspace": { "path": "/home/ann/web", "mode": "direct", "origin": origin },
        "mounts": [{ "source": "/home/ann/data", "target": "/data", "access": "read", "why": "data", "origin": origin }],
        "env": { "NODE_ENV": "test" },
        "network": { "rules": [
            rule("api.example", serde_json::json!([])),
            rule("npm.corp.example", read.clone()),
            rule("pypi.corp.example", read),
            rule("github.example", code),
            rule(&format!("own{number}.example"), serde_json::json!([])),
        ] },
        "secrets": [secret("api", "api.example"), secret("github", "github.example")],
        "resources": { "cpus": 2, "memory": 1_u64 << 30, "disk": 4_u64 << 30 },
        "isolation": "emulation-ok",
        "provenance": { "file": "/home/ann/web/sandbox.yaml", "fileDigest": "00", "commit": "00" },
    });
    serde_json::from_value(document).expect("the document is the model's")
}

/// CPU time of this process for one plan: the least of several, since anything else is somebody else's work.
fn cost(count: u32, input: &PlanInput) -> Duration {
    let rounds = (20_000 / count).clamp(3, 50);
    (0..rounds)
        .map(|_| {
            let begun = cpu();
            black_box(make(black_box(input)));
            cpu() - begun
        })
        .min()
        .unwrap_or_default()
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
