//! One client of the backend: what it sends, one piece after the other, each answered when all of it has been read.

use std::{
    borrow::Cow,
    io::{self, ErrorKind, IoSlice, Read, Write},
    net::TcpStream,
    os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd},
};

use weir_bench_load::Interest;

use crate::{http1::Http1, http2::Http2, websocket};

static PAGE: [u8; 256 * 1_024] = [b'x'; 256 * 1_024];

pub(crate) struct Connection {
    stream: TcpStream,
    /// Read, and not yet made sense of.
    input: Vec<u8>,
    language: Language,
    /// The answer that is being written; none when there is nothing left of it.
    answer: Option<Answer>,
    waits_for_room: bool,
    slow: bool,
}

/// What is spoken on a connection; the first bytes, or an upgrade, decide.
enum Language {
    Http1(Http1),
    Http2(Http2),
    WebSocket,
}

/// Bytes of its own, then as many of the same letter as are asked for.
pub(crate) struct Answer {
    bytes: Cow<'static, [u8]>,
    sent: usize,
    page_left: u64,
    then: Then,
}

/// What follows an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Then {
    More,
    Close,
    WebSocket,
}

/// What is to be done after a connection had its turn.
pub(crate) enum Turn {
    Same,
    WaitFor(Interest),
    /// The answer is ready, and to be written when another while has passed.
    Later,
    End,
}

impl Connection {
    /// A `slow` one answers later.
    pub(crate) fn new(stream: TcpStream, slow: bool) -> Self {
        let language = Language::Http1(Http1::new());
        Self { stream, input: Vec::new(), language, answer: None, waits_for_room: false, slow }
    }

    /// Writes what it could not write before, else reads once and answers everything that is complete.
    pub(crate) fn turn(&mut self, scratch: &mut [u8]) -> io::Result<Turn> {
        if self.write()? == Some(Then::Close) {
            return Ok(Turn::End);
        }
        if self.answer.is_none() {
            match self.stream.read(scratch) {
                Ok(0) => return Ok(Turn::End),
                Ok(n) => self.input.extend_from_slice(&scratch[..n]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            while self.answer.is_none() {
                self.answer = self.next_answer();
                if self.answer.is_none() {
                    break;
                }
                if self.slow {
                    return Ok(Turn::Later);
                }
                if self.write()? == Some(Then::Close) {
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

    /// Uses up the input as far as one answer needs it.
    fn next_answer(&mut self) -> Option<Answer> {
        if let Language::Http1(http1) = &mut self.language {
            if !(http1.between_requests() && Http2::begins(&self.input)) {
                return http1.answer(&mut self.input);
            }
            self.language = Language::Http2(Http2::new());
        }
        let bytes = match &mut self.language {
            Language::Http2(http2) => http2.answer(&mut self.input),
            _ => websocket::echo(&mut self.input),
        };
        (!bytes.is_empty()).then(|| Answer::new(bytes, 0, Then::More))
    }

    /// Writes until there is no room (none), or there is nothing left: what follows.
    fn write(&mut self) -> io::Result<Option<Then>> {
        let Some(answer) = &mut self.answer else { return Ok(None) };
        loop {
            let bytes = &answer.bytes[answer.sent..];
            let page = usize::try_from(answer.page_left).unwrap_or(usize::MAX).min(PAGE.len());
            let written = match (bytes.len(), page) {
                (0, 0) => break,
                (_, 0) => self.stream.write(bytes),
                _ => self.stream.write_vectored(&[IoSlice::new(bytes), IoSlice::new(&PAGE[..page])]),
            };
            match written {
                Ok(n) => {
                    let of_bytes = n.min(bytes.len());
                    answer.sent += of_bytes;
                    answer.page_left -= (n - of_bytes) as u64;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        let then = answer.then;
        self.answer = None;
        if then == Then::WebSocket {
            self.language = Language::WebSocket;
        }
        Ok(Some(then))
    }
}

impl Answer {
    pub(crate) fn new(bytes: impl Into<Cow<'static, [u8]>>, page_left: u64, then: Then) -> Self {
        Self { bytes: bytes.into(), sent: 0, page_left, then }
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
