//! One socket of the floor, a client's or a backend's, and whom it is talking to.

use std::{
    io::{self, ErrorKind, Write},
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

/// How long one wait for a slow reader takes.
const SLOW_READER: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

pub(crate) struct Socket {
    pub(crate) stream: TcpStream,
    pub(crate) side: Side,
    /// The other end of the exchange in progress, by its number.
    pub(crate) partner: Option<usize>,
    /// Bytes that it still has to send of the body that it began.
    pub(crate) body_left: u64,
}

pub(crate) enum Side {
    /// With its address, as X-Forwarded-For says it.
    Client { address: String },
    /// With its place among the backends.
    Backend { place: usize },
}

impl Socket {
    pub(crate) fn client(stream: TcpStream, from: SocketAddr) -> Self {
        let side = Side::Client { address: from.ip().to_string() };
        Self { stream, side, partner: None, body_left: 0 }
    }

    pub(crate) fn backend(stream: TcpStream, place: usize) -> Self {
        Self { stream, side: Side::Backend { place }, partner: None, body_left: 0 }
    }

    /// Sends all of it, and waits where there is no room. A reader that is gone is noticed when it is read from.
    pub(crate) fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if wait_for_room(&self.stream).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }
}

fn wait_for_room(stream: &TcpStream) -> io::Result<()> {
    poll(&mut [PollFd::new(stream, PollFlags::OUT)], Some(&SLOW_READER))?;
    Ok(())
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}
