//! Which address stands for which name, in this sandbox, for its life.
//!
//! The address that a guest connects to *is* the name that policy judges. An address is never given to a second
//! name, and the keeper has written a binding before the guest hears of it, so that a restarted egress agrees.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    sync::{Mutex, MutexGuard, PoisonError},
};

use ipnet::Ipv4Net;

use crate::{
    model::rule::Target,
    policy::{Compiled, floor},
};

use super::control::{Control, ControlLost};

/// Names that get an address. A guest that asks for more is enumerating.
pub(crate) const NAMES_MAX: usize = 65_536;
/// The first addresses of the network are ours.
const RESERVED: u32 = 256;

/// Top-level labels of names that only a local network knows; a guest has none.
const LOCAL: [&str; 12] = [
    "local",
    "localhost",
    "localdomain",
    "lan",
    "home",
    "arpa",
    "internal",
    "invalid",
    "onion",
    "alt",
    "intranet",
    "workgroup",
];

/// Why a name gets no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoAddress {
    /// The table is full.
    Full,
    /// The keeper is gone.
    Lost,
}

impl From<ControlLost> for NoAddress {
    fn from(_: ControlLost) -> Self {
        Self::Lost
    }
}

/// The table.
pub(crate) struct Names {
    network: Ipv4Net,
    table: Mutex<Table>,
    /// Held while the keeper writes a binding: one at a time, in order.
    binding: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Table {
    by_name: HashMap<String, Ipv4Addr>,
    by_address: HashMap<Ipv4Addr, String>,
    /// Offset of the next free address.
    next: u32,
}

impl Names {
    /// The table as the keeper has it. Bindings outside the network stay known but lead to no new ones.
    pub fn new(network: Ipv4Net, known: Vec<(String, IpAddr)>) -> Self {
        let mut table = Table { next: RESERVED, ..Table::default() };
        let base = u32::from(network.network());
        for (name, address) in known {
            let IpAddr::V4(address) = address else { continue };
            if let Some(offset) = u32::from(address).checked_sub(base) {
                table.next = table.next.max(offset.saturating_add(1));
            }
            table.insert(name, address);
        }
        Self { network, table: Mutex::new(table), binding: tokio::sync::Mutex::default() }
    }

    /// Our own address, that of the explicit proxy.
    pub fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.network.network()) + 1)
    }

    /// Whether an address belongs to the table, bound or not.
    pub fn covers(&self, address: IpAddr) -> bool {
        matches!(address, IpAddr::V4(v4) if self.network.contains(&v4))
    }

    /// The name that an address stands for.
    pub fn name_of(&self, address: IpAddr) -> Option<String> {
        let IpAddr::V4(address) = address else { return None };
        self.table().by_address.get(&address).cloned()
    }

    /// The address that stands for a well-formed name; a new one is written by the keeper first.
    pub async fn address_of(&self, name: &str, control: &Control) -> Result<Ipv4Addr, NoAddress> {
        if let Some(address) = self.table().by_name.get(name) {
            return Ok(*address);
        }
        let _one_at_a_time = self.binding.lock().await;
        let offset = {
            let table = self.table();
            if let Some(address) = table.by_name.get(name) {
                return Ok(*address);
            }
            if table.by_name.len() >= NAMES_MAX {
                return Err(NoAddress::Full);
            }
            table.next
        };
        let address = u32::from(self.network.network()).checked_add(offset).map(Ipv4Addr::from);
        let address =
            address.filter(|address| self.network.contains(address) && *address != self.network.broadcast());
        let address = address.ok_or(NoAddress::Full)?;
        // Taken even when the keeper does not answer: it may have written the binding all the same.
        self.table().next = offset + 1;
        control.bind(name, address.into()).await?;
        self.table().insert(name.to_owned(), address);
        Ok(address)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn insert(&mut self, name: String, address: Ipv4Addr) {
        // What came first holds: neither the name's nor the address's meaning ever changes.
        if !self.by_name.contains_key(&name) && !self.by_address.contains_key(&address) {
            self.by_name.insert(name.clone(), address);
            self.by_address.insert(address, name);
        }
    }
}

/// Whether a name exists for the guest: two labels or more, not of a local network, unless a rule names it.
pub(crate) fn exists(name: &str, policy: &Compiled) -> bool {
    if !name.contains('.') {
        return false;
    }
    let target = Target::Name(name.to_owned());
    let last = name.rsplit('.').next().unwrap_or_default();
    if floor::is_reserved(&target) {
        return name == floor::GATEWAY || policy.mentions(&target);
    }
    !LOCAL.contains(&last) || (last != "arpa" && policy.mentions(&target))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn b18_no_address_is_given_twice_and_neighbours_mean_nothing() {
        let network = "198.18.0.0/15".parse().unwrap();
        let known = vec![("a.test".to_owned(), "198.18.1.4".parse().unwrap())];
        let names = Names::new(network, known);
        let (control, mut queue) = Control::new();
        let keeper = async {
            let mut bound = Vec::new();
            while let Some(crate::model::api::EgressReport::Bind { ticket, address, .. }) = queue.recv().await
            {
                bound.push(address);
                control.acknowledge(ticket);
                if bound.len() == 2 {
                    break;
                }
            }
            bound
        };
        let guest = async {
            let first = names.address_of("b.test", &control).await.unwrap();
            let again = names.address_of("b.test", &control).await.unwrap();
            let second = names.address_of("c.test", &control).await.unwrap();
            assert_eq!(first, again);
            (first, second)
        };
        let (bound, (first, second)) = tokio::join!(keeper, guest);
        assert_eq!(bound, [IpAddr::V4(first), IpAddr::V4(second)]);
        assert_eq!(names.name_of(first.into()).as_deref(), Some("b.test"));
        assert_eq!(names.name_of("198.18.1.4".parse().unwrap()).as_deref(), Some("a.test"));
        let neighbour = Ipv4Addr::from(u32::from(second) + 1);
        assert_eq!(names.name_of(neighbour.into()), None);
    }

    #[tokio::test]
    async fn a_full_table_refuses() {
        let names = Names::new("198.18.0.0/24".parse().unwrap(), Vec::new());
        let (control, _queue) = Control::new();
        assert_eq!(names.address_of("a.test", &control).await, Err(NoAddress::Full));
    }
}
