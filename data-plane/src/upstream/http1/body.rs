//! A response's body, as it comes from an HTTP/1 backend.

use std::task::{Context, Poll, ready};

use super::Connection;
use crate::{
    body::Length,
    buffer::Buffer,
    headers,
    http1::{Content, Most, ParsedResponse},
    message::Fields,
    reason::Reason,
    splice::{self, Pipe},
    stream::Io,
};

/// Holds the connection until it ends.
#[derive(Debug)]
pub(crate) struct Body {
    connection: Box<Connection>,
    content: Content,
    length: Length,
    persistent: bool,
}

impl Body {
    /// `most` is what trailers may have.
    pub(super) fn new(mut connection: Box<Connection>, parsed: &ParsedResponse, most: Most) -> Self {
        if let Some(keep_alive) = parsed.keep_alive {
            connection.note(keep_alive);
        }
        let content = Content::new(&parsed.framing, most);
        Self { connection, length: content.length(), content, persistent: parsed.persistent }
    }

    pub(crate) fn io(&self) -> &Io {
        self.connection.io()
    }

    pub(crate) fn length(&self) -> Length {
        self.length
    }

    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Reason>> {
        let n = ready!(self.poll_available(cx))?;
        Poll::Ready(Ok(&self.connection.buffer.unread()[..n]))
    }

    /// As [`ResponseBody::is_last`](crate::body::ResponseBody::is_last).
    pub(crate) fn is_last(&self, n: usize) -> bool {
        self.content.is_last(&self.connection.buffer, n)
    }

    pub(crate) fn consume(&mut self, n: usize) {
        self.content.consume(&mut self.connection.buffer, n);
    }

    /// Whether what is to come is much, and could be moved by the kernel.
    pub(crate) fn is_worth_splicing(&self) -> bool {
        self.content.left() >= splice::WORTH && self.connection.buffer.is_empty() && self.io().is_plain()
    }

    /// Lets the kernel take what has come into an empty pipe. Ready with nothing when the body has ended.
    pub(crate) fn poll_into(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<Result<usize, Reason>> {
        let left = self.content.left();
        if left == 0 {
            return Poll::Ready(Ok(0));
        }
        let n = ready!(self.io().with_socket(|socket| pipe.poll_fill(cx, socket, left)));
        let n = n.ok().filter(|n| *n > 0).ok_or(Reason::BodyTruncated)?;
        self.content.passed_by(n);
        Poll::Ready(Ok(n))
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        let mut trailers = self.content.take_trailers()?;
        headers::clean_trailers(&mut trailers);
        Some(trailers)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.content.is_ended()
    }

    /// Whether the rest is in the buffer, or the connection ends with it.
    pub(crate) fn is_all_there(&self) -> bool {
        let there = self.connection.buffer.unread().len() as u64;
        !self.persistent || self.is_ended() || (1..=there).contains(&self.content.left())
    }

    /// The connection, if it may serve another request: after the end of the body.
    pub(crate) fn into_idle(mut self) -> Option<Box<Connection>> {
        let whole = self.content.is_ended() && self.connection.rest();
        (whole && self.persistent).then_some(self.connection)
    }

    /// After a `101`: the connection, which is no longer HTTP, and what was read of it.
    pub(crate) fn into_parts(self) -> (Io, Buffer) {
        self.connection.into_parts()
    }

    fn poll_available(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Reason>> {
        loop {
            let n = self.content.available(&mut self.connection.buffer);
            let n = n.map_err(|_| Reason::BodyTruncated)?;
            if n > 0 && self.connection.has_more() && self.content.is_better_whole(n) {
                match self.connection.poll_read(cx) {
                    Poll::Ready(Ok(more)) if more > 0 => continue,
                    // What is there comes first.
                    _ => {}
                }
            }
            if n > 0 || self.is_ended() {
                return Poll::Ready(Ok(n));
            }
            match ready!(self.connection.poll_read(cx)) {
                Ok(n) if n > 0 => {}
                Ok(_) if self.content.close() => {
                    self.persistent = false;
                    return Poll::Ready(Ok(0));
                }
                _ => return Poll::Ready(Err(Reason::BodyTruncated)),
            }
        }
    }
}
