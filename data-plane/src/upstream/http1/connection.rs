//! A connection to a backend that speaks HTTP/1: what was read of it, and how far it got.

use std::{
    future::poll_fn,
    io,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker, ready},
};

use http::Method;
use tokio::{
    task::unconstrained,
    time::{Duration, Instant},
};

use crate::{
    buffer::Buffer,
    endpoint::Connected,
    http1::{KeepAlive, Most, ParsedResponse, response},
    message::ResponseHead,
    reason::Reason,
    retry::Progress,
    stream::{Io, Stream},
    worker::Local,
};

#[derive(Debug)]
pub(crate) struct Connection {
    io: Io,
    open: Open,
    pub(super) buffer: Buffer,
    born: Instant,
    /// Whether any byte came for the request under way.
    answered: bool,
    /// The last read filled all the room there was.
    full: bool,
    /// How long it may idle, as the backend said last.
    idle_limit: Option<Duration>,
}

/// A connection that is counted while it is open.
#[derive(Debug)]
struct Open(Rc<Local>, #[expect(dead_code, reason = "its end matters")] Connected);

impl Connection {
    pub(super) fn new(local: &Rc<Local>, stream: Stream, connected: Connected) -> Self {
        Self {
            io: Io::new(stream),
            open: Open::new(local, connected),
            buffer: Buffer::none(),
            born: Instant::now(),
            answered: false,
            full: false,
            idle_limit: None,
        }
    }

    pub(super) fn io(&self) -> &Io {
        &self.io
    }

    /// Notes what the backend says of how long it keeps the connection.
    pub(super) fn note(&mut self, keep_alive: KeepAlive) {
        self.idle_limit = keep_alive.idle_limit().or(self.idle_limit);
    }

    /// How long it may idle, if the backend has said anything of that.
    pub(crate) fn idle_limit(&self) -> Option<Duration> {
        self.idle_limit
    }

    pub(crate) fn born(&self) -> Instant {
        self.born
    }

    /// Whether anything has come since the last request ended.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Makes it ready for the next request: nothing of the last one may be left. Gives its room back.
    pub(crate) fn rest(&mut self) -> bool {
        let clean = self.buffer.is_empty();
        self.open.0.buffers().take_back(&mut self.buffer);
        self.answered = false;
        self.full = false;
        clean
    }

    /// Whether the backend has neither closed it nor said anything that nobody asked for. Costs no system call.
    pub(crate) fn is_quiet(&self) -> bool {
        is_quiet(&self.io)
    }

    pub(super) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        most: Most,
        head: &mut ResponseHead,
    ) -> Poll<Result<ParsedResponse, (Reason, Progress)>> {
        loop {
            if !self.buffer.is_empty() {
                match response::parse(self.buffer.unread(), method, most, head) {
                    Ok(Some(parsed)) => {
                        self.buffer.consume(parsed.bytes);
                        return Poll::Ready(Ok(parsed));
                    }
                    Ok(None) => {}
                    Err(reason) => return Poll::Ready(Err((reason, Progress::Answered))),
                }
                if !self.buffer.has_room() {
                    self.open.0.buffers().enlarge(&mut self.buffer, most.bytes);
                }
            }
            match ready!(self.poll_read(cx)) {
                Ok(n) if n > 0 => self.answered = true,
                _ => return Poll::Ready(Err((Reason::BackendReset, Progress::Answered))),
            }
        }
    }

    /// Whether more waits at the socket, as far as the last read tells.
    pub(super) fn has_more(&self) -> bool {
        self.full
    }

    /// Reads once; 0 bytes are the end. Takes room only when there is something to read.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.buffer.capacity() == 0 {
            if self.io.is_plain() {
                ready!(self.io.poll_readable(cx))?;
            }
            self.open.0.buffers().lend(&mut self.buffer);
        } else if self.full && self.buffer.is_empty() || !self.buffer.has_room() {
            self.open.0.buffers().enlarge(&mut self.buffer, 0);
        }
        let room = self.buffer.room();
        let size = room.len();
        let n = ready!(self.io.poll_read(cx, room))?;
        self.full = n == size;
        self.buffer.filled(n);
        Poll::Ready(Ok(n))
    }

    /// The stream, and what was read of it and not used.
    pub(crate) fn into_parts(self) -> (Io, Buffer) {
        (self.io, self.buffer)
    }
}

impl Open {
    fn new(local: &Rc<Local>, connected: Connected) -> Self {
        local.counters().upstream_opened.add(1);
        Self(Rc::clone(local), connected)
    }
}

/// Looks even where the task has used up its turn: then any socket that is asked pretends to have nothing.
fn is_quiet(io: &Io) -> bool {
    let read = poll_fn(|cx| io.poll_read(cx, &mut [0]));
    pin!(unconstrained(read)).poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.counters().upstream_closed.add(1);
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::AsyncWriteExt,
        net::{TcpListener, TcpStream},
        task::coop,
    };

    use super::*;

    #[tokio::test]
    async fn what_has_come_is_noticed_at_the_end_of_a_turn_too() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut backend = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        let io = Io::new(Stream::Plain(socket));
        assert!(is_quiet(&io));
        backend.write_all(b"unasked").await.unwrap();
        poll_fn(|cx| io.poll_readable(cx)).await.unwrap();
        poll_fn(|cx| {
            while pin!(coop::consume_budget()).poll(cx).is_ready() {}
            assert!(io.poll_read(cx, &mut [0]).is_pending(), "the turn is used up");
            assert!(!is_quiet(&io));
            Poll::Ready(())
        })
        .await;
    }
}
