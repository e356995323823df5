//! From a request to a [`Plan`]: account, environment, program, working directory. No effect yet.

use std::{collections::BTreeMap, ffi::CString, path::Path};

use super::{
    Settings,
    account::{self, Account},
};
use crate::wire::{ExecReply, ExecRequest, VERSION};

/// Code for "could not be started" where a shell has no code of its own.
const OTHER: u8 = 125;
/// `PATH` where nobody says otherwise; the agent's has its own folder in front, where installers put things.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What is to be launched.
#[derive(Debug)]
pub struct Plan {
    /// Who runs it.
    pub account: Account,
    /// Program and arguments.
    pub arguments: Vec<CString>,
    /// Environment, as `NAME=value`.
    pub environment: Vec<CString>,
    /// Where the program may lie, in order.
    pub paths: Vec<CString>,
    /// Where it starts.
    pub working_dir: CString,
    /// Whether it counts as the agent's and joins its cgroup. A root command of the host does not, so that it
    /// gets a process even while the agent has used up its own.
    pub confined: bool,
}

/// A refusal with an exit code.
pub fn failed(code: u8, message: impl Into<String>) -> ExecReply {
    ExecReply::Failed { code, message: message.into() }
}

/// Plans a request.
///
/// # Errors
/// The reply that says why not.
pub fn plan(request: &ExecRequest, settings: &Settings) -> Result<Plan, ExecReply> {
    if request.version != VERSION {
        let message = format!("protocol version {}, this guest speaks {VERSION}", request.version);
        return Err(failed(OTHER, message));
    }
    let user = request.user.as_deref().unwrap_or("agent");
    let account = account::find(user).map_err(|why| failed(OTHER, why))?;
    let environment = environment(request, settings, &account);
    let working_dir = working_dir(request, settings, &account)?;
    let Some(program) = request.argv.first().filter(|program| !program.is_empty()) else {
        return Err(failed(OTHER, "no program given"));
    };
    let search = environment.get("PATH").map_or(SYSTEM_PATH, String::as_str);
    let paths = c_strings(candidates(program, search))?;
    Ok(Plan {
        confined: account.identity.uid != 0,
        account,
        arguments: c_strings(request.argv.clone())?,
        environment: c_strings(environment.into_iter().map(|(name, value)| format!("{name}={value}")))?,
        paths,
        working_dir: c_strings([working_dir])?.remove(0),
    })
}

fn environment(request: &ExecRequest, settings: &Settings, account: &Account) -> BTreeMap<String, String> {
    let path = match account.identity.uid {
        0 => SYSTEM_PATH.to_owned(),
        _ => format!("{}/.local/bin:{SYSTEM_PATH}", account.home.trim_end_matches('/')),
    };
    let term = if request.tty.is_some() { "xterm-256color" } else { "dumb" };
    let defaults = [
        ("HOME", account.home.as_str()),
        ("LANG", "C.UTF-8"),
        ("LOGNAME", &account.name),
        ("PATH", &path),
        ("SHELL", &account.shell),
        ("TERM", term),
        ("USER", &account.name),
    ];
    let mut all: BTreeMap<_, _> =
        defaults.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    all.extend(settings.handover.env.clone());
    all.extend(request.env.clone());
    // A name with `=` in it would set another.
    all.retain(|name, _| !name.is_empty() && !name.contains('='));
    all
}

/// The one asked for, which must be there; else the agent's, else the account's home, else `/`.
fn working_dir(request: &ExecRequest, settings: &Settings, account: &Account) -> Result<String, ExecReply> {
    if let Some(wanted) = &request.working_dir {
        return match Path::new(wanted) {
            path if !path.is_absolute() => {
                Err(failed(OTHER, format!("working directory {wanted} is not absolute")))
            }
            path if !path.is_dir() => {
                Err(failed(OTHER, format!("no working directory {wanted} in the sandbox")))
            }
            _ => Ok(wanted.clone()),
        };
    }
    let defaults = [settings.handover.working_dir.as_deref(), Some(account.home.as_str())];
    let found = defaults.into_iter().flatten().find(|folder| Path::new(folder).is_dir());
    Ok(found.unwrap_or("/").to_owned())
}

/// Where execvp(3) would look.
fn candidates(program: &str, search: &str) -> Vec<String> {
    if program.contains('/') {
        return vec![program.to_owned()];
    }
    let folders = search.split(':').map(|folder| if folder.is_empty() { "." } else { folder });
    folders.map(|folder| format!("{folder}/{program}")).collect()
}

fn c_strings(texts: impl IntoIterator<Item = String>) -> Result<Vec<CString>, ExecReply> {
    let converted = texts.into_iter().map(CString::new).collect::<Result<_, _>>();
    converted.map_err(|_| failed(OTHER, "an argument or variable contains a zero byte"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::handover::Handover;

    fn request(argv: &[&str]) -> ExecRequest {
        ExecRequest {
            version: VERSION,
            argv: argv.iter().map(|&text| text.to_owned()).collect(),
            env: BTreeMap::new(),
            working_dir: None,
            user: Some("root".into()),
            tty: None,
            stdin: false,
        }
    }

    fn settings() -> Settings {
        let env = [("A", "boot"), ("B", "boot")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        let handover = Handover { env: env.into(), ..Handover::default() };
        Settings { handover, agent_procs: None }
    }

    fn refusal(request: &ExecRequest) -> (u8, String) {
        match plan(request, &settings()).unwrap_err() {
            ExecReply::Failed { code, message } => (code, message),
            ExecReply::Started { .. } => unreachable!("a plan starts nothing"),
        }
    }

    #[test]
    fn the_request_wins_over_boot_and_boot_over_defaults() {
        let mut request = request(&["x"]);
        request.env = [("A", "request"), ("BAD=NAME", "x")].map(|(n, v)| (n.to_owned(), v.to_owned())).into();
        let plan = plan(&request, &settings()).unwrap();
        let env: Vec<_> = plan.environment.iter().map(|text| text.to_str().unwrap()).collect();
        assert!(env.contains(&"A=request") && env.contains(&"B=boot") && env.contains(&"USER=root"));
        assert!(!env.iter().any(|text| text.contains("BAD")));
        assert!(!plan.confined);
    }

    #[test]
    fn refusals_are_clear() {
        assert_eq!(refusal(&request(&[])), (125, "no program given".into()));
        let mut bad = request(&["x"]);
        bad.working_dir = Some("/nonexistent".into());
        assert_eq!(refusal(&bad), (125, "no working directory /nonexistent in the sandbox".into()));
        bad.working_dir = Some("relative".into());
        assert_eq!(refusal(&bad).0, 125);
        assert_eq!(refusal(&request(&["a\0b"])).0, 125);
        let mut old = request(&["x"]);
        old.version = 99;
        assert!(refusal(&old).1.contains("99"));
    }

    #[test]
    fn programs_are_searched_as_execvp_does() {
        assert_eq!(candidates("./x", "/a:/b"), ["./x"]);
        assert_eq!(candidates("x", "/a::/b"), ["/a/x", "./x", "/b/x"]);
    }
}
