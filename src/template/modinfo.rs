//! Which kernel modules a machine needs before its root is mounted, and in which order they load.
//!
//! A module says itself what it depends on: its section `.modinfo` holds `key=value` strings. The files come
//! from a signed package, but a broken one must give an error and not a panic.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// The keys that matter here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ModuleInfo {
    /// Modules whose symbols it uses: must be loaded before.
    pub depends: Vec<String>,
    /// Modules that it wants loaded before where they exist (`softdep=pre:`).
    pub wants_before: Vec<String>,
}

/// Reads `.modinfo` of a 64-bit little-endian ELF file; `None` when it is none or damaged.
#[must_use]
pub fn read(elf: &[u8]) -> Option<ModuleInfo> {
    let section = modinfo_section(elf)?;
    let mut info = ModuleInfo::default();
    for entry in section.split(|byte| *byte == 0).filter_map(|entry| std::str::from_utf8(entry).ok()) {
        match entry.split_once('=') {
            Some(("depends", names)) => {
                info.depends.extend(names.split(',').filter(|name| !name.is_empty()).map(canonical));
            }
            Some(("softdep", rule)) => info.wants_before.extend(softdep_before(rule)),
            _ => {}
        }
    }
    Some(info)
}

/// `virtio-rng.ko`, `virtio_rng`: one module. The kernel's own spelling has underscores.
#[must_use]
pub fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// Name of the module in a file; `None` where it is no module. Distributions compress them in three ways.
#[must_use]
pub fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let stem = [".ko", ".ko.xz", ".ko.zst", ".ko.gz"].iter().find_map(|end| name.strip_suffix(end))?;
    Some(canonical(stem))
}

/// Why there is no order.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OrderError {
    /// A module that must be there is neither a file nor built in.
    #[error("the kernel has no module `{name}`{}", .wanted_by.as_ref().map(|by| format!(", which `{by}` needs")).unwrap_or_default())]
    Absent {
        /// The module.
        name: String,
        /// Who needs it; `None` when we do.
        wanted_by: Option<String>,
    },
    /// A file could not be read as a module.
    #[error("module `{name}` is damaged, or packed with a tool that this host lacks (xz, zstd, gzip)")]
    Damaged {
        /// The module.
        name: String,
    },
}

/// The files of a kernel's modules by name, and what is built in.
#[derive(Debug, Default)]
pub struct ModuleSet {
    /// Path of each module.
    pub files: BTreeMap<String, PathBuf>,
    /// Names that the kernel itself holds.
    pub builtin: std::collections::BTreeSet<String>,
}

impl ModuleSet {
    /// The modules that have to be loaded for `roots`, dependencies first. `load` reads one file.
    ///
    /// # Errors
    /// When one is neither there nor built in, or is damaged. A wish (`softdep`) that is not there is passed over.
    pub fn order(
        &self,
        roots: &[&str],
        load: &mut dyn FnMut(&Path) -> Option<Vec<u8>>,
    ) -> Result<Vec<String>, OrderError> {
        let mut order = Vec::new();
        for root in roots {
            self.visit(root, None, load, &mut order, &mut Vec::new())?;
        }
        Ok(order)
    }

    fn visit(
        &self,
        name: &str,
        wanted_by: Option<&str>,
        load: &mut dyn FnMut(&Path) -> Option<Vec<u8>>,
        order: &mut Vec<String>,
        under_way: &mut Vec<String>,
    ) -> Result<(), OrderError> {
        let name = canonical(name);
        // A circle can only come from damaged files; whoever closes it needs no second visit.
        if self.builtin.contains(&name) || order.contains(&name) || under_way.contains(&name) {
            return Ok(());
        }
        let absent = || OrderError::Absent { name: name.clone(), wanted_by: wanted_by.map(str::to_owned) };
        let file = self.files.get(&name).ok_or_else(absent)?;
        let damaged = || OrderError::Damaged { name: name.clone() };
        let info = read(&load(file).ok_or_else(damaged)?).ok_or_else(damaged)?;
        under_way.push(name.clone());
        for wish in info.wants_before.iter().filter(|wish| self.files.contains_key(*wish)) {
            self.visit(wish, Some(&name), load, order, under_way)?;
        }
        for needed in &info.depends {
            self.visit(needed, Some(&name), load, order, under_way)?;
        }
        under_way.pop();
        order.push(name);
        Ok(())
    }
}

/// `pre: a b post: c` → `a`, `b`.
fn softdep_before(rule: &str) -> Vec<String> {
    let words = rule.split_whitespace().skip_while(|word| *word != "pre:").skip(1);
    words.take_while(|word| *word != "post:").map(canonical).collect()
}

fn modinfo_section(elf: &[u8]) -> Option<&[u8]> {
    // 64-bit, little-endian (System V ABI, "ELF Header").
    if elf.get(..6)? != b"\x7fELF\x02\x01" {
        return None;
    }
    let table = word(elf, 0x28, 8)?;
    let (size, count, names) = (word(elf, 0x3a, 2)?, word(elf, 0x3c, 2)?, word(elf, 0x3e, 2)?);
    let header = |index: usize| {
        let at = table.checked_add(index.checked_mul(size)?)?;
        elf.get(at..at.checked_add(64)?)
    };
    let content = |header: &[u8]| {
        let (at, length) = (word(header, 0x18, 8)?, word(header, 0x20, 8)?);
        elf.get(at..at.checked_add(length)?)
    };
    let names = content(header(names)?)?;
    (0..count).filter_map(header).find_map(|header| {
        let name = names.get(word(header, 0, 4)?..)?;
        if name.starts_with(b".modinfo\0") { content(header) } else { None }
    })
}

fn word(bytes: &[u8], at: usize, length: usize) -> Option<usize> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    let value = bytes.iter().rev().fold(0u64, |value, byte| value << 8 | u64::from(*byte));
    usize::try_from(value).ok()
}

/// A module file with this `.modinfo`, for tests.
#[cfg(test)]
pub(crate) fn fake_module(modinfo: &str) -> Vec<u8> {
    let names = b"\0.modinfo\0.shstrtab\0";
    let info = modinfo.replace('\n', "\0") + "\0";
    let mut elf = vec![0; 64];
    elf[..6].copy_from_slice(b"\x7fELF\x02\x01");
    let info_at = elf.len();
    elf.extend(info.as_bytes());
    let names_at = elf.len();
    elf.extend(names);
    let table = elf.len() as u64;
    for (name, at, length) in [(0u32, 0, 0), (1, info_at, info.len()), (10, names_at, names.len())] {
        let mut header = [0; 64];
        header[..4].copy_from_slice(&name.to_le_bytes());
        header[0x18..0x20].copy_from_slice(&(at as u64).to_le_bytes());
        header[0x20..0x28].copy_from_slice(&(length as u64).to_le_bytes());
        elf.extend(header);
    }
    elf[0x28..0x30].copy_from_slice(&table.to_le_bytes());
    elf[0x3a..0x40].copy_from_slice(&[64, 0, 3, 0, 2, 0]);
    elf
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn set(names: &[&str], builtin: &[&str]) -> ModuleSet {
        ModuleSet {
            files: names.iter().map(|name| (canonical(name), PathBuf::from(name))).collect(),
            builtin: builtin.iter().map(|name| canonical(name)).collect(),
        }
    }

    fn order(set: &ModuleSet, roots: &[&str], modules: &[(&str, &str)]) -> Result<Vec<String>, OrderError> {
        set.order(roots, &mut |path| {
            let (_, info) = modules.iter().find(|(name, _)| Path::new(name) == path)?;
            Some(fake_module(info))
        })
    }

    #[test]
    fn dependencies_load_first_and_once() {
        let modules = [
            ("virtio-pci", "license=GPL\ndepends=virtio,virtio_ring"),
            ("virtio", "depends=virtio_ring"),
            ("virtio_ring", "depends="),
            ("ext4", "softdep=pre: crc32c nothere post: x\ndepends=builtin_thing"),
            ("crc32c", "depends="),
        ];
        let set = set(&modules.map(|(name, _)| name), &["builtin-thing"]);
        let found = order(&set, &["virtio_pci", "virtio", "ext4"], &modules).unwrap();
        assert_eq!(found, ["virtio_ring", "virtio", "virtio_pci", "crc32c", "ext4"]);
    }

    #[test]
    fn what_is_absent_is_named_with_who_needs_it() {
        let modules = [("virtiofs", "depends=fuse")];
        let found = order(&set(&["virtiofs"], &[]), &["virtiofs"], &modules).unwrap_err();
        assert_eq!(found.to_string(), "the kernel has no module `fuse`, which `virtiofs` needs");
        let found = order(&set(&[], &[]), &["overlay"], &[]).unwrap_err();
        assert_eq!(found.to_string(), "the kernel has no module `overlay`");
    }

    #[test]
    fn a_circle_ends() {
        let modules = [("a", "depends=b"), ("b", "depends=a")];
        assert_eq!(order(&set(&["a", "b"], &[]), &["a"], &modules).unwrap(), ["b", "a"]);
    }

    #[test]
    fn names_come_from_files_of_each_compression() {
        let name = |path: &str| module_name(Path::new(path));
        assert_eq!(name("/x/virtio-rng.ko").as_deref(), Some("virtio_rng"));
        assert_eq!(name("/x/fuse.ko.xz").as_deref(), Some("fuse"));
        assert_eq!(name("/x/modules.dep"), None);
    }

    proptest! {
        #[test]
        fn damaged_files_never_panic(at in 0usize..300, value: u8, cut in 0usize..300) {
            let mut elf = fake_module("depends=a,b");
            let last = elf.len() - 1;
            elf[at.min(last)] = value;
            elf.truncate(cut.max(1).min(last));
            let _ = read(&elf);
        }
    }
}
