//! Requests as bytes in a ring, good ones and others.

use super::*;
use crate::devices::fs::Rig;

const LOOKUP: u32 = 1;
const WRITE: u32 = 16;
const READ: u32 = 15;
const INIT: u32 = 26;
const CREATE: u32 = 35;
const IOCTL: u32 = 39;

fn message(opcode: u32, node: u64, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let mut bytes = Vec::new();
    bytes.extend((40 + body.len() as u32).to_le_bytes());
    bytes.extend(opcode.to_le_bytes());
    bytes.extend(9_u64.to_le_bytes());
    bytes.extend(node.to_le_bytes());
    bytes.extend([0; 16]);
    bytes.extend(body);
    bytes
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

/// The error in an answer's header, positive; 0 is none.
fn status(answer: &[u8]) -> i32 {
    -u32_at(answer, 4).cast_signed()
}

fn rig(dir: &TempDir) -> Rig {
    Rig::new(config(dir.path(), false, Vec::new(), Guard::direct()))
}

#[test]
fn a_file_is_made_written_and_read_through_the_ring() {
    let dir = TempDir::new().unwrap();
    let rig = rig(&dir);
    let init = rig.request(
        &message(INIT, 0, &[&7_u32.to_le_bytes(), &31_u32.to_le_bytes(), &[0; 4], &[0xff; 3], &[0x1f]]),
        4096,
    );
    assert_eq!((status(&init), u32_at(&init, 16)), (0, 7));
    let flags = libc::O_RDWR.cast_unsigned().to_le_bytes();
    let created =
        rig.request(&message(CREATE, 1, &[&flags, &0o100_644_u32.to_le_bytes(), &[0; 8], b"new\0"]), 4096);
    assert_eq!(status(&created), 0);
    let (node, handle) = (u64_at(&created, 16), u64_at(&created, 16 + 128));
    let data = vec![7; 100_000];
    let head =
        [&handle.to_le_bytes()[..], &3_u64.to_le_bytes(), &100_000_u32.to_le_bytes(), &[0; 20]].concat();
    let written = rig.request(&message(WRITE, node, &[&head, &data]), 4096);
    assert_eq!((status(&written), u32_at(&written, 16)), (0, 100_000));
    assert_eq!(fs::read(dir.path().join("new")).unwrap()[3..], data);
    let read = rig.request(&message(READ, node, &[&head]), 16 + 100_000);
    assert_eq!((status(&read), &read[16..]), (0, &data[..]));
}

#[test]
fn requests_that_make_no_sense_do_no_harm() {
    let dir = TempDir::new().unwrap();
    let rig = rig(&dir);
    let huge = message(LOOKUP, 1, &[&vec![b'a'; 1 << 20], &[0; 8000]]);
    let mut lying = message(LOOKUP, 1, &[b"x\0"]);
    lying[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let mut short = message(LOOKUP, 1, &[b"x\0"]);
    short[..4].copy_from_slice(&3_u32.to_le_bytes());
    let ioctl = message(IOCTL, 1, &[&[0; 24], &u32::MAX.to_le_bytes(), &u32::MAX.to_le_bytes()]);
    for bytes in [&b""[..], &[0xff; 39], &huge, &lying, &short, &ioctl, &message(LOOKUP, 1, &[b"no end"])] {
        for room in [0, 15, 16, 4096] {
            rig.request(bytes, room);
        }
    }
    for opcode in 0..70 {
        for length in [0, 1, 8, 40, 100] {
            rig.request(&message(opcode, 1, &[&vec![0xff; length]]), 4096);
            rig.request(&message(opcode, 1, &[&vec![0; length]]), 4096);
        }
    }
    // And it still answers.
    let missing = rig.request(&message(LOOKUP, 1, &[b"nothing\0"]), 4096);
    assert_eq!(status(&missing), libc::ENOENT);
    let dotted = rig.request(&message(LOOKUP, 1, &[b"..\0"]), 4096);
    assert_eq!(status(&dotted), libc::EINVAL);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}
