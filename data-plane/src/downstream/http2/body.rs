//! A request's body, as it comes from an HTTP/2 client.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::RecvStream;
use weir_proto::Limits;

use super::super::guard::Wire;
use crate::{
    body::{Length, Pace, Patience},
    headers,
    http2::fields,
    message::Fields,
    reason::Reason,
};

/// The client may send more only when what came was consumed.
#[derive(Debug)]
pub(crate) struct Body {
    wire: Rc<Wire>,
    incoming: RecvStream,
    length: Length,
    /// What came and was not consumed.
    current: Bytes,
    trailers: Option<Fields>,
    /// All of it has come, trailers as well.
    ended: bool,
    bytes: u64,
    /// How many there may be.
    most: Option<u64>,
    /// Fields that trailers may have.
    most_fields: usize,
    pace: Pace,
}

impl Body {
    pub(super) fn new(
        wire: &Rc<Wire>,
        incoming: RecvStream,
        length: Length,
        limits: &Limits,
        patience: Patience,
    ) -> Self {
        Self {
            wire: Rc::clone(wire),
            ended: length == Length::Empty,
            incoming,
            length,
            current: Bytes::new(),
            trailers: None,
            bytes: 0,
            most: limits.max_request_body_bytes,
            most_fields: limits.max_headers as usize,
            pace: Pace::new(limits, patience),
        }
    }

    pub(crate) fn length(&self) -> Length {
        self.length
    }

    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Reason>> {
        ready!(self.poll_current(cx))?;
        Poll::Ready(Ok(&self.current))
    }

    pub(crate) fn consume(&mut self, n: usize) {
        let n = n.min(self.current.len());
        self.current.advance(n);
        self.release(n);
    }

    /// Takes at most `n` of the bytes that came, without copying them.
    pub(crate) fn take(&mut self, n: usize) -> Bytes {
        let taken = self.current.split_to(n.min(self.current.len()));
        self.release(taken.len());
        taken
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.current.is_empty() && (self.ended || self.incoming.is_end_stream())
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// As [`RequestBody::poll_ended`](crate::body::RequestBody::poll_ended).
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let came = match self.length {
            Length::Empty => true,
            Length::Sized(n) => n == self.bytes,
            Length::Unknown => false,
        };
        if !came || self.incoming.is_end_stream() {
            return Poll::Ready(());
        }
        self.incoming.poll_data(cx).map(|_| ())
    }

    /// Never ready: the request's task is dropped when the client resets its stream.
    #[expect(clippy::unused_self, reason = "every body can be asked")]
    pub(crate) fn poll_gone(&mut self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Pending
    }

    fn poll_current(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        while self.current.is_empty() && !self.ended {
            match self.incoming.poll_data(cx) {
                Poll::Ready(Some(Ok(data))) => {
                    self.pace.received(data.len());
                    self.current = data;
                    let came = self.bytes + self.current.len() as u64;
                    if self.most.is_some_and(|most| came > most) {
                        return Poll::Ready(Err(Reason::RequestTooLarge));
                    }
                }
                Poll::Ready(Some(Err(e))) => return Poll::Ready(Err(reason(&e))),
                Poll::Ready(None) => return self.poll_trailers(cx),
                Poll::Pending => return self.pace.poll_waiting(cx).map(Err),
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        match self.incoming.poll_trailers(cx) {
            Poll::Ready(Ok(None)) => self.ended = true,
            Poll::Ready(Ok(Some(map))) => {
                let mut trailers = Fields::default();
                let malformed = self.wire.has_malformed_trailers(self.incoming.stream_id());
                let too_many = map.len() > self.most_fields;
                if malformed || too_many || fields::from_map(&map, &mut trailers).is_err() {
                    return Poll::Ready(Err(Reason::RequestBodyMalformed));
                }
                headers::clean_trailers(&mut trailers);
                self.trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
                self.ended = true;
            }
            Poll::Ready(Err(e)) => return Poll::Ready(Err(reason(&e))),
            Poll::Pending => return self.pace.poll_waiting(cx).map(Err),
        }
        Poll::Ready(Ok(()))
    }

    fn release(&mut self, n: usize) {
        self.bytes += n as u64;
        // It fails only where more is released than came.
        let _ = self.incoming.flow_control().release_capacity(n);
    }
}

/// A client that breaks a rule is told by a reset; one that resets or leaves has gone.
fn reason(error: &h2::Error) -> Reason {
    if error.is_library() { Reason::RequestBodyMalformed } else { Reason::ClientGone }
}
