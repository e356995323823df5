//! Byte streams over any descriptor: vsock, unix and TCP sockets, pipes, terminals.
//!
//! One type for all of them keeps the relay and the exec server ignorant of what carries their bytes, which is
//! also how their tests run over unix sockets. Methods take `&self`: reading and writing go on at once.

use std::{
    io,
    net::Shutdown,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::io::Errno;
use serde::{Serialize, de::DeserializeOwned};
use tokio::io::{Interest, unix::AsyncFd};

use crate::{
    sys::{awaited, vsock},
    wire::frame,
};

/// A non-blocking descriptor that is awaited.
#[derive(Debug)]
pub struct Stream(AsyncFd<OwnedFd>);

impl Stream {
    /// Takes over `fd` and makes it non-blocking.
    ///
    /// # Errors
    /// When `fd` cannot be awaited (a plain file).
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        Ok(Self(awaited(fd)?))
    }

    /// Takes over a descriptor of which only readiness matters (a pidfd).
    ///
    /// # Errors
    /// When `fd` cannot be awaited.
    pub fn only_awaited(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self(awaited(fd)?))
    }

    /// Bytes that have come, at least one; 0 is the end.
    ///
    /// # Errors
    /// What read(2) says.
    pub async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.async_io(Interest::READABLE, |fd| retry(|| rustix::io::read(fd, &mut *buffer))).await
    }

    /// Waits until a read would not block.
    ///
    /// # Errors
    /// When the runtime goes down.
    pub async fn readable(&self) -> io::Result<()> {
        self.0.readable().await.map(|mut guard| guard.retain_ready())
    }

    /// Reads without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when nothing has come; the next [`Stream::readable`] then waits.
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.try_io(Interest::READABLE, |fd| retry(|| rustix::io::read(fd, &mut *buffer)))
    }

    /// Asks the kernel once, whatever is known about readiness.
    ///
    /// # Errors
    /// `WouldBlock` when there truly is nothing.
    pub fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        retry(|| rustix::io::read(&self.0, &mut *buffer))
    }

    /// Writes without waiting.
    ///
    /// # Errors
    /// `WouldBlock` when there is no room.
    pub fn try_write(&self, data: &[u8]) -> io::Result<usize> {
        self.0.try_io(Interest::WRITABLE, |fd| retry(|| rustix::io::write(fd, data)))
    }

    /// Writes some of `data`, at least one byte.
    ///
    /// # Errors
    /// What write(2) says.
    pub async fn write(&self, data: &[u8]) -> io::Result<usize> {
        self.0.async_io(Interest::WRITABLE, |fd| retry(|| rustix::io::write(fd, data))).await
    }

    /// Writes all of `data`.
    ///
    /// # Errors
    /// What write(2) says.
    pub async fn write_all(&self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            let written = self.write(data).await?;
            data = &data[written..];
        }
        Ok(())
    }

    /// Fills `buffer`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the stream ends first.
    pub async fn read_exact(&self, mut buffer: &mut [u8]) -> io::Result<()> {
        while !buffer.is_empty() {
            match self.read(buffer).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                length => buffer = &mut buffer[length..],
            }
        }
        Ok(())
    }

    /// Reads one JSON frame of at most `max` bytes.
    ///
    /// # Errors
    /// When the stream ends, or the frame is too long or not the JSON of a `T`.
    pub async fn read_frame<T: DeserializeOwned>(&self, max: usize) -> io::Result<T> {
        let mut header = [0; 4];
        self.read_exact(&mut header).await?;
        let mut body = vec![0; frame::body_length(header, max)?];
        self.read_exact(&mut body).await?;
        frame::decode(&body)
    }

    /// Writes one JSON frame of at most `max` bytes.
    ///
    /// # Errors
    /// When it is too long, or what write(2) says.
    pub async fn write_frame<T: Serialize>(&self, value: &T, max: usize) -> io::Result<()> {
        self.write_all(&frame::encode(value, max)?).await
    }

    /// Ends one direction of a socket. One that is gone already is no error.
    pub fn shutdown(&self, how: Shutdown) {
        let how = match how {
            Shutdown::Read => rustix::net::Shutdown::Read,
            Shutdown::Write => rustix::net::Shutdown::Write,
            Shutdown::Both => rustix::net::Shutdown::Both,
        };
        let _ = rustix::net::shutdown(&self.0, how);
    }

    /// Makes the coming close of a TCP socket a reset, so that its peer sees an error and not an end.
    pub fn reset_on_close(&self) {
        let _ = rustix::net::sockopt::set_socket_linger(&self.0, Some(std::time::Duration::ZERO));
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.get_ref().as_fd()
    }
}

fn retry<T>(mut operation: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match operation() {
            Err(Errno::INTR) => {}
            result => return result.map_err(io::Error::from),
        }
    }
}

/// Where the host listens.
#[derive(Debug, Clone)]
pub enum Host {
    /// The host's vsock.
    Vsock,
    /// Unix sockets named by port in this folder, for tests.
    #[cfg(test)]
    Folder(std::path::PathBuf),
}

impl Host {
    /// Connects to a port of the host.
    ///
    /// # Errors
    /// When nobody listens there.
    pub async fn dial(&self, port: u32) -> io::Result<Stream> {
        let fd = match self {
            Self::Vsock => vsock::dial(libc::VMADDR_CID_HOST, port)?,
            #[cfg(test)]
            Self::Folder(folder) => {
                std::os::unix::net::UnixStream::connect(folder.join(port.to_string()))?.into()
            }
        };
        let stream = Stream::new(fd)?;
        stream.0.writable().await?.retain_ready();
        rustix::net::sockopt::socket_error(&stream)??;
        Ok(stream)
    }
}

/// The guest's listener for streams of the host, and of nobody else.
#[derive(Debug)]
pub enum Listener {
    /// A vsock port.
    Vsock(AsyncFd<OwnedFd>),
    /// A unix socket, for tests.
    #[cfg(test)]
    Unix(tokio::net::UnixListener),
}

impl Listener {
    /// Listens on a vsock port.
    ///
    /// # Errors
    /// When the kernel has no vsock, or the port is taken.
    pub fn vsock(port: u32) -> io::Result<Self> {
        Ok(Self::Vsock(awaited(vsock::listen(port)?)?))
    }

    /// The next stream of the host. Streams of anybody else (a program of the guest, by vsock loopback) are closed.
    ///
    /// # Errors
    /// What accept(2) says.
    pub async fn accept(&self) -> io::Result<Stream> {
        match self {
            Self::Vsock(listener) => loop {
                let (fd, cid) = listener.async_io(Interest::READABLE, |fd| vsock::accept(fd)).await?;
                if is_host(cid) {
                    return Stream::new(fd);
                }
            },
            #[cfg(test)]
            Self::Unix(listener) => Stream::new(listener.accept().await?.0.into_std()?.into()),
        }
    }
}

/// Whether a peer's context id is the host's.
fn is_host(cid: u32) -> bool {
    cid == libc::VMADDR_CID_HOST
}

#[cfg(test)]
mod tests {
    use super::*;

    /// E15: a program of the guest that dials the exec port has the guest's own or the loopback's context id.
    #[test]
    fn e15_exec_port_serves_the_host_only() {
        assert!(is_host(2));
        for cid in [0, 1, 3, u32::MAX] {
            assert!(!is_host(cid), "context id {cid}");
        }
    }

    #[tokio::test]
    async fn frames_cross_a_pair_and_are_bounded() {
        let (a, b) = std::os::unix::net::UnixStream::pair().unwrap();
        let (a, b) = (Stream::new(a.into()).unwrap(), Stream::new(b.into()).unwrap());
        a.write_frame(&vec!["x"; 10], 1000).await.unwrap();
        assert_eq!(b.read_frame::<Vec<String>>(1000).await.unwrap(), vec!["x"; 10]);
        a.write_all(&u32::MAX.to_le_bytes()).await.unwrap();
        let error = b.read_frame::<Vec<String>>(1000).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
