//! What an agent that runs as this user, ungoverned, could read and reach. Only names are looked at, never contents.

use std::{fs, net::SocketAddr, path::PathBuf};

use serde::Serialize;

/// Places where credentials usually lie, below the home folder.
const CREDENTIALS: [&str; 12] = [
    ".ssh",
    ".aws/credentials",
    ".config/gcloud",
    ".kube/config",
    ".docker/config.json",
    ".gnupg",
    ".netrc",
    ".git-credentials",
    ".npmrc",
    ".config/gh/hosts.yml",
    ".mozilla",
    ".config/google-chrome",
];
/// Sockets through which a process of this user gets more than it has.
const SOCKETS: [&str; 3] =
    ["/var/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock"];
/// Parts of names of variables that usually hold a secret.
const SECRET_WORDS: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];

/// What lies open on this host.
#[derive(Debug, Serialize)]
pub(super) struct Inventory {
    /// Files and folders with credentials that exist.
    credentials: Vec<String>,
    /// Variables whose names say that they hold a secret.
    variables: Vec<String>,
    /// Sockets of powerful services.
    sockets: Vec<String>,
    /// TCP ports that listen on loopback.
    loopback_ports: Vec<u16>,
    /// Processes whose command lines can be read.
    processes: usize,
}

pub(super) fn take() -> Inventory {
    let (home, names) = (std::env::var_os("HOME"), std::env::vars_os().map(|(name, _)| name));
    let home = PathBuf::from(home.unwrap_or_default());
    let suspicious = |name: &String| SECRET_WORDS.iter().any(|word| name.to_ascii_uppercase().contains(word));
    let mut variables: Vec<String> =
        names.filter_map(|name| name.into_string().ok()).filter(suspicious).collect();
    variables.sort();
    Inventory {
        credentials: CREDENTIALS
            .iter()
            .filter(|path| home.join(path).exists())
            .map(|path| format!("~/{path}"))
            .collect(),
        variables,
        sockets: SOCKETS
            .iter()
            .filter(|path| fs::metadata(path).is_ok())
            .map(|path| (*path).to_owned())
            .collect(),
        loopback_ports: fs::read_to_string("/proc/net/tcp")
            .map(|table| listening(&table))
            .unwrap_or_default(),
        processes: readable_processes(),
    }
}

/// Ports in state LISTEN on 127.0.0.1 or every address (proc(5), `net/tcp`: addresses are little-endian hexadecimal).
fn listening(table: &str) -> Vec<u16> {
    let mut ports: Vec<u16> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_ascii_whitespace().collect();
            let (address, port) = fields.get(1)?.split_once(':')?;
            let address: SocketAddr = match address {
                "0100007F" | "00000000" => ([127, 0, 0, 1], u16::from_str_radix(port, 16).ok()?).into(),
                _ => return None,
            };
            (*fields.get(3)? == "0A").then_some(address.port())
        })
        .collect();
    ports.sort_unstable();
    ports.dedup();
    ports
}

fn readable_processes() -> usize {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numeric = |name: &std::ffi::OsStr| name.to_str().is_some_and(|name| name.parse::<u32>().is_ok());
    entries
        .filter(|entry| numeric(&entry.file_name()))
        .filter(|entry| fs::read(entry.path().join("cmdline")).is_ok_and(|line| !line.is_empty()))
        .count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_ports_are_told_from_connections() {
        let table = "  sl  local_address rem_address   st\n\
             0: 0100007F:1F90 00000000:0000 0A\n\
             1: 0100007F:0016 0100007F:9999 01\n\
             2: 0A00000A:01BB 00000000:0000 0A\n\
             3: 00000000:0050 00000000:0000 0A\n\
             nonsense\n";
        assert_eq!(listening(table), [80, 8080]);
    }
}
