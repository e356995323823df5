//! The host's side of a stream: a socket, and the bytes of the guest that it would not take yet.

use std::{collections::VecDeque, net::Shutdown, os::unix::net::UnixStream};

use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, recv, send},
};

/// A socket that is only ever tried, never waited for. Its owner bounds what is held here, by credit.
#[derive(Debug)]
pub(super) struct Local {
    /// Gone once nothing more can flow.
    stream: Option<UnixStream>,
    /// While there are some, the socket was full at the last try.
    backlog: VecDeque<u8>,
    readable: bool,
    sends_no_more: bool,
    receives_no_more: bool,
    shut: bool,
}

impl Local {
    pub fn new(stream: UnixStream) -> Self {
        Self {
            stream: Some(stream),
            backlog: VecDeque::new(),
            readable: false,
            sends_no_more: false,
            receives_no_more: false,
            shut: false,
        }
    }

    pub fn stream(&self) -> Option<&UnixStream> {
        self.stream.as_ref()
    }

    /// Bytes held.
    pub fn backlog(&self) -> usize {
        self.backlog.len()
    }

    /// The socket had something to read when it was last looked at.
    pub fn is_readable(&self) -> bool {
        self.readable && !self.sends_no_more
    }

    pub fn set_readable(&mut self) {
        self.readable = true;
    }

    pub fn sends_no_more(&self) -> bool {
        self.sends_no_more
    }

    pub fn receives_no_more(&self) -> bool {
        self.receives_no_more
    }

    /// Reads what is there, at most a buffer full; notes the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        let Some(stream) = self.stream.as_ref().filter(|_| !buffer.is_empty()) else { return 0 };
        let result = loop {
            match recv(stream, &mut *buffer, RecvFlags::DONTWAIT) {
                Err(Errno::INTR) => {}
                other => break other,
            }
        };
        match result {
            Ok((len, _)) if len > 0 => return len,
            Err(Errno::WOULDBLOCK) => {}
            // A reset socket has no more to say either.
            Ok(_) | Err(_) => self.sends_no_more = true,
        }
        self.readable = false;
        0
    }

    /// Takes bytes of the guest in order. Says how many have left our hands, of these or earlier ones: written, or
    /// dropped because the socket takes no more.
    pub fn write(&mut self, data: &[u8]) -> usize {
        let direct = if self.backlog.is_empty() { self.try_write(data) } else { 0 };
        if self.receives_no_more {
            return data.len() + self.refuse();
        }
        let rest = &data[direct..];
        // Exactly, so that credit bounds the memory too and not half of it.
        self.backlog.reserve_exact(rest.len());
        self.backlog.extend(rest);
        direct
    }

    /// Tries the backlog again. Says how many bytes have left our hands.
    pub fn flush(&mut self) -> usize {
        let mut left = 0;
        while !self.backlog.is_empty() {
            let mut backlog = std::mem::take(&mut self.backlog);
            let done = self.try_write(backlog.as_slices().0);
            if self.receives_no_more {
                return left + backlog.len();
            }
            backlog.drain(..done);
            left += done;
            // An empty queue gives its memory back: idle streams hold none.
            if !backlog.is_empty() {
                self.backlog = backlog;
            }
            if done == 0 {
                break;
            }
        }
        left
    }

    /// From now on everything for the socket is dropped, beginning with what is held. Says how many bytes that is.
    pub fn refuse(&mut self) -> usize {
        self.receives_no_more = true;
        std::mem::take(&mut self.backlog).len()
    }

    /// The guest sends no more, and all it sent is through.
    pub fn end_writing(&mut self) {
        if !std::mem::replace(&mut self.shut, true) {
            self.shutdown(Shutdown::Write);
        }
    }

    /// The guest receives no more: who writes to the socket gets an error.
    pub fn end_reading(&mut self) {
        self.shutdown(Shutdown::Read);
    }

    pub fn close(&mut self) {
        self.stream = None;
    }

    fn shutdown(&self, how: Shutdown) {
        if let Some(stream) = &self.stream {
            // It fails only when the other end is gone, and then there is nothing to shut.
            let _ = stream.shutdown(how);
        }
    }

    /// Writes what the socket takes; notes when it takes no more.
    fn try_write(&mut self, data: &[u8]) -> usize {
        let Some(stream) = self.stream.as_ref().filter(|_| !self.receives_no_more) else { return 0 };
        let mut done = 0;
        while done < data.len() {
            match send(stream, &data[done..], SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(len) => done += len,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => break,
                Err(_) => {
                    self.receives_no_more = true;
                    break;
                }
            }
        }
        done
    }
}
