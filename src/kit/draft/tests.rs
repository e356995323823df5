use super::*;

fn draft() -> Draft {
    let mut draft = Draft::new("dev", "shell");
    draft.add(Place::Create, "npm ci");
    draft.add(Place::Rules, "{allow: \"a.example\", why: x}").note = Some("a.json".into());
    draft.add(Place::Rules, "{allow: \"b.example\", why: x}");
    draft.add(Place::Spec, "workspace: {mode: direct}");
    draft.add(Place::Start, "npm run dev");
    draft.add(Place::Env, "A: b");
    draft.remarks.push("seen: x\ny\u{1b}[2J".into());
    draft
}

fn body(draft: &Draft) -> String {
    draft.render().split_once("  agent: shell\n").unwrap().1.to_owned()
}

#[test]
fn single_entries_stand_on_one_line_and_several_below_their_keys() {
    let expected = "  workspace: {mode: direct}\n  env: {A: b}\n  setup:\n    create:\n      - npm ci\n    start:\n      - npm run dev\n  \
        network:\n    rules:\n      - {allow: \"a.example\", why: x}  # a.json\n      - {allow: \"b.example\", why: x}\n  \
        # seen: x\\ny\\u{1b}[2J\n";
    assert_eq!(body(&draft()), expected);
}

#[test]
fn what_is_refused_becomes_a_comment_on_its_line() {
    let mut some = draft();
    let line = |draft: &Draft, text: &str| {
        let all = draft.render();
        u32::try_from(all.lines().position(|line| line.contains(text)).unwrap() + 1).unwrap()
    };
    let at = line(&some, "a.example");
    assert!(some.refuse(at, "no such host"));
    assert!(!some.refuse(at, "no such host"), "said once");
    assert!(!some.refuse(1, "x") && !some.refuse(99, "x"));
    assert!(body(&some).contains(
        "      # - {allow: \"a.example\", why: x}  # a.json; no such host\n      - {allow: \"b.example\""
    ));
    let at = line(&some, "  setup:");
    assert!(some.refuse(at, "not available yet"));
    let expected = "  # setup:\n  #   create:\n  #     - npm ci  # not available yet\n  #   start:\n  #     - npm run dev  # not available yet\n";
    assert!(body(&some).contains(expected), "{}", body(&some));
    let at = line(&some, "env:");
    some.refuse(at, "no");
    assert!(body(&some).contains("  # env: {A: b}  # no\n"));
}

#[test]
fn one_lock_file_of_a_family_counts() {
    let found = Ecosystem::found(|name| matches!(name, "yarn.lock" | "package-lock.json" | "go.sum"));
    let names: Vec<&str> = found.iter().map(|ecosystem| ecosystem.lock).collect();
    assert_eq!(names, ["package-lock.json", "go.sum"]);
}
