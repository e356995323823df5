//! Plans as they are shown, against files in `tests/data/plan`; `COFFERDAM_UPDATE=1` writes them.

use std::path::Path;

use super::planning::{allow, input, origin, running, sandbox};
use crate::{
    model::{
        desired::{Access, IsolationWish, Mount, Sandbox},
        secret::{Injection, SecretBinding},
        unit::Bytes,
    },
    plan::{
        Plan, PlanInput,
        facts::{Facts, Lack, Refusal, Unbuilt},
        make,
        render::{MARKDOWN_MAX, MARKER, View, github, json, markdown, sarif, text},
    },
};

fn check(name: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/plan").join(name);
    if std::env::var_os("COFFERDAM_UPDATE").is_some() {
        std::fs::create_dir_all(path.parent().expect("it has a folder")).expect("the folder can be made");
        std::fs::write(&path, found).expect("the file can be written");
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, expected, "{}: COFFERDAM_UPDATE=1 renews it", path.display());
}

/// Whether something of the text is an embedded link of SARIF: a bracket that no backslash precedes.
fn links(text: &str) -> bool {
    let mut escaped = false;
    text.chars().any(|sign| {
        let bare = matches!(sign, '[' | ']') && !escaped;
        escaped = sign == '\\' && !escaped;
        bare
    })
}

#[test]
fn nothing_of_a_file_is_a_link_of_a_scanner() {
    assert!(links("[a](http://evil.example)") && links("\\\\[a](x)") && !links("\\[a\\](x)"), "the break");
    let plan = make(&input(vec![hostile()], Vec::new()));
    let log = sarif(&View { plan: &plan, against: None, warnings: &[], covered: false });
    let results = log["runs"][0]["results"].as_array().expect("results").clone();
    assert_eq!(results.len(), 2);
    for result in results {
        let text = result["message"]["text"].as_str().expect("a text");
        assert!(!links(text), "{text}");
    }
}

fn check_all(name: &str, plan: &Plan, against: Option<&str>) {
    let view = View { plan, against, warnings: &[], covered: false };
    let pretty = |value| format!("{}\n", serde_json::to_string_pretty(&value).expect("it is JSON"));
    check(&format!("{name}.txt"), &text(&view));
    check(&format!("{name}.md"), &markdown(&view));
    check(&format!("{name}.github.txt"), &github(&view));
    check(&format!("{name}.json"), &pretty(json(&view)));
    check(&format!("{name}.sarif"), &pretty(sarif(&view)));
}

fn mount(source: &str, why: &str) -> Mount {
    Mount {
        source: source.into(),
        target: "/data".to_owned(),
        access: Access::Read,
        why: why.to_owned(),
        origin: origin(12),
    }
}

/// What was refused, and what the host does not have.
fn answered(all: &mut PlanInput) {
    let name = |name: &str| name.parse().expect("a name");
    let answer = Refusal { id: "4be0643f1d98".into(), by: "ann".into(), at: "2026-01-02T03:04:05Z".into() };
    for (definition, grant) in [("dev", "net * gist.example:443"), ("refused", "isolation emulation-ok")] {
        let refused = [(grant.to_owned(), answer.clone())].into();
        all.approvals.rejected.insert(name(definition), refused);
    }
    let hint = Some("say where it is".to_owned());
    let lacks = vec![
        Lack::Isolation { message: "this host has no /dev/kvm".to_owned(), hint: None },
        Lack::Secret { secret: "github".into(), message: "secret `github` has no value".into(), hint },
    ];
    let facts = Facts { lacks, unbuilt: Unbuilt { packages: 2, steps: 1 } };
    for definition in ["held", "lab", "refused", "web"] {
        all.facts.insert(name(definition), facts.clone());
    }
}

/// One of each: made, changed, narrowed, parked, rejected, waiting, moved, gone.
fn several() -> Plan {
    let mut dev = sandbox("dev");
    dev.resources.cpus = 4;
    dev.network.rules = vec![allow("api.example"), allow("docs.example")];
    dev.network.rules.push(allow("gist.example"));
    let (lab, mut fixed) = (sandbox("lab"), sandbox("fixed"));
    fixed.resources.disk = Bytes::gib(50);
    let (mut held, mut refused, moved) = (sandbox("held"), sandbox("refused"), sandbox("moved"));
    held.isolation = IsolationWish::EmulationOk;
    refused.isolation = IsolationWish::EmulationOk;
    let mut web = sandbox("web");
    web.mounts.push(mount("/home/ann/datasets", "training data"));
    web.secrets.push(SecretBinding {
        name: "github".to_owned(),
        env: Some("GITHUB_TOKEN".to_owned()),
        placeholder: "{alnum:36}".to_owned(),
        required: true,
        inject: vec![Injection {
            host: "github.com".to_owned(),
            port: 443,
            header: "authorization".to_owned(),
            format: "Bearer {}".to_owned(),
        }],
        why: "pull requests".to_owned(),
        origin: origin(14),
    });
    let mut renewed = sandbox("renewed");
    renewed.template.packages.push("jq".to_owned());
    renewed.network.rules.clear();
    let mut all = input(vec![dev, fixed, held, lab.clone(), moved, refused, renewed, web], Vec::new());
    let old = |name: &str| {
        let mut old = sandbox(name);
        if name == "moved" {
            old.provenance.file = Some("/home/ann/web/a/sandbox.yaml".into());
        }
        old
    };
    all.observed = ["dev", "fixed", "renewed", "gone", "moved"]
        .iter()
        .zip(1..)
        .map(|(name, id)| running(&old(name), id))
        .collect();
    all.observed.push(running(&lab, 9));
    all.sessions.insert(all.observed[2].id.clone(), 2);
    all.now = true;
    answered(&mut all);
    all.approvals.definitions.retain(|name, _| !["dev", "held", "refused"].contains(&name.as_str()));
    all.approvals.definitions.insert(
        "dev".parse().expect("a name"),
        ["net * api.example:443"]
            .iter()
            .map(|text| text.parse::<crate::plan::grant::Grant>().expect("a grant"))
            .collect(),
    );
    make(&all)
}

#[test]
fn a_plan_of_each_kind() {
    check_all("several", &several(), None);
}

#[test]
fn nothing_to_do() {
    let dev = sandbox("dev");
    check_all("nothing", &make(&input(vec![dev.clone()], vec![running(&dev, 1)])), Some("origin/main"));
}

/// Everything that an agent could put into a file so that a reviewer sees something else.
const HOSTILE: &str = "x <img src=x onerror=alert(1)> `code` | a | @octocat/team #1 GH-1 **b** [l](http://evil.example) \
    https://evil.example www.evil.example ![i](//e) --> <!-- cofferdam-plan --> ::error::x %0A \u{202e}gnp\u{2066}\u{200b} &lt; \\";

fn hostile() -> Sandbox {
    let mut dev = sandbox("dev");
    dev.network.rules[0].why = HOSTILE.to_owned();
    dev.network.rules[0].origin.file = Some(format!("a/{HOSTILE}/sandbox.yaml"));
    dev.mounts
        .push(mount("/srv/[a](http://evil.example)|b`c\n## Approved\n\n<details>", "ok\r\n::error::y\n"));
    dev
}

#[test]
fn a_hostile_file_shows_as_it_is() {
    let plan = make(&input(vec![hostile()], Vec::new()));
    check_all("hostile", &plan, Some("origin/main`<b>"));
    let view = View { plan: &plan, against: None, warnings: &[], covered: false };
    let markdown = markdown(&view);
    assert_eq!(markdown.matches("<!--").count(), 1, "only our marker");
    assert!(markdown.starts_with(MARKER));
    let body = &markdown[MARKER.len()..];
    let bare = body.replace("<code>", "").replace("</code>", "");
    for sign in ['<', '>', '`', '@', '[', ']', '\u{202e}', '\u{200b}', '\u{2066}'] {
        assert!(!bare.contains(sign), "{sign:?} in {bare}");
    }
    assert!(!bare.contains("http:") && !bare.contains("https:") && !bare.contains("www."), "{bare}");
    assert!(body.lines().all(|line| line.is_empty() || line.starts_with(['#', '|', '-', '1'])), "{body}");
    for line in github(&view).lines() {
        assert!(line.starts_with("::warning ") || line.starts_with("::notice "), "{line}");
        assert!(!line.contains('\r'), "{line}");
    }
    assert!(!text(&view).contains(['\u{202e}', '\u{200b}', '\r']));
}

#[test]
fn a_comment_has_room() {
    let many = (0..2_000).map(|number| {
        let mut it = hostile();
        it.name = format!("s{number}").parse().expect("a name");
        it
    });
    let plan = make(&input(many.collect(), Vec::new()));
    let markdown = markdown(&View { plan: &plan, against: None, warnings: &[], covered: false });
    assert!(markdown.chars().count() < MARKDOWN_MAX, "{}", markdown.chars().count());
    assert!(markdown.contains(" are not shown: a comment has no room for them."), "{markdown}");
    assert!(markdown.contains("2000 sandboxes, 2000 change, 2000 widen"));
    let mut wide = sandbox("wide");
    wide.network.rules = (0..5_000).map(|number| allow(&format!("h{number}.example"))).collect();
    let plan = make(&input(vec![wide], Vec::new()));
    let markdown =
        super::super::render::markdown(&View { plan: &plan, against: None, warnings: &[], covered: false });
    assert!(
        markdown.contains(" more grants: `cofferdam plan` shows all** | | |"),
        "one step is shown, however long"
    );
    assert!(markdown.chars().count() < MARKDOWN_MAX);
}

#[test]
fn nothing_crowds_out_what_widens_most() {
    let mut crowded = sandbox("crowded");
    crowded.network.rules = (0..1_000).map(|number| allow(&format!("h{number}.example"))).collect();
    crowded.network.rules.push(allow("evil.example"));
    let last = crowded.network.rules.last_mut().expect("it was pushed");
    last.host = crate::model::rule::HostPattern::AnyDepth("evil.example".to_owned());
    for rule in &mut crowded.network.rules {
        rule.why = "\u{1f600}".repeat(300);
    }
    let plan = make(&input(vec![crowded, sandbox("other")], Vec::new()));
    let markdown = markdown(&View { plan: &plan, against: None, warnings: &[], covered: false });
    assert!(markdown.contains("&#42;&#42;&#46;evil&#46;example&#58;443"), "{markdown}");
    assert!(
        markdown.contains("#### <code>other</code>") && markdown.contains(" more grants: `cofferdam plan`")
    );
    assert!(markdown.chars().count() < MARKDOWN_MAX);
}
