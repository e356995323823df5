//! Writes `newc` cpio archives: the kernel unpacks them as its first root file system.
//!
//! Archives may be concatenated; a later entry of a name replaces the earlier one. Source: Linux
//! `Documentation/driver-api/early-userspace/buffer-format.rst`.

/// Kinds of file, as in `st_mode`.
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const CHARACTER: u32 = 0o020_000;

/// An archive that is being written.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    /// An empty archive.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a folder; parents must have come before. Paths have no leading slash.
    pub fn folder(&mut self, path: &str, permissions: u32) {
        self.entry(path, FOLDER | permissions, (0, 0), &[]);
    }

    /// Adds a file.
    ///
    /// # Panics
    /// When it is 4 GiB or longer, which the format cannot express.
    pub fn file(&mut self, path: &str, permissions: u32, content: &[u8]) {
        self.entry(path, REGULAR | permissions, (0, 0), content);
    }

    /// Adds a character device.
    pub fn device(&mut self, path: &str, permissions: u32, major: u32, minor: u32) {
        self.entry(path, CHARACTER | permissions, (major, minor), &[]);
    }

    /// Ends the archive.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        use std::io::Write as _;
        self.inode += 1;
        let size = u32::try_from(content.len()).expect("no file of an initramfs reaches 4 GiB");
        let name_size = u32::try_from(path.len() + 1).expect("paths are short");
        // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
        let fields = [self.inode, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            write!(self.bytes, "{field:08X}").expect("a vector takes every write");
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    /// Headers and contents begin at multiples of four.
    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// Reads an archive back: name, mode, content. For tests, here and in the modules that write archives.
#[cfg(test)]
pub(crate) fn entries(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(&bytes[..6], b"070701");
        let field = |n: usize| {
            let text = std::str::from_utf8(&bytes[6 + n * 8..14 + n * 8]).unwrap();
            u32::from_str_radix(text, 16).unwrap() as usize
        };
        let (mode, size, name_size) = (field(1), field(6), field(11));
        let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap();
        let start = (110 + name_size).next_multiple_of(4);
        let content = bytes[start..start + size].to_vec();
        bytes = &bytes[(start + size).next_multiple_of(4)..];
        if name != "TRAILER!!!" {
            found.push((name, u32::try_from(mode).unwrap(), content));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_aligned_and_complete() {
        let mut archive = Archive::new();
        archive.folder("dev", 0o755);
        archive.device("dev/console", 0o600, 5, 1);
        archive.file("init", 0o755, b"#!x");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let found = entries(&bytes);
        let expected = [
            ("dev".to_owned(), 0o040_755, Vec::new()),
            ("dev/console".to_owned(), 0o020_600, Vec::new()),
            ("init".to_owned(), 0o100_755, b"#!x".to_vec()),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn the_header_is_as_the_kernel_reads_it() {
        let mut archive = Archive::new();
        archive.device("c", 0o600, 5, 1);
        let text = String::from_utf8(archive.finish()[..112].to_vec()).unwrap();
        let expected = "070701\
            00000001000021800000000000000000000000010000000000000000\
            000000000000000000000005000000010000000200000000c\0";
        assert_eq!(text, expected);
    }

    #[test]
    fn archives_concatenate() {
        let mut first = Archive::new();
        first.file("a", 0o644, b"1");
        let mut second = Archive::new();
        second.file("b", 0o644, b"22222");
        let mut both = first.finish();
        both.extend(second.finish());
        let names: Vec<_> = entries(&both).into_iter().map(|entry| entry.0).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
