//! Time to check many documents, from their bytes to their model: `cargo bench --bench check`. Demanded: at most a second
//! for 10,000.
//!
//! The processor's time: nothing of this waits for anything but files that are in memory, and a clock on the wall says
//! how busy the machine is.

use std::{path::Path, time::Duration};

use cofferdam::{
    kit::{Context, Elsewhere, LockUse, Selection, load},
    model::{registry::Registries, unit::Bytes},
};

fn main() {
    let dir = tempfile::tempdir().expect("a folder for the bench");
    let root = dir.path().canonicalize().expect("it was just made");
    kit(&root);
    println!("{:>8} {:>20} {:>20} {:>20}", "documents", "one file", "with two mixins", "a file each");
    for count in [100_usize, 1_000, 10_000] {
        let plain: String = (0..count).map(|n| document(n, "shell", "[]")).collect();
        let mixed: String =
            (0..count).map(|n| document(n, "helper", "[web, {kit: review, args: {port: 4000}}]")).collect();
        let folder = root.join(format!("many-{count}"));
        std::fs::create_dir(&folder).expect("the folder is ours");
        for n in 0..count {
            let text = document(n, "shell", "[]");
            std::fs::write(folder.join(format!("d{n}.sandbox.yaml")), text).expect("the folder is ours");
        }
        let plain = time(&root, Selection::Stdin(plain.into_bytes()), count);
        let mixed = time(&root, Selection::Stdin(mixed.into_bytes()), count);
        let each = time(&root, Selection::Path(folder), count);
        println!("{count:>8} {plain:>17} ms {mixed:>17} ms {each:>17} ms");
    }
}

fn document(n: usize, agent: &str, kits: &str) -> String {
    format!(
        "---\napiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {{name: agent-{n}, labels: {{team: web}}}}\nspec:\n  \
         agent: {agent}\n  kits: {kits}\n  workspace: {{mode: read}}\n  env: {{NODE_ENV: test}}\n  network:\n    rules:\n      \
         - {{allow: \"api-{n}.vendor.example:443\", why: model}}\n      - {{deny: [gist.vendor.example], why: exfiltration}}\n  \
         setup: {{create: [npm ci]}}\n  resources: {{cpus: 2, memory: 2GiB}}\n"
    )
}

/// An agent and two mixins beside the documents.
fn kit(root: &Path) {
    let envelope = |kind: &str, name: &str| {
        format!("apiVersion: cofferdam.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec:\n")
    };
    let review = "  args: {port: {default: 4001}}\n  ports: [{guest: \"${{ args.port }}\"}]\n  env: {REVIEW: strict}\n";
    for (kind, name, spec) in [
        (
            "Agent",
            "helper",
            "  command: {interactive: [helper]}\n  network: {rules: [{allow: a.vendor.example, why: x}]}\n",
        ),
        (
            "Mixin",
            "web",
            "  template: {packages: [jq]}\n  network: {rules: [{allow: b.vendor.example, why: x}]}\n",
        ),
        ("Mixin", "review", review),
    ] {
        let folder = root.join("kits").join(name);
        std::fs::create_dir_all(&folder).expect("the folder is ours");
        std::fs::write(folder.join("kit.yaml"), envelope(kind, name) + spec).expect("the folder is ours");
    }
}

/// Milliseconds of the processor's time, the least of five.
fn time(root: &Path, selection: Selection, count: usize) -> u128 {
    let context = Context {
        folder: root.to_owned(),
        home: root.to_owned(),
        default_memory: Bytes::gib(4),
        user_folder: None,
        registries: Registries::default(),
        lock: LockUse::Prefer,
        elsewhere: Elsewhere::default(),
        tree: None,
    };
    let once = || {
        let begun = cpu();
        let loaded = load(selection.clone(), &context).expect("the documents are right");
        assert_eq!(loaded.sandboxes.len(), count);
        (cpu() - begun).as_millis()
    };
    (0..5).map(|_| once()).min().unwrap_or_default()
}

fn cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let part = |number: i64| u64::try_from(number).unwrap_or_default();
    Duration::from_secs(part(time.tv_sec)) + Duration::from_nanos(part(time.tv_nsec))
}
