//! Which folders of the host a sandbox may be given: all but the floor.
//!
//! Judged on canonical paths when a sandbox is created; the file server holds the same floor again by device and
//! inode, because paths can change afterwards.

use std::path::{Path, PathBuf};

use crate::model::{event::RuleRef, launch::PlacesConfig, rule::Layer};

/// What is closed below each home folder: name of the rule, path, why.
const IN_HOME: [(&str, &str, &str); 31] = [
    ("ssh", ".ssh", "SSH keys"),
    ("aws", ".aws", "AWS credentials"),
    ("gcloud", ".config/gcloud", "Google Cloud credentials"),
    ("azure", ".azure", "Azure credentials"),
    ("kube", ".kube", "Kubernetes credentials"),
    ("docker", ".docker", "container registry credentials"),
    ("containers", ".config/containers", "container registry credentials"),
    ("gnupg", ".gnupg", "GnuPG keys"),
    ("keyring", ".local/share/keyrings", "the session's keyring"),
    ("keyring", ".local/share/kwalletd", "the session's keyring"),
    ("passwords", ".password-store", "stored passwords"),
    ("passwords", ".local/share/pass", "stored passwords"),
    ("passwords", ".config/keepassxc", "stored passwords"),
    ("passwords", ".config/1Password", "stored passwords"),
    ("passwords", ".config/op", "stored passwords"),
    ("passwords", ".config/Bitwarden", "stored passwords"),
    ("passwords", ".config/sops", "decryption keys"),
    ("github", ".config/gh", "GitHub credentials"),
    ("git", ".git-credentials", "git credentials"),
    ("netrc", ".netrc", "credentials of network clients"),
    ("browser", ".mozilla", "browser sessions and passwords"),
    ("browser", ".config/google-chrome", "browser sessions and passwords"),
    ("browser", ".config/chromium", "browser sessions and passwords"),
    ("browser", ".config/BraveSoftware", "browser sessions and passwords"),
    ("browser", ".config/microsoft-edge", "browser sessions and passwords"),
    ("browser", ".config/vivaldi", "browser sessions and passwords"),
    ("browser", ".config/opera", "browser sessions and passwords"),
    ("browser", "snap/firefox", "browser sessions and passwords"),
    ("browser", "snap/chromium", "browser sessions and passwords"),
    ("browser", ".var/app", "data of sandboxed desktop applications, browsers among them"),
    ("thunderbird", ".thunderbird", "mail and its passwords"),
];

/// What is closed on every host.
const ON_HOST: [(&str, &str, &str); 9] = [
    ("organisation", "/etc/cofferdam", "the organisation's policy"),
    ("system", "/proc", "the host's processes"),
    ("system", "/sys", "the host's devices"),
    ("system", "/dev", "the host's devices"),
    ("sockets", "/run", "sockets of the host's services, container engines among them"),
    ("sockets", "/var/run", "sockets of the host's services, container engines among them"),
    ("sockets", "/var/lib/docker", "the container engine's own files"),
    ("sockets", "/var/lib/containerd", "the container engine's own files"),
    ("system", "/boot", "the host's kernel"),
];

/// Where this host keeps what the floor names.
#[derive(Debug, Clone, Default)]
pub struct Places {
    /// `$HOME` and the account's home; canonical, absolute.
    pub homes: Vec<PathBuf>,
    /// Our own state, configuration and cache folders; canonical, absolute.
    pub own: Vec<PathBuf>,
}

impl Places {
    /// Of these homes, and of the program's own folders: where the operator's configuration lies, and what else it
    /// keeps. `canonical` looks a path up; this module looks at nothing.
    #[must_use]
    pub fn of(homes: &[PathBuf], own: &PlacesConfig, canonical: impl Fn(&Path) -> PathBuf) -> Self {
        let config = own.config.parent().unwrap_or(&own.config);
        let own = [config, &own.state, &own.cache, &own.runtime];
        Self { homes: homes.to_vec(), own: own.into_iter().map(canonical).collect() }
    }
}

/// A refused mount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule {} of the floor denies sharing {}: it {relation} {} ({})", rule.id, source_path.display(), place.display(), rule.why)]
pub struct MountDenied {
    /// The rule, for the event and the message.
    pub rule: RuleRef,
    /// What was asked for.
    pub source_path: PathBuf,
    /// The closed folder.
    pub place: PathBuf,
    /// How they lie: `is`, `lies in`, `contains`.
    pub relation: &'static str,
}

/// Judges a mount's or workspace's source.
///
/// # Errors
/// When the source is, lies in, or contains a folder of the floor; also when it is not an absolute path without
/// `..`, which a canonical path is.
pub fn mount(source: &Path, places: &Places) -> Result<(), Box<MountDenied>> {
    let parent_part = source.components().any(|part| part == std::path::Component::ParentDir);
    if !source.is_absolute() || parent_part {
        return Err(denied(source, "canonical", source, "the path is not canonical", "is"));
    }
    if source.parent().is_none() {
        return Err(denied(source, "root", source, "the whole host", "is"));
    }
    for (rule, place, why) in floor(places) {
        let relation = if source == place {
            "is"
        } else if source.starts_with(&place) {
            "lies in"
        } else if place.starts_with(source) {
            "contains"
        } else {
            continue;
        };
        return Err(denied(source, rule, &place, why, relation));
    }
    Ok(())
}

/// Every closed folder: rule, path, why.
pub fn floor(places: &Places) -> impl Iterator<Item = (&'static str, PathBuf, &'static str)> {
    let homes = places
        .homes
        .iter()
        .flat_map(|home| IN_HOME.iter().map(move |(rule, path, why)| (*rule, home.join(path), *why)));
    let host = ON_HOST.iter().map(|(rule, path, why)| (*rule, PathBuf::from(path), *why));
    let own = places
        .own
        .iter()
        .map(|path| ("cofferdam", path.clone(), "our own state holds every sandbox's policy"));
    homes.chain(own).chain(host)
}

fn denied(source: &Path, rule: &str, place: &Path, why: &str, relation: &'static str) -> Box<MountDenied> {
    let rule = RuleRef {
        id: format!("floor.fs.{rule}"),
        layer: Layer::Floor,
        file: None,
        line: None,
        why: why.to_owned(),
    };
    Box::new(MountDenied { rule, source_path: source.to_owned(), place: place.to_owned(), relation })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_floor_closes_what_holds_credentials() {
        let places = Places {
            homes: vec!["/home/ada".into(), "/srv/accounts/ada".into()],
            own: vec!["/home/ada/.local/state/cofferdam".into()],
        };
        for (path, rule, relation) in [
            ("/home/ada/.ssh", "floor.fs.ssh", "is"),
            ("/home/ada/.ssh/keys", "floor.fs.ssh", "lies in"),
            ("/home/ada", "floor.fs.ssh", "contains"),
            ("/home", "floor.fs.ssh", "contains"),
            ("/srv/accounts/ada/.aws", "floor.fs.aws", "is"),
            ("/home/ada/.config", "floor.fs.gcloud", "contains"),
            ("/home/ada/.local/state/cofferdam/x", "floor.fs.cofferdam", "lies in"),
            ("/etc", "floor.fs.organisation", "contains"),
            ("/run/docker.sock", "floor.fs.sockets", "lies in"),
            ("/proc/1/root", "floor.fs.system", "lies in"),
            ("/", "floor.fs.root", "is"),
            ("relative", "floor.fs.canonical", "is"),
            ("/tmp/../etc", "floor.fs.canonical", "is"),
        ] {
            let denied = mount(Path::new(path), &places).unwrap_err();
            assert_eq!((denied.rule.id.as_str(), denied.relation), (rule, relation), "{path}");
        }
        for path in ["/home/ada/work", "/home/ada/.sshx", "/srv/data", "/tmp/project", "/home/bob/.ssh"] {
            assert!(mount(Path::new(path), &places).is_ok(), "{path}");
        }
    }
}
