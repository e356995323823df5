//! How a machine is started and spoken to, as data: which program, which arguments, which descriptors.
//!
//! Nothing here starts a process, opens a file or reads a socket. The zone `vmm` takes a [`Launch`] and executes
//! it inside its jail; the keeper feeds what the machine's control socket says to [`qmp`]. So every argument of
//! a machine can be judged by a test, and the jail can be told beforehand exactly which paths are opened.
//!
//! Absent on purpose: a network card, USB, a display, a monitor on a path, and any path of the host among the
//! devices. Whatever carries bytes is handed in as an open descriptor.
//!
//! Read in this order: [`machine`] (what is wanted), [`launch`] (what comes out), [`qemu`], [`qmp`].

pub mod launch;
pub mod machine;
pub mod qemu;
pub mod qmp;

pub use self::{
    launch::Launch,
    machine::{Acceleration, Disk, Folder, Isolation, MachineSpec, SpecError},
    qemu::Qemu,
};

/// A way to run a machine.
pub trait Engine {
    /// The engine's name in the operator's configuration.
    fn name(&self) -> &'static str;

    /// What has to be executed for this machine. Takes the descriptors over.
    ///
    /// # Errors
    /// When the engine cannot express the machine; the descriptors are then closed.
    fn launch(&self, machine: MachineSpec) -> Result<Launch, SpecError>;
}
