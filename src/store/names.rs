//! The table of a sandbox's synthetic addresses: appended, never changed, because a name keeps its address for the
//! sandbox's life and no address is given to a second name.
//!
//! It survives the keeper, not a loss of power: then the guest, which knew the addresses, is gone as well.

use std::{
    collections::BTreeMap,
    fs::{File, OpenOptions},
    net::IpAddr,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use super::file::{self, StoreError};

/// Names of one sandbox (`DESIGN.md`, section 3).
pub const NAMES_MAX: usize = 65_536;

/// Longest name in bytes (RFC 1035, 2.3.4).
const NAME_MAX: usize = 253;

/// Longest table in bytes: every name with its line around it.
const TABLE_MAX: u64 = (NAMES_MAX * (NAME_MAX + 80)) as u64;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    name: std::borrow::Cow<'a, str>,
    address: IpAddr,
}

/// The table, open for its one writer: the keeper, which holds the sandbox's life lock.
#[derive(Debug)]
pub struct NameTable {
    path: PathBuf,
    file: File,
    length: u64,
    by_name: BTreeMap<String, IpAddr>,
    by_address: BTreeMap<IpAddr, String>,
}

/// Why a name was not given its address.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// One of the two is bound otherwise, for good.
    #[error("{name} and {address} cannot be bound: {bound} has been since before")]
    Bound {
        /// The name.
        name: String,
        /// The address.
        address: IpAddr,
        /// What the table holds.
        bound: String,
    },
    /// The table is full.
    #[error("this sandbox has looked up {NAMES_MAX} names, the most that one may")]
    Full,
    /// Too long for a name.
    #[error("a host name has at most {NAME_MAX} bytes")]
    TooLong,
    /// The state directory refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl NameTable {
    /// Opens the table at `path`, made when it is not there. Half a line that a killed keeper left is cut off: no
    /// guest was told of it.
    ///
    /// # Errors
    /// When a whole line is damaged, or contradicts an earlier one.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let bytes = file::read_bounded(path, TABLE_MAX)?.unwrap_or_default();
        let length = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
        let file = options.open(path).map_err(StoreError::io("write", path))?;
        if length < bytes.len() {
            file.set_len(length as u64).map_err(StoreError::io("mend", path))?;
        }
        let (by_name, by_address) = (BTreeMap::new(), BTreeMap::new());
        let mut table = Self { path: path.to_owned(), file, length: length as u64, by_name, by_address };
        for line in bytes[..length].split_inclusive(|byte| *byte == b'\n') {
            let line: Line<'_> =
                serde_json::from_slice(line).map_err(|error| StoreError::damaged(path, error))?;
            let fresh =
                table.admit(&line.name, line.address).map_err(|error| StoreError::damaged(path, error))?;
            if fresh {
                table.note(line.name.into_owned(), line.address);
            }
        }
        Ok(table)
    }

    /// Every binding so far, by name.
    pub fn bindings(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        self.by_name.iter().map(|(name, address)| (name.as_str(), *address))
    }

    /// Gives `name` its address for the sandbox's life, outside this process's memory when this returns. A binding
    /// that is there already is no change.
    ///
    /// # Errors
    /// When one of the two is bound otherwise, or there are too many.
    pub fn bind(&mut self, name: &str, address: IpAddr) -> Result<(), BindError> {
        if !self.admit(name, address)? {
            return Ok(());
        }
        let mut line =
            serde_json::to_vec(&Line { name: name.into(), address }).expect("a line's keys are all strings");
        line.push(b'\n');
        if let Err(error) = file::append_once(&mut self.file, &line) {
            // Half a line in the middle would damage the table for good.
            let undone = self.file.set_len(self.length);
            return Err(StoreError::io("write", &self.path)(undone.err().unwrap_or(error)).into());
        }
        self.length += line.len() as u64;
        self.note(name.to_owned(), address);
        Ok(())
    }

    /// Whether the binding may be made (`true`), or is there already.
    fn admit(&self, name: &str, address: IpAddr) -> Result<bool, BindError> {
        if name.len() > NAME_MAX {
            return Err(BindError::TooLong);
        }
        let bound = match (self.by_name.get(name), self.by_address.get(&address)) {
            (None, None) if self.by_name.len() >= NAMES_MAX => return Err(BindError::Full),
            (None, None) => return Ok(true),
            (Some(bound), _) if *bound == address => return Ok(false),
            (Some(bound), _) => format!("{name} to {bound}"),
            (None, Some(bound)) => format!("{bound} to {address}"),
        };
        Err(BindError::Bound { name: name.to_owned(), address, bound })
    }

    fn note(&mut self, name: String, address: IpAddr) {
        self.by_address.insert(address, name.clone());
        self.by_name.insert(name, address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(last: u8) -> IpAddr {
        [198, 18, 0, last].into()
    }

    #[test]
    fn a_name_keeps_its_address_across_openings() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names.jsonl");
        let mut table = NameTable::open(&path).unwrap();
        table.bind("a.example", ip(2)).unwrap();
        table.bind("b.example", ip(3)).unwrap();
        table.bind("a.example", ip(2)).unwrap();
        let mut table = NameTable::open(&path).unwrap();
        assert_eq!(table.bindings().collect::<Vec<_>>(), [("a.example", ip(2)), ("b.example", ip(3))]);
        assert!(matches!(table.bind("a.example", ip(4)), Err(BindError::Bound { .. })));
        assert!(matches!(table.bind("c.example", ip(2)), Err(BindError::Bound { .. })));
        assert!(matches!(table.bind(&"x".repeat(254), ip(5)), Err(BindError::TooLong)));
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }

    #[test]
    fn half_a_line_is_cut_off_and_a_damaged_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("names.jsonl");
        let whole = "{\"name\":\"a.example\",\"address\":\"198.18.0.2\"}\n";
        std::fs::write(&path, format!("{whole}{{\"name\":\"b.exam")).unwrap();
        let mut table = NameTable::open(&path).unwrap();
        table.bind("c.example", ip(3)).unwrap();
        assert_eq!(NameTable::open(&path).unwrap().bindings().count(), 2);
        for damaged in [
            format!("x\n{whole}"),
            whole.replace(".2", ".999"),
            format!("{whole}{}", whole.replace('a', "b")),
            format!("{whole}{}", whole.replace(".2", ".3")),
        ] {
            std::fs::write(&path, &damaged).unwrap();
            assert!(matches!(NameTable::open(&path), Err(StoreError::Damaged { .. })), "{damaged}");
        }
    }

    #[test]
    fn the_table_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let mut table = NameTable::open(&dir.path().join("names.jsonl")).unwrap();
        for index in 0..NAMES_MAX as u32 {
            table.bind(&format!("{index}.example"), IpAddr::V4((0xc612_0000 + index).into())).unwrap();
        }
        assert!(matches!(table.bind("one.more", ip(0)), Err(BindError::Bound { .. })));
        assert!(matches!(table.bind("one.more", [10, 0, 0, 1].into()), Err(BindError::Full)));
    }
}
