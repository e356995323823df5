use super::*;
use crate::template::fake::FakeHost;

#[test]
fn a_missing_tool_is_named() {
    let fake = FakeHost::new();
    let error = Tool::new(&fake.host, "mke2fs").run(|_| {}).unwrap_err();
    assert!(error.to_string().contains("mke2fs is not installed"), "{error}");
}

#[test]
fn the_environment_is_cleaned() {
    let mut fake = FakeHost::new();
    fake.host.environment = vec![("http_proxy".into(), "http://proxy.test:3128".into())];
    fake.tool("show", "env");
    let output = Tool::new(&fake.host, "show").env("EXTRA", "1").output().unwrap();
    let mut names: Vec<_> = std::str::from_utf8(&output).unwrap().lines().collect();
    names.retain(|line| !line.starts_with("PWD=") && !line.starts_with("_=") && !line.starts_with("SHLVL="));
    names.sort_unstable();
    let path = format!("PATH={}", env::join_paths(&fake.host.search).unwrap().to_str().unwrap());
    let expected =
        ["DEBIAN_FRONTEND=noninteractive", "EXTRA=1", "LC_ALL=C", &path, "http_proxy=http://proxy.test:3128"];
    assert_eq!(names, expected);
}

#[test]
fn a_failure_carries_the_end_of_the_log_with_control_characters_made_visible() {
    let fake = FakeHost::new();
    fake.tool(
        "noisy",
        r"i=0; while [ $i -lt 50 ]; do echo line $i >&2; i=$((i+1)); done; printf '\033[2Jbad\n' >&2; exit 3",
    );
    let error = Tool::new(&fake.host, "noisy").run(|_| {}).unwrap_err();
    let ToolError::Failed { status, tail, .. } = error else { panic!("{error}") };
    assert_eq!(status.code(), Some(3));
    assert_eq!(tail.lines().count(), TAIL_LINES);
    assert!(tail.ends_with("\\u{1b}[2Jbad"), "{tail}");
    assert!(!tail.contains("line 10\n"));
}

#[test]
fn a_pipeline_carries_the_bytes_and_tells_its_lines() {
    let fake = FakeHost::new();
    fake.tool("give", "echo 'I: one' >&2; head -c 9000000 /dev/zero");
    fake.tool("take", "wc -c > count");
    let folder = tempfile::tempdir().unwrap();
    let (mut lines, mut most) = (Vec::new(), 0);
    Tool::new(&fake.host, "give")
        .pipe_into(Tool::new(&fake.host, "take").directory(folder.path()), |news| match news {
            News::Line(line) => lines.push(line.to_owned()),
            News::Bytes(bytes) => most = bytes,
        })
        .unwrap();
    assert_eq!(lines, ["I: one"]);
    assert!(most > 4_000_000);
    assert_eq!(std::fs::read_to_string(folder.path().join("count")).unwrap().trim(), "9000000");
}

#[test]
fn the_one_that_failed_first_is_named() {
    let fake = FakeHost::new();
    fake.tool("give", "exec head -c 9000000 /dev/zero");
    fake.tool("fail", "echo no room >&2; exit 1");
    fake.tool("take", "exec cat");
    let host = &fake.host;
    let error = Tool::new(host, "give").pipe_into(Tool::new(host, "fail"), |_| {}).unwrap_err();
    assert!(error.to_string().starts_with("fail failed") && error.to_string().contains("no room"), "{error}");
    let error = Tool::new(host, "fail").pipe_into(Tool::new(host, "take"), |_| {}).unwrap_err();
    assert!(error.to_string().starts_with("fail failed"), "{error}");
}
