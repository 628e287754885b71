//! One client of the backend: its requests one after the other, each answered when all of it has been read.

use std::{
    borrow::Cow,
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use weir_bench_load::{Interest, end_of_head, field, find, number};

static PAGE: [u8; 256 * 1_024] = [b'x'; 256 * 1_024];
const SMALL: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\nserver: be\r\n\r\nHello, World!";
/// Where the path must stand in a head.
const START_LINE: usize = 256;
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

pub(crate) struct Connection {
    stream: TcpStream,
    /// Read, and not yet made sense of.
    input: Vec<u8>,
    body: Body,
    request: Request,
    /// The answer that is being written; none when there is nothing left of it.
    answer: Option<Answer>,
    waits_for_room: bool,
}

/// What comes next from the client.
enum Body {
    /// A head: no body is awaited.
    None,
    Sized(u64),
    Chunked,
}

/// What a head said that matters for the answer.
#[derive(Default)]
struct Request {
    /// The size that the path asks for.
    size: Option<u64>,
    close: bool,
}

struct Answer {
    head: Cow<'static, [u8]>,
    head_sent: usize,
    body_left: u64,
}

/// What is to be done after a connection had its turn.
pub(crate) enum Turn {
    Same,
    WaitFor(Interest),
    End,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let (body, request) = (Body::None, Request::default());
        Self { stream, input: Vec::new(), body, request, answer: None, waits_for_room: false }
    }

    /// Writes what it could not write before, else reads once and answers every request that is complete.
    pub(crate) fn turn(&mut self, scratch: &mut [u8]) -> io::Result<Turn> {
        if self.answer.is_some() && self.write()? && self.request.close {
            return Ok(Turn::End);
        }
        if self.answer.is_none() {
            match self.stream.read(scratch) {
                Ok(0) => return Ok(Turn::End),
                Ok(n) => self.input.extend_from_slice(&scratch[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            while self.answer.is_none() && self.request_complete() {
                self.answer = Some(Answer::to(&self.request));
                if self.write()? && self.request.close {
                    return Ok(Turn::End);
                }
            }
        }
        if self.answer.is_some() == self.waits_for_room {
            return Ok(Turn::Same);
        }
        self.waits_for_room = self.answer.is_some();
        Ok(Turn::WaitFor(if self.waits_for_room { Interest::Write } else { Interest::Read }))
    }

    /// Uses up the input, at most to the end of one request. Whether it reached that.
    fn request_complete(&mut self) -> bool {
        if matches!(self.body, Body::None) {
            let Some(end) = end_of_head(&self.input) else { return false };
            let head = &self.input[..end];
            (self.request, self.body) = (Request::of(head), Body::of(head));
            self.input.drain(..end);
        }
        let ended = match &mut self.body {
            Body::None => true,
            Body::Sized(left) => {
                let here = self.input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                self.input.drain(..here);
                *left -= here as u64;
                *left == 0
            }
            Body::Chunked => {
                let last = find(&self.input, LAST_CHUNK);
                // Without it, what may be its beginning stays.
                let start = self.input.len().saturating_sub(LAST_CHUNK.len() - 1);
                self.input.drain(..last.map_or(start, |at| at + LAST_CHUNK.len()));
                last.is_some()
            }
        };
        if ended {
            self.body = Body::None;
        }
        ended
    }

    /// Writes until there is no room (false) or the whole answer is written (true).
    fn write(&mut self) -> io::Result<bool> {
        let Some(answer) = &mut self.answer else { return Ok(true) };
        loop {
            let head = &answer.head[answer.head_sent..];
            let page = usize::try_from(answer.body_left).unwrap_or(usize::MAX).min(PAGE.len());
            let written = match (head.len(), page) {
                (0, 0) => break,
                (_, 0) => self.stream.write(head),
                _ => self.stream.write_vectored(&[IoSlice::new(head), IoSlice::new(&PAGE[..page])]),
            };
            match written {
                Ok(n) => {
                    let of_head = n.min(head.len());
                    answer.head_sent += of_head;
                    answer.body_left -= (n - of_head) as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.answer = None;
        Ok(true)
    }
}

impl Request {
    fn of(head: &[u8]) -> Self {
        let start = &head[..head.len().min(START_LINE)];
        let size = find(start, b" /b/").and_then(|at| number(&head[at + 4..]));
        let close = field(head, b"connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        Self { size, close }
    }
}

impl Body {
    fn of(head: &[u8]) -> Self {
        if field(head, b"transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked")) {
            return Self::Chunked;
        }
        match field(head, b"content-length").and_then(number) {
            None | Some(0) => Self::None,
            Some(bytes) => Self::Sized(bytes),
        }
    }
}

impl Answer {
    fn to(request: &Request) -> Self {
        let (head, body_left) = match request.size {
            None => (Cow::Borrowed(SMALL), 0),
            Some(n) => (Cow::Owned(sized_head(n)), n),
        };
        Self { head, head_sent: 0, body_left }
    }
}

fn sized_head(size: u64) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {size}\r\nserver: be\r\n\r\n"
    )
    .into_bytes()
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
