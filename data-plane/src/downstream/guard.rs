//! An HTTP/2 client's byte stream, watched: frames are counted as they pass, so that a client that only makes work is
//! noticed before its frames cost much, and so is one that stops in the middle of a header or takes nothing. Trailers
//! that are malformed in a way that the codec does not mind are found, too.

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::Client;
use crate::{
    buffer::Buffer,
    http2::{
        budget::Budget,
        frames::{Frame, Frames, Seen},
        hpack::Walker,
    },
    reason::Reason,
    stream::Stream,
};

/// What an answer costs that was in the way of others, in requests that are refused: ten of them end the connection.
const DISPLACED: u32 = 25;

/// Streams with malformed trailers that nobody has asked for. A client that has more is no client.
const MAX_MALFORMED: usize = 1_000;

/// What is known of a connection from its bytes; shared by its byte stream, its driver and its requests.
pub(super) struct Wire {
    client: Rc<Client>,
    /// None once the connection has ended.
    stream: RefCell<Option<Stream>>,
    /// What was read before it was known to be HTTP/2.
    ahead: RefCell<Buffer>,
    received: RefCell<Received>,
    /// Since when the client takes nothing.
    blocked: Cell<Option<Instant>>,
}

struct Received {
    frames: Frames,
    budget: Budget,
    /// When the budget was filled by time last.
    refilled: Instant,
    overdrawn: bool,
    /// Bytes that have come.
    bytes: u64,
    /// Whether the client has said how it wants to talk.
    began: bool,
    /// Within a header of several frames.
    in_header: bool,
    /// Since when the rest of a header, or of a small frame, is awaited.
    unfinished: Option<Instant>,
    /// Streams that the client has begun.
    opened: u32,
    /// Of them, those that did not become requests, as far as they were charged for.
    refused: u32,
    walker: Walker,
    /// Streams whose trailers are none.
    malformed: Vec<u32>,
}

/// The byte stream that HTTP/2 reads and writes.
#[derive(Debug)]
pub(super) struct Guard(pub(super) Rc<Wire>);

impl Wire {
    /// `ahead` is what was read of the stream already.
    pub(super) fn new(client: &Rc<Client>, stream: Stream, ahead: Buffer) -> Rc<Self> {
        Rc::new(Self {
            client: Rc::clone(client),
            stream: RefCell::new(Some(stream)),
            ahead: RefCell::new(ahead),
            received: RefCell::new(Received::new(Instant::now())),
            blocked: Cell::default(),
        })
    }

    /// The stream, after the end of HTTP/2 on it.
    pub(super) fn take_stream(&self) -> Option<Stream> {
        self.stream.take()
    }

    /// Whether the client has cost more than it may: nothing more of it is read.
    pub(super) fn is_overdrawn(&self) -> bool {
        self.received.borrow().overdrawn
    }

    /// Since when the client takes nothing.
    pub(super) fn blocked(&self) -> Option<Instant> {
        self.blocked.get()
    }

    /// Since when the rest of a header is awaited.
    pub(super) fn unfinished(&self) -> Option<Instant> {
        self.received.borrow().unfinished
    }

    /// Bytes that the client has sent.
    pub(super) fn received(&self) -> u64 {
        self.received.borrow().bytes
    }

    /// Of all streams that the client began, so many became requests. The others were refused on the way, which is
    /// charged.
    pub(super) fn accepted(&self, requests: u32) {
        // What waits to be read by HTTP/2, because it cannot write, is not refused yet.
        if self.blocked.get().is_none() {
            self.received.borrow_mut().accepted(requests);
        }
    }

    /// A request was refused after all.
    pub(super) fn refused(&self) {
        self.received.borrow_mut().spend(|budget| budget.refused(1));
    }

    /// An answer was not taken: not at all, or not before others wanted its place. A client for which that is no accident
    /// would go on for ever: one that takes no answers ends at once, and one that `takes` others after some more.
    pub(super) fn stalled(&self, reason: Reason, takes: bool) {
        let mut received = self.received.borrow_mut();
        if reason == Reason::ClientStalled && !takes {
            received.overdrawn = true;
        } else {
            received.spend(|budget| budget.refused(DISPLACED));
        }
    }

    /// Whether the trailers of this stream, which have come, are malformed. To be asked once.
    pub(super) fn has_malformed_trailers(&self, stream: h2::StreamId) -> bool {
        let malformed = &mut self.received.borrow_mut().malformed;
        let found = malformed.iter().position(|other| *other == stream.as_u32());
        found.map(|place| malformed.swap_remove(place)).is_some()
    }

    /// Bytes of a response were sent.
    pub(super) fn sent(&self, bytes: usize) {
        self.received.borrow_mut().budget.sent(bytes);
    }

    /// A response was sent to its end.
    pub(super) fn answered(&self) {
        self.received.borrow_mut().budget.answered();
    }

    fn poll_read(&self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_overdrawn() {
            // Whoever reads asks, and ends the connection.
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let mut ahead = self.ahead.borrow_mut();
        if ahead.is_empty() {
            ready!(self.with_stream(|stream| stream.poll_read(cx, buf)))?;
            let n = buf.filled().len() - before;
            self.client.local.counters().bytes_received.add(n as u64);
        } else {
            let n = ahead.unread().len().min(buf.remaining());
            buf.put_slice(&ahead.unread()[..n]);
            ahead.consume(n);
            if ahead.is_empty() {
                self.client.local.buffers().take_back(&mut ahead);
            }
        }
        self.received.borrow_mut().read(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }

    fn wrote(&self, outcome: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &outcome {
            Poll::Ready(Ok(n)) => {
                self.client.local.counters().bytes_sent.add(*n as u64);
                self.blocked.set(None);
            }
            Poll::Pending if self.blocked.get().is_none() => self.blocked.set(Some(Instant::now())),
            _ => {}
        }
        outcome
    }

    fn with_stream<T>(
        &self,
        poll: impl FnOnce(Pin<&mut Stream>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.stream.borrow_mut() {
            Some(stream) => poll(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Received {
    fn new(now: Instant) -> Self {
        Self {
            frames: Frames::of_client(),
            budget: Budget::new(),
            refilled: now,
            overdrawn: false,
            bytes: 0,
            began: false,
            in_header: false,
            unfinished: Some(now),
            opened: 0,
            refused: 0,
            walker: Walker::default(),
            malformed: Vec::new(),
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        let Self { frames, budget, in_header, opened, began, walker, malformed, .. } = self;
        let mut fresh = false;
        frames.read(bytes, |seen| match seen {
            Seen::Frame(frame) => {
                budget.received(frame);
                fresh |= !*in_header;
                *began = true;
                match frame {
                    Frame::Open { ends } => {
                        *opened += 1;
                        *in_header = !ends;
                    }
                    Frame::Trailers { ends } | Frame::Continuation { ends } => *in_header = !ends,
                    _ => {}
                }
            }
            Seen::Fragment(bytes) => walker.read(bytes),
            Seen::Block(block) => {
                // Of a request's head the codec minds what is wrong: RFC 9113 section 8.1.
                if !walker.end().pseudo.is_empty() && !block.opens {
                    malformed.push(block.stream);
                }
            }
        });
        self.overdrawn |= self.malformed.len() > MAX_MALFORMED;
        if !self.in_header && self.began && !self.frames.is_within_header() {
            self.unfinished = None;
        } else if fresh || self.unfinished.is_none() {
            self.unfinished = Some(Instant::now());
        }
        self.spend(|_| ());
    }

    fn accepted(&mut self, requests: u32) {
        let header_awaited = u32::from(self.in_header || self.frames.is_within_header());
        let refused = self.opened.saturating_sub(requests).saturating_sub(header_awaited);
        if let Some(more) = refused.checked_sub(self.refused).filter(|more| *more > 0) {
            self.refused = refused;
            self.spend(|budget| budget.refused(more));
        }
    }

    /// Looks at the clock only when it must.
    fn spend(&mut self, spend: impl FnOnce(&mut Budget)) {
        spend(&mut self.budget);
        self.overdrawn |= self.budget.is_overdrawn(|| {
            let now = Instant::now();
            now - std::mem::replace(&mut self.refilled, now)
        });
    }
}

impl AsyncRead for Guard {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read(cx, buf)
    }
}

impl AsyncWrite for Guard {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.0.wrote(self.0.with_stream(|stream| stream.poll_write(cx, bytes)))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.0.wrote(self.0.with_stream(|stream| stream.poll_write_vectored(cx, slices)))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.stream.borrow().as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.with_stream(|stream| stream.poll_flush(cx))
    }

    /// Nothing: the stream is closed by whoever takes it back, so that the client can read to the end.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("blocked", &self.blocked).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
