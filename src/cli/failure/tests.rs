use super::*;

#[test]
fn json_errors_have_one_shape() {
    let failure = Failure::new(Kind::File, "unknown_key", "unknown key `mout`")
        .at("sandbox.yaml", Some(3), Some(5))
        .hint("did you mean `mounts`?");
    assert_eq!(
        failure.render(Format::Json).unwrap(),
        concat!(
            r#"{"code":"unknown_key","kind":"file","message":"unknown key `mout`","file":"sandbox.yaml","#,
            r#""line":3,"column":5,"hint":"did you mean `mounts`?","causes":[]}"#,
            "\n"
        )
    );
    assert_eq!(failure.exit_code(), 3);
}

#[test]
fn several_failures_are_one_object() {
    let all = vec![
        Failure::new(Kind::NotFound, "b", "second"),
        Failure::new(Kind::File, "a", "first"),
        Failure::new(Kind::Denied, "c", "third"),
    ];
    let failure = Failure::several(all).unwrap();
    assert_eq!((failure.code(), failure.exit_code()), ("a", 3));
    assert_eq!(failure.object().problems.len(), 2);
    assert_eq!(failure.render(Format::Text).unwrap(), "error: first\nerror: second\nerror: third\n");
}

#[test]
fn a_line_too_long_to_be_drawn_is_a_place_in_figures() {
    #[derive(Debug, thiserror::Error, miette::Diagnostic)]
    #[error("unknown key")]
    #[diagnostic(help("did you mean another?"))]
    struct Bad {
        #[source_code]
        text: miette::NamedSource<String>,
        #[label("here")]
        span: miette::SourceSpan,
    }
    let text = format!("a: [\n{}x]", "1, ".repeat(30_000));
    let bad = Bad { text: miette::NamedSource::new("long.yaml", text), span: (90_005, 1).into() };
    let failure = Failure::new(Kind::File, "x", "unknown key").diagnostic(bad);
    let text = failure.render(Format::Text).unwrap();
    assert_eq!(text, "long.yaml:2:90001: unknown key\n  help: did you mean another?\n");
}

#[test]
fn what_the_system_says_comes_without_its_number() {
    let error = std::io::Error::from_raw_os_error(17);
    let failure = Failure::new(Kind::Failed, "x", format!("cannot write: {error}")).caused_by(&error);
    assert_eq!(failure.object().message, "cannot write: File exists");
    assert_eq!(failure.object().causes, ["File exists"]);
}

#[test]
fn the_last_line_counts() {
    let problem = |file: &str| Failure::new(Kind::File, "x", "wrong").at(file, Some(1), None);
    let drawn = |text: &str| problem(text).diagnostic(Plain("drawn".to_owned()));
    let shown = |all: Vec<Failure>| Failure::several(all).unwrap().render(Format::Text).unwrap();
    assert_eq!(shown(vec![drawn("a.yaml")]), "drawn\n");
    assert!(shown(vec![drawn("a.yaml"), drawn("a.yaml")]).ends_with("error: 2 problems in a.yaml\n"));
    assert!(shown(vec![drawn("a.yaml"), drawn("b.yaml")]).ends_with("error: 2 problems in 2 files\n"));
}

#[test]
fn what_a_file_brought_cannot_drive_the_terminal() {
    #[derive(Debug, thiserror::Error, miette::Diagnostic)]
    #[error("unknown key")]
    struct Bad {
        #[source_code]
        text: String,
        #[label("here \u{9b}2J")]
        span: miette::SourceSpan,
    }
    let bad = Bad { text: "a: \u{1b}[2J\nb: 1\n".to_owned(), span: (0, 1).into() };
    let failure = Failure::new(Kind::File, "x", "unknown key\u{1b}[0m").diagnostic(bad);
    let text = failure.render(Format::Text).unwrap();
    assert!(text.contains("\\u{1b}[2J") && text.contains("\\u{9b}2J"), "{text}");
    assert!(!text.contains('\u{1b}') && !text.contains('\u{9b}'), "{text}");
    assert!(!failure.render(Format::Json).unwrap().contains('\u{1b}'));
}
