//! One client: it sends a request whole and reads the answer whole, without ever waiting.

use std::{
    io::{self, ErrorKind, Read, Write},
    mem,
    net::{SocketAddr, TcpStream},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use rustix::net::{RecvFlags, recv};
use weir_bench_load::{end_of_head, field, number};

/// The most that one read of a head or of a short body takes.
const READ: usize = 256 * 1_024;
/// From this much left of a body on, its bytes are thrown away inside the system instead of being copied.
const BULK: u64 = 64 * 1_024;
/// The most that is thrown away at a time: more than any socket holds. Never written to, so that it costs no memory.
const THROWN_AWAY: usize = 64 << 20;

const LAST_CHUNK: [u8; 5] = *b"0\r\n\r\n";

pub(crate) struct Connection {
    stream: TcpStream,
    /// The start of an answer, until its head is complete.
    head: Vec<u8>,
    /// What is left of the answer's body; none while its head is awaited.
    left: Option<Left>,
    sent: usize,
    received: u64,
    pub(crate) busy: bool,
    /// When its request was meant to be sent, counted from the start of the load.
    pub(crate) due: Duration,
}

#[derive(Clone, Copy)]
enum Left {
    /// So many bytes.
    Sized(u64),
    /// All until the last chunk; with the bytes that came last.
    Chunked([u8; LAST_CHUNK.len()]),
}

/// Buffers that all connections share.
pub(crate) struct Buffers {
    read: Vec<u8>,
    thrown_away: Vec<u8>,
}

pub(crate) enum Progress {
    Waiting,
    /// With the bytes of the whole answer.
    Answered(u64),
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        let (head, due) = (Vec::with_capacity(1_024), Duration::ZERO);
        Ok(Self { stream, head, left: None, sent: 0, received: 0, busy: false, due })
    }

    /// Begins a request that was due at `due`.
    pub(crate) fn begin(&mut self, request: &[u8], due: Duration) -> io::Result<()> {
        (self.busy, self.sent, self.due) = (true, 0, due);
        self.send(request)
    }

    /// Sends what is left of the request, as far as there is room.
    pub(crate) fn send(&mut self, request: &[u8]) -> io::Result<()> {
        while self.sent < request.len() {
            match self.stream.write(&request[self.sent..]) {
                Ok(n) => self.sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Reads until the answer is complete or nothing more is there. Any answer but 200 is an error.
    pub(crate) fn receive(&mut self, buffers: &mut Buffers) -> io::Result<Progress> {
        loop {
            let n = match self.read(buffers) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waiting),
                Err(error) => return Err(error),
            };
            self.received += n as u64;
            let left = if let Some(left) = self.left {
                left.after(&buffers.read, n)
            } else {
                self.head.extend_from_slice(&buffers.read[..n]);
                let Some(end) = end_of_head(&self.head) else { continue };
                let left = Left::of(&self.head[..end])?.after(&self.head[end..], self.head.len() - end);
                self.head.clear();
                left
            };
            self.left = Some(left);
            if left.is_nothing() {
                (self.left, self.busy) = (None, false);
                return Ok(Progress::Answered(mem::take(&mut self.received)));
            }
        }
    }

    fn read(&mut self, buffers: &mut Buffers) -> io::Result<usize> {
        match self.left {
            Some(Left::Sized(left)) if left > BULK => {
                let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffers.thrown_away.len());
                let (_, n) = recv(&self.stream, &mut buffers.thrown_away[..most], RecvFlags::TRUNC)?;
                Ok(n)
            }
            _ => self.stream.read(&mut buffers.read),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

impl Buffers {
    pub(crate) fn new() -> Self {
        Self { read: vec![0; READ], thrown_away: vec![0; THROWN_AWAY] }
    }
}

impl Left {
    /// What a head announces.
    fn of(head: &[u8]) -> io::Result<Self> {
        if !head.starts_with(b"HTTP/1.1 200") {
            return Err(io::Error::other("an answer that is not 200"));
        }
        if field(head, b"transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked")) {
            return Ok(Self::Chunked([0; LAST_CHUNK.len()]));
        }
        let length = field(head, b"content-length").and_then(number).map(Self::Sized);
        length.ok_or_else(|| io::Error::other("an answer of unknown length"))
    }

    /// After `n` more bytes, at the start of `bytes` unless they were thrown away.
    fn after(self, bytes: &[u8], n: usize) -> Self {
        match self {
            Self::Sized(left) => Self::Sized(left.saturating_sub(n as u64)),
            Self::Chunked(mut last) => {
                let new = &bytes[..n];
                let new = &new[n.saturating_sub(last.len())..];
                last.rotate_left(new.len());
                let from = last.len() - new.len();
                last[from..].copy_from_slice(new);
                Self::Chunked(last)
            }
        }
    }

    fn is_nothing(self) -> bool {
        match self {
            Self::Sized(left) => left == 0,
            Self::Chunked(last) => last == LAST_CHUNK,
        }
    }
}
