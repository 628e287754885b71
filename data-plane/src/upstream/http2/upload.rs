//! Sends a request's body to an HTTP/2 backend, as its windows allow.

use std::{
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::SendStream;
use tokio::time::Instant;

use super::{
    connection::{Clogged, Gauge},
    watch::Stream,
};
use crate::{
    body::{MOST_KEPT, Replay, RequestBody},
    http2::fields,
    reason::Reason,
    upstream::Flow,
};

/// What is handed to the connection at once.
const CHUNK: usize = 64 * 1024;

#[derive(Debug)]
pub(crate) struct Upload<'a> {
    body: RequestBody<'a>,
    out: SendStream<Bytes>,
    stream: Rc<Stream>,
    gauge: Gauge,
    /// While the backend takes nothing.
    clogged: Option<Clogged>,
    /// What was sent, in case that it must be sent once more. None once it is too much.
    kept: Option<Vec<Bytes>>,
    /// The backend takes nothing any more: what it says counts.
    broken: bool,
    flow: Flow,
}

impl<'a> Upload<'a> {
    /// The head was sent; with the end, if the body has ended.
    pub(super) fn new(
        body: RequestBody<'a>,
        out: SendStream<Bytes>,
        stream: Rc<Stream>,
        gauge: Gauge,
    ) -> Self {
        let flow = if body.is_ended() { Flow::Done(Instant::now()) } else { Flow::Client };
        Self { body, out, stream, gauge, clogged: None, kept: Some(Vec::new()), broken: false, flow }
    }

    /// Ready when all is with the backend, or it takes no more. An error is the client's.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        while !self.broken && !self.is_done() {
            let n = match self.body.poll_fill(cx) {
                Poll::Ready(Ok(bytes)) => bytes.len().min(CHUNK),
                Poll::Ready(Err(reason)) => {
                    self.broken = true;
                    self.out.send_reset(h2::Reason::CANCEL);
                    return Poll::Ready(Err(reason));
                }
                Poll::Pending => {
                    self.flow = Flow::Client;
                    return Poll::Pending;
                }
            };
            if n == 0 {
                self.end();
                break;
            }
            self.out.reserve_capacity(n);
            match self.out.capacity() {
                0 => ready!(self.poll_allowed(cx)),
                allowed => {
                    let data = self.take(n.min(allowed), cx);
                    self.send(data);
                }
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(crate) fn is_done(&self) -> bool {
        matches!(self.flow, Flow::Done(_))
    }

    pub(super) fn flow(&self) -> Flow {
        self.flow
    }

    pub(crate) fn body(&mut self) -> &mut RequestBody<'a> {
        &mut self.body
    }

    /// Whether it can be sent once more from its start.
    pub(crate) fn is_whole(&self) -> bool {
        self.kept.is_some()
    }

    /// Keeps nothing of what was sent.
    pub(crate) fn forget(&mut self) {
        self.kept = None;
    }

    /// The same from its start, if that can be had.
    pub(crate) fn rewind(self) -> Option<RequestBody<'a>> {
        let kept = match &*self.kept? {
            [] => return Some(self.body),
            [only] => only.clone(),
            pieces => pieces.concat().into(),
        };
        Some(RequestBody::Replay(Box::new(Replay::before(kept, self.body))))
    }

    /// Some of the bytes that are there, copied only where they stand in a buffer.
    fn take(&mut self, n: usize, cx: &mut Context<'_>) -> Bytes {
        let taken = match &mut self.body {
            RequestBody::Http2(body) => Some(body.take(n)),
            RequestBody::Replay(body) => body.take(n),
            RequestBody::Http1(_) => None,
        };
        let data = taken.unwrap_or_else(|| {
            let data = match self.body.poll_fill(cx) {
                Poll::Ready(Ok(bytes)) => Bytes::copy_from_slice(&bytes[..n.min(bytes.len())]),
                _ => Bytes::new(),
            };
            self.body.consume(data.len());
            data
        });
        self.keep(&data);
        data
    }

    fn keep(&mut self, data: &Bytes) {
        if self.body.bytes() > MOST_KEPT as u64 {
            self.kept = None;
        } else if let Some(kept) = &mut self.kept {
            kept.push(data.clone());
        }
    }

    fn send(&mut self, data: Bytes) {
        self.clogged = None;
        let last = self.body.is_ended();
        self.stream.sent(data.len());
        if self.out.send_data(data, last).is_err() {
            self.give_up();
        } else {
            // The backend takes it: its time begins anew when it stops.
            self.flow = if last { Flow::Done(Instant::now()) } else { Flow::Client };
        }
    }

    fn end(&mut self) {
        let sent = match self.body.take_trailers() {
            Some(trailers) => {
                // They cannot be had twice.
                self.kept = None;
                self.out.send_trailers(fields::to_map(&trailers))
            }
            None => self.out.send_data(Bytes::new(), true),
        };
        self.broken = sent.is_err();
        self.flow = Flow::Done(Instant::now());
    }

    /// Only its response is waited for, which has its time.
    fn give_up(&mut self) {
        self.broken = true;
        self.clogged = None;
        self.flow = Flow::Backend(Instant::now());
    }

    /// Ready when the backend allows more, or will never do so.
    fn poll_allowed(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match self.out.poll_capacity(cx) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(_) => self.give_up(),
            Poll::Pending => {
                if !matches!(self.flow, Flow::Backend(_)) {
                    self.flow = Flow::Backend(Instant::now());
                    self.clogged = Some(self.gauge.clog());
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}
