//! One client: a connection that never waits, and the request that it has.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{AddressFamily, SocketFlags, SocketType, connect, socket_with},
};

use crate::answer::{Answer, Not};

pub(crate) struct Client {
    stream: TcpStream,
    /// Has one request in its life.
    pub(crate) fresh: bool,
    /// None while it is free.
    pub(crate) request: Option<Request>,
    sent: usize,
    pub(crate) received: Vec<u8>,
}

/// A request that is under way.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) number: u32,
    pub(crate) due: Duration,
    pub(crate) late: Duration,
}

/// Why a connection is of no more use.
pub(crate) enum Broken {
    Refused,
    Otherwise,
}

impl Client {
    /// Begins to connect.
    pub(crate) fn open(address: SocketAddr, fresh: bool) -> io::Result<Self> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = socket_with(family, SocketType::STREAM, flags, None)?;
        match connect(&socket, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => {}
            Err(error) => return Err(error.into()),
        }
        let stream = TcpStream::from(socket);
        stream.set_nodelay(true)?;
        Ok(Self { stream, fresh, request: None, sent: 0, received: Vec::new() })
    }

    pub(crate) fn begin(&mut self, request: Request) {
        self.request = Some(request);
        self.sent = 0;
        self.received.clear();
    }

    /// Sends what is left of the request as far as there is room, and reads what is there. The answer, once it is whole.
    pub(crate) fn go_on(&mut self, bytes: &[u8], scratch: &mut [u8]) -> Result<Option<Answer>, Broken> {
        self.send(bytes)?;
        let ended = self.receive(scratch)?;
        if self.request.is_none() {
            // A free one was closed, or hears what it did not ask for.
            return if ended || !self.received.is_empty() { Err(Broken::Otherwise) } else { Ok(None) };
        }
        match Answer::of(&self.received, ended) {
            Ok(answer) => Ok(Some(answer)),
            Err(Not::Yet) if !ended => Ok(None),
            Err(Not::Yet | Not::Http) => Err(Broken::Otherwise),
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), Broken> {
        while self.request.is_some() && self.sent < bytes.len() {
            match self.stream.write(&bytes[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Err(Broken::Refused),
                // An answer may have come before the end.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    /// Whether nothing more comes.
    fn receive(&mut self, scratch: &mut [u8]) -> Result<bool, Broken> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Ok(true),
                Ok(n) => self.received.extend_from_slice(&scratch[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Err(Broken::Refused),
                Err(_) => return Err(Broken::Otherwise),
            }
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsRawFd for Client {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}
