//! A request's body, as it comes from an HTTP/1 client.

use std::task::{Context, Poll, ready};

use super::{super::Client, input::Input};
use crate::{
    body::{Length, Pace, Patience},
    headers,
    http1::{Content, Framing, Most},
    message::Fields,
    reason::Reason,
    splice::{self, Pipe},
    stream::Io,
};

#[derive(Debug)]
pub(crate) struct Body<'a> {
    client: &'a Client,
    io: &'a Io,
    input: &'a mut Input,
    length: Length,
    bytes: u64,
    most_bytes: u64,
    pace: Pace,
}

impl<'a> Body<'a> {
    pub(super) fn new(
        client: &'a Client,
        io: &'a Io,
        input: &'a mut Input,
        framing: &Framing,
        patience: Patience,
    ) -> Self {
        let limits = client.listener.limits();
        input.content = Content::new(framing, Most::from(&limits));
        let length = input.content.length();
        let most_bytes = limits.max_request_body_bytes.unwrap_or(u64::MAX);
        Self { client, io, input, length, bytes: 0, most_bytes, pace: Pace::new(&limits, patience) }
    }

    pub(crate) fn length(&self) -> Length {
        self.length
    }

    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Reason>> {
        let n = ready!(self.poll_available(cx))?;
        Poll::Ready(Ok(&self.input.buffer.unread()[..n]))
    }

    pub(crate) fn consume(&mut self, n: usize) {
        self.input.content.consume(&mut self.input.buffer, n);
        self.bytes += n as u64;
    }

    /// As of a response's body.
    pub(crate) fn is_worth_splicing(&self) -> bool {
        self.input.content.left() >= splice::WORTH && self.input.buffer.is_empty() && self.io.is_plain()
    }

    /// As of a response's body.
    pub(crate) fn poll_into(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<Result<usize, Reason>> {
        let left = self.input.content.left();
        if left == 0 {
            return Poll::Ready(Ok(0));
        }
        let Poll::Ready(n) = self.io.with_socket(|socket| pipe.poll_fill(cx, socket, left)) else {
            return self.pace.poll_waiting(cx).map(Err);
        };
        let n = n.ok().filter(|n| *n > 0).ok_or(Reason::ClientGone)?;
        self.client.local.counters().bytes_received.add(n as u64);
        self.pace.received(n);
        self.input.content.passed_by(n);
        self.bytes += n as u64;
        Poll::Ready(Ok(n))
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        let mut trailers = self.input.content.take_trailers()?;
        headers::clean_trailers(&mut trailers);
        Some(trailers)
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.input.content.is_ended()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads on, as long as there is room, because only the end of the stream says that the client has gone. What
    /// else comes is the beginning of the next request.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.input.ended {
                return Poll::Ready(());
            }
            if !self.input.buffer.has_room() {
                return Poll::Pending;
            }
            if ready!(self.input.poll_read(&self.client.local, self.io, cx)).is_err() {
                return Poll::Ready(());
            }
        }
    }

    fn poll_available(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, Reason>> {
        loop {
            let n = self.input.content.available(&mut self.input.buffer);
            let n = n.map_err(|_| Reason::RequestBodyMalformed)?;
            if self.bytes + n as u64 > self.most_bytes {
                return Poll::Ready(Err(Reason::RequestTooLarge));
            }
            if n > 0 && self.input.has_more() && self.input.content.is_better_whole(n) {
                match self.input.poll_read(&self.client.local, self.io, cx) {
                    Poll::Ready(Ok(more)) if more > 0 => {
                        self.pace.received(more);
                        continue;
                    }
                    // What is there comes first.
                    _ => {}
                }
            }
            if n > 0 || self.is_ended() {
                return Poll::Ready(Ok(n));
            }
            if self.input.ended {
                return Poll::Ready(Err(Reason::ClientGone));
            }
            match self.input.poll_read(&self.client.local, self.io, cx) {
                Poll::Ready(Ok(n)) => self.pace.received(n),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Reason::ClientGone)),
                Poll::Pending => return self.pace.poll_waiting(cx).map(Err),
            }
        }
    }
}
