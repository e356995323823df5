//! Which node is which name: the guest's inode numbers, without a descriptor.
//!
//! A node is known by its parent, its name and the identity of the file that was there when the guest looked. It lives
//! while the guest remembers it (its look-up count) or has children that do. Node ids are never used twice, so no
//! generation number is needed. Pure: nothing here asks the host.

use std::{collections::HashMap, io, sync::Arc};

use rustix::{fs::FileType, io::Errno};

use super::FileId;

/// The node of the shared directory itself (`FUSE_ROOT_ID`).
pub(super) const ROOT: u64 = 1;

/// `PATH_MAX` without its NUL: what one `openat2` takes. It also bounds the work of finding a path.
const PATH_BYTES: usize = 4095;

/// One component of a path: bytes, no slash, not empty, neither `.` nor `..`.
pub(super) type Name = Arc<[u8]>;

#[derive(Debug)]
struct Node {
    parent: u64,
    name: Name,
    id: FileId,
    kind: FileType,
    /// How often the guest has been told of this node and not yet forgotten it.
    lookups: u64,
    /// Nodes whose path leads through this one.
    children: u64,
    /// False once the name has gone or belongs to another file.
    linked: bool,
}

/// Where a node is and what was seen there.
#[derive(Debug, Clone)]
pub(super) struct Spot {
    /// The node of the directory that it is in.
    pub parent: u64,
    /// From the root, which is the empty path.
    pub path: Vec<Name>,
    pub id: FileId,
    pub kind: FileType,
}

impl Spot {
    /// # Errors
    /// `ENOTDIR` for anything but a directory.
    pub fn directory(self) -> io::Result<Self> {
        if self.kind == FileType::Directory { Ok(self) } else { Err(Errno::NOTDIR.into()) }
    }

    /// The path for `openat2`, relative to the root.
    pub fn text(&self) -> Vec<u8> {
        text(&self.path)
    }
}

/// A path of components as one relative path.
pub(super) fn text(path: &[Name]) -> Vec<u8> {
    if path.is_empty() { b".".to_vec() } else { path.join(&b'/') }
}

/// All nodes that the guest knows.
#[derive(Debug)]
pub(super) struct Table {
    nodes: HashMap<u64, Node>,
    names: HashMap<(u64, Name), u64>,
    next: u64,
    limit: usize,
}

impl Table {
    pub fn new(root: FileId, limit: usize) -> Self {
        let mut table = Self { nodes: HashMap::new(), names: HashMap::new(), next: ROOT + 1, limit };
        table.plant(root);
        table
    }

    /// Forgets everything but the root, as after a new mount. Ids are not used again.
    pub fn clear(&mut self) {
        let root = self.nodes[&ROOT].id;
        self.nodes.clear();
        self.names.clear();
        self.plant(root);
    }

    fn plant(&mut self, id: FileId) {
        let root = Node {
            parent: ROOT,
            name: Name::from(&b"."[..]),
            id,
            kind: FileType::Directory,
            lookups: 1,
            children: 0,
            linked: true,
        };
        self.nodes.insert(ROOT, root);
    }

    /// How many nodes there are, the root included.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Where a node is.
    ///
    /// # Errors
    /// `ESTALE` for a node that is unknown or whose name has gone, `ENAMETOOLONG` beyond 4,095 bytes.
    pub fn spot(&self, node: u64) -> io::Result<Spot> {
        let this = self.nodes.get(&node).ok_or(Errno::STALE)?;
        let mut path = Vec::new();
        let mut bytes = 0;
        let mut at = node;
        while at != ROOT {
            let step = self.nodes.get(&at).ok_or(Errno::STALE)?;
            if !step.linked {
                return Err(Errno::STALE.into());
            }
            bytes += step.name.len() + 1;
            if bytes > PATH_BYTES {
                return Err(Errno::NAMETOOLONG.into());
            }
            path.push(step.name.clone());
            at = step.parent;
        }
        path.reverse();
        Ok(Spot { parent: this.parent, path, id: this.id, kind: this.kind })
    }

    /// The guest is told of `name` in `parent`: its node, counted once more.
    ///
    /// # Errors
    /// `ENFILE` when the guest remembers too much, `ESTALE` for an unknown parent.
    pub fn enter(&mut self, parent: u64, name: &[u8], id: FileId, kind: FileType) -> io::Result<u64> {
        let name = Name::from(name);
        if let Some(&node) = self.names.get(&(parent, name.clone())) {
            if let Some(known) = self.nodes.get_mut(&node)
                && known.id == id
                && known.kind == kind
            {
                known.lookups = known.lookups.saturating_add(1);
                return Ok(node);
            }
            self.unname(node);
        }
        if self.nodes.len() >= self.limit {
            return Err(Errno::NFILE.into());
        }
        self.nodes.get_mut(&parent).ok_or(Errno::STALE)?.children += 1;
        let node = self.next;
        self.next += 1;
        self.names.insert((parent, name.clone()), node);
        self.nodes.insert(node, Node { parent, name, id, kind, lookups: 1, children: 0, linked: true });
        Ok(node)
    }

    /// The guest forgets `count` look-ups of a node.
    pub fn forget(&mut self, node: u64, count: u64) {
        if node == ROOT {
            return;
        }
        if let Some(known) = self.nodes.get_mut(&node) {
            known.lookups = known.lookups.saturating_sub(count);
            self.collect(node);
        }
    }

    /// The name has gone from the host. Its node stays for files that are still open.
    pub fn detach(&mut self, parent: u64, name: &[u8]) {
        if let Some(&node) = self.names.get(&(parent, Name::from(name))) {
            self.unname(node);
        }
    }

    /// A rename has happened; what was at the new name has gone.
    pub fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8])) {
        let moved = self.names.get(&(from.0, Name::from(from.1))).copied();
        if from == to {
            return;
        }
        self.detach(to.0, to.1);
        if let Some(node) = moved {
            self.place(node, to.0, to.1);
        }
    }

    /// Two names have changed places.
    pub fn exchange(&mut self, one: (u64, &[u8]), other: (u64, &[u8])) {
        let first = self.names.get(&(one.0, Name::from(one.1))).copied();
        let second = self.names.get(&(other.0, Name::from(other.1))).copied();
        if first == second {
            return;
        }
        if let Some(node) = first {
            self.unname(node);
        }
        if let Some(node) = second {
            self.place(node, one.0, one.1);
        }
        if let Some(node) = first {
            self.place(node, other.0, other.1);
        }
    }

    /// Gives a node another parent and name. The name must be free.
    fn place(&mut self, node: u64, parent: u64, name: &[u8]) {
        if !self.nodes.contains_key(&parent) {
            return self.unname(node);
        }
        self.unname(node);
        let name = Name::from(name);
        let Some(moved) = self.nodes.get_mut(&node) else { return };
        let before = std::mem::replace(&mut moved.parent, parent);
        moved.name = name.clone();
        moved.linked = true;
        self.names.insert((parent, name), node);
        if let Some(new) = self.nodes.get_mut(&parent) {
            new.children += 1;
        }
        self.release_child(before);
    }

    fn unname(&mut self, node: u64) {
        if let Some(known) = self.nodes.get_mut(&node)
            && std::mem::replace(&mut known.linked, false)
        {
            self.names.remove(&(known.parent, known.name.clone()));
        }
    }

    fn release_child(&mut self, parent: u64) {
        if let Some(known) = self.nodes.get_mut(&parent) {
            known.children = known.children.saturating_sub(1);
            self.collect(parent);
        }
    }

    /// Drops a node that nobody needs, then its parent if that was the last reason for it, and so on.
    fn collect(&mut self, node: u64) {
        let mut at = node;
        while at != ROOT && self.nodes.get(&at).is_some_and(|n| n.lookups == 0 && n.children == 0) {
            self.unname(at);
            let Some(gone) = self.nodes.remove(&at) else { return };
            at = gone.parent;
            if let Some(parent) = self.nodes.get_mut(&at) {
                parent.children = parent.children.saturating_sub(1);
            }
        }
    }
}
