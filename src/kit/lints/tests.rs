//! What is in form and cannot be meant: each with a file that shows it, the words it gets, and the one change after
//! which nothing is wrong. Each row fails when its rule is left out.

use crate::kit::{
    LoadError, Problem,
    beside::BesideAll,
    load::check,
    rule::{Rule, without},
    tests::{context, file},
};

struct Row {
    rule: Rule,
    /// What follows `agent` in the sandbox's `spec`, and further documents.
    says: &'static str,
    /// `line:column: message [label]`.
    wrong: &'static [&'static str],
    /// What is written instead of what, so that it is right.
    mended: (&'static str, &'static str),
}

const TABLE: &[Row] = &[
    Row {
        rule: Rule::SecretReaches,
        says: "  secrets: [{name: key, env: KEY, inject: [{host: api.vendor.example, header: x-key}], why: x}]\n  network: {rules: [{allow: vendor.example, why: x}]}\n",
        wrong: &["8:20: no rule allows api.vendor.example:443, so the secret `key` could never be used"],
        mended: ("allow: vendor", "allow: api.vendor"),
    },
    Row {
        rule: Rule::SharedNames,
        says: "  secrets: [{name: key, env: KEY, inject: [{host: github.io, header: x-key}], why: x}]\n  network: {rules: [{allow: github.io, why: x}]}\n",
        wrong: &[
            "8:20: the secret `key` goes to `github.io`, below which are names that anybody with an account there can have",
        ],
        mended: ("github.io", "acme.github.io"),
    },
    Row {
        rule: Rule::SharedNames,
        says: "  network: {rules: [{allow: \"**.co.uk\", why: x}]}\n",
        wrong: &["8:29: this allows names that anybody can register below `co.uk` [too wide]"],
        mended: ("**.co.uk", "**.acme.co.uk"),
    },
    Row {
        rule: Rule::Overlap,
        says: "  mounts: [{source: ., target: /data, why: x}, {source: ., target: /data/more, why: x}]\n",
        wrong: &["8:57: `/data/more` and `/data` lie inside each other in the sandbox"],
        mended: ("/data/more", "/more"),
    },
    Row {
        rule: Rule::Once,
        says: "  ports: [{guest: 3000, host: 8080}, {guest: 3001, host: 8080}]\n",
        wrong: &["8:38: the host port 8080 is published twice [the other: sandbox.yaml:8]"],
        mended: ("3001, host: 8080", "3001, host: 8081"),
    },
    Row {
        rule: Rule::NeverMatches,
        says: "  network:\n    rules:\n      - {deny: \"**.vendor.example\"}\n      - {allow: api.vendor.example, why: x}\n",
        wrong: &[
            "11:17: this rule can never match: `**.vendor.example` (sandbox.yaml:10) denies all of it [never]",
        ],
        mended: ("deny: \"**.vendor.example\"", "deny: \"**.vendor.example:80\""),
    },
    Row {
        rule: Rule::NeverMatches,
        says: "  network:\n    rules:\n      - {deny: api.vendor.example, http: [{methods: [GET, POST], paths: [\"/admin/**\"]}]}\n      - {allow: api.vendor.example, http: [{methods: [GET], paths: [\"/Admin/users\"]}], why: x}\n",
        wrong: &[
            "11:17: this rule can never match: `api.vendor.example` (sandbox.yaml:10) denies all of it [never]",
        ],
        mended: ("/Admin/users", "/users"),
    },
    Row {
        rule: Rule::NeverMatches,
        says: "  network:\n    rules:\n      - {deny: api.vendor.example, http: [{paths: [\"/**\"]}]}\n      - {allow: api.vendor.example, why: x}\n",
        wrong: &[
            "11:17: this rule can never match: `api.vendor.example` (sandbox.yaml:10) denies all of it [never]",
        ],
        mended: ("[{paths: [\"/**\"]}]", "[{paths: [\"/**\"], methods: [GET]}]"),
    },
    Row {
        rule: Rule::NeverMatches,
        says: "  network:\n    rules:\n      - {deny: \"bundle:paste-sites\"}\n      - {allow: \"bundle:paste-sites\", why: x}\n",
        wrong: &[
            "11:17: this rule can never match: `bundle:paste-sites` (sandbox.yaml:10) denies all of it [never]",
        ],
        mended: ("deny: \"bundle:paste-sites\"", "deny: \"bundle:paste-sites\", until: 2027-01-01"),
    },
    Row {
        rule: Rule::Cycle,
        says: "---\napiVersion: cofferdam.dev/v1alpha1\nkind: Mixin\nmetadata: {name: one}\nspec: {extends: two}\n---\napiVersion: cofferdam.dev/v1alpha1\nkind: Mixin\nmetadata: {name: two}\nspec: {extends: one}\n",
        wrong: &["17:17: the kit extends itself: one → two → one"],
        mended: ("spec: {extends: one}", "spec: {env: {A: x}}"),
    },
    Row {
        rule: Rule::MixinsAgree,
        says: "  kits: [one, two]\n---\napiVersion: cofferdam.dev/v1alpha1\nkind: Mixin\nmetadata: {name: one}\nspec: {resources: {cpus: 1}}\n---\napiVersion: cofferdam.dev/v1alpha1\nkind: Mixin\nmetadata: {name: two}\nspec: {resources: {cpus: 2}}\n",
        wrong: &[
            "18:26: kit `one` (sandbox.yaml:13) and kit `two` both set `resources.cpus` [the other: sandbox.yaml:13]",
        ],
        mended: ("cpus: 2", "cpus: 1"),
    },
];

/// What is wrong with a sandbox that says this.
fn found(says: &str) -> Vec<String> {
    // The workspace lies in a folder of its own: else every folder would overlap with it.
    let text = format!(
        "apiVersion: cofferdam.dev/v1alpha1\nkind: Sandbox\nmetadata: {{name: dev}}\nspec:\n  agent: shell\n  workspace:\n    {{path: folders/data, mode: read}}\n{says}"
    );
    let line = |it: &Problem| {
        let label = it.label.as_ref().map(|label| format!(" [{label}]")).unwrap_or_default();
        format!("{}:{}: {it}{label}", it.line(), it.column())
    };
    match check(&[file("sandbox.yaml", text.as_bytes())], BesideAll::default(), None, &context()) {
        Err(LoadError::Invalid(problems)) => problems.iter().map(line).collect(),
        Err(error) => panic!("{error}"),
        Ok(_) => Vec::new(),
    }
}

#[test]
fn what_cannot_be_meant_is_said_and_the_mended_file_is_right() {
    for row in TABLE {
        assert_eq!(found(row.says), row.wrong, "{:?}", row.rule);
        let (from, to) = row.mended;
        assert_eq!(found(&row.says.replace(from, to)), Vec::<String>::new(), "{:?}, mended", row.rule);
    }
}

/// The breaks.
#[test]
fn a_rule_that_is_left_out_is_found_out() {
    for row in TABLE {
        assert_ne!(without(Some(row.rule), || found(row.says)), row.wrong, "{:?}", row.rule);
    }
}
