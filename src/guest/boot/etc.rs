//! Host name, hosts, resolver.

use std::{fs, io, path::Path};

use super::{BootError, Stage};
use crate::net::RESOLVER;

/// Reserved name of the explicit proxy.
const GATEWAY: &str = "gateway.cofferdam.internal";

/// Writes what programs read to find names.
///
/// # Errors
/// Which file cannot be written.
pub fn write(hostname: &str) -> Result<(), BootError> {
    rustix::system::sethostname(hostname.as_bytes()).stage("host name", hostname)?;
    replace(Path::new("/etc/hostname"), &format!("{hostname}\n"))?;
    let before = fs::read_to_string("/etc/hosts").unwrap_or_default();
    replace(Path::new("/etc/hosts"), &hosts(&before, hostname))?;
    replace(Path::new("/etc/resolv.conf"), &format!("nameserver {RESOLVER}\n"))
}

/// The agent's own lines are kept; ours are renewed.
fn hosts(before: &str, hostname: &str) -> String {
    const MARK: &str = "# cofferdam";
    let ours = format!(
        "127.0.0.1 localhost {MARK}\n::1 localhost ip6-localhost ip6-loopback {MARK}\n127.0.1.1 {hostname} {MARK}\n{RESOLVER} {GATEWAY} {MARK}\n"
    );
    let theirs = before.lines().filter(|line| !line.ends_with(MARK));
    // A template's own names for loopback would only repeat ours.
    let is_loopback = |name| matches!(name, "localhost" | "ip6-localhost" | "ip6-loopback");
    let theirs = theirs.filter(|line| {
        let mut names = line.split_whitespace().skip(1).peekable();
        names.peek().is_none() || !names.all(is_loopback)
    });
    theirs.fold(ours, |text, line| text + line + "\n")
}

/// Replaces a file whatever it was; a symbolic link (`resolv.conf` often is one) is not followed.
fn replace(path: &Path, text: &str) -> Result<(), BootError> {
    if fs::read_to_string(path).is_ok_and(|before| before == text)
        && fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file())
    {
        return Ok(());
    }
    let write = || {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        fs::write(path, text)
    };
    fs::create_dir_all("/etc").and_then(|()| write()).stage("names", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_keeps_what_the_agent_added_and_does_not_grow() {
        let first = hosts("127.0.0.1 localhost\n10.0.0.5 db\n127.0.0.1 localhost shop\n", "dev");
        assert!(
            first.contains("10.0.0.5 db\n127.0.0.1 localhost shop\n") && first.contains("127.0.1.1 dev ")
        );
        let second = hosts(&first, "renamed");
        assert_eq!(second.lines().count(), first.lines().count());
        assert!(second.contains("127.0.1.1 renamed ") && !second.contains(" dev "));
    }
}
