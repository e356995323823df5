//! Ports that commands published or withdrew for one sandbox: a layer above its file, for the sandbox's life.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::model::{desired::Port, name::SandboxId};

use super::{
    file::{self, StoreError, Versioned},
    state::Store,
};

/// What commands said about the ports of one sandbox.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortSet {
    /// Published beside, or in place of, the file's.
    #[serde(default)]
    pub published: Vec<Port>,
    /// Ports of the guest that are not published, whatever the file says.
    #[serde(default)]
    pub withdrawn: Vec<u16>,
}

impl Versioned for PortSet {
    const VERSION: u16 = 1;
    const MAX: u64 = 1 << 20;
}

impl PortSet {
    /// Publishes a port, in place of what was said of it before.
    pub fn publish(&mut self, port: Port) {
        self.published.retain(|other| other.guest != port.guest);
        self.withdrawn.retain(|other| *other != port.guest);
        self.published.push(port);
    }

    /// Withdraws a port of the guest.
    pub fn withdraw(&mut self, guest: u16) {
        self.published.retain(|other| other.guest != guest);
        if !self.withdrawn.contains(&guest) {
            self.withdrawn.push(guest);
        }
    }

    /// The ports that are published where the file says `desired`; each of the guest's once.
    #[must_use]
    pub fn over(&self, desired: &[Port]) -> Vec<Port> {
        let named = |port: &&Port| self.published.iter().any(|other| other.guest == port.guest);
        let kept = desired.iter().filter(|port| !named(port) && !self.withdrawn.contains(&port.guest));
        kept.chain(&self.published).cloned().collect()
    }
}

impl Store {
    /// What commands said about a sandbox's ports.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn ports(&self, id: &SandboxId) -> Result<PortSet, StoreError> {
        Ok(file::read(&self.ports_path(id))?.unwrap_or_default())
    }

    /// Changes it; readers see all of `change` or nothing of it.
    ///
    /// # Errors
    /// When the state directory refuses.
    pub fn edit_ports(
        &self,
        id: &SandboxId,
        change: impl FnOnce(&mut PortSet),
    ) -> Result<PortSet, StoreError> {
        let _lock = self.sandbox(id).lock_edit()?;
        let mut set = self.ports(id)?;
        change(&mut set);
        file::write(&self.ports_path(id), &set)?;
        Ok(set)
    }

    fn ports_path(&self, id: &SandboxId) -> PathBuf {
        self.sandbox(id).path().join("ports.json")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::rule::{Layer, Origin};

    fn port(guest: u16, host: Option<u16>) -> Port {
        Port { guest, host, fixed: false, origin: Origin { layer: Layer::User, file: None, line: None } }
    }

    #[test]
    fn commands_win_over_the_file_port_by_port() {
        let mut set = PortSet::default();
        let file = [port(3000, Some(8080)), port(5432, None)];
        assert_eq!(set.over(&file), file);
        set.publish(port(3000, Some(9090)));
        set.withdraw(5432);
        set.withdraw(5432);
        set.publish(port(80, None));
        assert_eq!(set.over(&file), [port(3000, Some(9090)), port(80, None)]);
        set.withdraw(3000);
        set.publish(port(5432, Some(1)));
        assert_eq!(set.over(&file), [port(80, None), port(5432, Some(1))]);
    }
}
