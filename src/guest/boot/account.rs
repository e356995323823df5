//! The user `agent`, uid and gid 1000, and its right to become root by sudo.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{PermissionsExt, chown},
    path::Path,
};

use super::{BootError, Stage};

/// Name of the user that everything runs as.
pub const AGENT: &str = "agent";
/// Its user and group id: what the host's file server shows as the owner of every file.
pub const AGENT_ID: u32 = 1000;
/// Its home.
pub const AGENT_HOME: &str = "/home/agent";

/// Writes the user into the account files, whatever the template or an earlier boot left there.
///
/// # Errors
/// Which file cannot be written.
pub fn ensure_agent(env: &BTreeMap<String, String>) -> Result<(), BootError> {
    let shell = if Path::new("/bin/bash").exists() { "/bin/bash" } else { "/bin/sh" };
    let user = format!("{AGENT}:x:{AGENT_ID}:{AGENT_ID}:{AGENT}:{AGENT_HOME}:{shell}");
    renew("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\n", |text| with_entry(text, &user, Some(2)), 0o644)?;
    let group = format!("{AGENT}:x:{AGENT_ID}:");
    renew("/etc/group", "root:x:0:\ntty:x:5:\n", |text| with_entry(text, &group, Some(2)), 0o644)?;
    if Path::new("/etc/shadow").exists() {
        // No password fits `*`; without a line at all, PAM refuses even sudo that asks for none.
        let shadow = format!("{AGENT}:*:19000:0:99999:7:::");
        renew("/etc/shadow", "", |text| with_entry(text, &shadow, None), 0o640)?;
    }
    fs::create_dir_all("/etc/sudoers.d").stage("user", "/etc/sudoers.d")?;
    let rule = sudo_rule(env);
    renew("/etc/sudoers.d/cofferdam", "", |_| rule.clone(), 0o440)
}

/// Edits a file by rename, so that a power cut leaves the old or the new one; keeps owner and mode.
fn renew(path: &str, missing: &str, edit: impl Fn(&str) -> String, mode: u32) -> Result<(), BootError> {
    let apply = || {
        let path = Path::new(path);
        let before = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.to_owned(),
            Err(error) => return Err(error),
        };
        let after = edit(&before);
        let meta = fs::metadata(path);
        if after == before && meta.is_ok() {
            return Ok(());
        }
        let fresh = path.with_extension("cofferdam-new");
        fs::write(&fresh, after)?;
        let (mode, owner) = match &meta {
            Ok(meta) => {
                use std::os::unix::fs::MetadataExt;
                (meta.permissions().mode() & 0o777, (meta.uid(), meta.gid()))
            }
            Err(_) => (mode, (0, 0)),
        };
        fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
        chown(&fresh, Some(owner.0), Some(owner.1))?;
        fs::rename(&fresh, path)
    };
    apply().stage("user", path)
}

/// The file with exactly one line of our name, before any other line with our id: the first one with an id is the
/// one that gives it its name.
fn with_entry(text: &str, entry: &str, id_field: Option<usize>) -> String {
    let field = |line: &str, at: usize| line.split(':').nth(at).map(str::to_owned);
    let name = field(entry, 0);
    let id = id_field.and_then(|at| field(entry, at));
    let mut lines: Vec<&str> = text.lines().filter(|line| field(line, 0) != name).collect();
    let rival = lines.iter().position(|line| id.is_some() && id_field.and_then(|at| field(line, at)) == id);
    lines.insert(rival.unwrap_or(lines.len()), entry);
    lines.join("\n") + "\n"
}

/// sudo without a password, keeping the proxy and CA variables, without which nothing reaches the network.
fn sudo_rule(env: &BTreeMap<String, String>) -> String {
    let is_name = |name: &&String| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let is_own = |name: &&String| matches!(name.as_str(), "PATH" | "HOME" | "USER" | "LOGNAME" | "SHELL");
    let kept: Vec<&str> =
        env.keys().filter(is_name).filter(|name| !is_own(name)).map(String::as_str).collect();
    let mut rule = format!("{AGENT} ALL=(ALL:ALL) NOPASSWD: ALL\n");
    if !kept.is_empty() {
        rule += &format!("Defaults:{AGENT} env_keep += \"{}\"\n", kept.join(" "));
    }
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_agent_is_the_first_with_its_id_and_stays_so() {
        let before =
            "root:x:0:0::/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\nagent:x:7:7::/:/bin/sh\n";
        let entry = "agent:x:1000:1000:agent:/home/agent:/bin/bash";
        let after = with_entry(before, entry, Some(2));
        assert_eq!(
            after,
            "root:x:0:0::/root:/bin/sh\nagent:x:1000:1000:agent:/home/agent:/bin/bash\nnode:x:1000:1000::/home/node:/bin/sh\n"
        );
        assert_eq!(with_entry(&after, entry, Some(2)), after);
        assert_eq!(with_entry("", "agent:*:1", None), "agent:*:1\n");
    }

    #[test]
    fn sudo_keeps_our_variables_but_takes_no_rule_from_their_names() {
        let env = [("HTTPS_PROXY", ""), ("PATH", ""), ("X\" !root\n", "")];
        let env = env.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        assert_eq!(
            sudo_rule(&env),
            "agent ALL=(ALL:ALL) NOPASSWD: ALL\nDefaults:agent env_keep += \"HTTPS_PROXY\"\n"
        );
    }
}
