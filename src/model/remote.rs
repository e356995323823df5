//! What a repository is called, wherever it was cloned to and by whichever protocol: `git.corp.example/acme/web`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest name, in bytes.
const NAME_MAX: usize = 1024;

/// Host (with a port that is not the protocol's own) and path, without `.git`; of a folder on this host its path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoteName(String);

/// Why a text is no repository's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this names no repository; write its URL, or its host and path: git.corp.example/acme/web")]
pub struct RemoteError;

impl FromStr for RemoteName {
    type Err = RemoteError;

    fn from_str(text: &str) -> Result<Self, RemoteError> {
        let plain = |sign: char| !sign.is_control() && !sign.is_whitespace() && !"\\\"'`?#%".contains(sign);
        if text.len() > NAME_MAX || !text.chars().all(plain) {
            return Err(RemoteError);
        }
        let (host, path) = parts(text).ok_or(RemoteError)?;
        let word = |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '.' | '-' | ':');
        if host.starts_with(|first: char| !first.is_ascii_alphanumeric()) || !host.chars().all(word) {
            return Err(RemoteError);
        }
        let path = path.trim_end_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        // Of a folder, the root is no step.
        let path = path.strip_prefix('/').filter(|_| host.is_empty()).unwrap_or(path);
        if path.split('/').any(|step| matches!(step, "" | "." | "..")) {
            return Err(RemoteError);
        }
        Ok(Self(format!("{}/{path}", host.to_ascii_lowercase())))
    }
}

/// Host with port, and path. A folder has no host.
fn parts(text: &str) -> Option<(String, &str)> {
    if text.starts_with('/') {
        return Some((String::new(), text));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        // As ssh writes it, `git@host:path`, or the name itself.
        let (place, path) = match text.split_once(':') {
            Some((place, path))
                if !place.contains('/') && !path.starts_with(|sign: char| sign.is_ascii_digit()) =>
            {
                (place, path)
            }
            _ => text.split_once('/')?,
        };
        let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
        return host.contains('.').then(|| (host.to_owned(), path));
    };
    let (place, path) = rest.split_once('/')?;
    let host = place.rsplit_once('@').map_or(place, |(_, host)| host);
    let own = match scheme.to_ascii_lowercase().as_str() {
        "file" => return host.is_empty().then(|| (String::new(), path)),
        "https" => ":443",
        "http" => ":80",
        "ssh" => ":22",
        "git" => ":9418",
        _ => return None,
    };
    let host = host.strip_suffix(own).unwrap_or(host);
    (!host.is_empty()).then(|| (host.to_owned(), path))
}

impl fmt::Display for RemoteName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Serialize for RemoteName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RemoteName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_has_one_name() {
        for (text, name) in [
            ("https://git.corp.example/acme/web.git", "git.corp.example/acme/web"),
            ("https://ann:token@Git.Corp.example:443/acme/web/", "git.corp.example/acme/web"),
            ("ssh://git@git.corp.example/acme/web.git", "git.corp.example/acme/web"),
            ("git@git.corp.example:acme/web.git", "git.corp.example/acme/web"),
            ("git.corp.example/acme/web", "git.corp.example/acme/web"),
            ("ssh://git@git.corp.example:2222/acme/web", "git.corp.example:2222/acme/web"),
            ("git.corp.example:2222/acme/web", "git.corp.example:2222/acme/web"),
            ("/srv/git/web.git", "/srv/git/web"),
            ("file:///srv/git/web.git", "/srv/git/web"),
        ] {
            let read: RemoteName = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read.to_string(), name, "{text}");
            assert_eq!(name.parse(), Ok(read), "{text}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_names_nothing() {
        for wrong in [
            "",
            "web",
            "../web",
            "acme/web",
            "https://git.corp.example",
            "https://git.corp.example/../web",
            "https://git.corp.example//web",
            "git.corp.example/a b",
            "git.corp.example/a%2e",
            "ext::sh -c x",
            "ftp://git.corp.example/web",
            "file://host/web",
        ] {
            assert_eq!(wrong.parse::<RemoteName>(), Err(RemoteError), "{wrong}");
        }
    }
}
