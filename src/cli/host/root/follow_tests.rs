//! A build's machine on its bench, without a keeper: what rules it would be started with.

use std::{ffi::OsString, fs, path::Path};

use super::*;
use crate::{
    cli::{host::root::steps::machine, ops::Rules},
    model::rule::{Addresses, During, Effect, HostPattern, Layer, NetworkRule, Origin, Ports},
    store::NewSandbox,
};

fn host(folder: &Path) -> Host {
    for name in ["repo", "home", "state", "cache"] {
        fs::create_dir_all(folder.join(name)).unwrap();
    }
    git2::Repository::init(folder.join("repo")).unwrap();
    let env = |name: &str| -> Option<OsString> {
        let below = match name {
            "HOME" => "home",
            "COFFERDAM_STATE" => "state",
            "COFFERDAM_CACHE" => "cache",
            "COFFERDAM_CONFIG" => "none.yaml",
            _ => return None,
        };
        Some(folder.join(below).into())
    };
    Host::with(&env, &folder.join("repo")).unwrap()
}

fn deny(host: &str) -> NetworkRule {
    NetworkRule {
        until: None,
        id: String::new(),
        effect: Effect::Deny,
        host: HostPattern::Exact(host.into()),
        ports: Ports::ALL,
        protocol: None,
        http: Vec::new(),
        addresses: Addresses::Public,
        during: During::Always,
        set: None,
        why: "it leaks".into(),
        origin: Origin { layer: Layer::User, file: None, line: None },
    }
}

#[test]
fn a_denial_reaches_the_machine_of_a_build_and_ends_what_it_builds() {
    let folder = tempfile::tempdir().unwrap();
    let host = host(folder.path());
    let wanted = Sandbox::smallest("dev");
    let planned = host.build_rules(&wanted, None).unwrap().key;
    assert!(host.refuse_other_rules(&wanted, None, &planned).is_ok());
    // Before there is any build, nothing is made for one.
    assert!(layer::benches(&host.places.cache).is_empty());
    let cache = crate::template::Cache::open(&host.places.cache).unwrap();
    let bench = cache.bench(&crate::template::progress::Silent, &|_| ()).unwrap();
    let store = Store::open(&machines_of(bench.folder())).unwrap();
    let made = machine(&wanted);
    let new = |owner| NewSandbox {
        name: made.name.clone(),
        owner,
        created_at: String::new(),
        desired: made.clone(),
    };
    let ours = store.create(new(host.here.clone())).unwrap();
    let elsewhere = crate::store::Owner::discover(folder.path()).unwrap();
    let theirs = store.create(new(elsewhere)).unwrap();
    let rules = crate::cli::ops::RuleEdit::Add(vec![deny("held.test")]);
    host.edit_rules(&RuleScope::Here, rules).unwrap();
    let count = |record: &Record| store.rules(Scope::Owner(&record.owner)).unwrap().rules.len();
    assert_eq!((count(&ours), count(&theirs)), (1, 0), "this repository's, and no other's");
    let rules = crate::cli::ops::RuleEdit::Add(vec![deny("other.test")]);
    host.edit_rules(&RuleScope::User, rules).unwrap();
    assert_eq!(store.rules(Scope::User).unwrap().rules.len(), 1);
    // And what it builds for other rules is refused.
    let refused = host.refuse_other_rules(&wanted, None, &planned).map(drop).unwrap_err();
    assert!(refused.object().message.contains("were changed while its template was built"), "{refused:?}");
    let now = host.build_rules(&wanted, None).unwrap().key;
    assert!(host.refuse_other_rules(&wanted, None, &now).is_ok());
}
