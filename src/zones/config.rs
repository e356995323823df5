//! What the keeper tells each zone when it has it started. Travels as a sealed memory file.

use std::{ffi::OsString, path::PathBuf};

use serde::{Deserialize, Serialize};

use crate::sys::jail::Jail;

/// Configuration of the `egress` zone. Descriptors: control stream, handoff socket, CA memory file, then one sealed
/// memory file for each `true` of `secrets`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EgressConfig {
    /// Its jail.
    pub jail: Jail,
    /// For each secret of the setup, whether a value was handed over.
    pub secrets: Vec<bool>,
}

/// Configuration of the `vsock` zone. Descriptors: vhost-user listener, keeper's handoff socket, egress's.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VsockConfig {
    /// Its jail.
    pub jail: Jail,
}

/// Configuration of an `fs` zone. Descriptors: vhost-user listener, the directory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FsConfig {
    /// Its jail.
    pub jail: Jail,
    /// virtio-fs tag.
    pub tag: String,
    /// Nothing may be written.
    pub read_only: bool,
    /// The rules for a folder that the agent writes. None is guarded by nothing.
    pub guard: Option<Guarded>,
    /// Files that are never seen, by device and inode.
    pub hidden: Vec<(u64, u64)>,
}

/// A folder that the agent writes, as the host sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Guarded {
    /// Where it lies.
    pub path: PathBuf,
    /// Folders above it that are repositories' own directories, whatever they are called.
    pub repositories: Vec<PathBuf>,
    /// Places in it, from the folder on, that git reads as hooks or configuration; the empty path is all of it.
    pub places: Vec<PathBuf>,
}

/// Configuration of the `vmm` zone. Descriptors: whatever the arguments name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VmmConfig {
    /// Its jail.
    pub jail: Jail,
    /// The emulator.
    pub program: PathBuf,
    /// Its arguments, without its name.
    pub arguments: Vec<OsString>,
}
