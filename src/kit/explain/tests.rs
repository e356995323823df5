use super::*;

#[test]
fn every_key_of_every_kind_can_be_explained() {
    fn walk(kind: &str, path: &str, field: &Field, count: &mut usize) {
        let asked = format!("{kind}{path}");
        let found = explain(&asked).unwrap_or_else(|error| panic!("{asked}: {error}"));
        assert_eq!(
            (found.field.sort.as_str(), found.field.available),
            (field.sort.as_str(), field.available)
        );
        *count += 1;
        for below in &field.fields {
            walk(kind, &format!("{path}.{}", below.name), below, count);
        }
    }
    let mut count = 0;
    for (kind, about) in kinds() {
        assert!(!about.is_empty(), "{kind} says what it is");
        walk(&kind, "", &explain(&kind).unwrap().field, &mut count);
    }
    assert!(count > 200, "{count}");
}

#[test]
fn paths_are_read_as_people_write_them() {
    let plain = explain("sandbox.spec.network.rules").unwrap();
    assert_eq!((plain.kind.as_str(), plain.path.as_str()), ("Sandbox", "spec.network.rules"));
    assert_eq!(plain.field.sort, "list of mapping");
    for same in
        ["Sandbox.spec.network.rules[]", "SANDBOX.spec.network.rules[0]", "sandbox.spec.network.rules."]
    {
        assert_eq!(explain(same).unwrap(), plain, "{same}");
    }
    assert_eq!(explain("org-policy.spec"), explain("OrgPolicy.spec"));
    assert_eq!(explain("sandbox.spec.env.NODE_ENV").unwrap().field.sort, "text");
    assert_eq!(explain("sandbox.spec.workspace.mode").unwrap().field.values.len(), 4);
}

#[test]
fn what_lies_below_something_that_is_not_available_is_not_either() {
    let mcp = explain("sandbox.spec.mcp.servers").unwrap();
    assert!(!mcp.field.available);
    assert!(explain("sandbox.spec.network.rules.allow").unwrap().field.available);
}

#[test]
fn a_slip_gets_a_suggestion() {
    for (path, message, hint) in [
        ("sandbx.spec", "`sandbx` is no kind", "did you mean `Sandbox`?"),
        ("sandbox.spec.netwrok", "there is no `netwrok` in `Sandbox.spec`", "did you mean `network`?"),
        ("spec.network", "`spec` is no kind", "did you mean `sandbox.spec.network`?"),
        ("network.rules", "`network` is no kind", "did you mean `sandbox.spec.network.rules`?"),
        ("sandbox.network", "there is no `network` in `Sandbox`", "did you mean `sandbox.spec.network`?"),
        (
            "sandbox.spec.resources.cpus.x",
            "there is no `x` in `Sandbox.spec.resources.cpus`",
            "nothing lies below it",
        ),
        ("", "`` is no kind", "the kinds are "),
    ] {
        let error = explain(path).unwrap_err();
        let (ExplainError::NoKind { hint: found, .. } | ExplainError::NoKey { hint: found, .. }) = &error
        else {
            panic!("{error}")
        };
        assert_eq!(error.to_string(), message);
        assert!(found.starts_with(hint), "{path}: {found}");
    }
    assert_eq!(explain(&"a.".repeat(40)), Err(ExplainError::TooDeep));
}
