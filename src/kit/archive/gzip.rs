//! Gzip (RFC 1952) and what deflate yields, bounded; and the sum that both gzip and ZIP carry.

use miniz_oxide::inflate::decompress_to_vec_with_limit;

use super::{ARCHIVE_MAX, ArchiveError};

/// How a gzip file with deflate begins.
pub(super) const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];
/// Bytes before the optional fields, and after the data.
const HEAD: usize = 10;
const TAIL: usize = 8;

const DAMAGED: ArchiveError =
    ArchiveError::Form("the archive is damaged: what it inflates to is not what was packed");

/// What a gzip file of one member holds.
pub(super) fn inflate(bytes: &[u8]) -> Result<Vec<u8>, ArchiveError> {
    let data = body(bytes).ok_or(ArchiveError::Form("the archive's gzip header is damaged"))?;
    let (data, tail) = data.split_at(data.len() - TAIL);
    let word = |at: usize| u32::from_le_bytes([tail[at], tail[at + 1], tail[at + 2], tail[at + 3]]);
    let plain = inflated(data, ARCHIVE_MAX)?;
    // A second member, or anything behind the first, has another sum than the one at the end.
    if crc(&plain) != word(0) || u32::try_from(plain.len()) != Ok(word(4)) {
        return Err(DAMAGED);
    }
    Ok(plain)
}

/// At most `max` bytes of raw deflate.
pub(super) fn inflated(data: &[u8], max: usize) -> Result<Vec<u8>, ArchiveError> {
    use miniz_oxide::inflate::TINFLStatus;
    decompress_to_vec_with_limit(data, max).map_err(|error| match error.status {
        TINFLStatus::HasMoreOutput => ArchiveError::TooLarge(format!("{} MiB", max.div_ceil(1 << 20))),
        _ => DAMAGED,
    })
}

/// What follows the header and its optional fields, with the tail.
fn body(bytes: &[u8]) -> Option<&[u8]> {
    let flags = *bytes.get(3)?;
    let mut rest = bytes.get(HEAD..)?;
    // Bits that no known field has.
    if flags & 0xe0 != 0 {
        return None;
    }
    if flags & 4 != 0 {
        let length = usize::from(u16::from_le_bytes([*rest.first()?, *rest.get(1)?]));
        rest = rest.get(2 + length..)?;
    }
    for text in [8, 16] {
        if flags & text != 0 {
            let end = memchr::memchr(0, rest)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & 2 != 0 {
        rest = rest.get(2..)?;
    }
    (rest.len() >= TAIL).then_some(rest)
}

/// CRC-32 as gzip and ZIP have it (polynomial 0xedb88320).
pub(super) fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |sum, byte| (sum >> 8) ^ TABLE[((sum ^ u32::from(*byte)) & 0xff) as usize])
}

const TABLE: [u32; 256] = {
    let mut table = [0_u32; 256];
    let mut at = 0;
    while at < 256 {
        let (mut sum, mut bit) = (at as u32, 0);
        while bit < 8 {
            sum = if sum & 1 == 1 { (sum >> 1) ^ 0xedb8_8320 } else { sum >> 1 };
            bit += 1;
        }
        table[at] = sum;
        at += 1;
    }
    table
};
