//! A client of the backend: one request at a time.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
    time::Duration,
};

use rustix::net::sockopt::set_socket_linger;
use weir_bench_load::{end_of_head, field};

const CHECK: &[u8] = b"GET /healthz ";

pub(crate) struct Connection {
    stream: TcpStream,
    /// Which of all connections it is.
    pub(crate) number: u64,
    /// Read, and not yet a request.
    input: Vec<u8>,
    /// Whether a request is not answered yet.
    busy: bool,
    close: bool,
    /// What is left of an answer that drips.
    dripping: Vec<u8>,
}

/// What is asked.
#[derive(Clone, Copy)]
pub(crate) struct Request {
    pub(crate) check: bool,
}

/// Whether a connection can be used again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    More,
    Close,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream, number: u64) -> Self {
        Self { stream, number, input: Vec::new(), busy: false, close: false, dripping: Vec::new() }
    }

    /// Reads all that is there. An error, too, if the client has ended.
    pub(crate) fn read(&mut self, scratch: &mut [u8]) -> io::Result<()> {
        loop {
            match self.stream.read(scratch) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => self.input.extend_from_slice(&scratch[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next request, once it is whole and the one before is answered.
    pub(crate) fn next_request(&mut self) -> Option<Request> {
        if self.busy {
            return None;
        }
        let end = end_of_head(&self.input)?;
        let head = &self.input[..end];
        let asks_to_close =
            field(head, b"connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        self.close = asks_to_close || head.split(|byte| *byte == b'\n').next()?.ends_with(b"HTTP/1.0\r");
        let request = Request { check: head.starts_with(CHECK) };
        self.input.drain(..end);
        self.busy = true;
        Some(request)
    }

    /// Answers. So little that there is room, or the client is gone.
    pub(crate) fn answer(&mut self, bytes: &[u8]) -> io::Result<Then> {
        self.stream.write_all(bytes)?;
        self.busy = false;
        Ok(if self.close { Then::Close } else { Then::More })
    }

    /// Begins an answer whose bytes `drip` sends.
    pub(crate) fn begin_to_drip(&mut self, bytes: &[u8]) {
        self.dripping = bytes.to_vec();
    }

    /// Sends one more byte, or with `all` what is left. None while that is not everything.
    pub(crate) fn drip(&mut self, all: bool) -> io::Result<Option<Then>> {
        if all || self.dripping.len() == 1 {
            let rest = std::mem::take(&mut self.dripping);
            return self.answer(&rest).map(Some);
        }
        let first = self.dripping.remove(0);
        self.stream.write_all(&[first])?;
        Ok(None)
    }

    /// Ends with a reset in place of an end.
    pub(crate) fn reset(self) -> io::Result<()> {
        Ok(set_socket_linger(&self.stream, Some(Duration::ZERO))?)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl AsRawFd for Connection {
    fn as_raw_fd(&self) -> RawFd {
        self.stream.as_raw_fd()
    }
}
