//! What somebody who can write the whole repository, its refs and its objects, gets out of committed approvals: nothing
//! that no signer said of this repository. Each attack stands beside the build in which the one check is missing.

use std::{ffi::OsString, fs, path::PathBuf};

use git2::{Oid, Repository as Git, Signature, Time};

use super::*;
use crate::{
    cli::{
        ops::{Plans, Source, Wish},
        tests::commits::commit,
    },
    review::signing::Pair,
};

const REFERENCE: &str = "refs/remotes/origin/main";
const URL: &str = "git@git.corp.example:acme/web.git";
const SANDBOX: &str = "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {name: dev}\nspec:\n  agent: shell\n  \
                       isolation: hardware\n  network: {rules: [{allow: \"a.example:443\", why: first}]}\n  ports: [{guest: 3000}]\n";

fn approvals(repository: &str, dev: &str) -> String {
    format!(
        "apiVersion: cofferdam.dev/v1alpha1\nkind: Approvals\nmetadata: {{repository: {repository}}}\nspec:\n  dev: [{dev}]\n"
    )
}

const NARROW: &str = "port 3000";
const BROAD: &str = "port 3000, \"net * a.example:443\"";
const WEB: &str = "git.corp.example/acme/web";

/// A clone, and somebody whose signature counts.
struct Stage {
    _folder: tempfile::TempDir,
    root: PathBuf,
    git: Git,
    alice: Pair,
}

impl Stage {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("home")).unwrap();
        let git = Git::init(root.join("web")).unwrap();
        git.remote("origin", URL).unwrap();
        fs::write(root.join("web/sandbox.yaml"), SANDBOX).unwrap();
        Self { _folder: folder, root, git, alice: Pair::ed25519() }
    }

    fn commit(&self, parents: &[Oid], file: &[u8], mode: i32) -> Oid {
        commit(&self.git, "a commit", parents, &[(".cofferdam/approvals.yaml", file, mode)])
    }

    fn unsigned(&self, parents: &[Oid], repository: &str, dev: &str) -> Oid {
        self.commit(parents, approvals(repository, dev).as_bytes(), 0o100_644)
    }

    fn signed(&self, parents: &[Oid], repository: &str, dev: &str) -> Oid {
        self.alice.resign(&self.git, self.unsigned(parents, repository, dev))
    }

    fn main(&self, oid: Oid) {
        let path = self.root.join("web/.git").join(REFERENCE);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{oid}\n")).unwrap();
    }

    fn entry(&self) -> TrustedRef {
        TrustedRef {
            reference: REFERENCE.to_owned(),
            repository: WEB.parse().unwrap(),
            signers: vec![self.alice.signer("alice@corp.example")],
            since: None,
        }
    }

    fn judge(&self, seen: Option<Oid>, checks: Checks) -> Result<Tip, TrustError> {
        let repository = Repository::find(&self.root.join("web")).unwrap().unwrap();
        judge(&repository, &self.entry(), seen.map(|oid| oid.to_string()).as_deref(), checks)
    }

    fn refused(&self, seen: Option<Oid>) -> TrustError {
        self.judge(seen, Checks::default()).unwrap_err()
    }

    /// Whether a build without this check is taken in.
    fn fooled(&self, seen: Option<Oid>, check: Check) -> bool {
        let broad = |tip: Tip| tip.file.definitions.values().any(|held| held.always.grants().len() == 2);
        self.judge(seen, Checks::without(check)).is_ok_and(broad)
    }

    fn host(&self, since: &str) -> Host {
        let env = |name: &str| match name {
            "HOME" => Some(OsString::from(self.root.join("home"))),
            "COFFERDAM_CONFIG" => Some(OsString::from(self.root.join("config/config.yaml"))),
            "COFFERDAM_STATE" => Some(OsString::from(self.root.join("state"))),
            "COFFERDAM_CACHE" => Some(OsString::from(self.root.join("cache"))),
            _ => None,
        };
        let signer = self.alice.signer("alice@corp.example");
        let config = format!(
            "approvals:\n  trust:\n    - ref: {REFERENCE}\n      repository: https://git.corp.example/acme/web.git\n      \
             signers: [\"{signer}\"]\n{since}"
        );
        fs::create_dir_all(self.root.join("config")).unwrap();
        fs::write(self.root.join("config/config.yaml"), config).unwrap();
        Host::with(&env, &self.root.join("web")).unwrap()
    }
}

fn asked(host: &Host) -> (Vec<String>, Vec<String>) {
    let proposal = host.propose(&Source::Search, &Wish::default()).unwrap();
    let grants = proposal.asked.iter().map(|asked| asked.grant.clone()).collect();
    (grants, proposal.trusted.iter().map(ToString::to_string).collect())
}

#[test]
fn a_signed_tip_of_this_repository_counts() {
    let mut stage = Stage::new();
    for pair in [Pair::ed25519(), Pair::p256()] {
        stage.alice = pair;
        let tip = stage.signed(&[], WEB, BROAD);
        stage.main(tip);
        let found = stage.judge(None, Checks::default()).unwrap();
        assert_eq!((found.commit, found.signer.name.as_str()), (tip.to_string(), "alice@corp.example"));
    }
    // Packed, and an annotated tag that points at it.
    let tip = stage.signed(&[], WEB, BROAD);
    let who = Signature::new("Ann", "ann@team.example", &Time::new(0, 0)).unwrap();
    let object = stage.git.find_object(tip, None).unwrap();
    let tag = stage.git.tag("v1", &object, &who, "a tag", false).unwrap();
    fs::remove_file(stage.root.join("web/.git").join(REFERENCE)).unwrap();
    assert!(matches!(stage.refused(None), TrustError::NoReference));
    fs::write(stage.root.join("web/.git/packed-refs"), format!("{tag} {REFERENCE}\n^{tip}\n")).unwrap();
    assert_eq!(stage.judge(None, Checks::default()).unwrap().commit, tip.to_string());
}

#[test]
fn what_nobody_signed_counts_for_nothing() {
    let stage = Stage::new();
    let first = stage.signed(&[], WEB, NARROW);
    // A commit on top of a signed one.
    stage.main(stage.unsigned(&[first], WEB, BROAD));
    let error = stage.refused(Some(first));
    assert!(matches!(error, TrustError::Signature { error: SignatureError::Unsigned, .. }), "{error}");
    // The break: the same commit, signed.
    stage.main(stage.signed(&[first], WEB, BROAD));
    assert!(stage.judge(Some(first), Checks::default()).is_ok());
}

#[test]
fn the_signature_of_another_commit_counts_for_nothing() {
    let stage = Stage::new();
    let signed = stage.git.find_commit(stage.signed(&[], WEB, NARROW)).unwrap();
    let armour =
        String::from_utf8(stage.git.extract_signature(&signed.id(), None).unwrap().0.to_vec()).unwrap();
    let odb = stage.git.odb().unwrap();
    let other = odb.read(stage.unsigned(&[], WEB, BROAD)).unwrap().data().to_vec();
    let forged = stage.git.commit_signed(std::str::from_utf8(&other).unwrap(), &armour, None).unwrap();
    stage.main(forged);
    let error = stage.refused(None);
    assert!(matches!(error, TrustError::Signature { error: SignatureError::Wrong, .. }), "{error}");
    assert!(stage.fooled(None, Check::Bytes));
}

#[test]
fn only_a_signer_for_git_counts() {
    let stage = Stage::new();
    let commit = stage.unsigned(&[], WEB, BROAD);
    stage.main(Pair::ed25519().resign(&stage.git, commit));
    let error = stage.refused(None);
    assert!(matches!(error, TrustError::Signature { error: SignatureError::Unknown { .. }, .. }), "{error}");
    assert!(stage.fooled(None, Check::Signer));
    // Alice has signed these bytes, as a file.
    stage.main(stage.alice.resign_for("file", &stage.git, commit));
    let error = stage.refused(None);
    assert!(matches!(error, TrustError::Signature { error: SignatureError::Namespace(_), .. }), "{error}");
    assert!(stage.fooled(None, Check::Namespace));
}

#[test]
fn another_repository_of_the_same_signers_counts_for_nothing_here() {
    let stage = Stage::new();
    for other in ["git.corp.example/acme/lab", "git.corp.example/ann/web"] {
        stage.main(stage.signed(&[], other, BROAD));
        let error = stage.refused(None);
        assert!(matches!(error, TrustError::Repository { .. }), "{error}");
        assert!(stage.fooled(None, Check::Repository));
    }
    let nameless = approvals(WEB, BROAD).replace(&format!("metadata: {{repository: {WEB}}}\n"), "");
    let nameless = stage.commit(&[], nameless.as_bytes(), 0o100_644);
    stage.main(stage.alice.resign(&stage.git, nameless));
    let error = stage.refused(None);
    assert!(error.to_string().contains("metadata: {repository: git.corp.example/acme/web}"), "{error}");
}

#[test]
fn a_clone_of_something_else_borrows_nothing() {
    let stage = Stage::new();
    stage.main(stage.signed(&[], WEB, BROAD));
    assert_eq!(asked(&stage.host("")).0, Vec::<String>::new());
    // Somebody's fork, which serves the same signed commit as its main.
    stage.git.remote_set_url("origin", "https://git.corp.example/mallory/web").unwrap();
    let (grants, notes) = asked(&stage.host(""));
    assert_eq!((grants, notes), (vec!["net * a.example:443".to_owned(), "port 3000".to_owned()], Vec::new()));
}

#[test]
fn a_ref_that_goes_back_counts_for_nothing() {
    let stage = Stage::new();
    let broad = stage.signed(&[], WEB, BROAD);
    let narrow = stage.signed(&[broad], WEB, NARROW);
    stage.main(broad);
    assert!(stage.judge(Some(broad), Checks::default()).is_ok());
    assert!(matches!(stage.refused(Some(narrow)), TrustError::WentBack { .. }));
    assert!(stage.fooled(Some(narrow), Check::Descent));
    // A commit beside it: another branch of the same signers.
    stage.main(stage.signed(&[broad], WEB, BROAD));
    assert!(matches!(stage.refused(Some(narrow)), TrustError::WentBack { .. }));
}

#[test]
fn what_was_seen_is_remembered_and_a_rewritten_history_can_be_accepted() {
    let stage = Stage::new();
    let broad = stage.signed(&[], WEB, BROAD);
    let narrow = stage.signed(&[broad], WEB, NARROW);
    stage.main(broad);
    assert_eq!(asked(&stage.host("")).0, Vec::<String>::new());
    stage.main(narrow);
    assert_eq!(asked(&stage.host("")).0, ["net * a.example:443"]);
    stage.main(broad);
    let (grants, notes) = asked(&stage.host(""));
    assert_eq!(grants, ["net * a.example:443", "port 3000"]);
    assert!(notes[0].contains(&format!("write `since: {broad}`")), "{}", notes[0]);
    // The operator has looked.
    let since = format!("      since: {broad}\n");
    assert_eq!(asked(&stage.host(&since)).0, Vec::<String>::new());
    stage.main(stage.signed(&[], WEB, NARROW));
    let (_, notes) = asked(&stage.host(&since));
    assert!(notes[0].contains("(`since`)"), "{}", notes[0]);
}

#[test]
fn a_file_that_is_none_counts_for_nothing() {
    let stage = Stage::new();
    let large = format!("{}# {}\n", approvals(WEB, BROAD), "x".repeat(committed::FILE_MAX));
    for (file, mode, why) in [
        (&b"../../home/approvals.yaml"[..], 0o120_000, "link"),
        (large.as_bytes(), 0o100_644, "larger"),
        (b"spec: [", 0o100_644, "approvals.yaml"),
    ] {
        let commit = stage.commit(&[], file, mode);
        stage.main(stage.alice.resign(&stage.git, commit));
        let error = stage.refused(None);
        assert!(matches!(error, TrustError::File { .. }) && error.to_string().contains(why), "{error}");
    }
    // What is not there approves nothing, and is nothing to go by either.
    let empty = stage.git.treebuilder(None).unwrap().write().unwrap();
    let who = Signature::new("Ann", "ann@team.example", &Time::new(0, 0)).unwrap();
    let tree = stage.git.find_tree(empty).unwrap();
    let bare = stage.git.commit(None, &who, &who, "nothing", &tree, &[]).unwrap();
    stage.main(stage.alice.resign(&stage.git, bare));
    let tip = stage.judge(None, Checks::default()).unwrap();
    assert!(tip.file.definitions.is_empty() && !tip.bound);
}

#[test]
fn the_working_tree_says_nothing() {
    let stage = Stage::new();
    stage.main(stage.signed(&[], WEB, NARROW));
    fs::create_dir_all(stage.root.join("web/.cofferdam")).unwrap();
    fs::write(stage.root.join("web/.cofferdam/approvals.yaml"), approvals(WEB, BROAD)).unwrap();
    assert_eq!(asked(&stage.host("")).0, ["net * a.example:443"]);
}

#[test]
fn nothing_is_noted_that_the_trail_does_not_take() {
    let stage = Stage::new();
    stage.main(stage.signed(&[], WEB, "\"net * a.example:443\""));
    let host = stage.host("");
    let proposal = host.propose(&Source::Search, &Wish::default()).unwrap();
    let noted = || {
        let known = host.store.approvals(&host.here).unwrap();
        known.definitions.get("dev").map_or(0, |definition| definition.committed.len())
    };
    // A file in the place of the trail's folder takes no event.
    let trail = stage.root.join("state/audit");
    fs::write(&trail, "").unwrap();
    assert_eq!(host.park(&proposal).unwrap_err().code(), "audit");
    assert_eq!(noted(), 0);
    // The break: with a trail it is noted, once.
    fs::remove_file(&trail).unwrap();
    host.park(&proposal).unwrap();
    host.park(&proposal).unwrap();
    assert_eq!(noted(), 1);
    let segments = fs::read_dir(&trail).unwrap().map(|it| it.unwrap().path());
    let text: String = segments.map(|path| fs::read_to_string(path).unwrap_or_default()).collect();
    assert_eq!(text.matches("\"action\":\"approve\"").count(), 1, "{text}");
}

#[test]
fn ends_count_and_a_refusal_here_goes_before() {
    let stage = Stage::new();
    let ended = "{grant: port 3000, until: 2001-01-01}, {grant: \"net * a.example:443\", until: 2999-12-31}";
    stage.main(stage.signed(&[], WEB, ended));
    let host = stage.host("");
    let proposal = host.propose(&Source::Search, &Wish::default()).unwrap();
    assert_eq!(proposal.asked.iter().map(|it| it.grant.as_str()).collect::<Vec<_>>(), ["port 3000"]);
    let wanted = proposal.plan.as_ref().unwrap().wanted().remove(0);
    assert_eq!(wanted.network.rules[0].until, "2999-12-31".parse().ok(), "the rule ends with its approval");
    host.park(&proposal).unwrap();
    let inbox = host.inboxes(Some("dev")).unwrap().remove(0);
    assert_eq!(inbox.committed.len(), 1);
    assert_eq!(
        (inbox.committed[0].signer.as_str(), inbox.committed[0].reference.as_str()),
        ("alice@corp.example", REFERENCE)
    );
    let trail = fs::read_dir(stage.root.join("state/audit")).unwrap();
    let trail: String = trail.map(|it| fs::read_to_string(it.unwrap().path()).unwrap_or_default()).collect();
    assert!(trail.contains("\"signer\":\"alice@corp.example\""), "{trail}");
    // Whoever sits here says no.
    let refusal = crate::store::Rejection {
        grant: "net * a.example:443".to_owned(),
        by: "ann".to_owned(),
        at: "2026-01-01T00:00:00Z".to_owned(),
    };
    host.store.edit_approvals(&host.here, "dev", |definition| definition.reject([refusal])).unwrap();
    let wanted = host.propose(&Source::Search, &Wish::default()).unwrap().plan.unwrap().wanted().remove(0);
    assert_eq!(wanted.network.rules, []);
}
