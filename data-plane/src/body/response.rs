//! A response's body, to the client: our own text, or what a backend sends.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Duration, Instant};

use super::BodyError;
use crate::{alarm::Alarm, endpoint::InFlight, exchange::Exchange, headers, reason::Reason, upstream::Lease};

/// What the client is answered, and the account of the exchange, which is closed when the body ends or is dropped.
pub(crate) struct ResponseBody {
    content: Content,
    /// None where a tunnel has it.
    exchange: Option<Exchange>,
}

enum Content {
    Ended,
    Text(Bytes),
    Relayed(Relayed),
}

/// A backend's body, and what is held until it ends.
#[derive(Debug)]
pub(crate) struct Relayed {
    pub(crate) incoming: Incoming,
    /// The connection, which goes back to the pool after a clean end.
    pub(crate) lease: Lease,
    pub(crate) in_flight: InFlight,
    /// How long the backend may send nothing.
    pub(crate) idle_timeout: Duration,
    pub(crate) idle: Idle,
}

/// Since when the backend has sent nothing.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    since: Option<Instant>,
    alarm: Alarm,
}

impl ResponseBody {
    /// Our own answer.
    pub(crate) fn text(text: Bytes, mut exchange: Exchange) -> Self {
        // At once, because the answer to HEAD is never asked for its text.
        exchange.complete();
        let content = if text.is_empty() { Content::Ended } else { Content::Text(text) };
        Self { content, exchange: Some(exchange) }
    }

    /// A backend's.
    pub(crate) fn relayed(relayed: Relayed, exchange: Exchange) -> Self {
        let mut body = Self { content: Content::Relayed(relayed), exchange: Some(exchange) };
        body.end_if_complete();
        body
    }

    /// Nothing, and nothing to account for: somebody else does that.
    pub(crate) fn nothing() -> Self {
        Self { content: Content::Ended, exchange: None }
    }

    /// Gives back what was held as soon as the last byte was handed on.
    fn end_if_complete(&mut self) {
        if matches!(&self.content, Content::Relayed(relayed) if relayed.incoming.is_end_stream()) {
            self.end();
        }
    }

    fn end(&mut self) {
        if let Content::Relayed(relayed) = std::mem::replace(&mut self.content, Content::Ended) {
            relayed.finish();
        }
        if let Some(exchange) = &mut self.exchange {
            exchange.complete();
        }
    }

    fn fail(&mut self, reason: Reason) -> BodyError {
        self.content = Content::Ended;
        if let Some(exchange) = &mut self.exchange {
            exchange.cut_short(reason);
        }
        BodyError(reason)
    }
}

impl Relayed {
    fn finish(self) {
        self.lease.release();
        drop(self.in_flight);
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Reason>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.idle.since = None;
                Poll::Ready(frame.map(|frame| frame.map_err(|_| Reason::BodyTruncated)))
            }
            Poll::Pending => {
                let since = *self.idle.since.get_or_insert_with(Instant::now);
                let timed_out = self.idle.alarm.poll(cx, since + self.idle_timeout);
                timed_out.map(|()| Some(Err(Reason::BodyTimeout)))
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = match &mut self.content {
            Content::Ended => return Poll::Ready(None),
            Content::Text(text) => {
                let text = std::mem::take(text);
                self.content = Content::Ended;
                return Poll::Ready(Some(Ok(Frame::data(text))));
            }
            Content::Relayed(relayed) => std::task::ready!(relayed.poll_frame(cx)),
        };
        Poll::Ready(match frame {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    headers::clean_trailers(trailers);
                }
                if let (Some(exchange), Some(data)) = (&mut self.exchange, frame.data_ref()) {
                    exchange.sent(data.len());
                }
                self.end_if_complete();
                Some(Ok(frame))
            }
            Some(Err(reason)) => Some(Err(self.fail(reason))),
            None => {
                self.end();
                None
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Ended => true,
            Content::Text(_) => false,
            Content::Relayed(relayed) => relayed.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Ended => SizeHint::with_exact(0),
            Content::Text(text) => SizeHint::with_exact(text.len() as u64),
            Content::Relayed(relayed) => relayed.incoming.size_hint(),
        }
    }
}

impl fmt::Debug for ResponseBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody").field("ended", &self.is_end_stream()).finish_non_exhaustive()
    }
}
