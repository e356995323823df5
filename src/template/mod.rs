//! Everything cached that a machine boots from: kernel, its modules, the base root file system, blank disks.
//!
//! Owned by whoever calls [`Cache::ensure`] (the CLI); processes that run a machine only open what it returns.
//! The cache is shared by all sandboxes of a user and by several commands at a time, so its rules are strict:
//!
//! ```text
//! COFFERDAM_CACHE/v1/           format version: another layout is another folder
//!   lock                        flock; held while building, never while reading
//!   building/<random>/          work in progress; what a killed build leaves, the next holder of the lock removes
//!   kernel/<digest>/            vmlinuz vmlinux? config modules.sqfs boot-modules.cpio
//!   base/<digest>/              root.sqfs
//!   kernel.json  base.json      which of them is current: replaced atomically, last
//!   image/<key>/                root.sqfs record.json: the base with further packages
//!   layer/<key>/                disk.img record.json: what a build step changed on an image and the layers below it
//! ```
//!
//! A folder appears under its final name complete and synced, or not at all. No file below a digest is
//! ever rewritten, so a running machine keeps what it opened. Host tools run without a shell, with a cleaned
//! environment ([`tool`]); what they fetch is named by this host's own package configuration, never by us.
//!
//! Read in this order: [`host`] (where tools are), [`doctor`] (what is missing), [`cache`], then the builders
//! [`kernel`], [`base`], [`image`], the layers of build steps in [`layer`], what is kept in [`shelf`], and [`initramfs`], [`disk`], which make what each sandbox has for itself.

pub mod base;
pub mod cache;
pub mod cpio;
pub mod disk;
pub mod doctor;
#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod fixture;
pub mod host;
pub mod image;
pub mod initramfs;
pub mod kernel;
pub mod layer;
mod lz4;
pub mod modinfo;
mod observe;
pub mod progress;
pub mod requirement;
pub mod shelf;
pub mod sources;
pub mod tool;

pub use self::{
    base::BaseTemplate,
    cache::{Boot, Cache, EnsureError},
    disk::create_disk,
    doctor::{Check, Observations, Status, check_host},
    host::Host,
    image::{Image, Package},
    kernel::Kernel,
    layer::{Bench, Layer, LayerRecord},
    progress::{Progress, Report, Step},
    requirement::{Requirement, install_commands},
    shelf::{Kept, KeptKind},
};
