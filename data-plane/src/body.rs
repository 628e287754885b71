//! The bodies of requests and responses, whatever protocol they come by: pulled piece by piece by whoever sends them on.

mod pace;
mod replay;

use std::{
    future::poll_fn,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;

pub(crate) use self::{
    pace::{Pace, Patience},
    replay::{MOST as MOST_KEPT, Replay},
};
use crate::{downstream, message::Fields, reason::Reason, upstream};

/// What is known of a body's length before it comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// There is no body.
    Empty,
    Sized(u64),
    Unknown,
}

/// What a client sends with a request.
#[derive(Debug)]
pub(crate) enum RequestBody<'a> {
    Http1(downstream::http1::Body<'a>),
    Http2(Box<downstream::http2::Body>),
    /// Sent before, or to several.
    Replay(Box<Replay<'a>>),
}

/// What a backend answers, or we do.
#[derive(Debug)]
pub(crate) enum ResponseBody {
    /// Our own words; none after they were taken.
    Text(Bytes),
    Http1(upstream::http1::Body),
    Http2(Box<upstream::http2::Body>),
}

impl RequestBody<'_> {
    pub(crate) fn length(&self) -> Length {
        match self {
            Self::Http1(body) => body.length(),
            Self::Http2(body) => body.length(),
            Self::Replay(body) => body.length(),
        }
    }

    /// The next bytes, at least one; none when the body has ended. They stay until they are consumed.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Reason>> {
        match self {
            Self::Http1(body) => body.poll_fill(cx),
            Self::Http2(body) => body.poll_fill(cx),
            Self::Replay(body) => body.poll_fill(cx),
        }
    }

    pub(crate) fn consume(&mut self, n: usize) {
        match self {
            Self::Http1(body) => body.consume(n),
            Self::Http2(body) => body.consume(n),
            Self::Replay(body) => body.consume(n),
        }
    }

    /// What followed the body, once it has ended.
    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        match self {
            Self::Http1(body) => body.take_trailers(),
            Self::Http2(body) => body.take_trailers(),
            Self::Replay(body) => body.take_trailers(),
        }
    }

    /// Whether nothing more will come, as far as that is known without asking.
    pub(crate) fn is_ended(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_ended(),
            Self::Http2(body) => body.is_ended(),
            Self::Replay(body) => body.is_ended(),
        }
    }

    /// Bytes consumed so far.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Http1(body) => body.bytes(),
            Self::Http2(body) => body.bytes(),
            Self::Replay(body) => body.bytes(),
        }
    }

    /// Takes what is left if it is there already. Whether that is all: if not, what comes next on the client's
    /// connection cannot be told from it.
    pub(crate) fn skip(&mut self) -> bool {
        let body = match self {
            Self::Http1(body) => body,
            Self::Http2(_) => return true,
            Self::Replay(body) => return body.rest().is_none_or(Self::skip),
        };
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match body.poll_fill(&mut cx) {
                Poll::Ready(Ok([])) => return true,
                Poll::Ready(Ok(bytes)) => {
                    let n = bytes.len();
                    body.consume(n);
                }
                _ => return false,
            }
        }
    }

    /// Ready when the client has ended what it sends, or sends what it should not, or has not yet sent what it announced.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(_) => Poll::Ready(()),
            Self::Http2(body) => body.poll_ended(cx),
            Self::Replay(body) => body.rest().map_or(Poll::Ready(()), |rest| rest.poll_ended(cx)),
        }
    }

    /// Takes the client's body away, which is all in `copy`, and leaves that in its place.
    pub(crate) fn set_aside(&mut self, copy: &Bytes) -> Self {
        std::mem::replace(self, Self::Replay(Box::new(Replay::whole(copy.clone()))))
    }

    /// Puts the client's body back behind its copy, or a copy of that.
    pub(crate) fn put_back(&mut self, body: Self) {
        if let Self::Replay(copy) = self {
            copy.follow(body);
        }
    }

    /// Does something that is not about the client, unless it goes.
    pub(crate) async fn while_client_stays<T>(
        &mut self,
        future: impl Future<Output = T>,
    ) -> Result<T, Reason> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            self.poll_gone(cx).map(|()| Err(Reason::ClientGone))
        })
        .await
    }

    /// Ready when the client has gone. For the time after the end of the body.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Http1(body) => body.poll_gone(cx),
            Self::Http2(body) => body.poll_gone(cx),
            Self::Replay(body) => body.rest().map_or(Poll::Pending, |rest| rest.poll_gone(cx)),
        }
    }
}

impl ResponseBody {
    pub(crate) fn length(&self) -> Length {
        match self {
            Self::Text(text) if text.is_empty() => Length::Empty,
            Self::Text(text) => Length::Sized(text.len() as u64),
            Self::Http1(body) => body.length(),
            Self::Http2(body) => body.length(),
        }
    }

    /// As of a request's body.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Reason>> {
        match self {
            Self::Text(text) => Poll::Ready(Ok(text)),
            Self::Http1(body) => body.poll_fill(cx),
            Self::Http2(body) => body.poll_fill(cx),
        }
    }

    pub(crate) fn consume(&mut self, n: usize) {
        match self {
            Self::Text(text) => *text = text.slice(n.min(text.len())..),
            Self::Http1(body) => body.consume(n),
            Self::Http2(body) => body.consume(n),
        }
    }

    /// Whether the `n` bytes that are there are all that is left, as far as that is known without reading more.
    pub(crate) fn is_last(&self, n: usize) -> bool {
        match self {
            Self::Text(_) => true,
            Self::Http1(body) => body.is_last(n),
            Self::Http2(body) => body.is_last(),
        }
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        match self {
            Self::Text(_) => None,
            Self::Http1(body) => body.take_trailers(),
            Self::Http2(body) => body.take_trailers(),
        }
    }

    /// Takes what is left, as far as it is there already.
    pub(crate) fn skip(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(Ok(bytes)) = self.poll_fill(&mut cx) {
            let n = bytes.len();
            if n == 0 {
                return;
            }
            self.consume(n);
        }
    }

    /// Whether nothing more is waited for, or the connection that it comes by ends with it.
    pub(crate) fn is_all_there(&self) -> bool {
        match self {
            Self::Text(_) => true,
            Self::Http1(body) => body.is_all_there(),
            Self::Http2(body) => body.is_ended(),
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        match self {
            Self::Text(text) => text.is_empty(),
            Self::Http1(body) => body.is_ended(),
            Self::Http2(body) => body.is_ended(),
        }
    }
}
