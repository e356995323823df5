//! How a host's file looks to the guest.

use fuse_backend_rs::abi::fuse_abi::{Attr, stat64};

use super::{FileId, Owner, root::Found};

/// Type and permission bits that are shown: set-id bits of a host's file mean nothing under another owner.
const SHOWN_MODE: u32 = 0o171_777;

/// The attributes of a file, owned by the agent. Device numbers are not shown: the guest's devices of that number are
/// other ones.
pub(super) fn attributes(found: &Found, owner: Owner, home: FileId) -> stat64 {
    let stat = &found.stat;
    let attr = Attr {
        ino: inode_number(found.id, home),
        size: stat.stx_size,
        blocks: stat.stx_blocks,
        atime: stat.stx_atime.tv_sec.cast_unsigned(),
        mtime: stat.stx_mtime.tv_sec.cast_unsigned(),
        ctime: stat.stx_ctime.tv_sec.cast_unsigned(),
        atimensec: stat.stx_atime.tv_nsec,
        mtimensec: stat.stx_mtime.tv_nsec,
        ctimensec: stat.stx_ctime.tv_nsec,
        mode: u32::from(stat.stx_mode) & SHOWN_MODE,
        nlink: stat.stx_nlink,
        uid: owner.uid,
        gid: owner.gid,
        blksize: stat.stx_blksize,
        ..Attr::default()
    };
    stat64::from(attr)
}

/// The host's number, so that two names of one file show as hard links. One mount can span several devices (subvolumes)
/// whose numbers overlap; those of the others are moved out of the way.
fn inode_number(id: FileId, home: FileId) -> u64 {
    if id.dev == home.dev { id.ino } else { id.ino ^ id.dev.rotate_right(16) ^ (1 << 63) }
}
