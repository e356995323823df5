//! ZIP, as far as a kit needs it: stored or deflated files, by the directory at the end, each entry's own header held
//! against it. No encryption, no parts, no ZIP64.

use super::{
    ArchiveError,
    gzip::{crc, inflated},
    open::{Gathered, entry},
};

/// How the first entry begins.
pub(super) const MAGIC: [u8; 4] = *b"PK\x03\x04";
const DIRECTORY: [u8; 4] = *b"PK\x01\x02";
const END: [u8; 4] = *b"PK\x05\x06";
/// Sizes of the fixed parts.
const LOCAL_SIZE: usize = 30;
const DIRECTORY_SIZE: usize = 46;
const END_SIZE: usize = 22;
/// Bits of a file's mode (stat.h).
const SORT: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

const DAMAGED: ArchiveError = ArchiveError::Form("the ZIP archive is damaged");

/// Reads all entries.
pub(super) fn read(bytes: &[u8], found: &mut Gathered) -> Result<(), ArchiveError> {
    let end = end(bytes).ok_or(DAMAGED)?;
    let (parts, count) = ((half(end, 4)?, half(end, 6)?), half(end, 10)?);
    let (size, start) = (word(end, 12)?, word(end, 16)?);
    if parts != (0, 0) || half(end, 8)? != count || count == u16::MAX || start == u32::MAX {
        return Err(ArchiveError::Form("the ZIP archive comes in parts or is too large"));
    }
    let mut rest = slice(bytes, start as usize, size as usize)?;
    for _ in 0..count {
        found.count()?;
        if !rest.starts_with(&DIRECTORY) {
            return Err(DAMAGED);
        }
        let name = usize::from(half(rest, 28)?);
        let all = DIRECTORY_SIZE + name + usize::from(half(rest, 30)?) + usize::from(half(rest, 32)?);
        one(bytes, slice(rest, 0, all)?, slice(rest, DIRECTORY_SIZE, name)?, found)?;
        rest = &rest[all..];
    }
    Ok(())
}

/// One entry of the directory.
fn one(bytes: &[u8], entry_of: &[u8], name: &[u8], found: &mut Gathered) -> Result<(), ArchiveError> {
    let (flags, method) = (half(entry_of, 8)?, half(entry_of, 10)?);
    let (sum, packed, size) =
        (word(entry_of, 16)?, word(entry_of, 20)? as usize, word(entry_of, 24)? as usize);
    // Made on a system that has modes: they say what the entry is.
    let unix = entry_of[5] == 3;
    let mode = if unix { word(entry_of, 38)? >> 16 } else { 0 };
    match mode & SORT {
        0 | REGULAR | FOLDER => {}
        _ => return entry(name, "is a link or a special file; a kit holds regular files"),
    }
    if name.ends_with(b"/") || mode & SORT == FOLDER {
        return found.folder(name);
    }
    if flags & 1 != 0 {
        return entry(name, "is encrypted");
    }
    found.room(name, size)?;
    let local = word(entry_of, 42)? as usize;
    let head = slice(bytes, local, LOCAL_SIZE)?;
    let named = usize::from(half(head, 26)?);
    if !head.starts_with(&MAGIC) || slice(bytes, local + LOCAL_SIZE, named)? != name {
        return entry(name, "has another name in the directory than in front of its data");
    }
    let data = slice(bytes, local + LOCAL_SIZE + named + usize::from(half(head, 28)?), packed)?;
    let inflated = match method {
        0 => data.to_vec(),
        8 => inflated(data, size)?,
        _ => return entry(name, "is packed in a way that is not read; use deflate"),
    };
    if inflated.len() != size || crc(&inflated) != sum {
        return entry(name, "is damaged");
    }
    found.file(name, &inflated, mode & 0o100 != 0)
}

/// The record that ends the archive, before a comment of exactly the length that it names.
fn end(bytes: &[u8]) -> Option<&[u8]> {
    let last = bytes.len().checked_sub(END_SIZE)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    let fits = |at: &usize| {
        let end = &bytes[*at..];
        end.starts_with(&END)
            && half(end, 20).is_ok_and(|comment| end.len() == END_SIZE + usize::from(comment))
    };
    (first..=last).rev().find(fits).map(|at| &bytes[at..])
}

fn slice(bytes: &[u8], at: usize, length: usize) -> Result<&[u8], ArchiveError> {
    at.checked_add(length).and_then(|end| bytes.get(at..end)).ok_or(DAMAGED)
}

fn half(bytes: &[u8], at: usize) -> Result<u16, ArchiveError> {
    slice(bytes, at, 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn word(bytes: &[u8], at: usize) -> Result<u32, ArchiveError> {
    slice(bytes, at, 4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
