//! A request's body of which the beginning, or all, is kept, so that it can be sent once more.

use std::task::{Context, Poll};

use bytes::{Buf, Bytes};

use super::{Length, RequestBody};
use crate::{message::Fields, reason::Reason};

/// So much of a body is kept for another attempt.
pub(crate) const MOST: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Replay<'a> {
    /// What comes first.
    kept: Bytes,
    /// What comes then, if anything does.
    rest: Option<Box<RequestBody<'a>>>,
    /// What follows all of it, if that was taken already.
    trailers: Option<Fields>,
    length: Length,
    bytes: u64,
}

impl Replay<'static> {
    /// All of a body.
    pub(crate) fn whole(bytes: Bytes) -> Self {
        let length = if bytes.is_empty() { Length::Empty } else { Length::Sized(bytes.len() as u64) };
        Self { kept: bytes, rest: None, trailers: None, length, bytes: 0 }
    }
}

impl<'a> Replay<'a> {
    /// What was taken of `rest` already, and then that.
    pub(crate) fn before(kept: Bytes, rest: RequestBody<'a>) -> Self {
        Self { kept, length: rest.length(), rest: Some(Box::new(rest)), trailers: None, bytes: 0 }
    }

    /// With what followed the body, which was taken of it.
    pub(crate) fn with_trailers(self, trailers: Option<Fields>) -> Self {
        Self { trailers, ..self }
    }

    /// What comes then, which only shows whether the client is still there: nothing is left of it.
    pub(super) fn follow(&mut self, end: RequestBody<'a>) {
        match self.rest.as_deref_mut() {
            None => self.rest = Some(Box::new(end)),
            Some(RequestBody::Replay(rest)) => rest.follow(end),
            Some(_) => {}
        }
    }

    /// Without what is kept.
    pub(super) fn rest(&mut self) -> Option<&mut RequestBody<'a>> {
        self.rest.as_deref_mut()
    }

    pub(super) fn length(&self) -> Length {
        self.length
    }

    pub(super) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Reason>> {
        match &mut self.rest {
            Some(rest) if self.kept.is_empty() => rest.poll_fill(cx),
            _ => Poll::Ready(Ok(&self.kept)),
        }
    }

    pub(super) fn consume(&mut self, n: usize) {
        self.bytes += n as u64;
        match &mut self.rest {
            Some(rest) if self.kept.is_empty() => rest.consume(n),
            _ => self.kept.advance(n.min(self.kept.len())),
        }
    }

    /// Takes at most `n` of what is kept, without copying it. None when nothing is left of that.
    pub(crate) fn take(&mut self, n: usize) -> Option<Bytes> {
        if self.kept.is_empty() {
            return None;
        }
        let taken = self.kept.split_to(n.min(self.kept.len()));
        self.bytes += taken.len() as u64;
        Some(taken)
    }

    pub(super) fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take().or_else(|| self.rest.as_mut()?.take_trailers())
    }

    pub(super) fn is_ended(&self) -> bool {
        self.kept.is_empty() && self.rest.as_ref().is_none_or(|rest| rest.is_ended())
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
