//! Sends a request's body to an HTTP/2 backend, as its windows allow.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use tokio::time::Instant;

use crate::{
    body::{Length, RequestBody},
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
    /// The backend takes nothing any more: what it says counts.
    broken: bool,
    flow: Flow,
}

impl<'a> Upload<'a> {
    /// The head was sent; with the end, if the body has ended.
    pub(super) fn new(body: RequestBody<'a>, out: SendStream<Bytes>) -> Self {
        let flow = if body.is_ended() { Flow::Done(Instant::now()) } else { Flow::Client };
        Self { body, out, broken: false, flow }
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

    /// Whether another attempt would send the same.
    pub(super) fn is_untouched(&self) -> bool {
        self.body.bytes() == 0 && (self.body.length() == Length::Empty || !self.is_done())
    }

    pub(super) fn into_body(self) -> RequestBody<'a> {
        self.body
    }

    /// Some of the bytes that are there, copied only where they stand in a buffer.
    fn take(&mut self, n: usize, cx: &mut Context<'_>) -> Bytes {
        if let RequestBody::Http2(body) = &mut self.body {
            return body.take(n);
        }
        let data = match self.body.poll_fill(cx) {
            Poll::Ready(Ok(bytes)) => Bytes::copy_from_slice(&bytes[..n.min(bytes.len())]),
            _ => Bytes::new(),
        };
        self.body.consume(data.len());
        data
    }

    fn send(&mut self, data: Bytes) {
        let last = self.body.is_ended();
        if self.out.send_data(data, last).is_err() {
            self.give_up();
        } else {
            // The backend takes it: its time begins anew when it stops.
            self.flow = if last { Flow::Done(Instant::now()) } else { Flow::Client };
        }
    }

    fn end(&mut self) {
        let sent = match self.body.take_trailers() {
            Some(trailers) => self.out.send_trailers(fields::to_map(&trailers)),
            None => self.out.send_data(Bytes::new(), true),
        };
        self.broken = sent.is_err();
        self.flow = Flow::Done(Instant::now());
    }

    /// Only its response is waited for, which has its time.
    fn give_up(&mut self) {
        self.broken = true;
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
                }
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }
}
