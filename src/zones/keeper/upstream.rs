//! How the host reaches the world: read here, because egress opens no file.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject};

use crate::{
    model::{api::Upstream, launch::KeeperConfig},
    store::file::read_own,
};

/// Longest `hosts` file that is read, in bytes: block lists of a megabyte are common.
const HOSTS_MAX: u64 = 4 << 20;
/// Most resolvers that are asked (resolv.conf(5) knows three).
const NAMESERVERS_MAX: usize = 3;

/// Trust store, resolvers and `hosts` of this host, and what the operator set.
pub(super) fn read(config: &KeeperConfig) -> io::Result<Upstream> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots: Vec<String> =
        loaded.certs.iter().map(|certificate| STANDARD.encode(certificate)).collect();
    for pem in &config.upstream_ca {
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let invalid =
                |error| io::Error::new(io::ErrorKind::InvalidData, format!("egress.upstreamCa: {error}"));
            roots.push(STANDARD.encode(certificate.map_err(invalid)?));
        }
    }
    Ok(Upstream {
        roots,
        resolve: config.resolve.clone(),
        nameservers: nameservers(&bounded(Path::new("/etc/resolv.conf"))),
        hosts: hosts(&bounded(Path::new("/etc/hosts"))),
    })
}

/// A missing file says nothing; nor does one that is no text or far too long.
fn bounded(path: &Path) -> String {
    read_own(path, HOSTS_MAX).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn nameservers(text: &str) -> Vec<SocketAddr> {
    let mut found: Vec<SocketAddr> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .filter_map(|address| address.trim().parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, 53))
        .collect();
    found.truncate(NAMESERVERS_MAX);
    found
}

fn hosts(text: &str) -> Vec<(IpAddr, String)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let mut words = line.split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        found.extend(words.map(|name| (address, name.to_ascii_lowercase())));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resolvers_and_hosts_are_read() {
        let resolv = "# x\nnameserver 192.0.2.1\nsearch corp.example\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\n";
        let expected: Vec<SocketAddr> =
            vec!["192.0.2.1:53".parse().unwrap(), "[2001:db8::1]:53".parse().unwrap()];
        assert_eq!(nameservers(resolv), expected);
        let text = "127.0.0.1 localhost # here\n192.0.2.7\tDB.corp.example db\nnonsense x\n";
        let names: Vec<String> =
            hosts(text).into_iter().map(|(address, name)| format!("{address} {name}")).collect();
        assert_eq!(names, ["127.0.0.1 localhost", "192.0.2.7 db.corp.example", "192.0.2.7 db"]);
    }
}
