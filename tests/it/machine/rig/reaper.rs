//! The folder of this run, and its end: a child that waits on a pipe, and ends and removes everything when this process
//! is gone, however it went.

use std::{
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{ChildStdin, Stdio},
    sync::OnceLock,
};

use super::home::program;

/// Ends what runs from this run's copy of the program. A launcher takes its machine with it.
const SCRIPT: &str = r#"
trap '' INT TERM HUP
cat >/dev/null
again=yes
while [ "$again" ]; do
    again=
    for process in /proc/[0-9]*; do
        case "$(readlink "$process/exe")" in "$1"/*) kill -9 "${process#/proc/}" && again=yes ;; esac
    done
done 2>/dev/null
rm -rf "$1"
"#;

struct Run {
    folder: PathBuf,
    binary: PathBuf,
    /// Closed by the kernel when this process ends.
    _life: ChildStdin,
}

fn run() -> &'static Run {
    static RUN: OnceLock<Run> = OnceLock::new();
    #[expect(clippy::zombie_processes, reason = "it outlives this process, which is its purpose")]
    RUN.get_or_init(|| {
        let folder = tempfile::Builder::new().prefix("cofferdam-it-").tempdir().expect("a temporary folder");
        let folder = folder.keep().canonicalize().expect("the folder is there");
        let mut reaper = program("/bin/sh")
            .args(["-c", SCRIPT, "reaper"])
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // Ctrl-C at the terminal is for the tests; the reaper then has work to do.
            .process_group(0)
            .spawn()
            .expect("a shell");
        let life = reaper.stdin.take().expect("it is piped");
        // Agents and file servers of other users look into it.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&folder, open).expect("our own folder");
        // A copy, because another build may replace the program while the tests run.
        let binary = folder.join("cofferdam");
        std::fs::copy(env!("CARGO_BIN_EXE_cofferdam"), &binary).expect("the program is built");
        Run { folder, binary, _life: life }
    })
}

/// The folder of this run.
pub fn folder() -> &'static Path {
    &run().folder
}

/// The program under test.
pub fn binary() -> &'static Path {
    &run().binary
}
