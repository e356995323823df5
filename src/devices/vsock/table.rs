//! All connections of the guest: found by their ports, or by a token that no later connection ever shares.

use std::collections::HashMap;

use super::connection::{Connection, Ports};

/// Names a connection in events and queues that may outlive it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Token {
    pub slot: u16,
    pub generation: u32,
}

#[derive(Debug, Default)]
struct Slot {
    generation: u32,
    connection: Option<Connection>,
}

#[derive(Debug)]
pub(super) struct Table {
    slots: Vec<Slot>,
    free: Vec<u16>,
    by_ports: HashMap<Ports, Token>,
    limit: u16,
}

impl Table {
    /// Room for `limit` connections; memory is taken as they come.
    pub fn new(limit: u16) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), by_ports: HashMap::new(), limit }
    }

    pub fn is_full(&self) -> bool {
        self.free.is_empty() && self.slots.len() >= usize::from(self.limit)
    }

    pub fn find(&self, ports: Ports) -> Option<Token> {
        self.by_ports.get(&ports).copied()
    }

    pub fn get(&mut self, token: Token) -> Option<&mut Connection> {
        let slot = self.slots.get_mut(usize::from(token.slot))?;
        slot.connection.as_mut().filter(|_| slot.generation == token.generation)
    }

    /// Gives the connection back when there is no room, or its ports are taken.
    pub fn insert(&mut self, connection: Connection) -> Result<Token, Connection> {
        if self.is_full() || self.by_ports.contains_key(&connection.ports) {
            return Err(connection);
        }
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot::default());
            (self.slots.len() - 1) as u16
        });
        let slot = &mut self.slots[usize::from(index)];
        let token = Token { slot: index, generation: slot.generation };
        self.by_ports.insert(connection.ports, token);
        slot.connection = Some(connection);
        Ok(token)
    }

    /// The ports are free again while the connection drains.
    pub fn forget_ports(&mut self, token: Token) {
        if let Some(ports) = self.get(token).map(|connection| connection.ports)
            && self.by_ports.get(&ports) == Some(&token)
        {
            self.by_ports.remove(&ports);
        }
    }

    pub fn remove(&mut self, token: Token) -> Option<Connection> {
        self.forget_ports(token);
        let slot =
            self.slots.get_mut(usize::from(token.slot)).filter(|slot| slot.generation == token.generation)?;
        let connection = slot.connection.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(token.slot);
        Some(connection)
    }

    pub fn tokens(&self) -> Vec<Token> {
        let live = self.slots.iter().enumerate().filter(|(_, slot)| slot.connection.is_some());
        live.map(|(index, slot)| Token { slot: index as u16, generation: slot.generation }).collect()
    }
}
