//! Writes a request to an HTTP/1 backend: the head and a small body at once, a large one straight from where it was
//! read.
//!
//! Until more was written than fits into one buffer, all of it is still there, and can be written again to another
//! backend. Of a request that may be repeated after it was sent, more is kept.

use std::{
    ops::{Deref, DerefMut},
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::time::Instant;

use crate::{
    body::{Length, MOST_KEPT, RequestBody},
    http1::write,
    message::{Name, RequestHead},
    reason::Reason,
    splice::Pipe,
    stream::Io,
    upstream::Flow,
    worker::Local,
};

/// So much is gathered before it is written.
const GATHER: usize = 16 * 1024;

/// From so many bytes on it is cheaper to write twice than to copy.
const DIRECT: usize = 8 * 1024;

#[derive(Debug)]
pub(crate) struct Upload<'a> {
    body: RequestBody<'a>,
    out: Out,
    written: usize,
    /// Where the body begins in `out`, while the head is in it.
    head: usize,
    /// How much of what was written stays in `out`.
    kept: Kept,
    framing: Framing,
    /// All that there is has been gathered.
    gathered: bool,
    /// The backend takes nothing any more: what it says counts.
    broken: bool,
    flow: Flow,
    /// What the kernel moves the body with.
    pipe: Option<Pipe>,
}

/// What of a request can be written once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// As much as is written at once: then it goes.
    Piece,
    /// All of it, up to the bound for that.
    All,
    /// Something that was written is not there any more.
    Lost,
}

/// How the backend sees the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is no body, or its length stands in the head.
    Known,
    Chunked,
}

impl<'a> Upload<'a> {
    /// `head` is the request as it goes to the backend, but for what says where its body ends. With `keeps`, it may be
    /// repeated after it was sent.
    pub(super) fn new(local: &Rc<Local>, head: &RequestHead, body: RequestBody<'a>, keeps: bool) -> Self {
        let framing = match body.length() {
            Length::Sized(0) | Length::Empty => Framing::Known,
            // All of it may be here, and the head say nothing of it: it came in pieces.
            _ if !head.fields.has(Name::ContentLength) => Framing::Chunked,
            _ => Framing::Known,
        };
        let mut out = Out(Rc::clone(local), local.texts().take());
        write_head(&mut out, head, framing);
        let gathered = matches!(body.length(), Length::Empty | Length::Sized(0));
        let fits = !matches!(body.length(), Length::Sized(n) if n > MOST_KEPT as u64);
        Self {
            body,
            head: out.len(),
            kept: if keeps && fits && !gathered { Kept::All } else { Kept::Piece },
            out,
            written: 0,
            framing,
            gathered,
            broken: false,
            flow: Flow::Client,
            pipe: None,
        }
    }

    /// Ready when all is with the backend, or it takes no more. An error is the client's.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, io: &Io) -> Poll<Result<(), Reason>> {
        if self.is_done() || self.broken {
            return Poll::Ready(Ok(()));
        }
        loop {
            let waits = self.gather(cx, io)?;
            if self.written < self.out.len() && !ready!(self.poll_write(cx, io)) {
                return Poll::Ready(Ok(()));
            }
            match waits {
                Waits::Not if self.gathered => {
                    // What TLS holds back would never leave.
                    match io.poll_flush(cx) {
                        Poll::Ready(Ok(())) => self.flow = Flow::Done(Instant::now()),
                        Poll::Ready(Err(_)) => self.give_up(),
                        Poll::Pending => return self.blocked(),
                    }
                    return Poll::Ready(Ok(()));
                }
                Waits::Not => {}
                Waits::ForClient => {
                    let _ = io.poll_flush(cx);
                    self.flow = Flow::Client;
                    return Poll::Pending;
                }
                Waits::ForBackend => return self.blocked(),
                Waits::ForNothing => {
                    self.give_up();
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.flow, Flow::Done(_))
    }

    /// Keeps nothing of what was sent.
    pub(crate) fn forget(&mut self) {
        if self.is_done() {
            self.kept = Kept::Lost;
            self.out.give_back();
        }
    }

    pub(super) fn flow(&self) -> Flow {
        self.flow
    }

    pub(super) fn has_sent(&self) -> bool {
        self.written > 0 || self.kept == Kept::Lost
    }

    pub(crate) fn body(&mut self) -> &mut RequestBody<'a> {
        &mut self.body
    }

    pub(crate) fn into_body(self) -> RequestBody<'a> {
        self.body
    }

    /// Whether it can be written once more from the start.
    pub(crate) fn is_whole(&self) -> bool {
        self.kept != Kept::Lost
    }

    /// The same; if so, it will be.
    pub(crate) fn rewind(&mut self) -> bool {
        if self.kept == Kept::Lost {
            return false;
        }
        self.written = 0;
        self.broken = false;
        self.flow = Flow::Client;
        true
    }

    /// Replaces the head, which says something else for another attempt. After `rewind`.
    pub(super) fn set_head(&mut self, head: &RequestHead) {
        let body = self.out.split_off(self.head);
        self.out.clear();
        write_head(&mut self.out, head, self.framing);
        self.head = self.out.len();
        self.out.extend_from_slice(&body);
    }

    /// Takes what there is of the body: into `out`, or to the socket where it stands.
    fn gather(&mut self, cx: &mut Context<'_>, io: &Io) -> Result<Waits, Reason> {
        while !self.gathered {
            if self.pipe.is_some() || self.may_splice(io) {
                if self.written < self.out.len() {
                    return Ok(Waits::Not);
                }
                match self.splice(cx, io)? {
                    Some(waits) => return Ok(waits),
                    None => self.gathered = true,
                }
                continue;
            }
            let room = self.room();
            if room == 0 {
                return Ok(Waits::Not);
            }
            let bytes = match self.body.poll_fill(cx) {
                Poll::Ready(bytes) => bytes?,
                Poll::Pending => return Ok(Waits::ForClient),
            };
            if bytes.is_empty() {
                self.end();
                break;
            }
            let n = if self.framing == Framing::Known && bytes.len() >= DIRECT && self.kept != Kept::All {
                let waiting = &self.out[self.written..];
                match io.poll_write_both(cx, waiting, bytes) {
                    Poll::Ready(Ok(n)) if n > 0 => {
                        let ours = n.min(waiting.len());
                        self.written += ours;
                        if n > ours {
                            self.kept = Kept::Lost;
                        }
                        self.flow = Flow::Client;
                        n - ours
                    }
                    Poll::Ready(_) => return Ok(Waits::ForNothing),
                    Poll::Pending => return Ok(Waits::ForBackend),
                }
            } else {
                let n = bytes.len().min(room);
                if self.framing == Framing::Chunked {
                    write::chunk(&mut self.out, &bytes[..n]);
                } else {
                    self.out.extend_from_slice(&bytes[..n]);
                }
                n
            };
            self.body.consume(n);
            self.gathered = self.framing == Framing::Known && self.has_come();
        }
        Ok(Waits::Not)
    }

    /// How much more is gathered before it is written.
    fn room(&mut self) -> usize {
        // The body counts, and what frames its pieces only where that is as much again.
        let fits = self.body.bytes() <= MOST_KEPT as u64 && self.out.len() <= self.head + 2 * MOST_KEPT;
        if self.kept == Kept::All && !fits {
            self.kept = Kept::Piece;
        }
        let before = if self.kept == Kept::All { self.written } else { 0 };
        (before + GATHER).saturating_sub(self.out.len())
    }

    /// Whether nothing more will come. A client of HTTP/2 may say so later, in a frame of its own.
    fn has_come(&self) -> bool {
        let declared = matches!(self.body.length(), Length::Sized(n) if self.body.bytes() >= n);
        declared || self.body.is_ended()
    }

    /// Takes a pipe if the body is worth it.
    fn may_splice(&mut self, io: &Io) -> bool {
        let RequestBody::Http1(body) = &self.body else { return false };
        if self.framing == Framing::Known
            && body.is_worth_splicing()
            && io.is_plain()
            && self.kept != Kept::All
        {
            self.pipe = self.out.0.pipes().take();
        }
        self.pipe.is_some()
    }

    /// Moves the body on without looking at it. None when it has ended.
    fn splice(&mut self, cx: &mut Context<'_>, io: &Io) -> Result<Option<Waits>, Reason> {
        let (Some(mut pipe), RequestBody::Http1(body)) = (self.pipe.take(), &mut self.body) else {
            return Ok(None);
        };
        loop {
            if pipe.held() == 0 {
                match body.poll_into(cx, &mut pipe) {
                    Poll::Ready(Ok(0)) => {
                        self.out.0.pipes().give(pipe);
                        return Ok(None);
                    }
                    Poll::Ready(Ok(_)) => self.kept = Kept::Lost,
                    Poll::Ready(Err(reason)) => return Err(reason),
                    Poll::Pending => {
                        self.pipe = Some(pipe);
                        return Ok(Some(Waits::ForClient));
                    }
                }
            }
            match io.with_socket(|socket| pipe.poll_drain(cx, socket)) {
                Poll::Ready(Ok(_)) => self.flow = Flow::Client,
                Poll::Ready(Err(_)) => return Ok(Some(Waits::ForNothing)),
                Poll::Pending => {
                    self.pipe = Some(pipe);
                    return Ok(Some(Waits::ForBackend));
                }
            }
        }
    }

    fn end(&mut self) {
        self.gathered = true;
        if self.framing == Framing::Chunked {
            let trailers = self.body.take_trailers();
            write::last_chunk(&mut self.out, trailers.as_ref());
        }
    }

    /// True when all that was gathered is written; false when the backend takes no more.
    fn poll_write(&mut self, cx: &mut Context<'_>, io: &Io) -> Poll<bool> {
        while self.written < self.out.len() {
            match io.poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.written += n;
                    self.flow = Flow::Client;
                }
                Poll::Ready(_) => {
                    self.give_up();
                    return Poll::Ready(false);
                }
                Poll::Pending => return self.blocked(),
            }
        }
        if !self.gathered && self.kept != Kept::All && self.out.len() >= GATHER / 2 {
            // There is no room to keep it.
            self.out.clear();
            self.written = 0;
            self.kept = Kept::Lost;
        }
        Poll::Ready(true)
    }

    /// Only its response is waited for, which has its time.
    fn give_up(&mut self) {
        self.broken = true;
        self.flow = Flow::Backend(Instant::now());
    }

    /// Since the backend took something last.
    fn blocked<T>(&mut self) -> Poll<T> {
        if !matches!(self.flow, Flow::Backend(_)) {
            self.flow = Flow::Backend(Instant::now());
        }
        Poll::Pending
    }
}

fn write_head(out: &mut Vec<u8>, head: &RequestHead, framing: Framing) {
    write::request_line(out, &head.method, head.target());
    write::fields(out, &head.fields);
    if framing == Framing::Chunked {
        write::field(out, b"transfer-encoding", b"chunked");
    }
    out.extend_from_slice(b"\r\n");
}

/// What `gather` stopped for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// There is something to write, or all of it is gathered.
    Not,
    ForClient,
    ForBackend,
    /// The backend takes no more.
    ForNothing,
}

/// Room that goes back to the worker.
#[derive(Debug)]
struct Out(Rc<Local>, Vec<u8>);

impl Deref for Out {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.1
    }
}

impl DerefMut for Out {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.1
    }
}

impl Out {
    fn give_back(&mut self) {
        if self.1.capacity() > 0 {
            self.0.texts().give(std::mem::take(&mut self.1));
        }
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        self.give_back();
    }
}
