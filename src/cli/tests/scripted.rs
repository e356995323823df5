//! A rest of the program that notes what is asked of it.

use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    cli::{
        args::Publish,
        failure::{Failure, Kind},
        ops::{
            Account, Action, Answer, Approvals, Asked, BuiltTemplate, Change, Checked, CheckedKit, Documents,
            Found, Inbox, KeptTemplate, Kits, LockUpdate, Machines, Operations, Plans, PortEdit, Progress,
            Proposal, RuleChange, RuleEdit, RuleScope, Rules, SecretListing, Source, Templates, TrustedTip,
            UpdateWish, Wish, WrittenKit,
        },
    },
    kit::{Expansion, LockChange, Member},
    model::{
        api::PolicyRevision,
        desired::{Preset, Sandbox},
        name::Name,
        rule::{Effect, HostPattern, HttpMatch, Ports, Protocol},
        status::{Phase, PublishedPort, SandboxStatus},
    },
    store::{How, Owner},
    template::doctor::Hardware,
};

/// Sandbox `dev` exists and is stopped; everything else is made up as it is asked for.
#[derive(Default)]
pub(super) struct Scripted {
    pub(super) calls: RefCell<Vec<String>>,
    pub(super) grants: Vec<String>,
    pub(super) rules: PolicyRevision,
    pub(super) trail: PathBuf,
    pub(super) report: Value,
    /// Whether every name is that of a definition.
    pub(super) defined: bool,
}

impl Scripted {
    /// The grants, as questions. `--yes` covers all but those that reveal something.
    fn asked(&self) -> Vec<Asked> {
        let asked = |grant: &String| Asked {
            id: crate::store::approvals::id(grant),
            sandbox: "dev".into(),
            grant: grant.clone(),
            why: "tests".into(),
            from: Some("sandbox.yaml:7".into()),
            yes: !grant.starts_with("reveal"),
            since: None,
            commit: None,
        };
        self.grants.iter().map(asked).collect()
    }

    fn note(&self, call: impl Into<String>) {
        self.calls.borrow_mut().push(call.into());
    }
}

fn sandbox(name: &str) -> Sandbox {
    serde_json::from_value(json!({
        "name": name,
        "agent": { "kit": "shell", "command": ["bash", "-l"] },
        "template": {"image": "debian-12"},
        "workspace": null,
        "network": {},
        "resources": { "cpus": 2, "memory": 1 << 30, "disk": 1 << 30 },
        "isolation": "emulation-ok",
        "provenance": {},
    }))
    .unwrap()
}

fn status(name: &str, phase: Phase) -> SandboxStatus {
    SandboxStatus { agent: "shell".into(), ..SandboxStatus::new(name, "0123456789ab", phase) }
}

impl Operations for Scripted {
    fn documents(&self) -> &dyn Documents {
        self
    }

    fn kits(&self) -> &dyn Kits {
        self
    }

    fn plans(&self) -> &dyn Plans {
        self
    }

    fn approvals(&self) -> &dyn Approvals {
        self
    }

    fn machines(&self) -> &dyn Machines {
        self
    }

    fn rules(&self) -> &dyn Rules {
        self
    }

    fn templates(&self) -> &dyn Templates {
        self
    }

    fn account(&self) -> &dyn Account {
        self
    }
}

impl Documents for Scripted {
    fn folder(&self) -> &Path {
        Path::new("/src/shop")
    }

    fn check(&self, source: &Source) -> Result<Checked, Failure> {
        self.note(format!("check {source:?}"));
        Ok(Checked { sandboxes: vec![sandbox("dev")], warnings: vec!["mode is read".into()] })
    }

    fn demand_locked(&self) {
        self.note("locked");
    }

    fn named_set(&self, kind: &str, name: &str, _: Effect) -> Result<Expansion, Failure> {
        if kind != "registry" {
            return Err(Failure::usage("unknown_name", format!("no {kind} is named `{name}`")));
        }
        let member = |host: &str, protocol| Member {
            host: HostPattern::Exact(host.into()),
            ports: Some(Ports::one(if protocol == Protocol::Https { 443 } else { 80 })),
            protocol: Some(protocol),
            http: vec![HttpMatch { methods: vec!["GET".into(), "HEAD".into()], paths: vec![] }],
        };
        let members =
            vec![member("packages.example", Protocol::Https), member("files.example", Protocol::Http)];
        Ok(Expansion { members, set: Some(format!("registry:{name}")), complete: true, warning: None })
    }

    fn update_lock(&self, source: &Source, wish: &UpdateWish<'_>) -> Result<LockUpdate, Failure> {
        self.note(format!("update {source:?} write={}", wish.write));
        let change = LockChange {
            what: "registry:npm".into(),
            before: Some("https://old.example/".into()),
            after: Some("https://packages.example/".into()),
        };
        Ok(LockUpdate {
            path: "/repo/sandbox.lock".into(),
            changes: vec![change],
            consequences: vec!["dev: allow GET,HEAD packages.example:443 (sandbox.yaml:9)".into()],
            fetched: vec![],
            written: wish.write,
        })
    }

    fn is_defined(&self, _: &str) -> bool {
        self.defined
    }

    fn has_agent_kit(&self, name: &str) -> bool {
        name == "shell"
    }

    fn schemas(&self) -> Vec<(&'static str, String)> {
        vec![("sandbox.json", "{}".into())]
    }
}

impl Kits for Scripted {
    fn check_kit(&self, path: &Path) -> Result<CheckedKit, Failure> {
        Ok(CheckedKit {
            kind: "Agent".into(),
            name: path.display().to_string(),
            format: "Docker Sandboxes, schema 2".into(),
            reports: vec!["spec.yaml:9:3: the image `x` is not used\u{7}".into()],
            fetched: vec![],
        })
    }

    fn import_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure> {
        self.note(format!("import {} {to:?}", path.display()));
        Ok(WrittenKit {
            name: "reviewer".into(),
            path: "kits/reviewer".into(),
            files: vec!["files/home/a".into(), "kit.yaml".into()],
            reports: vec!["spec.yaml:9:3: the image `x` is not used".into()],
            digest: None,
        })
    }

    fn pack_kit(&self, path: &Path, to: Option<&Path>) -> Result<WrittenKit, Failure> {
        let kit = self.import_kit(path, to)?;
        Ok(WrittenKit { path: "reviewer.tar".into(), digest: Some("00ff".into()), ..kit })
    }
}

impl Plans for Scripted {
    fn propose(&self, source: &Source, _: &Wish) -> Result<Proposal, Failure> {
        if let Source::CommandLine(document) = source {
            self.note(format!("propose {document}"));
        }
        let change = Change { sandbox: "dev".into(), action: Action::Create, grants: vec![], notes: vec![] };
        Ok(Proposal { changes: vec![change], asked: self.asked(), ..Proposal::default() })
    }

    fn propose_delete(&self, _: &Source) -> Result<Proposal, Failure> {
        let change = Change { sandbox: "dev".into(), action: Action::Delete, grants: vec![], notes: vec![] };
        Ok(Proposal { changes: vec![change], ..Proposal::default() })
    }

    fn approve(&self, proposal: &Proposal, ids: &[String], how: How) -> Result<Proposal, Failure> {
        self.note(format!("approve {} {how:?}", ids.join(" ")));
        let asked = proposal.asked.iter().filter(|asked| !ids.contains(&asked.id)).cloned().collect();
        Ok(Proposal { asked, ..proposal.clone() })
    }

    fn park(&self, _: &Proposal) -> Result<(), Failure> {
        self.note("park");
        Ok(())
    }

    fn apply(&self, _: &Proposal, wish: &Wish, _: &dyn Progress) -> Result<Vec<SandboxStatus>, Failure> {
        self.note(format!("apply wait={} when_idle={}", wish.wait, wish.when_idle));
        Ok(vec![status("dev", Phase::Running)])
    }
}

impl Approvals for Scripted {
    fn trusted(&self) -> Result<Vec<TrustedTip>, Failure> {
        Ok(Vec::new())
    }

    fn inboxes(&self, reference: Option<&str>) -> Result<Vec<Inbox>, Failure> {
        if reference.is_some_and(|reference| reference != "dev") {
            return Err(Failure::new(Kind::NotFound, "nothing_asked", "nothing was ever asked"));
        }
        let owner = Owner::Folder { path: "/src/web".into(), dev: 1, ino: 1, born: None };
        let (sandbox, place) = ("dev".to_owned(), owner.to_string());
        let (in_force, approved, rejected) = (vec![], vec![], vec![]);
        let (asked, committed) = (self.asked(), Vec::new());
        Ok(vec![Inbox {
            by_default: Vec::new(),
            owner,
            place,
            sandbox,
            asked,
            in_force,
            by_yes: vec![],
            committed,
            approved,
            rejected,
        }])
    }

    fn answer(&self, _: &Inbox, grants: &[String], answer: &Answer, _: &dyn Progress) -> Result<(), Failure> {
        self.note(format!("{answer:?} {}", grants.join(" | ")));
        Ok(())
    }
}

impl Machines for Scripted {
    fn find(&self, reference: &str) -> Result<Found, Failure> {
        if reference != "dev" {
            let message = format!("no sandbox `{reference}`");
            return Err(Failure::new(Kind::NotFound, "sandbox_not_found", message));
        }
        Ok(Found {
            id: "0123456789ab".into(),
            desired: sandbox("dev"),
            socket: "/nonexistent/socket".into(),
            console_log: self.trail.join("console.log"),
            setup_log: self.trail.join("setup.log"),
            audit: self.trail.clone(),
        })
    }

    fn list(&self, _: bool) -> Result<Vec<SandboxStatus>, Failure> {
        Ok(vec![status("dev", Phase::Stopped)])
    }

    fn start(&self, sandbox: &Found, _: &dyn Progress) -> Result<SandboxStatus, Failure> {
        self.note(format!("start {}", sandbox.desired.name));
        Err(Failure::new(Kind::HostLacks, "no_qemu", "this host lacks QEMU"))
    }

    fn stop(&self, sandbox: &Found, grace: Duration, force: bool) -> Result<SandboxStatus, Failure> {
        self.note(format!("stop {} {}s {force}", sandbox.desired.name, grace.as_secs()));
        Ok(status("dev", Phase::Stopped))
    }

    fn remove(&self, sandbox: &Found, _: bool) -> Result<(), Failure> {
        self.note(format!("remove {}", sandbox.desired.name));
        Ok(())
    }

    fn suspend(&self, sandbox: &Found, suspended: bool) -> Result<SandboxStatus, Failure> {
        self.note(format!("suspend {} {suspended}", sandbox.desired.name));
        Ok(status("dev", Phase::Running))
    }

    fn await_status(
        &self,
        sandbox: &Found,
        reached: &dyn Fn(&SandboxStatus) -> bool,
        limit: Duration,
    ) -> Result<Option<SandboxStatus>, Failure> {
        self.note(format!("await {} {}s", sandbox.desired.name, limit.as_secs_f64().round()));
        Ok(Some(status("dev", Phase::Stopped)).filter(reached))
    }

    fn ports(&self, _: &Found, edit: &PortEdit) -> Result<Vec<PublishedPort>, Failure> {
        self.note(format!("ports {edit:?}"));
        let open = |port: &Publish| PublishedPort {
            guest: port.guest,
            host: port.host.unwrap_or(port.guest),
            address: "127.0.0.1".into(),
        };
        Ok(edit.publish.iter().map(open).collect())
    }

    fn trails(&self, _: Option<&Found>) -> Result<Vec<PathBuf>, Failure> {
        Ok(vec![self.trail.clone()])
    }

    fn hardware(&self) -> Hardware {
        Hardware::Usable
    }

    fn demo(&self, _: Option<&Name>, _: &dyn Progress) -> Result<Value, Failure> {
        Ok(self.report.clone())
    }
}

impl Rules for Scripted {
    fn policy(&self, _: Option<&Found>, _: Option<Preset>) -> Result<PolicyRevision, Failure> {
        Ok(self.rules.clone())
    }

    fn edit_rules(&self, scope: &RuleScope, edit: RuleEdit) -> Result<RuleChange, Failure> {
        let nothing = RuleChange { scope: "all".into(), ..RuleChange::default() };
        let RuleEdit::Add(rules) = edit else { return Ok(nothing) };
        let global = matches!(scope, RuleScope::User);
        for rule in &rules {
            self.note(format!("{:?} {} {:?} global={global}", rule.effect, rule.pattern(), rule.protocol));
        }
        Ok(RuleChange { added: rules, scope: "all".into(), ..RuleChange::default() })
    }
}

impl Templates for Scripted {
    fn cache(&self) -> &Path {
        &self.trail
    }

    fn prepare_cache(&self, _: &dyn Progress) -> Result<(), Failure> {
        Ok(())
    }

    fn build_templates(
        &self,
        source: &Source,
        name: Option<&str>,
        yes: bool,
        _: &dyn Progress,
    ) -> Result<Vec<BuiltTemplate>, Failure> {
        self.note(format!("build {source:?} {name:?} {yes}"));
        let layers = vec!["b".repeat(64)];
        Ok(vec![BuiltTemplate { sandbox: "dev".into(), image: "a".repeat(64), layers }])
    }

    fn kept(&self) -> Result<Vec<KeptTemplate>, Failure> {
        let steps = KeptTemplate {
            key: "b".repeat(64),
            kind: "steps",
            holds: vec!["make install\nmake clean".into()],
            bytes: 3 << 20,
            created: Some("2026-01-02T03:04:05Z".into()),
            used_by: vec!["dev".into()],
        };
        let packages = KeptTemplate {
            key: "a".repeat(64),
            kind: "packages",
            holds: vec!["g++=4:12".into(), "jq=1.6".into()],
            bytes: 200 << 20,
            created: None,
            used_by: Vec::new(),
        };
        Ok(vec![packages, steps])
    }

    fn remove_templates(
        &self,
        keys: &[String],
        unused: bool,
        _: &dyn Progress,
    ) -> Result<Vec<KeptTemplate>, Failure> {
        self.note(format!("remove templates {keys:?} unused={unused}"));
        Ok(self.kept()?.into_iter().filter(|kept| kept.used_by.is_empty()).collect())
    }
}

impl Account for Scripted {
    fn secrets(&self) -> Result<Vec<SecretListing>, Failure> {
        Ok(vec![SecretListing {
            name: "anthropic".into(),
            source: "variable ANTHROPIC_API_KEY".into(),
            present: Some(true),
        }])
    }
}
