//! The byte stream of a probe by HTTP/2, which ends when the backend only makes work.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Duration,
};

use crate::{
    http2::{
        budget::Budget,
        frames::{Frames, Seen},
    },
    stream::Stream,
};

#[derive(Debug)]
pub(super) struct Bounded {
    stream: Stream,
    frames: Frames,
    /// Never filled by time: a probe is one request, and short.
    budget: Budget,
}

impl Bounded {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, frames: Frames::of_server(), budget: Budget::new() }
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        let Self { frames, budget, .. } = &mut *self;
        frames.read(&buf.filled()[before..], |seen| {
            if let Seen::Frame(frame) = seen {
                budget.answered_with(frame);
            }
        });
        if budget.is_overdrawn(|| Duration::ZERO) {
            return Poll::Ready(Err(io::Error::other("frames without an answer")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
