//! Who the zone is: another user, no capability, and namespaces without a network where the host allows them.

use std::io;

use rustix::{
    process::{Gid, Uid, geteuid},
    thread::{CapabilitiesSecureBits, CapabilitySet, CapabilitySets, UnshareFlags},
};

/// Leaves the host's network and IPC namespaces; as an ordinary user by way of a user namespace.
pub(super) fn leave_namespaces() -> bool {
    let wanted = UnshareFlags::NEWNET | UnshareFlags::NEWIPC;
    let wanted = if geteuid().is_root() { wanted } else { wanted | UnshareFlags::NEWUSER };
    // SAFETY: a single-threaded process shares nothing of these namespaces with another thread, and no code of ours
    // assumes a user id or an interface from before.
    unsafe { rustix::thread::unshare_unsafe(wanted) }.is_ok()
}

/// Becomes `user` when one is given, and gives up every capability.
pub(super) fn drop_privileges(user: Option<(u32, u32)>) -> io::Result<()> {
    if let Some((uid, gid)) = user {
        rustix::thread::set_thread_groups(&[])?;
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        rustix::thread::set_thread_res_gid(gid, gid, gid)?;
        lock_root()?;
        rustix::thread::set_thread_res_uid(uid, uid, uid)?;
    } else if geteuid().is_root() {
        lock_root()?;
    }
    let none = CapabilitySet::empty();
    rustix::thread::set_capabilities(
        None,
        CapabilitySets { effective: none, permitted: none, inheritable: none },
    )?;
    Ok(())
}

/// User 0 no longer means capabilities, not even by executing a file: a zone that must be the owner of a folder may
/// have to be user 0.
fn lock_root() -> io::Result<()> {
    let bits = CapabilitiesSecureBits::NO_ROOT
        | CapabilitiesSecureBits::NO_ROOT_LOCKED
        | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
        | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED;
    match rustix::thread::set_capabilities_secure_bits(bits) {
        // A container's root may lack CAP_SETPCAP; the capability sets are emptied all the same.
        Err(rustix::io::Errno::PERM) => Ok(()),
        other => other.map_err(Into::into),
    }
}
