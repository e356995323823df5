//! Sealed memory files: bytes that travel between processes as a descriptor and can no longer change.
//!
//! They carry configurations, secret values and the interception key. The keeper holds those of the latter two
//! without mapping them, so that an egress that is started again has what the first one had.

use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create},
    io::Errno,
};
use zeroize::Zeroizing;

/// Everything that a sealed file can no longer do: its content, its size and its seals are final.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// An empty memory file, close-on-exec, that can be sealed. The name shows in `/proc/PID/fd`.
///
/// # Errors
/// When the kernel has no memory or descriptor left.
pub fn empty(name: &str) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL) {
        // Kernels before 6.3 do not know NOEXEC_SEAL.
        Err(Errno::INVAL) => memfd_create(name, flags).map_err(Into::into),
        made => made.map_err(Into::into),
    }
}

/// Writes `bytes` to an empty memory file and seals it.
///
/// # Errors
/// When it is no memory file (and then nothing is written), it is not empty, or the kernel refuses.
pub fn fill(file: impl AsFd, bytes: &[u8]) -> io::Result<()> {
    seals(&file)?;
    let mut file = File::from(file.as_fd().try_clone_to_owned()?);
    if file.metadata()?.len() != 0 {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the memory file is not empty"));
    }
    file.write_all(bytes)?;
    fcntl_add_seals(&file, SEALS)?;
    Ok(())
}

/// A sealed memory file that holds `bytes`.
///
/// # Errors
/// When the kernel has no memory or descriptor left.
pub fn sealed(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let file = empty(name)?;
    fill(&file, bytes)?;
    Ok(file)
}

/// Whether nobody can change the file any more.
///
/// # Errors
/// When the descriptor is not a memory file.
pub fn is_sealed(file: impl AsFd) -> io::Result<bool> {
    Ok(seals(file)?.contains(SEALS))
}

/// Reads a sealed memory file of at most `max` bytes from its beginning. The position, which other holders of the
/// file share, stays where it is.
///
/// # Errors
/// When it is not sealed, so that whoever passed it could change it while it is read, or longer.
pub fn read(file: impl AsFd, max: usize) -> io::Result<Vec<u8>> {
    if !is_sealed(&file)? {
        return Err(invalid("the memory file is not sealed"));
    }
    let file = File::from(file.as_fd().try_clone_to_owned()?);
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    if length > max {
        return Err(invalid("the memory file is too long"));
    }
    // Of its final size from the beginning, so that a secret is not left behind in a buffer that grew.
    let mut bytes = Zeroizing::new(vec![0; length]);
    file.read_exact_at(&mut bytes, 0)?;
    Ok(std::mem::take(&mut *bytes))
}

fn seals(file: impl AsFd) -> io::Result<SealFlags> {
    fcntl_get_seals(file).map_err(|error| match error {
        // What has no seals is another kind of file.
        Errno::INVAL => invalid("the descriptor is no memory file"),
        other => other.into(),
    })
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::{fs::ftruncate, io::pwrite};

    fn memory(content: &[u8], seals: SealFlags) -> OwnedFd {
        let mut memory = File::from(empty("test").unwrap());
        memory.write_all(content).unwrap();
        fcntl_add_seals(&memory, seals).unwrap();
        memory.into()
    }

    #[test]
    fn e17_a_sealed_value_reads_back_and_cannot_be_changed() {
        let file = sealed("test", b"hunter2").unwrap();
        assert!(is_sealed(&file).unwrap());
        assert_eq!(read(&file, 7).unwrap(), b"hunter2");
        // Twice: reading does not move a position that others share.
        assert_eq!(read(&file, 7).unwrap(), b"hunter2");
        assert_eq!(rustix::fs::tell(&file).unwrap(), 7);
        assert!(read(&file, 6).is_err(), "one byte too long");
        assert_eq!(pwrite(&file, b"x", 0), Err(Errno::PERM));
        assert_eq!(ftruncate(&file, 1), Err(Errno::PERM));
        assert_eq!(fcntl_add_seals(&file, SealFlags::FUTURE_WRITE), Err(Errno::PERM));
        assert!(rustix::io::fcntl_getfd(&file).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
        assert!(fill(&file, b"again").is_err());
    }

    #[test]
    fn memory_that_lacks_one_seal_is_not_read() {
        for missing in [SealFlags::SEAL, SealFlags::SHRINK, SealFlags::GROW, SealFlags::WRITE] {
            let open = memory(b"hunter2", SEALS.difference(missing));
            assert!(!is_sealed(&open).unwrap(), "{missing:?}");
            assert_eq!(read(open, 10).unwrap_err().kind(), io::ErrorKind::InvalidData, "{missing:?}");
        }
        assert!(read(memory(b"hunter2", SEALS), 10).is_ok());
        assert!(read(empty("test").unwrap(), 10).is_err());
    }

    #[test]
    fn nothing_is_written_to_what_is_no_memory() {
        let file = tempfile::tempfile().unwrap();
        assert!(fill(&file, b"hunter2").is_err() && read(&file, 10).is_err());
        assert_eq!(file.metadata().unwrap().len(), 0);
        let (reader, writer) = io::pipe().unwrap();
        assert!(fill(&writer, b"hunter2").is_err() && read(&reader, 10).is_err());
    }
}
