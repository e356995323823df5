//! What a machine is made of, whichever engine runs it.

use std::{fmt, os::fd::OwnedFd};

/// virtio-blk serials (virtio 1.2, 5.2.6.1).
const SERIAL_LIMIT: usize = 20;
/// virtio-fs tags (virtio 1.2, 5.11.4).
const TAG_LIMIT: usize = 36;
const NAME_LIMIT: usize = 64;
const CPU_LIMIT: u16 = 64;
/// Below this a stock kernel does not reach PID 1.
const LEAST_MEMORY_MIB: u64 = 192;
const MOST_MEMORY_MIB: u64 = 1 << 20;

/// What executes the guest's instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceleration {
    /// The processor, through `/dev/kvm`.
    Kvm,
    /// A translator. No isolation is promised by its authors: the jail around it is the boundary.
    Tcg,
}

/// What `status` and every audit event say about the machine's boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// The processor's virtualisation.
    Hardware,
    /// A jailed process.
    Emulated,
}

impl Acceleration {
    /// The isolation that this acceleration gives. Never claims more.
    #[must_use]
    pub fn isolation(self) -> Isolation {
        match self {
            Self::Kvm => Isolation::Hardware,
            Self::Tcg => Isolation::Emulated,
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hardware => "hardware",
            Self::Emulated => "emulated",
        })
    }
}

/// A block device.
#[derive(Debug)]
pub struct Disk {
    /// A raw image, open for reading, and for writing unless `read_only`.
    pub image: OwnedFd,
    /// How the guest tells it from the others: 1 to 20 letters, digits, dashes.
    pub serial: String,
    /// Enforced by the engine; open the image read-only as well.
    pub read_only: bool,
}

/// A host folder.
#[derive(Debug)]
pub struct Folder {
    /// Connected stream to its vhost-user fs process.
    pub socket: OwnedFd,
    /// virtio-fs tag: 1 to 36 letters, digits, dashes.
    pub tag: String,
}

/// A machine. Every descriptor is owned: dropping the specification closes them.
#[derive(Debug)]
pub struct MachineSpec {
    /// For process lists: letters, digits, dashes.
    pub name: String,
    /// Virtual processors.
    pub cpus: u16,
    /// Memory in MiB.
    pub memory_mib: u64,
    /// What executes it.
    pub acceleration: Acceleration,
    /// The kernel, open for reading. The engine opens it again through `/proc/self/fd`: see [`super::Launch::reopened`].
    pub kernel: OwnedFd,
    /// The initramfs: a memory file, opened again as the kernel is.
    pub initramfs: OwnedFd,
    /// Added to the kernel's command line; printable ASCII.
    pub kernel_arguments: Vec<String>,
    /// In the order in which the guest sees them.
    pub disks: Vec<Disk>,
    /// Connected stream to the vhost-user vsock process.
    pub vsock: OwnedFd,
    /// Host folders; none is the common case.
    pub folders: Vec<Folder>,
    /// Connected stream that the serial console writes to. Its reader must not lag: the guest would wait for it.
    pub console: OwnedFd,
    /// Connected stream for the engine's control protocol.
    pub control: OwnedFd,
}

/// Why a machine cannot be expressed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A number of processors outside 1 to 64.
    #[error("a machine has 1 to {CPU_LIMIT} processors, not {0}")]
    Cpus(u16),
    /// An impossible amount of memory.
    #[error("a machine has {LEAST_MEMORY_MIB} MiB to 1 TiB of memory, not {0} MiB")]
    Memory(u64),
    /// A name that an engine's command line cannot carry.
    #[error("`{value}` cannot be a {kind}: 1 to {limit} letters, digits and dashes")]
    Name {
        /// What it names.
        kind: &'static str,
        /// The name.
        value: String,
        /// Longest one.
        limit: usize,
    },
    /// Two devices of one name.
    #[error("two devices are named `{0}`")]
    Twice(String),
    /// A kernel argument with a space, quote or control character.
    #[error("`{0}` cannot be a kernel argument")]
    KernelArgument(String),
}

impl MachineSpec {
    /// Checks everything that ends up in an engine's arguments, so that no value can be read as another option.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), SpecError> {
        if !(1..=CPU_LIMIT).contains(&self.cpus) {
            return Err(SpecError::Cpus(self.cpus));
        }
        if !(LEAST_MEMORY_MIB..=MOST_MEMORY_MIB).contains(&self.memory_mib) {
            return Err(SpecError::Memory(self.memory_mib));
        }
        check_name("machine name", &self.name, NAME_LIMIT)?;
        let mut seen = std::collections::BTreeSet::new();
        let serials = self.disks.iter().map(|disk| ("disk serial", &disk.serial, SERIAL_LIMIT));
        let tags = self.folders.iter().map(|folder| ("folder tag", &folder.tag, TAG_LIMIT));
        for (kind, value, limit) in serials.chain(tags) {
            check_name(kind, value, limit)?;
            if !seen.insert((kind, value)) {
                return Err(SpecError::Twice(value.clone()));
            }
        }
        let odd = |argument: &&String| {
            argument.is_empty() || !argument.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"')
        };
        match self.kernel_arguments.iter().find(odd) {
            Some(argument) => Err(SpecError::KernelArgument(argument.clone())),
            None => Ok(()),
        }
    }
}

fn check_name(kind: &'static str, value: &str, limit: usize) -> Result<(), SpecError> {
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let fits = (1..=limit).contains(&value.len()) && !value.starts_with('-');
    if plain && fits { Ok(()) } else { Err(SpecError::Name { kind, value: value.to_owned(), limit }) }
}
