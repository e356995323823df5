//! Looking for bytes where they must not be.

use std::{
    fs::File,
    io::{Read, Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
    path::Path,
    process::{Child, Stdio},
};

use rustix::fs::{SeekFrom as Extent, seek};

use super::home::program;

/// `grep` finds bytes in a stream faster than a loop of an unoptimised test.
struct Search(Child);

impl Search {
    fn of(needle: &str) -> Self {
        let mut grep = program("grep");
        grep.args(["--text", "--count", "--fixed-strings", "-e", needle]);
        Self(grep.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("grep is there"))
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.0.stdin.as_mut().expect("it is piped").write_all(bytes).expect("grep reads to the end");
    }

    fn found(self) -> bool {
        self.0.wait_with_output().expect("grep ends").status.success()
    }
}

/// Whether a file holds some bytes. Holes are passed over.
pub fn file_holds(path: &Path, needle: &str) -> bool {
    let mut file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut search = Search::of(needle);
    let mut at = 0;
    while let Ok(start) = seek(&file, Extent::Data(at)) {
        let end = seek(&file, Extent::Hole(start)).expect("every extent ends");
        file.seek(SeekFrom::Start(start)).expect("a plain file");
        let mut part = (&mut file).take(end - start);
        std::io::copy(&mut part, search.0.stdin.as_mut().expect("it is piped")).expect("a plain file");
        at = end;
    }
    search.found()
}

/// Whether a process' memory holds some bytes; `None` where this user may not look.
pub fn memory_holds(pid: i32, needle: &str) -> Option<bool> {
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut search = Search::of(needle);
    let mut page = vec![0; 1 << 20];
    for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|mode| mode.starts_with("rw")))
    {
        let (start, end) = line.split(' ').next()?.split_once('-')?;
        let (mut at, end) = (u64::from_str_radix(start, 16).ok()?, u64::from_str_radix(end, 16).ok()?);
        while at < end {
            let length = usize::try_from((end - at).min(page.len() as u64)).ok()?;
            match memory.read_at(&mut page[..length], at) {
                Ok(read) if read > 0 => {
                    search.feed(&page[..read]);
                    at += read as u64;
                }
                // Not backed by anything.
                _ => break,
            }
        }
    }
    Some(search.found())
}
