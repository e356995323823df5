//! Asks the host's `git` for one commit of a repository that somebody named.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Read,
    net::{IpAddr, SocketAddr},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};

use base64::Engine as _;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open},
};

use super::KitCache;
use crate::{
    kit::GitSource,
    sys::process::{Limit, Start},
};

/// A repository that takes longer than this is not waited for.
const LIMIT: Duration = Duration::from_secs(120);
/// Largest file that git may write: the pack of one commit.
const FILE_MAX: u64 = 256 << 20;
/// Most memory of one of its processes: a delta on a base of gigabytes ends here, not in ours.
const MEMORY_MAX: u64 = 2 << 30;
/// Most bytes of what git says that are shown.
const TALK_MAX: u64 = 4 << 10;
/// The user's own word on how the web is reached and whom to believe there.
const CARRIED: [&str; 8] = [
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "GIT_SSL_CAINFO",
    "SSL_CERT_FILE",
];
/// Those of them that the operator's own authorities stand in for.
const BELIEVED: [&str; 2] = ["GIT_SSL_CAINFO", "SSL_CERT_FILE"];
/// Largest file of certificates.
const AUTHORITIES_MAX: u64 = 4 << 20;
/// Settings that hold whatever else is configured.
const SETTINGS: [&str; 16] = [
    "protocol.allow=never",
    "core.bare=true",
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.askPass=",
    "credential.helper=",
    "http.followRedirects=false",
    "http.sslVerify=true",
    "http.lowSpeedLimit=1000",
    "http.lowSpeedTime=30",
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=true",
    // One file, which has a limit, in place of many.
    "fetch.unpackLimit=1",
    "pack.threads=1",
    "gc.auto=0",
    "maintenance.auto=false",
];

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// There is no git.
    #[error("no `git` lies in an absolute folder of PATH outside of this repository")]
    NoGit,
    /// The cache cannot be written, or git not be started.
    #[error("the fetch cannot begin")]
    Begin(#[source] io::Error),
    /// The operator's address for the host has another port.
    #[error("egress.resolve sends {0} to another port, which git cannot follow")]
    Port(String),
    /// It took too long.
    #[error("{0} did not answer in {n} seconds", n = LIMIT.as_secs())]
    Slow(String),
    /// Git says why, in words that a terminal can show.
    #[error("git did not fetch {url}: {said}")]
    Refused {
        /// The address.
        url: String,
        /// The end of what git said.
        said: String,
    },
}

/// The host's git.
pub struct Git<'a> {
    /// Folders with programs, absolute, none of a repository.
    pub search: Vec<PathBuf>,
    /// The user's environment, of which only a few variables are read.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// Where the operator says that hosts are, by `host:port`.
    pub resolve: &'a BTreeMap<String, SocketAddr>,
    /// Certificates that the operator believes beside the system's, PEM.
    pub authorities: &'a [PathBuf],
}

/// A repository that holds one commit.
#[derive(Debug)]
pub struct Fetched {
    /// Its directory, which is removed with this.
    pub repository: tempfile::TempDir,
    /// What the reference names: a commit, or a tag of one; hexadecimal.
    pub id: String,
}

impl Git<'_> {
    /// Fetches what `source` names now, else exactly the commit `pinned`, into a repository of its own.
    ///
    /// # Errors
    /// Why there is nothing.
    pub fn fetch(
        &self,
        source: &GitSource,
        pinned: Option<&str>,
        cache: &KitCache,
    ) -> Result<Fetched, FetchError> {
        let program = self.search.iter().map(|folder| folder.join("git")).find(|path| path.is_file());
        let program = program.ok_or(FetchError::NoGit)?;
        let repository = cache.room().and_then(empty).map_err(FetchError::Begin)?;
        let folder = repository.path();
        let talk = folder.join("talk");
        let settings = self.reached(source, folder)?;
        let start = self.start(&program, source, pinned, folder, settings).map_err(FetchError::Begin)?;
        let start = fs::File::create(&talk).map(|talk| start.stderr(talk));
        let git = start.and_then(Start::spawn).map_err(FetchError::Begin)?;
        let mut running = Running { git, ended: false };
        let ended = running.wait(Instant::now() + LIMIT).map_err(FetchError::Begin)?;
        // Whatever it left behind goes before its number can be somebody else's.
        let succeeded = running.end();
        if !ended {
            return Err(FetchError::Slow(source.url()));
        }
        let head = fs::read_to_string(folder.join("FETCH_HEAD")).unwrap_or_default();
        let id = head.split_whitespace().next().filter(|id| is_id(id)).map(str::to_owned);
        match id {
            Some(id) if succeeded => Ok(Fetched { repository, id }),
            _ => Err(FetchError::Refused { url: source.url(), said: said(&talk) }),
        }
    }

    /// Where the host is and whom to believe, as the operator has it for egress.
    fn reached(&self, source: &GitSource, folder: &Path) -> Result<Vec<String>, FetchError> {
        let mut settings = Vec::new();
        if let Some((host, port)) = source.server()
            && let Some(address) = self.resolve.get(&format!("{host}:{port}"))
        {
            if address.port() != port {
                return Err(FetchError::Port(format!("{host}:{port}")));
            }
            let number = match address.ip() {
                IpAddr::V4(number) => number.to_string(),
                IpAddr::V6(number) => format!("[{number}]"),
            };
            settings.push(format!("http.curloptResolve={host}:{port}:{number}"));
        }
        if !self.authorities.is_empty() {
            let bundle = folder.join("authorities.pem");
            fs::write(&bundle, believed(self.authorities).map_err(FetchError::Begin)?)
                .map_err(FetchError::Begin)?;
            settings.push(format!("http.sslCAInfo={}", bundle.display()));
        }
        Ok(settings)
    }

    fn start(
        &self,
        program: &Path,
        source: &GitSource,
        pinned: Option<&str>,
        folder: &Path,
        settings: Vec<String>,
    ) -> io::Result<Start> {
        let protocol = if source.is_of_this_host() { "file" } else { "https" };
        let mut start = Start::new(program)
            .folder(folder)
            .variable("PATH", std::env::join_paths(&self.search).map_err(io::Error::other)?)
            .variable("HOME", folder)
            .variable("LC_ALL", "C")
            .variable("GIT_CONFIG_NOSYSTEM", "1")
            .variable("GIT_CONFIG_GLOBAL", "/dev/null")
            .variable("GIT_ATTR_NOSYSTEM", "1")
            .variable("GIT_TERMINAL_PROMPT", "0")
            .variable("GIT_ALLOW_PROTOCOL", stage::protocols(protocol))
            .limit(Limit::FileSize, FILE_MAX)
            .limit(Limit::Memory, MEMORY_MAX)
            .limit(Limit::Core, 0)
            .new_session();
        for name in CARRIED.into_iter().filter(|name| self.authorities.is_empty() || !BELIEVED.contains(name))
        {
            if let Some(value) = (self.env)(name).filter(|value| !value.is_empty()) {
                start = start.variable(name, value);
            }
        }
        let own = SETTINGS.iter().map(|setting| (*setting).to_owned());
        for setting in
            own.chain([format!("protocol.{protocol}.allow=always")]).chain(settings).chain(stage::settings())
        {
            start = start.argument("-c").argument(setting);
        }
        let words =
            ["--git-dir=.", "fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--"];
        for word in words {
            start = start.argument(word);
        }
        Ok(start.argument(source.url()).argument(pinned.or(source.reference()).unwrap_or("HEAD")))
    }
}

/// The system's certificates and the operator's, PEM.
fn believed(authorities: &[PathBuf]) -> io::Result<String> {
    let mut bundle = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        let text = base64::engine::general_purpose::STANDARD.encode(&certificate);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        bundle.push_str(&format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        ));
    }
    for path in authorities {
        let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        fs::File::open(path)
            .map_err(named)?
            .take(AUTHORITIES_MAX)
            .read_to_string(&mut bundle)
            .map_err(named)?;
        bundle.push('\n');
    }
    Ok(bundle)
}

/// Makes of an empty folder a repository without configuration, hooks and references.
fn empty(folder: tempfile::TempDir) -> io::Result<tempfile::TempDir> {
    for name in ["objects", "refs"] {
        fs::create_dir(folder.path().join(name))?;
    }
    fs::write(folder.path().join("HEAD"), "ref: refs/heads/none\n")?;
    Ok(folder)
}

/// A git that does not outlive the question, nor do its own children.
struct Running {
    git: Child,
    ended: bool,
}

impl Running {
    /// Whether it has ended by then.
    fn wait(&self, deadline: Instant) -> io::Result<bool> {
        let pid: OwnedFd = pidfd_open(Pid::from_child(&self.git), PidfdFlags::empty())?;
        loop {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { return Ok(false) };
            let left = Timespec::try_from(left).map_err(io::Error::other)?;
            match poll(&mut [PollFd::new(&pid, PollFlags::IN)], Some(&left)) {
                Ok(0) => return Ok(false),
                Ok(_) => return Ok(true),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Ends it and its helpers; whether it had done what it should.
    fn end(&mut self) -> bool {
        if self.ended {
            return false;
        }
        self.ended = true;
        // It leads a session, and so a group, of its own, in which its helpers are too.
        let _ = kill_process_group(Pid::from_child(&self.git), Signal::KILL);
        self.git.wait().is_ok_and(|status| status.success())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end();
    }
}

/// The line in which git says what was fatal, else its last one, without what a terminal would obey.
fn said(talk: &Path) -> String {
    let mut text = Vec::new();
    let read = fs::File::open(talk).and_then(|file| file.take(TALK_MAX).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let (fatal, other): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("fatal: "));
    let last = fatal.first().or(other.last()).filter(|_| read.is_ok()).unwrap_or(&"it ended without a word");
    last.chars().map(|sign| if sign.is_control() { '?' } else { sign }).collect()
}

fn is_id(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|sign| matches!(sign, b'0'..=b'9' | b'a'..=b'f'))
}

/// Where tests let an address of a repository's file lead to a folder, which no file and no configuration can.
#[cfg(test)]
pub(crate) mod stage {
    use std::{cell::RefCell, path::Path};

    thread_local! {
        static INSTEAD: RefCell<Option<String>> = const { RefCell::new(None) };
    }

    /// From now on, in this thread, `https://kits.example/` is this folder.
    pub(crate) fn serve(folder: &Path) {
        let setting = format!("url.file://{}/.insteadOf=https://kits.example/", folder.display());
        INSTEAD.set(Some(setting));
    }

    pub(super) fn protocols(protocol: &str) -> &str {
        if INSTEAD.with_borrow(Option::is_some) { "file" } else { protocol }
    }

    pub(super) fn settings() -> Vec<String> {
        let instead = INSTEAD.with_borrow(Clone::clone);
        instead.into_iter().flat_map(|setting| [setting, "protocol.file.allow=always".to_owned()]).collect()
    }
}

#[cfg(test)]
#[path = "git_tests.rs"]
mod tests;

#[cfg(not(test))]
mod stage {
    pub(super) fn protocols(protocol: &str) -> &str {
        protocol
    }

    pub(super) fn settings() -> Vec<String> {
        Vec::new()
    }
}
