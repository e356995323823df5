//! Tar: written in the plainest form, read in those that are about (POSIX ustar, its extended headers, GNU's long names).

use std::path::Path;

use super::{
    ArchiveError, KitFile, KitFolderError,
    open::{Gathered, entry},
};

/// A tar's unit, in bytes.
const BLOCK: usize = 512;
/// Longest extended header, in bytes: a path and a few times.
const EXTENDED_MAX: usize = 64 << 10;

/// The archive of a kit: the same files are always the same bytes.
///
/// # Errors
/// A path that no tar of this form can name.
pub fn kit_archive(files: &[KitFile]) -> Result<Vec<u8>, KitFolderError> {
    let mut archive = Vec::new();
    for file in files {
        archive.extend_from_slice(&header(file)?);
        archive.extend_from_slice(&file.bytes);
        archive.resize(archive.len().next_multiple_of(BLOCK), 0);
    }
    // Two empty blocks end it.
    archive.resize(archive.len() + 2 * BLOCK, 0);
    Ok(archive)
}

fn header(file: &KitFile) -> Result<[u8; BLOCK], KitFolderError> {
    let (prefix, name) = split(&file.path).ok_or_else(|| KitFolderError::Refused {
        path: Path::new(&file.path).to_owned(),
        reason: "the path is too long for an archive".to_owned(),
    })?;
    let mut header = [0_u8; BLOCK];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name.as_bytes());
    put(100, if file.executable { b"0000755\0" } else { b"0000644\0" });
    put(108, b"0000000\0");
    put(116, b"0000000\0");
    put(124, format!("{:011o}\0", file.bytes.len()).as_bytes());
    put(136, b"00000000000\0");
    put(148, b"        ");
    put(156, b"0");
    put(257, b"ustar\x0000");
    put(345, prefix.as_bytes());
    let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    Ok(header)
}

/// A path in the two fields that a header has for it.
fn split(path: &str) -> Option<(&str, &str)> {
    if path.len() <= 100 {
        return Some(("", path));
    }
    let cut = path.match_indices('/').map(|(at, _)| at).find(|at| path.len() - at - 1 <= 100)?;
    (cut <= 155).then(|| (&path[..cut], &path[cut + 1..]))
}

/// Reads all entries up to the empty block that ends a tar.
pub(super) fn read(bytes: &[u8], found: &mut Gathered) -> Result<(), ArchiveError> {
    let mut rest = bytes;
    let mut long: Option<Vec<u8>> = None;
    loop {
        let Some((header, after)) = rest.split_at_checked(BLOCK) else {
            return Err(ArchiveError::Form(
                "it is no whole archive: neither a tar, a tar in gzip, nor a ZIP",
            ));
        };
        if header.iter().all(|byte| *byte == 0) {
            return Ok(());
        }
        found.count()?;
        let header = Header::of(header)?;
        let name = long.take().unwrap_or_else(|| header.name.clone());
        let size = header.size.next_multiple_of(BLOCK);
        let (data, next) = after
            .split_at_checked(size)
            .ok_or(ArchiveError::Form("the archive ends in the middle of a file"))?;
        let data = &data[..header.size];
        match header.sort {
            b'0' | 0 if name.ends_with(b"/") => found.folder(&name)?,
            b'0' | 0 => found.file(&name, data, header.executable)?,
            b'5' => found.folder(&name)?,
            // What holds for the whole archive: times, a comment.
            b'g' if header.size <= EXTENDED_MAX => {}
            b'x' if header.size <= EXTENDED_MAX => long = extended(data)?,
            b'L' if header.size <= EXTENDED_MAX => {
                long = Some(data.strip_suffix(b"\0").unwrap_or(data).to_vec());
            }
            b'1' | b'2' => return entry(&name, "is a link; a kit holds the file itself"),
            b'3' | b'4' | b'6' => return entry(&name, "is a device or a pipe; a kit holds regular files"),
            _ => return entry(&name, "is of a sort that a kit does not hold"),
        }
        rest = next;
    }
}

struct Header {
    name: Vec<u8>,
    size: usize,
    sort: u8,
    executable: bool,
}

impl Header {
    fn of(block: &[u8]) -> Result<Self, ArchiveError> {
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        let own: u32 = block[148..156].iter().map(|byte| u32::from(*byte)).sum();
        let written = number(&block[148..156]);
        if written != usize::try_from(sum - own + 8 * u32::from(b' ')).ok()
            || !block[257..].starts_with(b"ustar")
        {
            return Err(ArchiveError::Form("it is no archive: neither a tar, a tar in gzip, nor a ZIP"));
        }
        let name = until_zero(&block[..100]);
        // In GNU's form other things stand where POSIX has the beginning of a long path.
        let prefix = if block[262] == 0 { until_zero(&block[345..500]) } else { &[] };
        let name = if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() };
        let Some(size) = number(&block[124..136]) else {
            return entry(&name, "is larger than a kit's file may be");
        };
        let executable = number(&block[100..108]).is_some_and(|mode| mode & 0o100 != 0);
        Ok(Self { name, size, sort: block[156], executable })
    }
}

/// The path that an extended header gives the next entry; what else it says is of no use to a kit.
fn extended(mut records: &[u8]) -> Result<Option<Vec<u8>>, ArchiveError> {
    const DAMAGED: ArchiveError = ArchiveError::Form("the archive has a damaged header");
    let mut path = None;
    while !records.is_empty() {
        let space = memchr::memchr(b' ', records).filter(|at| (1..=6).contains(at)).ok_or(DAMAGED)?;
        let length = std::str::from_utf8(&records[..space]).ok().and_then(|text| text.parse::<usize>().ok());
        let length =
            length.filter(|length| *length > space + 1 && *length <= records.len()).ok_or(DAMAGED)?;
        let record = records[space + 1..length].strip_suffix(b"\n").ok_or(DAMAGED)?;
        let equals = memchr::memchr(b'=', record).ok_or(DAMAGED)?;
        match (&record[..equals], &record[equals + 1..]) {
            (b"path", value) => path = Some(value.to_vec()),
            (b"size", _) => return Err(ArchiveError::Form("the archive has a file of more than 8 GiB")),
            (key, _) if key.starts_with(b"GNU.sparse") => {
                return Err(ArchiveError::Form(
                    "the archive has a file with holes; pack it without --sparse",
                ));
            }
            _ => {}
        }
        records = &records[length..];
    }
    Ok(path)
}

/// A field of octal digits, ended by a space or a zero byte.
fn number(field: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(until_zero(field)).ok()?.trim_matches(' ');
    // `from_str_radix` takes a sign as well.
    text.bytes().all(|digit| digit.is_ascii_digit()).then(|| usize::from_str_radix(text, 8).ok())?
}

fn until_zero(field: &[u8]) -> &[u8] {
    &field[..memchr::memchr(0, field).unwrap_or(field.len())]
}
