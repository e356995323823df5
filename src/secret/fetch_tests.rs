use super::*;
use std::{fs, os::unix::fs::PermissionsExt};

const VALUE: &str = "hunter2-canary";

fn around(home: &Path) -> Surroundings<'_> {
    let env = &|name: &str| (name == "KEY").then(|| VALUE.into());
    Surroundings { env, home, time_limit: Duration::from_secs(20) }
}

fn get(source: &SecretSource) -> Result<String, SecretError> {
    let fetched = fetch(source, &around(Path::new("/nonexistent")))?;
    Ok(String::from_utf8(fetched.value.expose().to_vec()).unwrap())
}

fn run(command: &[&str]) -> Result<String, SecretError> {
    get(&SecretSource::Command { command: command.iter().map(|word| (*word).to_owned()).collect() })
}

fn file(content: &[u8]) -> Result<String, SecretError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    fs::write(&file, content).unwrap();
    get(&SecretSource::File { file })
}

#[test]
fn a_variable_a_file_and_a_command_give_the_value() {
    assert_eq!(get(&SecretSource::Env { env: "KEY".into() }).unwrap(), VALUE);
    assert_eq!(file(b"hunter2\n").unwrap(), "hunter2");
    assert_eq!(file(b"hunter2\r\n").unwrap(), "hunter2");
    assert_eq!(file(b"two words").unwrap(), "two words");
    assert_eq!(run(&["printf", "%s\\n", "hunter2"]).unwrap(), "hunter2");
    // No shell: nothing is expanded or split.
    assert_eq!(run(&["printf", "%s", "$HOME;x"]).unwrap(), "$HOME;x");
    assert_eq!(run(&["cat"]).unwrap_err().to_string(), "the secret is empty", "no input to wait for");
}

#[test]
fn what_is_not_there_is_missing_and_what_is_wrong_is_not() {
    assert!(get(&SecretSource::Env { env: "NONE".into() }).unwrap_err().is_missing());
    assert!(get(&SecretSource::File { file: "/nonexistent/key".into() }).unwrap_err().is_missing());
    assert!(file(b"\n").unwrap_err().is_missing());
    assert!(matches!(get(&SecretSource::File { file: "key".into() }), Err(SecretError::Relative(_))));
    assert!(matches!(get(&SecretSource::File { file: "/etc".into() }), Err(SecretError::Read { .. })));
    assert!(matches!(run(&[]), Err(SecretError::NoProgram)));
    assert!(matches!(run(&["/nonexistent/program"]), Err(SecretError::Start { .. })));
    assert!(!run(&["false"]).unwrap_err().is_missing());
}

#[test]
fn a_value_that_would_end_a_header_is_refused() {
    for (bytes, position) in [
        (&b"key\r\nX-Evil: 1"[..], 3),
        (b"key\nmore\n", 3),
        (b"key\0", 3),
        (b" key", 0),
        (b"key \n", 3),
        (b"k\tey", 1),
        ("ké".as_bytes(), 1),
        (b"key\n\n", 3),
    ] {
        let error = file(bytes).unwrap_err();
        assert!(
            matches!(error, SecretError::NotPrintable { position: at } if at == position),
            "{error} {bytes:?}"
        );
    }
}

#[test]
fn sources_are_bounded_in_size_and_time() {
    assert!(file(&vec![b'x'; VALUE_MAX]).is_ok());
    assert!(matches!(file(&vec![b'x'; VALUE_MAX + 1]), Err(SecretError::TooLong)));
    assert!(matches!(run(&["yes"]), Err(SecretError::TooLong)));
    let around = Surroundings { time_limit: Duration::from_millis(50), ..around(Path::new("/")) };
    let sleep = |script: &str| {
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        fetch(&SecretSource::Command { command }, &around).unwrap_err()
    };
    assert!(matches!(sleep("exec sleep 1000"), SecretError::TimedOut { .. }));
    assert!(matches!(sleep("sleep 1000 & wait"), SecretError::TimedOut { .. }));
}

#[test]
fn what_a_command_left_running_does_not_hold_us_and_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let nonblocking = libc::O_NONBLOCK;
    let pipe = OpenOptions::new().read(true).custom_flags(nonblocking).open(&path).unwrap();
    let script = format!("exec 3>{}; sleep 1000 & printf hunter2", path.display());
    assert_eq!(run(&["sh", "-c", &script]).unwrap(), "hunter2");
    // The other end is closed when the last process that had it is gone.
    let limit = rustix::event::Timespec { tv_sec: 20, tv_nsec: 0 };
    let mut watched = [rustix::event::PollFd::new(&pipe, rustix::event::PollFlags::IN)];
    assert_eq!(rustix::event::poll(&mut watched, Some(&limit)), Ok(1));
    assert!(watched[0].revents().contains(rustix::event::PollFlags::HUP));
}

#[test]
fn a_file_in_the_operators_home_is_found_and_one_that_others_may_read_is_warned_of() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    fs::write(&path, "hunter2").unwrap();
    let source = SecretSource::File { file: "~/key".into() };
    for (mode, warned) in [(0o600, false), (0o640, true), (0o604, true)] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let fetched = fetch(&source, &around(dir.path())).unwrap();
        assert_eq!(fetched.value.expose(), b"hunter2");
        assert_eq!(fetched.warning.is_some_and(|text| text.contains("chmod go= ")), warned, "{mode:o}");
    }
    rustix::fs::mknodat(
        rustix::fs::CWD,
        dir.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        0o600.into(),
        0,
    )
    .unwrap();
    let source = SecretSource::File { file: "~/pipe".into() };
    assert!(matches!(fetch(&source, &around(dir.path())), Err(SecretError::Read { .. })));
}

#[test]
fn e17_no_error_and_no_debug_output_shows_a_value() {
    let script = format!("printf {VALUE}; echo 'bad {VALUE}' >&2; printf '\\033[2J' >&2; exit 3");
    let errors = [
        run(&["sh", "-c", &script]).unwrap_err(),
        run(&["sh", "-c", &format!("printf '{VALUE}\\n{VALUE}'")]).unwrap_err(),
        file(format!("{VALUE}\n{VALUE}").as_bytes()).unwrap_err(),
        file(VALUE.repeat(9_000).as_bytes()).unwrap_err(),
    ];
    for error in errors {
        let text = format!("{error} {error:?}");
        assert!(!text.contains(VALUE), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
    let failed = run(&["sh", "-c", &script]).unwrap_err().to_string();
    assert!(failed.contains("and said: bad [redacted]"), "{failed}");
    let fetched = fetch(&SecretSource::Env { env: "KEY".into() }, &around(Path::new("/"))).unwrap();
    assert!(!format!("{fetched:?}").contains(VALUE));
}
