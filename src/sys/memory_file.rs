//! Sealed memory files: bytes that travel between processes as a descriptor and can no longer change.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    os::fd::{AsFd, OwnedFd},
};

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, memfd_create};

/// Everything that a sealed file can no longer do.
const SEALS: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// An empty memory file, close-on-exec, that can be sealed.
///
/// # Errors
/// When the kernel has no memory or descriptor left.
pub fn empty(name: &str) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // Kernels before 6.3 do not know NOEXEC_SEAL and answer EINVAL.
    memfd_create(name, flags | MemfdFlags::NOEXEC_SEAL)
        .or_else(|_| memfd_create(name, flags))
        .map_err(Into::into)
}

/// Writes `bytes` to an empty memory file and seals it.
///
/// # Errors
/// When the file is not empty, or the kernel refuses.
pub fn fill(file: impl AsFd, bytes: &[u8]) -> io::Result<()> {
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
    Ok(fcntl_get_seals(file)?.contains(SEALS))
}

/// Reads a sealed memory file of at most `max` bytes from its beginning.
///
/// # Errors
/// When it is not sealed, or longer.
pub fn read(file: impl AsFd, max: usize) -> io::Result<Vec<u8>> {
    let invalid = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    if !is_sealed(&file)? {
        return Err(invalid("the memory file is not sealed"));
    }
    let mut file = File::from(file.as_fd().try_clone_to_owned()?);
    let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    if length > max {
        return Err(invalid("the memory file is too long"));
    }
    file.seek(SeekFrom::Start(0))?;
    // Exact, so that a secret is not left behind in a buffer that grew.
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_file_reads_back_and_does_not_change() {
        let file = sealed("test", b"abc").unwrap();
        assert!(is_sealed(&file).unwrap());
        assert_eq!(read(&file, 3).unwrap(), b"abc");
        assert!(read(&file, 2).is_err());
        assert!(File::from(file.try_clone().unwrap()).write_all(b"x").is_err());
        assert!(fill(&file, b"again").is_err());
    }

    #[test]
    fn an_open_file_is_not_read() {
        assert!(read(empty("test").unwrap(), 10).is_err());
    }
}
