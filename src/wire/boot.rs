//! What PID 1 is told before there is a stream: a file in the initramfs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where PID 1 finds its [`BootConfig`] in the initramfs.
pub const BOOT_CONFIG_PATH: &str = "/cofferdam.json";

/// Everything that PID 1 must know to bring the machine up. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootConfig {
    /// Protocol version of the host.
    pub version: u16,
    /// Host name inside the guest: the sandbox's name.
    pub hostname: String,
    /// The block devices.
    pub disks: Disks,
    /// Kernel modules to load before the root is mounted: paths in the initramfs, in dependency order.
    pub modules: Vec<String>,
    /// Host folders to mount, in order.
    pub mounts: Vec<GuestMount>,
    /// Certificate of the sandbox's interception CA, PEM. Its key never enters.
    pub ca_pem: String,
    /// Environment of every process that is started for the agent, ours (proxy, CA) included.
    pub env: BTreeMap<String, String>,
    /// Working directory of the agent; created when missing.
    pub working_dir: Option<String>,
}

/// The block devices, by virtio-blk serial (at most 20 bytes).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disks {
    /// squashfs, read-only: the template's root file system.
    pub template: String,
    /// ext4, read-only, lowest first: what the template's build steps changed, each the system disk of the machine that a
    /// step ran in. Its folder `upper` lies above the template.
    #[serde(default)]
    pub layers: Vec<String>,
    /// squashfs, read-only: the kernel's modules, mounted at `/lib/modules`.
    pub modules: String,
    /// ext4: the overlay's upper layer, dropped when the sandbox is replaced.
    pub system: String,
    /// ext4: home, workspace, caches; kept when the sandbox is replaced. A machine that builds a template has none: its
    /// homes are part of what it builds.
    #[serde(default)]
    pub data: Option<String>,
}

/// A host folder, served over virtio-fs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GuestMount {
    /// virtio-fs tag.
    pub tag: String,
    /// Absolute path in the guest; missing parents are made 0755.
    pub target: String,
    /// A courtesy to the guest's programs (`EROFS` early). What enforces it is the server.
    pub read_only: bool,
}
