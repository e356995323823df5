//! What the keeper takes up while its machine runs, and what it keeps from its start: the planner's classes, seen from
//! the machine's side.

use std::collections::BTreeMap;

use super::*;
use crate::{
    model::{
        desired::{File, FileMerge, Sandbox},
        launch::{self, PlacesConfig, RootConfig},
        rule::{Addresses, During, Effect, HostPattern, Layer, NetworkRule, Origin, Ports, Protocol, Target},
        secret::SecretBinding,
    },
    policy::{Compiled, Request, decide},
    store::{Definition, NewSandbox, Owner, Rejection},
};

struct Desk {
    _folder: tempfile::TempDir,
    store: Store,
    book: Book,
}

impl Desk {
    fn new(desired: Sandbox) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let places = PlacesConfig {
            config: path("config.yaml"),
            state: path("state"),
            cache: path("cache"),
            runtime: path("run"),
        };
        let store = Store::open(&places.state).unwrap();
        let new = NewSandbox {
            name: desired.name.clone(),
            owner: Owner::discover(folder.path()).unwrap(),
            created_at: String::new(),
            desired,
        };
        let record = store.create(new).unwrap();
        let config = KeeperConfig {
            version: launch::VERSION,
            id: record.id,
            places,
            kernel: None,
            root: RootConfig { image: PathBuf::new(), layers: Vec::new() },
            throwaway: false,
            sync_each: false,
            jail_full: false,
            emulator: PathBuf::new(),
            hardware: false,
            homes: Vec::new(),
            resolve: BTreeMap::new(),
            upstream_ca: Vec::new(),
            secrets: Vec::new(),
            user: "ann".to_owned(),
            boot_timeout_s: 1,
        };
        let book = Book::open(&config).unwrap();
        Self { _folder: folder, store, book }
    }

    /// As a command records a change of the definition.
    fn record(&self, change: impl FnOnce(&mut Sandbox)) {
        let record = self.store.load(&self.book.config.id).unwrap();
        let mut desired = record.desired;
        change(&mut desired);
        self.store.update(&record.id, record.generation, desired).unwrap();
    }

    /// As the machine is started anew.
    fn restarted(self) -> Self {
        let Self { _folder, store, book } = self;
        let config = book.config.clone();
        drop(book);
        let book = Book::open(&config).unwrap();
        Self { _folder, store, book }
    }
}

fn origin() -> Origin {
    Origin { layer: Layer::Repository, file: Some("sandbox.yaml".to_owned()), line: Some(9) }
}

fn secret(form: &str) -> SecretBinding {
    SecretBinding {
        name: "key".to_owned(),
        env: None,
        placeholder: form.to_owned(),
        required: false,
        inject: Vec::new(),
        why: String::new(),
        origin: origin(),
    }
}

fn allow(name: &str) -> NetworkRule {
    NetworkRule {
        until: None,
        id: format!("dev/{name}"),
        effect: Effect::Allow,
        host: HostPattern::Exact(name.to_owned()),
        ports: Ports::one(443),
        protocol: Some(Protocol::Https),
        http: Vec::new(),
        addresses: Addresses::Public,
        during: During::Always,
        set: None,
        why: "the service".to_owned(),
        origin: origin(),
    }
}

/// Whether a request for that name passes, and why not.
fn asked(policy: &PolicyRevision, name: &str) -> String {
    let target = Target::Name(name.to_owned());
    let request = Request { target: &target, port: 443, protocol: Protocol::Https, http: None };
    decide(&Compiled::new(policy), &request).code()
}

#[test]
fn what_waits_reaches_egress_as_words_and_opens_nothing() {
    let desk = Desk::new(Sandbox::smallest("dev"));
    desk.record(|it| it.network.rules.push(allow("api.example")));
    let mut wanted = desk.store.load(&desk.book.config.id).unwrap().desired;
    wanted.network.rules.extend([allow("new.example"), allow("no.example")]);
    let rejection = Rejection { grant: "net * no.example:443".into(), by: "ann".into(), at: String::new() };
    let owner = desk.book.record().owner.clone();
    let known = |definition: &mut Definition| {
        definition.wanted = Some(Box::new(wanted.clone()));
        definition.reject([rejection.clone()]);
    };
    desk.store.edit_approvals(&owner, "dev", known).unwrap();
    let policy = desk.book.policy(2).unwrap();
    let words =
        ["api.example", "new.example", "no.example", "other.example"].map(|name| asked(&policy, name));
    assert_eq!(words, ["rule_allows", "waits_for_approval", "rejected", "no_rule"]);
    // The break: handed over as what it would be, it would be in force.
    let mut broken = policy.clone();
    broken.rules.extend(broken.parked.drain(..).map(|parked| allow(&parked.host.to_string())));
    assert_eq!(asked(&broken, "new.example"), "rule_allows");
    // Approved, and carried out: the next policy allows it, and says nothing of it.
    desk.record(|it| it.network.rules.push(allow("new.example")));
    let policy = desk.book.policy(3).unwrap();
    assert_eq!((asked(&policy, "new.example").as_str(), policy.parked.len()), ("rule_allows", 1));
    // What cannot be read takes nothing away from the policy.
    let files = std::fs::read_dir(desk.book.config.places.state.join("policy")).unwrap();
    let mut files = files.map(|entry| entry.unwrap().path());
    let approvals = files.find(|path| path.to_string_lossy().contains("approvals-")).unwrap();
    std::fs::write(approvals, "{").unwrap();
    let policy = desk.book.policy(4).unwrap();
    assert_eq!((asked(&policy, "new.example").as_str(), policy.parked.len()), ("rule_allows", 0));
    assert_eq!(asked(&policy, "no.example"), "no_rule");
}

#[test]
fn what_is_live_is_taken_up_and_what_is_not_waits_for_the_next_start() {
    let desk = Desk::new(Sandbox::smallest("dev"));
    let first = desk.book.policy(1).unwrap();
    let mut status = desk.book.first_status();
    desk.book.policy_applied(&first, &mut status);
    assert_eq!(status.policy_hash.as_ref(), Some(&first.hash), "the first policy is named, too");
    desk.record(|it| {
        it.network.rules.push(allow("api.example"));
        it.ports.push(Port { guest: 3000, host: None, fixed: false, origin: origin() });
        it.provenance.file = Some("/src/web/sandbox.yaml".into());
        it.provenance.commit = Some("c0ffee".to_owned());
        it.provenance.file_digest = Some("d1".to_owned());
        it.files.push(File {
            path: "~/.npmrc".to_owned(),
            content: b"x".to_vec(),
            merge: FileMerge::Replace,
            placeholders: true,
            mode: None,
            origin: origin(),
        });
        it.env.insert("NODE_ENV".to_owned(), "test".to_owned());
        it.resources.cpus = 7;
    });
    // Live: rules, ports, and the files that events and status name.
    let policy = desk.book.policy(2).unwrap();
    assert_ne!(policy.hash, first.hash);
    assert_eq!(desk.book.ports().unwrap().len(), 1);
    desk.book.policy_applied(&policy, &mut status);
    let words = (status.policy_hash.as_deref(), status.file.as_deref(), status.commit.as_deref());
    assert_eq!(words, (Some(policy.hash.as_str()), Some("/src/web/sandbox.yaml"), Some("c0ffee")));
    let events = desk.book.context.borrow().provenance.clone();
    let words = (events.policy_hash.as_deref(), events.commit.as_deref(), events.file_digest.as_deref());
    assert_eq!(words, (Some(policy.hash.as_str()), Some("c0ffee"), Some("d1")));
    // Restart: everything that the machine was made of.
    let made = &desk.book.record().desired;
    assert_eq!((made.files.len(), made.env.len(), made.resources.cpus), (0, 0, 2));
    let desk = desk.restarted();
    let made = &desk.book.record().desired;
    assert_eq!((made.files.len(), made.env.len(), made.resources.cpus), (1, 1, 7));
}

#[test]
fn a_placeholder_lasts_until_its_form_is_another() {
    let mut wanted = Sandbox::smallest("dev");
    wanted.secrets.push(secret("ghu_{alnum:36}"));
    let desk = Desk::new(wanted);
    let first = desk.book.placeholders().unwrap();
    let desk = desk.restarted();
    assert_eq!(desk.book.placeholders().unwrap(), first, "programs in the guest have written it down");
    desk.record(|it| it.secrets[0] = secret("sk-{alnum:32}"));
    assert_eq!(desk.book.placeholders().unwrap(), first, "until the next start");
    let desk = desk.restarted();
    let second = desk.book.placeholders().unwrap();
    assert!(second["key"].starts_with("sk-"), "{second:?}");
    assert_eq!(desk.book.placeholders().unwrap(), second);
}
