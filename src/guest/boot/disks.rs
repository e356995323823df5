//! The disks, found by their virtio serial: names like `vda` depend on the order of probing.

use std::{
    fs, io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::{
        AddressFamily, SocketFlags, SocketType, bind,
        netlink::{self, SocketAddrNetlink},
        socket_with,
    },
};

use super::{BootError, Stage};
use crate::wire::boot::Disks;

/// How long a disk may take to appear. Probing is part of loading the driver, so this is for slow machines only.
const PATIENCE: Duration = Duration::from_secs(30);

/// The kernel's announcements of devices, opened before the drivers load so that none is missed.
#[derive(Debug)]
pub struct Arrivals(OwnedFd);

impl Arrivals {
    /// Begins to listen.
    ///
    /// # Errors
    /// When the kernel has no uevent socket.
    pub fn open() -> Result<Self, BootError> {
        const KERNEL_EVENTS: u32 = 1;
        let open = || {
            let socket = socket_with(
                AddressFamily::NETLINK,
                SocketType::DGRAM,
                SocketFlags::CLOEXEC | SocketFlags::NONBLOCK,
                Some(netlink::KOBJECT_UEVENT),
            )?;
            bind(&socket, &SocketAddrNetlink::new(0, KERNEL_EVENTS))?;
            Ok::<_, io::Error>(Self(socket))
        };
        open().stage("disks", "uevent socket")
    }

    /// Waits for an announcement of whatever kind, and takes all that have come.
    fn wait(&self, patience: Duration) -> io::Result<()> {
        let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: patience.subsec_nanos().into() };
        poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&timeout))?;
        let mut buffer = [0; 8192];
        // ENOBUFS (announcements were lost) is as good as one: the caller looks at everything again.
        while rustix::io::read(&self.0, &mut buffer).is_ok() {}
        Ok(())
    }
}

/// Device nodes of the disks.
#[derive(Debug)]
pub struct Found {
    /// The template's.
    pub template: PathBuf,
    /// Those of the template's layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// The modules image's.
    pub modules: PathBuf,
    /// The system disk's.
    pub system: PathBuf,
    /// The data disk's, where there is one.
    pub data: Option<PathBuf>,
}

/// Finds the disks, waiting for them within bounds.
///
/// # Errors
/// When one has not appeared, with its serial.
pub fn find(wanted: &Disks, arrivals: &Arrivals) -> Result<Found, BootError> {
    let end = Instant::now() + PATIENCE;
    let one = |serial: &str| loop {
        if let Some(node) = with_serial(Path::new("/sys/block"), serial) {
            return Ok(node);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(io::ErrorKind::NotFound))
                .stage("disks", format!("serial {serial:?}"));
        }
        arrivals.wait(left).stage("disks", "uevent socket")?;
    };
    Ok(Found {
        template: one(&wanted.template)?,
        layers: wanted.layers.iter().map(|serial| one(serial)).collect::<Result<_, _>>()?,
        modules: one(&wanted.modules)?,
        system: one(&wanted.system)?,
        data: wanted.data.as_deref().map(one).transpose()?,
    })
}

/// The device node of the disk whose `serial` attribute below `sys_block` is this one.
fn with_serial(sys_block: &Path, serial: &str) -> Option<PathBuf> {
    let wanted = serial.as_bytes();
    // virtio 1.2, 5.2.6: the identifier is at most 20 bytes.
    let wanted = &wanted[..wanted.len().min(20)];
    fs::read_dir(sys_block).ok()?.flatten().find_map(|entry| {
        let found = fs::read(entry.path().join("serial")).ok()?;
        let found = found.trim_ascii();
        (!found.is_empty() && found == wanted).then(|| Path::new("/dev").join(entry.file_name()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_is_known_by_its_serial_only() {
        let sys = std::env::temp_dir().join(format!("cofferdam-serial-{}", std::process::id()));
        for (disk, serial) in [("vda", "data\n"), ("vdb", ""), ("vdc", "template-0123456789a")] {
            fs::create_dir_all(sys.join(disk)).unwrap();
            fs::write(sys.join(disk).join("serial"), serial).unwrap();
        }
        fs::create_dir_all(sys.join("loop0")).unwrap();
        assert_eq!(with_serial(&sys, "data"), Some("/dev/vda".into()));
        assert_eq!(with_serial(&sys, "template-0123456789abcdef"), Some("/dev/vdc".into()));
        assert_eq!(with_serial(&sys, "dat"), None);
        assert_eq!(with_serial(&sys, ""), None);
        fs::remove_dir_all(&sys).unwrap();
    }
}
