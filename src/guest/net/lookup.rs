//! The socket lookup program: whose connection is it?
//!
//! Twenty-odd instructions, written by hand so that no compiler for another machine is needed:
//!
//! ```text
//! not TCP                     → pass (UDP finds its socket, or none, as usual)
//! destination in `own`        → pass (loopback, and the prefixes of the guest's own interfaces)
//! else                        → our listener; without one, drop (the connection is refused)
//! ```
//!
//! `own` holds IPv6 prefixes, IPv4 as mapped. Layouts: `struct bpf_sk_lookup`, `struct bpf_lpm_trie_key` in
//! `linux/bpf.h`.

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsRawFd, BorrowedFd, OwnedFd},
};

use crate::sys::bpf;

/// Prefixes that `own` can hold; a guest with more bridges than this is not served by more.
const OWN_MAX: u32 = 4096;

/// A network, IPv4 as mapped IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    address: Ipv6Addr,
    bits: u8,
}

impl Prefix {
    /// `None` when the length does not fit the family, or is zero, which would pass everything.
    pub fn new(address: IpAddr, bits: u8) -> Option<Self> {
        match address {
            IpAddr::V4(v4) if (1..=32).contains(&bits) => {
                Some(Self { address: v4.to_ipv6_mapped(), bits: bits + 96 })
            }
            IpAddr::V6(v6) if (1..=128).contains(&bits) => Some(Self { address: v6, bits }),
            _ => None,
        }
    }

    /// As the key of a longest-prefix map: bits in native order, then the address.
    fn key(self) -> [u8; 20] {
        let mut key = [0; 20];
        key[..4].copy_from_slice(&u32::from(self.bits).to_ne_bytes());
        key[4..].copy_from_slice(&self.address.octets());
        key
    }
}

/// The attached program. Dropping it detaches.
#[derive(Debug)]
pub struct Lookup {
    own: OwnedFd,
    present: BTreeSet<Prefix>,
    _listener: OwnedFd,
    _program: OwnedFd,
    _link: OwnedFd,
}

impl Lookup {
    /// Attaches the program to the calling thread's network namespace, in favour of `listener`.
    ///
    /// # Errors
    /// When the kernel lacks BPF, or refuses.
    pub fn attach(listener: BorrowedFd<'_>) -> io::Result<Self> {
        let own = bpf::map(bpf::MapKind::LpmTrie, 20, 1, OWN_MAX)?;
        let sockets = bpf::map(bpf::MapKind::SockMap, 4, 8, 1)?;
        bpf::insert(&sockets, &0u32.to_ne_bytes(), &(listener.as_raw_fd() as u64).to_ne_bytes())?;
        for loopback in loopbacks() {
            bpf::insert(&own, &loopback.key(), &[1])?;
        }
        let program = bpf::load_sk_lookup(&program(own.as_raw_fd(), sockets.as_raw_fd()))?;
        let namespace = File::open("/proc/thread-self/ns/net")?;
        let link = bpf::attach_sk_lookup(&program, &namespace)?;
        Ok(Self { own, present: BTreeSet::new(), _listener: sockets, _program: program, _link: link })
    }

    /// Makes `wanted` the prefixes that pass, beside loopback.
    ///
    /// # Errors
    /// When the map is full or the kernel refuses.
    pub fn set_own(&mut self, wanted: BTreeSet<Prefix>) -> io::Result<()> {
        for gone in self.present.difference(&wanted).filter(|prefix| !loopbacks().contains(prefix)) {
            match bpf::remove(&self.own, &gone.key()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        for new in wanted.difference(&self.present) {
            bpf::insert(&self.own, &new.key(), &[1])?;
        }
        self.present = wanted;
        Ok(())
    }
}

fn loopbacks() -> [Prefix; 2] {
    [
        Prefix { address: Ipv4Addr::new(127, 0, 0, 0).to_ipv6_mapped(), bits: 96 + 8 },
        Prefix { address: Ipv6Addr::LOCALHOST, bits: 128 },
    ]
}

// Registers, by their role in the calling convention of BPF.
const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
/// Kept across calls: the context.
const R6: u8 = 6;
/// Kept across calls: the socket.
const R7: u8 = 7;
/// Kept across calls: the verdict of `sk_assign`.
const R8: u8 = 8;
/// The frame: the stack lies below it.
const FP: u8 = 10;

// Offsets in `struct bpf_sk_lookup`.
const FAMILY: i16 = 8;
const PROTOCOL: i16 = 12;
const LOCAL_IP4: i16 = 40;
const LOCAL_IP6: i16 = 44;

// Offsets of our stack: a key of `own` (length, address), and a key of the socket map.
const KEY: i16 = -20;
const ADDRESS: i16 = -16;
const INDEX: i16 = -24;

// Helpers (`enum bpf_func_id`).
const MAP_LOOKUP_ELEM: i32 = 1;
const SK_RELEASE: i32 = 86;
const SK_ASSIGN: i32 = 124;

/// One instruction: code, registers, offset, immediate (`struct bpf_insn`).
fn insn(code: u8, dst: u8, src: u8, offset: i16, immediate: i32) -> u64 {
    u64::from(code)
        | u64::from(dst | src << 4) << 8
        | u64::from(offset as u16) << 16
        | u64::from(immediate as u32) << 32
}

fn mov(dst: u8, src: u8) -> u64 {
    insn(0xbf, dst, src, 0, 0)
}
fn set(dst: u8, value: i32) -> u64 {
    insn(0xb7, dst, 0, 0, value)
}
fn add(dst: u8, value: i32) -> u64 {
    insn(0x07, dst, 0, 0, value)
}
fn load(dst: u8, src: u8, offset: i16) -> u64 {
    insn(0x61, dst, src, offset, 0)
}
fn store(offset: i16, src: u8) -> u64 {
    insn(0x63, FP, src, offset, 0)
}
fn store_value(offset: i16, value: i32) -> u64 {
    insn(0x62, FP, 0, offset, value)
}
fn call(helper: i32) -> u64 {
    insn(0x85, 0, 0, 0, helper)
}
fn exit() -> u64 {
    insn(0x95, 0, 0, 0, 0)
}
/// `r1 = map`, which takes two slots.
fn load_map(fd: i32) -> [u64; 2] {
    const PSEUDO_MAP_FD: u8 = 1;
    [insn(0x18, R1, PSEUDO_MAP_FD, 0, fd), 0]
}

/// A place to jump to, known when the program is complete.
#[derive(Clone, Copy)]
enum Label {
    V4,
    Known,
    Pass,
    Drop,
}

/// Instructions with jumps whose distance is filled in at the end.
struct Assembler {
    code: Vec<u64>,
    jumps: Vec<(usize, Label)>,
    places: [usize; 4],
}

impl Assembler {
    fn push(&mut self, instructions: impl IntoIterator<Item = u64>) -> &mut Self {
        self.code.extend(instructions);
        self
    }
    /// Jumps when `register` is this value.
    fn jump_if(&mut self, register: u8, value: i32, label: Label) -> &mut Self {
        self.jump(0x15, register, value, label)
    }
    /// Jumps when it is another.
    fn jump_unless(&mut self, register: u8, value: i32, label: Label) -> &mut Self {
        self.jump(0x55, register, value, label)
    }
    fn jump(&mut self, code: u8, register: u8, value: i32, label: Label) -> &mut Self {
        self.jumps.push((self.code.len(), label));
        self.push([insn(code, register, 0, 0, value)])
    }
    fn place(&mut self, label: Label) -> &mut Self {
        self.places[label as usize] = self.code.len();
        self
    }
    fn finish(mut self) -> Vec<u64> {
        for (at, label) in self.jumps {
            let distance = (self.places[label as usize] as i64 - at as i64 - 1) as i16;
            self.code[at] |= u64::from(distance as u16) << 16;
        }
        self.code
    }
}

fn program(own: i32, sockets: i32) -> Vec<u64> {
    const MAPPED: i32 = i32::from_ne_bytes([0, 0, 0xff, 0xff]);
    let mut program = Assembler { code: Vec::new(), jumps: Vec::new(), places: [0; 4] };
    program
        .push([mov(R6, R1), load(R2, R6, PROTOCOL)])
        .jump_unless(R2, libc::IPPROTO_TCP, Label::Pass)
        .push([store_value(KEY, 128), load(R2, R6, FAMILY)])
        .jump_if(R2, libc::AF_INET, Label::V4)
        .jump_unless(R2, libc::AF_INET6, Label::Pass);
    for word in [0, 4, 8, 12] {
        program.push([load(R2, R6, LOCAL_IP6 + word), store(ADDRESS + word, R2)]);
    }
    // An unconditional jump, in the guise of one whose condition always holds (r10 is never null).
    program.jump_unless(FP, 0, Label::Known).place(Label::V4).push([
        store_value(ADDRESS, 0),
        store_value(ADDRESS + 4, 0),
        store_value(ADDRESS + 8, MAPPED),
        load(R2, R6, LOCAL_IP4),
        store(ADDRESS + 12, R2),
    ]);
    program
        .place(Label::Known)
        .push(load_map(own))
        .push([mov(R2, FP), add(R2, KEY.into()), call(MAP_LOOKUP_ELEM)])
        .jump_unless(R0, 0, Label::Pass)
        .push([store_value(INDEX, 0)])
        .push(load_map(sockets))
        .push([mov(R2, FP), add(R2, INDEX.into()), call(MAP_LOOKUP_ELEM)])
        .jump_if(R0, 0, Label::Drop)
        .push([mov(R7, R0), mov(R1, R6), mov(R2, R7), set(R3, 0), call(SK_ASSIGN)])
        .push([mov(R8, R0), mov(R1, R7), call(SK_RELEASE)])
        .jump_unless(R8, 0, Label::Drop)
        .place(Label::Pass)
        .push([set(R0, 1), exit()])
        .place(Label::Drop)
        .push([set(R0, 0), exit()]);
    program.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_of_length_zero_never_passes_everything() {
        assert_eq!(Prefix::new(Ipv4Addr::UNSPECIFIED.into(), 0), None);
        assert_eq!(Prefix::new(Ipv6Addr::UNSPECIFIED.into(), 0), None);
        assert_eq!(Prefix::new(Ipv4Addr::LOCALHOST.into(), 33), None);
        let key = Prefix::new(Ipv4Addr::new(172, 17, 0, 0).into(), 16).unwrap().key();
        assert_eq!(key[..4], 112u32.to_ne_bytes());
        assert_eq!(key[14..], [0xff, 0xff, 172, 17, 0, 0]);
    }

    #[test]
    fn every_jump_goes_forward_and_lands_inside() {
        let code = program(3, 4);
        for (at, instruction) in code.iter().enumerate() {
            if matches!(instruction & 0xff, 0x15 | 0x55) {
                let distance = (instruction >> 16) as u16 as i16;
                assert!(distance >= 0 && at + 1 + (distance as usize) < code.len(), "jump at {at}");
            }
        }
        assert_eq!(code.last(), Some(&exit()));
    }
}
