//! A value in memory that nobody can change any more, as a descriptor: what the keeper holds, without mapping it, so
//! that a restarted egress has its secrets again.

use std::{
    fs::File,
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::FileExt,
    },
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create},
    io::Errno,
};

use crate::model::redacted::Redacted;

/// Longest value in bytes.
pub const VALUE_MAX: usize = 64 << 10;

/// Seals that make content and size final.
const FINAL: SealFlags =
    SealFlags::SEAL.union(SealFlags::SHRINK).union(SealFlags::GROW).union(SealFlags::WRITE);

/// Why a value was not sealed or opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Too long.
    #[error("a secret has at most {VALUE_MAX} bytes")]
    TooLong,
    /// It could still be changed.
    #[error("the descriptor is no sealed memory; whoever passed it could change the value while it is read")]
    NotSealed,
    /// The kernel refused.
    #[error("the kernel refused sealed memory")]
    Io(#[from] io::Error),
}

impl From<Errno> for SealError {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

/// Puts a value into sealed memory.
///
/// # Errors
/// When it is too long or the kernel refuses.
pub fn seal(value: &Redacted) -> Result<OwnedFd, SealError> {
    if value.expose().len() > VALUE_MAX {
        return Err(SealError::TooLong);
    }
    let mut memory = File::from(create()?);
    memory.write_all(value.expose())?;
    fcntl_add_seals(&memory, FINAL)?;
    Ok(memory.into())
}

fn create() -> Result<OwnedFd, Errno> {
    // The name shows in /proc/PID/fd, so it says nothing.
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    match memfd_create("sealed", flags | MemfdFlags::NOEXEC_SEAL) {
        // Kernels before 6.3 do not know it.
        Err(Errno::INVAL) => memfd_create("sealed", flags),
        other => other,
    }
}

/// Reads a value from sealed memory.
///
/// # Errors
/// When the memory could still be changed, or holds too much.
pub fn open_sealed(memory: impl AsFd) -> Result<Redacted, SealError> {
    let seals = fcntl_get_seals(&memory).map_err(|error| match error {
        Errno::INVAL => SealError::NotSealed,
        other => other.into(),
    })?;
    if !seals.contains(FINAL) {
        return Err(SealError::NotSealed);
    }
    let size = usize::try_from(fstat(&memory)?.st_size).map_err(|_| SealError::TooLong)?;
    if size > VALUE_MAX {
        return Err(SealError::TooLong);
    }
    // Of its final size from the beginning: growing would leave copies behind.
    let mut value = zeroize::Zeroizing::new(vec![0; size]);
    File::from(memory.as_fd().try_clone_to_owned()?).read_exact_at(&mut value, 0)?;
    Ok(Redacted::new(std::mem::take(&mut *value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::ftruncate;

    fn memory(content: &[u8], seals: SealFlags) -> OwnedFd {
        let mut memory = File::from(create().unwrap());
        memory.write_all(content).unwrap();
        fcntl_add_seals(&memory, seals).unwrap();
        memory.into()
    }

    #[test]
    fn e17_a_sealed_value_reads_back_and_cannot_be_changed() {
        let sealed = seal(&Redacted::new(b"hunter2".to_vec())).unwrap();
        assert_eq!(open_sealed(&sealed).unwrap().expose(), b"hunter2");
        // Twice: opening does not move a position that others share.
        assert_eq!(open_sealed(&sealed).unwrap().expose(), b"hunter2");
        assert_eq!(rustix::io::pwrite(&sealed, b"x", 0), Err(Errno::PERM));
        assert_eq!(ftruncate(&sealed, 1), Err(Errno::PERM));
        assert_eq!(fcntl_add_seals(&sealed, SealFlags::FUTURE_WRITE), Err(Errno::PERM));
        assert!(rustix::io::fcntl_getfd(&sealed).unwrap().contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn memory_that_lacks_one_seal_is_refused() {
        for missing in [SealFlags::SEAL, SealFlags::SHRINK, SealFlags::GROW, SealFlags::WRITE] {
            let open = memory(b"hunter2", FINAL.difference(missing));
            assert!(matches!(open_sealed(open), Err(SealError::NotSealed)), "{missing:?}");
        }
        assert!(open_sealed(memory(b"hunter2", FINAL)).is_ok());
        assert!(matches!(open_sealed(tempfile::tempfile().unwrap()), Err(SealError::NotSealed)));
        assert!(matches!(open_sealed(io::pipe().unwrap().0), Err(SealError::NotSealed)));
    }

    #[test]
    fn too_much_is_refused_on_both_sides() {
        assert!(seal(&Redacted::new(vec![b'x'; VALUE_MAX])).is_ok());
        assert!(matches!(seal(&Redacted::new(vec![b'x'; VALUE_MAX + 1])), Err(SealError::TooLong)));
        let long = memory(&vec![b'x'; VALUE_MAX + 1], FINAL);
        assert!(matches!(open_sealed(long), Err(SealError::TooLong)));
    }
}
