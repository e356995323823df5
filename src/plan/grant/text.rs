//! How a grant is written.

use std::fmt;

use super::{
    Grant, Net,
    reach::{Methods, Reach, Scope},
    words,
};
use crate::model::{
    desired::{Access, Preset, WorkspaceMode},
    rule::{Addresses, During, HostPattern, Ports, Protocol},
};

impl fmt::Display for Grant {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Net(net) => write_net("net", net, to),
            Self::Ask(net) => write_net("ask", net, to),
            Self::Preset { preset, except } => {
                write!(to, "net preset {}", preset_word(*preset))?;
                write_except(except, to)
            }
            Self::Secret { name, host, port, header } => {
                to.write_str("secret ")?;
                words::write(name, to)?;
                write!(to, " → {host}")?;
                if *port != 443 {
                    write!(to, ":{port}")?;
                }
                if header != super::read::USUAL_HEADER {
                    to.write_str(" ")?;
                    words::write(header, to)?;
                }
                Ok(())
            }
            Self::Mount { source, access } => {
                to.write_str("mount ")?;
                words::write(&source.to_string(), to)?;
                to.write_str(if *access == Access::Write { " write" } else { " read" })
            }
            Self::Workspace { path, mode } => {
                to.write_str("workspace ")?;
                words::write(&path.to_string(), to)?;
                to.write_str(if *mode == WorkspaceMode::Direct { " direct" } else { " read" })
            }
            Self::Port { guest, host: None } => write!(to, "port {guest}"),
            Self::Port { guest, host: Some(host) } => write!(to, "port {guest} → {host}"),
            Self::HostService { name, port, methods, path } => {
                write!(to, "host-service {name} {port} {methods}")?;
                path.as_ref().map_or(Ok(()), |path| write_path(path.as_str(), to))
            }
            Self::EmulationOk => to.write_str("isolation emulation-ok"),
        }
    }
}

/// A preset as files name it.
pub(super) const fn preset_word(preset: Preset) -> &'static str {
    match preset {
        Preset::LockedDown => "locked-down",
        Preset::Balanced => "balanced",
        Preset::Open => "open",
    }
}

fn write_net(word: &str, net: &Net, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    to.write_str(word)?;
    let Reach { scope, protocol, methods, path } = &net.reach;
    let usual = usual_in(scope);
    match protocol {
        protocol if *protocol == usual => {}
        Some(protocol) => write!(to, " {protocol}")?,
        None => to.write_str(" any")?,
    }
    if !is_opaque(*protocol) {
        write!(to, " {methods}")?;
    }
    match scope {
        Scope::Set(set) => write!(to, " {}", set.as_str())?,
        Scope::Unpinned(set) => write!(to, " {} {UNPINNED}", set.as_str())?,
        Scope::Hosts { host, ports, set } => {
            let target = target(host, Some(*ports));
            match set {
                Some(set) => write!(to, " {} ({target})", set.as_str())?,
                None => write!(to, " {target}")?,
            }
        }
    }
    if let Some(path) = path {
        write_path(path.as_str(), to)?;
    }
    if net.addresses == Addresses::Private {
        to.write_str(" private")?;
    }
    if net.during == During::Setup {
        to.write_str(" during setup")?;
    }
    if let Some(until) = net.until {
        write!(to, " until {until}")?;
    }
    write_except(&net.except, to)
}

fn write_path(path: &str, to: &mut fmt::Formatter<'_>) -> fmt::Result {
    to.write_str(" ")?;
    words::write(path, to)
}

fn write_except(except: &[Reach], to: &mut fmt::Formatter<'_>) -> fmt::Result {
    except.iter().try_for_each(|reach| write!(to, " except {}", Except(reach)))
}

/// What stands behind a set in place of the host that nothing pins.
pub(super) const UNPINNED: &str = "(unpinned)";

/// The protocol that is meant where none is written, in an allow.
pub(super) fn usual_in(scope: &Scope) -> Option<Protocol> {
    match scope {
        Scope::Set(_) => None,
        Scope::Unpinned(_) => Some(Protocol::Https),
        Scope::Hosts { ports, .. } => usual(*ports),
    }
}

/// The protocol that is meant where none is written.
pub(super) fn usual(ports: Ports) -> Option<Protocol> {
    (ports.first == ports.last).then(|| Protocol::default_for(ports.first)).flatten()
}

/// Whether requests cannot be told apart in it.
pub(super) const fn is_opaque(protocol: Option<Protocol>) -> bool {
    matches!(protocol, Some(Protocol::Tls | Protocol::Tcp))
}

fn target(host: &HostPattern, ports: Option<Ports>) -> String {
    match (host, ports) {
        (host, None) => host.to_string(),
        (HostPattern::Net(net), Some(ports)) if net.addr().is_ipv6() => format!("[{host}]:{ports}"),
        (host, Some(ports)) => format!("{host}:{ports}"),
    }
}

/// What a deny takes away. There, what is not written means everything.
pub(super) struct Except<'a>(pub(super) &'a Reach);

impl fmt::Display for Except<'_> {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Reach { scope, protocol, methods, path } = self.0;
        if let Some(protocol) = protocol {
            write!(to, "{protocol} ")?;
        }
        if *methods != Methods::All {
            write!(to, "{methods} ")?;
        }
        match scope {
            Scope::Set(set) => to.write_str(set.as_str())?,
            Scope::Unpinned(set) => write!(to, "{} {UNPINNED}", set.as_str())?,
            Scope::Hosts { host, ports, .. } => {
                to.write_str(&target(host, (*ports != Ports::ALL).then_some(*ports)))?;
            }
        }
        path.as_ref().map_or(Ok(()), |path| write_path(path.as_str(), to))
    }
}

impl fmt::Display for Methods {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => to.write_str("*"),
            Self::Only(methods) => to.write_str(&methods.join(",")),
        }
    }
}
