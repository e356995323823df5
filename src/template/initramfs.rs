//! The first root file system: PID 1, the modules that it loads, and what this boot of this sandbox is told.
//!
//! Three concatenated archives: the cached modules, the guest binary of *this* build (so a newer cofferdam never
//! boots an older guest), and the boot configuration, which alone differs from boot to boot.

use std::{fs, io, path::PathBuf};

use crate::wire::{BootConfig, boot::BOOT_CONFIG_PATH};

use super::{cpio::Archive, kernel::Kernel};

/// PID 1, built by the build script. The one place that embeds it.
pub const GUEST: &[u8] = include_bytes!(env!("COFFERDAM_GUEST"));

/// Why no initramfs could be made.
#[derive(Debug, thiserror::Error)]
pub enum InitramfsError {
    /// The cached modules cannot be read.
    #[error("cannot read the boot modules at {}; `cofferdam doctor --fix` builds them anew", .path.display())]
    Modules {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The configuration cannot be written as JSON.
    #[error("cannot write the boot configuration")]
    Config(#[from] serde_json::Error),
}

/// The part that is the same for every boot of a kernel.
#[derive(Debug, Clone)]
pub struct BaseSegment {
    bytes: Vec<u8>,
}

impl BaseSegment {
    /// Modules and guest binary, about 4 MB: some milliseconds.
    ///
    /// # Errors
    /// When the cached modules cannot be read.
    pub fn of(kernel: &Kernel) -> Result<Self, InitramfsError> {
        let path = kernel.boot_modules_archive();
        let modules = fs::read(&path).map_err(|source| InitramfsError::Modules { path, source })?;
        Ok(Self::new(modules, GUEST))
    }

    fn new(modules: Vec<u8>, guest: &[u8]) -> Self {
        let mut archive = Archive::new();
        for folder in ["dev", "proc", "sys", "root"] {
            archive.folder(folder, 0o755);
        }
        // The kernel opens it for PID 1's standard streams, before anything is mounted.
        archive.device("dev/console", 0o600, 5, 1);
        archive.file("init", 0o755, guest);
        let mut bytes = modules;
        bytes.extend(archive.finish());
        Self { bytes }
    }
}

/// The whole initramfs of one boot.
///
/// # Errors
/// When the configuration cannot be written as JSON.
pub fn initramfs(base: &BaseSegment, boot: &BootConfig) -> Result<Vec<u8>, InitramfsError> {
    let mut archive = Archive::new();
    archive.file(BOOT_CONFIG_PATH.trim_start_matches('/'), 0o600, &serde_json::to_vec(boot)?);
    let last = archive.finish();
    Ok([base.bytes.as_slice(), &last].concat())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        template::cpio::entries,
        wire::{VERSION, boot::Disks},
    };

    #[test]
    fn it_holds_pid_1_its_modules_and_this_boots_configuration() {
        let mut modules = Archive::new();
        modules.folder("modules", 0o755);
        modules.file("modules/virtio.ko", 0o644, b"ELF");
        let base = BaseSegment::new(modules.finish(), b"guest");
        let boot = BootConfig {
            version: VERSION,
            hostname: "dev".to_owned(),
            disks: Disks {
                template: "t".into(),
                layers: vec!["l".into()],
                modules: "m".into(),
                system: "s".into(),
                data: Some("d".into()),
            },
            modules: vec!["/modules/virtio.ko".to_owned()],
            mounts: Vec::new(),
            ca_pem: String::new(),
            env: std::collections::BTreeMap::new(),
            working_dir: None,
        };
        let bytes = initramfs(&base, &boot).unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let found = entries(&bytes);
        let get = |name: &str| {
            found.iter().find(|entry| entry.0 == name).map(|entry| (entry.1, entry.2.as_slice()))
        };
        assert_eq!(get("init"), Some((0o100_755, b"guest".as_slice())));
        assert_eq!(get("modules/virtio.ko"), Some((0o100_644, b"ELF".as_slice())));
        assert_eq!(get("dev/console").map(|entry| entry.0), Some(0o020_600));
        let (mode, json) = get("cofferdam.json").unwrap();
        assert_eq!(mode, 0o100_600);
        assert_eq!(serde_json::from_slice::<BootConfig>(json).unwrap(), boot);
    }
}
