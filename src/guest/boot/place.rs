//! Where a host folder goes when its own path would hide something of the system: a pure decision.

use std::path::{Component, Path, PathBuf};

/// Below these, and on them, nothing is mounted.
const SYSTEM: [&str; 15] = [
    "/usr",
    "/etc",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/proc",
    "/sys",
    "/dev",
    "/run",
    "/boot",
    "/var",
    "/cofferdam",
];
/// On these nothing is mounted; below them it may.
const SHARED: [&str; 3] = ["/home/agent", "/tmp", "/workspace"];
/// Ours, below `/var`: a mount there is one of our own making.
const OWN: &str = "/var/lib/cofferdam";
/// Where what cannot stay goes.
const ELSEWHERE: &str = "/workspace";

/// What becomes of a mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It stays where the host has it.
    Same,
    /// It goes here, for this reason.
    Moved(PathBuf, &'static str),
}

/// Decides. `reachable` says whether the agent can search every existing folder above a path; `taken` says
/// whether a path is another mount's.
pub fn place(target: &Path, reachable: impl Fn(&Path) -> bool, taken: impl Fn(&Path) -> bool) -> Place {
    match refusal(target, reachable) {
        None => Place::Same,
        Some(why) => Place::Moved(elsewhere(target, taken), why),
    }
}

fn refusal(target: &Path, reachable: impl Fn(&Path) -> bool) -> Option<&'static str> {
    let plain = target.is_absolute()
        && target.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !plain {
        return Some("it is not a plain absolute path");
    }
    let own = target.starts_with(OWN) && target != Path::new(OWN);
    let below = !own
        && SYSTEM.iter().any(|system| target.starts_with(system) || Path::new(system).starts_with(target));
    // An ancestor of the agent's home hides it, and `/` hides everything.
    let on = SHARED.iter().any(|shared| Path::new(shared).starts_with(target));
    if below || on {
        return Some("it would hide something of the system");
    }
    (!reachable(target)).then_some("the agent cannot reach it there")
}

fn elsewhere(target: &Path, taken: impl Fn(&Path) -> bool) -> PathBuf {
    let name = match target.components().next_back() {
        Some(Component::Normal(name)) => name.to_owned(),
        _ => "root".into(),
    };
    let first = Path::new(ELSEWHERE).join(&name);
    let numbered = (2..).map(|number| {
        let mut name = name.clone();
        name.push(format!("-{number}"));
        Path::new(ELSEWHERE).join(name)
    });
    [first].into_iter().chain(numbered).find(|path| !taken(path)).unwrap_or_else(|| ELSEWHERE.into())
}

/// A path of the host, where the guest has it: inside the longest mount that moved, else unchanged.
pub fn follow(path: &Path, moves: &[(PathBuf, PathBuf)]) -> PathBuf {
    let inside = moves.iter().filter_map(|(from, to)| Some((from, to, path.strip_prefix(from).ok()?)));
    match inside.max_by_key(|(from, ..)| from.components().count()) {
        Some((_, to, rest)) if rest.as_os_str().is_empty() => to.clone(),
        Some((_, to, rest)) => to.join(rest),
        None => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(target: &str) -> String {
        let reachable = |path: &Path| !path.starts_with("/root");
        match place(Path::new(target), reachable, |path| path == Path::new("/workspace/twice")) {
            Place::Same => "same".into(),
            Place::Moved(path, _) => path.display().to_string(),
        }
    }

    #[test]
    fn what_hides_nothing_stays_and_the_rest_moves() {
        for (target, expected) in [
            ("/home/alice/shop", "same"),
            ("/srv/data", "same"),
            ("/tmp/build", "same"),
            ("/home/agent/shop", "same"),
            ("/varnish", "same"),
            ("/home/agent", "/workspace/agent"),
            ("/home", "/workspace/home"),
            ("/", "/workspace/root"),
            ("/usr/src/app", "/workspace/app"),
            ("/etc", "/workspace/etc"),
            ("/var/lib/cofferdam/caches/npm", "same"),
            ("/var/lib/cofferdam", "/workspace/cofferdam"),
            ("/var/lib/x", "/workspace/x"),
            ("/lib64/x", "/workspace/x"),
            ("/tmp", "/workspace/tmp"),
            ("/root/shop", "/workspace/shop"),
            ("/root/twice", "/workspace/twice-2"),
            ("relative", "/workspace/relative"),
            ("/srv/../etc", "/workspace/etc"),
            ("/srv/..", "/workspace/root"),
        ] {
            assert_eq!(placed(target), expected, "{target}");
        }
    }

    #[test]
    fn the_working_directory_follows_its_mount() {
        let moves = [("/root".into(), "/workspace/root".into()), ("/root/a".into(), "/workspace/a".into())];
        let followed = |path| follow(Path::new(path), &moves).display().to_string();
        assert_eq!(followed("/root/a/b"), "/workspace/a/b");
        assert_eq!(followed("/root/a"), "/workspace/a");
        assert_eq!(followed("/root/ab"), "/workspace/root/ab");
        assert_eq!(followed("/srv/a"), "/srv/a");
    }
}
