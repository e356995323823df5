//! Where this host keeps its tools and its package configuration, gathered once so that a test can script it.

use std::{
    env,
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

/// Folders that an ordinary user's `PATH` leaves out on Debian although `mke2fs` and `depmod` lie there.
const SYSTEM_TOOL_DIRS: [&str; 2] = ["/usr/sbin", "/sbin"];

/// What a tool may see of our environment: its search path is [`Host::search`], the rest is dropped. A proxy
/// variable may hold a password, which is why these travel to apt and to nothing that a guest can see.
const KEPT_VARIABLES: [&str; 12] = [
    "HOME",
    "TMPDIR",
    "http_proxy",
    "https_proxy",
    "ftp_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "FTP_PROXY",
    "NO_PROXY",
    "ALL_PROXY",
    "APT_CONFIG",
];

/// A host as the tools see it.
#[derive(Debug, Clone)]
pub struct Host {
    /// Folders in which programs are looked for, in order.
    pub search: Vec<PathBuf>,
    /// Prefix of `/etc`, `/proc`, `/sys` and `/var` when the host is observed.
    pub root: PathBuf,
    /// Whether we run as root: decides on `sudo` and on how the base is unpacked.
    pub superuser: bool,
    /// Environment that every tool gets.
    pub environment: Vec<(OsString, OsString)>,
}

impl Host {
    /// The host that this process runs on.
    #[must_use]
    pub fn this() -> Self {
        let mut search: Vec<PathBuf> =
            env::var_os("PATH").map(|path| env::split_paths(&path).collect()).unwrap_or_default();
        search.retain(|folder| folder.is_absolute());
        for folder in SYSTEM_TOOL_DIRS.map(PathBuf::from) {
            if !search.contains(&folder) {
                search.push(folder);
            }
        }
        let environment =
            KEPT_VARIABLES.iter().filter_map(|name| Some((name.into(), env::var_os(name)?))).collect();
        let superuser = rustix::process::geteuid().is_root();
        Self { search, root: PathBuf::from("/"), superuser, environment }
    }

    /// The first executable file of that name on the search path.
    #[must_use]
    pub fn find(&self, program: &str) -> Option<PathBuf> {
        self.search.iter().map(|folder| folder.join(program)).find(|path| is_executable(path))
    }

    /// Path of a file of the host, below [`Host::root`].
    #[must_use]
    pub fn path(&self, absolute: &str) -> PathBuf {
        self.root.join(absolute.trim_start_matches('/'))
    }

    /// Distribution and release.
    #[must_use]
    pub fn distribution(&self) -> Distribution {
        let text = read_bounded(&self.path("/etc/os-release"), 64 * 1024).unwrap_or_default();
        Distribution::parse(&String::from_utf8_lossy(&text))
    }
}

/// What `/etc/os-release` says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// `debian`, `ubuntu`, `fedora`, …
    pub id: String,
    /// Families that it belongs to, from `ID_LIKE`.
    pub like: Vec<String>,
    /// `12`, `24.04`; empty for rolling ones.
    pub version: String,
    /// `bookworm`, `noble`: the release that the packages are of; empty outside the Debian family.
    pub codename: String,
}

impl Distribution {
    /// Reads the `KEY=value` lines; unknown keys and malformed lines are passed over.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut found = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.trim().split_once('=')) {
            let value = value.trim_matches(['"', '\'']).to_owned();
            match key {
                "ID" => found.id = value,
                "ID_LIKE" => found.like = value.split_whitespace().map(str::to_owned).collect(),
                "VERSION_ID" => found.version = value,
                "VERSION_CODENAME" if found.codename.is_empty() => found.codename = value,
                // A derivative names the release whose packages it uses.
                "UBUNTU_CODENAME" | "DEBIAN_CODENAME" => found.codename = value,
                _ => {}
            }
        }
        found
    }

    /// Whether packages come by apt.
    #[must_use]
    pub fn has_apt(&self) -> bool {
        let families = ["debian", "ubuntu"];
        families.contains(&self.id.as_str()) || self.like.iter().any(|like| families.contains(&like.as_str()))
    }

    /// For people: `debian 12`, or `this system` where nothing is known.
    #[must_use]
    pub fn title(&self) -> String {
        let title = format!("{} {}", self.id, self.version);
        if title.trim().is_empty() { "this system".to_owned() } else { title.trim().to_owned() }
    }
}

/// The first `limit` bytes of a file.
pub(super) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn is_executable(path: &Path) -> bool {
    path.is_file() && rustix::fs::access(path, rustix::fs::Access::EXEC_OK).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_tells_the_family() {
        let debian =
            Distribution::parse("ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\nnonsense\n");
        assert_eq!((debian.title().as_str(), debian.has_apt()), ("debian 12", true));
        let mint = Distribution::parse("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n");
        assert!(mint.has_apt());
        let mint = Distribution::parse("VERSION_CODENAME=wilma\nUBUNTU_CODENAME=noble\n");
        assert_eq!(mint.codename, "noble");
        assert!(!Distribution::parse("ID=fedora\n").has_apt());
        assert_eq!(Distribution::parse("").title(), "this system");
    }

    #[test]
    fn tools_in_sbin_are_found_although_the_path_lacks_it() {
        let host = Host::this();
        assert!(host.search.contains(&PathBuf::from("/usr/sbin")));
        assert!(host.search.iter().all(|folder| folder.is_absolute()));
        assert!(host.find("sh").is_some());
        assert!(host.find("no-such-program-here").is_none());
    }
}
