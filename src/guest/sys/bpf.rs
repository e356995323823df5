//! bpf(2): maps, programs and links, as far as the socket lookup program needs them.

use std::{
    ffi::c_long,
    io, mem,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
};

use super::check;

const MAP_CREATE: c_long = 0;
const MAP_UPDATE_ELEM: c_long = 2;
const MAP_DELETE_ELEM: c_long = 3;
const PROG_LOAD: c_long = 5;
const LINK_CREATE: c_long = 28;

const PROG_TYPE_SK_LOOKUP: u32 = 30;
const ATTACH_SK_LOOKUP: u32 = 36;

/// Kinds of map (`enum bpf_map_type`).
#[derive(Debug, Clone, Copy)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_LPM_TRIE`: longest prefix match.
    LpmTrie,
    /// `BPF_MAP_TYPE_SOCKMAP`: sockets by index.
    SockMap,
}

/// The head of `union bpf_attr` for each command; the kernel takes missing fields for zero.
#[repr(C)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
}

#[repr(C)]
struct MapElem {
    map_fd: u32,
    _padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct ProgLoad {
    prog_type: u32,
    insn_cnt: u32,
    insns: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buf: u64,
    kern_version: u32,
    prog_flags: u32,
    prog_name: [u8; 16],
    prog_ifindex: u32,
    expected_attach_type: u32,
}

#[repr(C)]
struct LinkCreate {
    prog_fd: u32,
    target_fd: u32,
    attach_type: u32,
    flags: u32,
}

/// # Safety
/// Every address in `attributes` must point to memory that the command may use, of the size it expects.
unsafe fn bpf<T>(command: c_long, attributes: &T) -> io::Result<c_long> {
    // SAFETY: the kernel reads `size_of::<T>()` bytes of `attributes`; the caller vouches for the rest.
    check(unsafe { libc::syscall(libc::SYS_bpf, command, attributes, mem::size_of::<T>()) })
}

fn owned(fd: c_long) -> OwnedFd {
    // SAFETY: bpf(2) returned a new descriptor that nothing else owns.
    unsafe { OwnedFd::from_raw_fd(fd as i32) }
}

/// A map. `BPF_F_NO_PREALLOC` is set where the kind demands it.
///
/// # Errors
/// When the kernel lacks BPF or the caller the right to use it.
pub fn map(kind: MapKind, key_size: u32, value_size: u32, max_entries: u32) -> io::Result<OwnedFd> {
    const NO_PREALLOC: u32 = 1;
    let (map_type, map_flags) = match kind {
        MapKind::LpmTrie => (11, NO_PREALLOC),
        MapKind::SockMap => (15, 0),
    };
    let attributes = MapCreate { map_type, key_size, value_size, max_entries, map_flags };
    // SAFETY: MapCreate holds no address.
    Ok(owned(unsafe { bpf(MAP_CREATE, &attributes) }?))
}

/// Sets `key` to `value`. The slices must have the map's sizes.
///
/// # Errors
/// When the map is full or refuses the value.
pub fn insert(map: impl AsFd, key: &[u8], value: &[u8]) -> io::Result<()> {
    let attributes = MapElem {
        map_fd: map.as_fd().as_raw_fd() as u32,
        _padding: 0,
        key: key.as_ptr() as u64,
        value: value.as_ptr() as u64,
        flags: 0,
    };
    // SAFETY: both addresses are of live slices; the callers in this crate pass slices of the map's own sizes.
    unsafe { bpf(MAP_UPDATE_ELEM, &attributes) }.map(drop)
}

/// Removes `key`. The slice must have the map's key size.
///
/// # Errors
/// `NotFound` when it is not there.
pub fn remove(map: impl AsFd, key: &[u8]) -> io::Result<()> {
    let attributes = MapElem {
        map_fd: map.as_fd().as_raw_fd() as u32,
        _padding: 0,
        key: key.as_ptr() as u64,
        value: 0,
        flags: 0,
    };
    // SAFETY: the address is of a live slice of the map's key size.
    unsafe { bpf(MAP_DELETE_ELEM, &attributes) }.map(drop)
}

/// Loads a socket lookup program.
///
/// # Errors
/// When the verifier refuses it; the message ends with the verifier's last lines.
pub fn load_sk_lookup(instructions: &[u64]) -> io::Result<OwnedFd> {
    let license = c"Apache-2.0";
    let mut log = vec![0u8; 16 * 1024];
    let mut name = [0; 16];
    name[..9].copy_from_slice(b"cofferdam");
    let mut attributes = ProgLoad {
        prog_type: PROG_TYPE_SK_LOOKUP,
        insn_cnt: instructions.len() as u32,
        insns: instructions.as_ptr() as u64,
        license: license.as_ptr() as u64,
        log_level: 0,
        log_size: 0,
        log_buf: 0,
        kern_version: 0,
        prog_flags: 0,
        prog_name: name,
        prog_ifindex: 0,
        expected_attach_type: ATTACH_SK_LOOKUP,
    };
    // SAFETY: instructions and licence are live and as long as said; no log is asked for.
    if let Ok(fd) = unsafe { bpf(PROG_LOAD, &attributes) } {
        return Ok(owned(fd));
    }
    // Again, with the verifier's log, which costs time and is only worth it when something is wrong.
    attributes.log_level = 1;
    attributes.log_size = log.len() as u32;
    attributes.log_buf = log.as_mut_ptr() as u64;
    // SAFETY: as above, and the log is live and as long as said.
    match unsafe { bpf(PROG_LOAD, &attributes) } {
        Ok(fd) => Ok(owned(fd)),
        Err(error) => {
            let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
            let text = String::from_utf8_lossy(&log[..end]);
            Err(io::Error::new(error.kind(), format!("{error}; verifier: {}", text.trim())))
        }
    }
}

/// Attaches a socket lookup program to a network namespace, for as long as the link is held.
///
/// # Errors
/// When the kernel refuses.
pub fn attach_sk_lookup(program: impl AsFd, namespace: impl AsFd) -> io::Result<OwnedFd> {
    let attributes = LinkCreate {
        prog_fd: program.as_fd().as_raw_fd() as u32,
        target_fd: namespace.as_fd().as_raw_fd() as u32,
        attach_type: ATTACH_SK_LOOKUP,
        flags: 0,
    };
    // SAFETY: LinkCreate holds no address.
    Ok(owned(unsafe { bpf(LINK_CREATE, &attributes) }?))
}
