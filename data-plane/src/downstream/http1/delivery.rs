//! Writes a reply to an HTTP/1 client: the head and a small body at once, a large one straight from where it was read.

use std::task::{Context, Poll, ready};

use http::{StatusCode, Version};

use super::super::{Blocked, Client};
use crate::{
    alarm::Alarm, body::Length, http1::write, message::Name, reason::Reason, reply::Reply, splice::Pipe,
    stream::Io,
};

/// So much is gathered before it is written.
const GATHER: usize = 16 * 1024;

/// From so many bytes on it is cheaper to write twice than to copy.
const DIRECT: usize = 8 * 1024;

#[derive(Debug)]
pub(super) struct Delivery<'d, 'a> {
    client: &'d Client,
    io: &'d Io,
    reply: &'d mut Reply<'a>,
    out: &'d mut Vec<u8>,
    written: usize,
    framing: Framing,
    persistent: bool,
    ended: bool,
    blocked: Blocked,
    /// Why the body will not come to its end.
    failed: Option<Reason>,
    /// What the kernel moves the body with.
    pipe: Option<Pipe>,
}

/// How the client sees the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Framing {
    /// There is no body, or its length stands in the head.
    Known,
    Chunked,
    UntilClose,
}

/// What came of gathering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gathered {
    /// Nothing follows what is in `out`.
    All,
    /// More follows.
    Some,
    /// More follows when the backend sends it.
    Waits,
    /// More follows when the client takes what it was sent.
    Blocked,
    /// No more follows, although it should.
    Failed(Reason),
}

impl<'d, 'a> Delivery<'d, 'a> {
    /// Makes the head of the reply. `out` may have something before it. `version` is the request's, `to_head` whether
    /// it was for the head only.
    pub(super) fn begin(
        client: &'d Client,
        io: &'d Io,
        reply: &'d mut Reply<'a>,
        out: &'d mut Vec<u8>,
        version: Version,
        to_head: bool,
        persistent: bool,
    ) -> Self {
        let status = reply.head.status;
        let bodyless = to_head
            || status.is_informational()
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let length = reply.length();
        write::status_line(out, status);
        write::fields(out, &reply.head.fields);
        let framing = match length {
            _ if bodyless => Framing::Known,
            Length::Unknown if version == Version::HTTP_10 => Framing::UntilClose,
            Length::Unknown => {
                write::field(out, b"transfer-encoding", b"chunked");
                Framing::Chunked
            }
            Length::Empty | Length::Sized(_) => Framing::Known,
        };
        let known = match length {
            Length::Empty if !bodyless => Some(0),
            Length::Sized(n) => Some(n),
            Length::Empty | Length::Unknown => None,
        };
        let may_have_length = !status.is_informational() && status != StatusCode::NO_CONTENT;
        if let Some(n) = known.filter(|_| may_have_length && !reply.head.fields.has(Name::ContentLength)) {
            write::number_field(out, b"content-length", n);
        }
        // What follows a body that nobody reads to its end cannot be told from it.
        let persistent = persistent && framing != Framing::UntilClose && !reply.gives_up_upload();
        if !persistent && !reply.is_tunnel() {
            write::field(out, b"connection", b"close");
        } else if version == Version::HTTP_10 {
            write::field(out, b"connection", b"keep-alive");
        }
        out.extend_from_slice(b"\r\n");
        if to_head {
            reply.forget_text();
        }
        let ended = bodyless || reply.is_ended() && framing != Framing::Chunked;
        Self {
            client,
            io,
            reply,
            out,
            written: 0,
            framing,
            persistent,
            ended,
            blocked: Blocked::default(),
            failed: None,
            pipe: None,
        }
    }

    pub(super) fn is_until_close(&self) -> bool {
        self.framing == Framing::UntilClose
    }

    pub(super) fn is_persistent(&self) -> bool {
        self.persistent
    }

    /// Ready when the last byte was written, or when that cannot be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, alarm: &mut Alarm) -> Poll<Result<(), Reason>> {
        self.reply.poll_upload(cx);
        loop {
            let gathered = match self.failed {
                Some(reason) => Gathered::Failed(reason),
                None => self.gather(cx).unwrap_or_else(Gathered::Failed),
            };
            if let Gathered::Failed(reason) = gathered {
                // What came before is the client's all the same.
                self.failed = Some(reason);
            }
            if self.written < self.out.len() {
                ready!(self.poll_write(cx, alarm))?;
            }
            match gathered {
                Gathered::Failed(reason) => {
                    let _ = self.io.poll_flush(cx);
                    return Poll::Ready(Err(reason));
                }
                Gathered::All => return self.poll_flush(cx, alarm),
                Gathered::Some => {}
                Gathered::Blocked => return self.poll_blocked(cx, alarm),
                Gathered::Waits => {
                    // What TLS holds back would never leave.
                    let _ = self.io.poll_flush(cx);
                    return self.reply.poll_client_gone(cx).map(|()| Err(Reason::ClientGone));
                }
            }
        }
    }

    /// Takes what there is of the body: into `out`, or to the socket where it stands.
    fn gather(&mut self, cx: &mut Context<'_>) -> Result<Gathered, Reason> {
        while !self.ended {
            if self.out.len() - self.written >= GATHER {
                return Ok(Gathered::Some);
            }
            if self.pipe.is_some() || self.may_splice() {
                if self.written < self.out.len() {
                    return Ok(Gathered::Some);
                }
                if let Some(stop) = self.splice(cx)? {
                    return Ok(stop);
                }
                continue;
            }
            let bytes = match self.reply.poll_fill(cx) {
                Poll::Ready(bytes) => bytes?,
                Poll::Pending => return Ok(Gathered::Waits),
            };
            if bytes.is_empty() {
                self.end();
                break;
            }
            let n = if self.framing != Framing::Chunked && bytes.len() >= DIRECT {
                let waiting = &self.out[self.written..];
                let Poll::Ready(n) = self.io.poll_write_both(cx, waiting, bytes) else {
                    return Ok(Gathered::Blocked);
                };
                let n = n.map_err(|_| Reason::ClientGone)?;
                self.client.local.counters().bytes_sent.add(n as u64);
                self.blocked.moved(n);
                let ours = n.min(waiting.len());
                self.written += ours;
                n - ours
            } else {
                let n = bytes.len().min(GATHER);
                match self.framing {
                    Framing::Chunked => write::chunk(self.out, &bytes[..n]),
                    Framing::Known | Framing::UntilClose => self.out.extend_from_slice(&bytes[..n]),
                }
                n
            };
            self.reply.consume(n);
        }
        Ok(Gathered::All)
    }

    /// Takes a pipe if the body is worth it.
    fn may_splice(&mut self) -> bool {
        if self.framing == Framing::Known && self.reply.is_worth_splicing() && self.io.is_plain() {
            self.pipe = self.client.local.pipes().take();
        }
        self.pipe.is_some()
    }

    /// Moves the body on without looking at it. None when it has ended.
    fn splice(&mut self, cx: &mut Context<'_>) -> Result<Option<Gathered>, Reason> {
        let Some(mut pipe) = self.pipe.take() else { return Ok(None) };
        loop {
            if pipe.held() == 0 {
                match self.reply.poll_into(cx, &mut pipe) {
                    Poll::Ready(Ok(0)) => {
                        self.client.local.pipes().give(pipe);
                        return Ok(None);
                    }
                    Poll::Ready(Ok(_)) => {}
                    Poll::Ready(Err(reason)) => return Err(reason),
                    Poll::Pending => {
                        self.pipe = Some(pipe);
                        return Ok(Some(Gathered::Waits));
                    }
                }
            }
            match self.io.with_socket(|socket| pipe.poll_drain(cx, socket)) {
                Poll::Ready(n) => {
                    let n = n.map_err(|_| Reason::ClientGone)?;
                    self.client.local.counters().bytes_sent.add(n as u64);
                    self.blocked.moved(n);
                }
                Poll::Pending => {
                    self.pipe = Some(pipe);
                    return Ok(Some(Gathered::Blocked));
                }
            }
        }
    }

    fn end(&mut self) {
        self.ended = true;
        if self.framing == Framing::Chunked {
            let trailers = self.reply.take_trailers();
            write::last_chunk(self.out, trailers.as_ref());
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, alarm: &mut Alarm) -> Poll<Result<(), Reason>> {
        while self.written < self.out.len() {
            match self.io.poll_write(cx, &self.out[self.written..]) {
                Poll::Ready(Ok(n)) if n > 0 => {
                    self.client.local.counters().bytes_sent.add(n as u64);
                    self.written += n;
                    self.blocked.moved(n);
                }
                Poll::Ready(_) => return Poll::Ready(Err(Reason::ClientGone)),
                Poll::Pending => return self.poll_blocked(cx, alarm),
            }
        }
        self.out.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Under TLS, what was written may still wait on our side.
    fn poll_flush(&mut self, cx: &mut Context<'_>, alarm: &mut Alarm) -> Poll<Result<(), Reason>> {
        match self.io.poll_flush(cx) {
            Poll::Ready(flushed) => Poll::Ready(flushed.map_err(|_| Reason::ClientGone)),
            Poll::Pending => self.poll_blocked(cx, alarm),
        }
    }

    /// Never ready but with the end of patience.
    fn poll_blocked(&mut self, cx: &mut Context<'_>, alarm: &mut Alarm) -> Poll<Result<(), Reason>> {
        let most = self.client.listener.limits().send_timeout;
        // What is in the pipe comes first.
        let reads_ahead = self.pipe.is_none();
        let of_connection = Some(self.client.listener.crowd().stalls());
        let reply = &mut *self.reply;
        reply.poll_blocked(cx, alarm, &mut self.blocked, most, reads_ahead, of_connection).map(Err)
    }
}
