//! Responses before the last one: RFC 9110 section 15.2.

use std::task::{Context, Poll};

use super::super::Client;
use crate::{http1::write, message::ResponseHead, stream::Io};

/// What waits for the client of an HTTP/1.1 request.
#[derive(Debug)]
pub(crate) struct Interim<'a> {
    client: &'a Client,
    io: &'a Io,
    /// What did not go out yet. The last response follows it.
    out: &'a mut Vec<u8>,
}

impl<'a> Interim<'a> {
    pub(super) fn new(client: &'a Client, io: &'a Io, out: &'a mut Vec<u8>) -> Self {
        Self { client, io, out }
    }

    pub(crate) fn send(&mut self, head: &ResponseHead) {
        write::status_line(self.out, head.status);
        write::fields(self.out, &head.fields);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Writes what the socket takes. Never ready: whoever waits for the last response goes on waiting.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) {
        while !self.out.is_empty() {
            match self.io.poll_write(cx, self.out) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.client.local.counters().bytes_sent.add(n as u64);
                    self.out.drain(..n);
                }
                // Whoever writes or reads next finds out.
                Poll::Ready(_) => self.out.clear(),
                Poll::Pending => return,
            }
        }
        // A stream that failed is found out by whoever reads or writes next.
        let _ = self.io.poll_flush(cx);
    }
}
