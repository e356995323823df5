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
    assert!(some.refuse(&[(at, "no such host")]));
    assert!(!some.refuse(&[(at, "no such host")]), "said once");
    assert!(!some.refuse(&[(1, "x")]) && !some.refuse(&[(99, "x"), (0, "x")]));
    assert!(body(&some).contains(
        "      # - {allow: \"a.example\", why: x}  # a.json; no such host\n      - {allow: \"b.example\""
    ));
    let at = line(&some, "  setup:");
    assert!(some.refuse(&[(at, "not available yet")]));
    let expected = "  # setup:\n  #   create:\n  #     - npm ci  # not available yet\n  #   start:\n  #     - npm run dev  # not available yet\n";
    assert!(body(&some).contains(expected), "{}", body(&some));
    let at = line(&some, "env:");
    some.refuse(&[(at, "no")]);
    assert!(body(&some).contains("  # env: {A: b}  # no\n"));
}

/// A repository of a few files, by name.
struct Repository(Vec<(&'static str, &'static str)>);

impl Files for Repository {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(there, _)| *there == name)
    }

    fn ends(&self, name: &str) -> Option<Ends> {
        let (_, text) = self.0.iter().find(|(there, text)| *there == name && *text != "unreadable")?;
        Some(Ends { head: (*text).to_owned(), tail: (*text).to_owned() })
    }
}

#[test]
fn one_lock_file_of_a_family_counts() {
    let files = ["yarn.lock", "package-lock.json", "go.sum"].map(|name| (name, ""));
    let names: Vec<&str> = Proposal::all(&Repository(files.to_vec())).iter().map(|one| one.lock).collect();
    assert_eq!(names, ["package-lock.json", "go.sum"]);
}

/// Files, and what is proposed because of the first: the step of a template, or why it would not work.
type Case = (&'static [(&'static str, &'static str)], Result<Option<&'static str>, &'static str>);

/// One of each sort.
#[rustfmt::skip]
const PROPOSALS: &[Case] = &[
    (&[("package-lock.json", "{\"lockfileVersion\": 3}"), ("package.json", "")], Ok(None)),
    (&[("package-lock.json", "{\n  \"lockfileVersion\": 4\n}"), ("package.json", "")], Err("lockfileVersion is 4")),
    (&[("package-lock.json", "{}"), ("package.json", "")], Err("no lockfileVersion")),
    (&[("package-lock.json", "{\"lockfileVersion\": 3}")], Err("no package.json beside it")),
    (&[("package-lock.json", "unreadable"), ("package.json", "")], Err("package-lock.json cannot be read")),
    (&[("npm-shrinkwrap.json", "{\n\"lockfileVersion\": 2,\n\"resolved\": \"git+ssh://git.example/x\"}"), ("package.json", "")],
        Err("line 3: a dependency comes from another place")),
    (&[("pnpm-lock.yaml", "lockfileVersion: '9.0'\n"), ("package.json", "")], Ok(Some("npm install --global pnpm@9"))),
    (&[("pnpm-lock.yaml", "lockfileVersion: '6.0'\n"), ("package.json", "")], Ok(Some("npm install --global pnpm@8"))),
    (&[("pnpm-lock.yaml", "lockfileVersion: 5.4\n"), ("package.json", "")], Err("which pnpm")),
    (&[("yarn.lock", "# yarn lockfile v1\n"), ("package.json", "")], Ok(None)),
    (&[("yarn.lock", "__metadata:\n  version: 8\n"), ("package.json", "")], Err("Yarn 2 or later")),
    (&[("bun.lock", "{}"), ("package.json", "")], Err("no bun")),
    (&[("uv.lock", "version = 1\nrequires-python = \">=3.9\"\n"), ("pyproject.toml", "")], Ok(Some("python3 -m venv /opt/uv"))),
    (&[("uv.lock", "version = 1\nrequires-python = \">=3.13\"\n"), ("pyproject.toml", "")],
        Err("it asks for Python >=3.13, and Debian 12 has 3.11")),
    (&[("uv.lock", "source = { git = \"https://git.example/x\" }\n"), ("pyproject.toml", "")], Err("another place")),
    (&[("poetry.lock", "[metadata]\nlock-version = \"2.0\"\npython-versions = \"^3.9\"\n"), ("pyproject.toml", "[tool.poetry]")], Ok(None)),
    (&[("poetry.lock", "[metadata]\nlock-version = \"2.1\"\n"), ("pyproject.toml", "[tool.poetry]")], Err("lock-version is 2.1")),
    (&[("poetry.lock", "[metadata]\nlock-version = \"2.0\"\n"), ("pyproject.toml", "[project]")], Err("no [tool.poetry]")),
    (&[("Pipfile.lock", "{\"_meta\": {\"requires\": {\"python_version\": \"3.11\"}}}"), ("Pipfile", "")], Ok(None)),
    (&[("Pipfile.lock", "{\"_meta\": {\"requires\": {\n\"python_version\": \"3.12\"\n}}}"), ("Pipfile", "")], Err("it asks for Python 3.12")),
    (&[("requirements.txt", "left==1\n")], Ok(None)),
    (&[("requirements.txt", "left==1\n--extra-index-url https://x.example/\n")], Err("line 2: ")),
    (&[("Cargo.lock", "# made\nversion = 4\n\n[[package]]\nname = \"x\"\nversion = \"7.0.0\"\n"), ("Cargo.toml", "")], Ok(None)),
    (&[("Cargo.lock", "[[package]]\nname = \"x\"\nversion = \"7.0.0\"\n"), ("Cargo.toml", "")], Ok(None)),
    (&[("Cargo.lock", "version = 5\n\n[[package]]\n"), ("Cargo.toml", "")], Err("its version is 5")),
    (&[("Cargo.lock", "version = 3\nsource = \"git+https://git.example/x\"\n"), ("Cargo.toml", "")], Err("line 2: ")),
    (&[("go.sum", ""), ("go.mod", "module x\n\ngo 1.19\n")], Ok(None)),
    (&[("go.sum", ""), ("go.mod", "module x\n\ngo 1.22.1\n")], Err("it asks for Go 1.22, and Debian 12 has 1.19")),
    (&[("go.sum", ""), ("go.mod", "go 1.19\ntoolchain go1.23.0\n")], Err("it asks for Go 1.23")),
    (&[("Gemfile.lock", "GEM\n\nRUBY VERSION\n   ruby 3.1.2p20\n\nBUNDLED WITH\n   2.3.15\n"), ("Gemfile", "")], Ok(None)),
    (&[("Gemfile.lock", "GEM\n\nRUBY VERSION\n   ruby 3.3.0p0\n"), ("Gemfile", "")], Err("it asks for Ruby 3.3")),
    (&[("composer.lock", "{\"platform\": {\n\"php\": \"^8.1\"\n}}"), ("composer.json", "")], Ok(None)),
    (&[("composer.lock", "{\"platform\": {\n\"php\": \">=8.4\"\n}}"), ("composer.json", "")], Err("it asks for PHP >=8.4")),
    (&[("composer.lock", "\"url\": \"https://api.github.com/repos/x\""), ("composer.json", "")], Err("api.github.com")),
    (&[("pom.xml", "")], Err("certificates of its own")),
    (&[("gradlew", "")], Err("a host of its own")),
];

#[test]
fn what_the_base_cannot_do_is_known_before() {
    for (files, expected) in PROPOSALS {
        let all = Proposal::all(&Repository(files.to_vec()));
        let [one] = all.as_slice() else { panic!("{files:?}: {all:?}") };
        match (expected, &one.unfit) {
            (Ok(run), None) => {
                let starts = |made: &String| made.starts_with(run.unwrap_or("\0"));
                assert!(one.run.as_ref().map_or(run.is_none(), starts), "{files:?}: {one:?}");
            }
            (Err(expected), Some(reason)) => assert!(reason.contains(expected), "{files:?}: {reason}"),
            _ => panic!("{files:?}: {one:?}"),
        }
    }
}

proptest::proptest! {
    /// Whatever a lock file holds, there is one proposal, and its reason is a short line.
    #[test]
    fn a_hostile_lock_file_makes_a_short_reason(text in "[ -~\n\"]{0,200}|\\PC{0,60}", at in 0..PROPOSALS.len()) {
        let (name, version) = PROPOSALS[at].0[0];
        let both = format!("{version}{text}\n{text}{version}");
        let text: &'static str = Box::leak(both.into_boxed_str());
        let mut files = PROPOSALS[at].0.to_vec();
        files[0] = (name, text);
        let all = Proposal::all(&Repository(files));
        proptest::prop_assert_eq!(all.len(), 1);
        proptest::prop_assert!(all[0].unfit.as_ref().is_none_or(|reason| reason.chars().count() < 200));
    }
}

#[test]
fn what_is_of_no_use_alone_becomes_a_comment_together() {
    let mut draft = Draft::new("dev", "shell");
    for (place, text) in [
        (Place::Run, "npm install --global pnpm@9"),
        (Place::Create, "pnpm install"),
        (Place::Rules, "{allow: \"registry:npm\", why: x}"),
    ] {
        draft.add(place, text).group = Some("pnpm-lock.yaml");
    }
    draft.add(Place::Rules, "{allow: \"a.example\", why: x}");
    let rule = draft.render().lines().position(|line| line.contains("registry:npm")).unwrap() + 1;
    assert!(draft.refuse(&[(u32::try_from(rule).unwrap(), "unknown")]));
    let expected = "  # template: {run: [npm install --global pnpm@9]}  # unknown\n  # setup: {create: [pnpm install]}  # unknown\n  \
        network:\n    rules:\n      # - {allow: \"registry:npm\", why: x}  # unknown\n      - {allow: \"a.example\", why: x}\n";
    assert_eq!(body(&draft), expected);
}
