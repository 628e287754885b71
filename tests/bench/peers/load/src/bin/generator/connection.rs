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

pub(crate) struct Connection {
    stream: TcpStream,
    /// The start of an answer, until its head is complete.
    head: Vec<u8>,
    /// Bytes left of the answer's body; none while its head is awaited.
    body_left: Option<u64>,
    sent: usize,
    received: u64,
    pub(crate) busy: bool,
    /// When its request was meant to be sent, counted from the start of the load.
    pub(crate) due: Duration,
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
        Ok(Self { stream, head, body_left: None, sent: 0, received: 0, busy: false, due })
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

    /// Reads until the answer is complete or nothing more is there. Any answer but 200 with a length is an error.
    pub(crate) fn receive(&mut self, buffers: &mut Buffers) -> io::Result<Progress> {
        loop {
            let n = match self.read(buffers) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::Waiting),
                Err(error) => return Err(error),
            };
            self.received += n as u64;
            let left = if let Some(left) = self.body_left {
                left.saturating_sub(n as u64)
            } else {
                self.head.extend_from_slice(&buffers.read[..n]);
                let Some(end) = end_of_head(&self.head) else { continue };
                let left = body_length(&self.head[..end])?.saturating_sub((self.head.len() - end) as u64);
                self.head.clear();
                left
            };
            self.body_left = Some(left);
            if left == 0 {
                (self.body_left, self.busy) = (None, false);
                return Ok(Progress::Answered(mem::take(&mut self.received)));
            }
        }
    }

    fn read(&mut self, buffers: &mut Buffers) -> io::Result<usize> {
        match self.body_left {
            Some(left) if left > BULK => {
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

fn body_length(head: &[u8]) -> io::Result<u64> {
    if !head.starts_with(b"HTTP/1.1 200") {
        return Err(io::Error::other("an answer that is not 200"));
    }
    let length = field(head, b"content-length").and_then(number);
    length.ok_or_else(|| io::Error::other("an answer without Content-Length"))
}

/// A request for `path`, with a body of `body` bytes if that is not 0.
pub(crate) fn request(path: &str, body: usize) -> Vec<u8> {
    let fields = "host: bench.local\r\nuser-agent: generator\r\n";
    let mut request = if body == 0 {
        format!("GET {path} HTTP/1.1\r\n{fields}accept: */*\r\n\r\n")
    } else {
        format!("POST {path} HTTP/1.1\r\n{fields}content-length: {body}\r\n\r\n")
    }
    .into_bytes();
    request.resize(request.len() + body, b'p');
    request
}
