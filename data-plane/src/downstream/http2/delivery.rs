//! Sends a reply to an HTTP/2 client: the head and a small body at once, a large one as the client's windows allow.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::{SendStream, server::SendResponse};
use http::{HeaderValue, StatusCode, header};

use super::{
    super::{Blocked, Client, guard::Wire},
    SEND_BUFFER, stream,
};
use crate::{alarm::Alarm, body::Length, http2::fields, reason::Reason, reply::Reply};

pub(super) struct Delivery<'d, 'a> {
    client: &'d Client,
    wire: &'d Wire,
    reply: &'d mut Reply<'a>,
    out: SendStream<Bytes>,
    /// The client was told of the end.
    ended: bool,
    blocked: Blocked,
}

impl<'d, 'a> Delivery<'d, 'a> {
    /// Sends the head; `to_head` says that the request was for nothing else.
    pub(super) fn begin(
        client: &'d Client,
        wire: &'d Wire,
        respond: &mut SendResponse<Bytes>,
        reply: &'d mut Reply<'a>,
        to_head: bool,
    ) -> Result<Self, Reason> {
        let status = reply.head.status;
        let mut response = stream::response(&reply.head);
        if let Length::Sized(n) = reply.length()
            && status != StatusCode::NO_CONTENT
            && !response.headers().contains_key(header::CONTENT_LENGTH)
        {
            response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(n));
        }
        let ended = to_head
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
            || reply.is_ended();
        match respond.send_response(response, ended) {
            Ok(out) => Ok(Self { client, wire, reply, out, ended, blocked: Blocked::default() }),
            // What cannot be said in HTTP/2 was taken out: the stream has ended.
            Err(_) => Err(Reason::ClientGone),
        }
    }

    /// Ready when the last byte was sent, or when that cannot be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, alarm: &mut Alarm) -> Poll<Result<(), Reason>> {
        self.reply.poll_upload(cx);
        while !self.ended {
            let chunk = match self.reply.poll_fill(cx) {
                Poll::Ready(chunk) => chunk?,
                Poll::Pending => return self.poll_gone(cx),
            };
            if chunk.is_empty() {
                self.end()?;
                break;
            }
            self.out.reserve_capacity(chunk.len().min(SEND_BUFFER));
            let allowed = self.out.capacity();
            if allowed == 0 {
                ready!(self.poll_allowed(cx, alarm))?;
                continue;
            }
            let n = chunk.len().min(allowed);
            let data = Bytes::copy_from_slice(&chunk[..n]);
            self.blocked.moved(n);
            self.reply.consume(n);
            self.ended = self.reply.is_ended();
            self.wire.sent(n);
            self.out.send_data(data, self.ended).map_err(|_| Reason::ClientGone)?;
        }
        Poll::Ready(Ok(()))
    }

    fn end(&mut self) -> Result<(), Reason> {
        self.ended = true;
        let sent = match self.reply.take_trailers() {
            Some(trailers) => self.out.send_trailers(fields::to_map(&trailers)),
            None => self.out.send_data(Bytes::new(), true),
        };
        sent.map_err(|_| Reason::ClientGone)
    }

    /// Nothing comes from the backend.
    fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        self.out.poll_reset(cx).map(|_| Err(Reason::ClientGone))
    }

    /// Ready when the client allows more, has gone, or has allowed nothing for too long.
    fn poll_allowed(&mut self, cx: &mut Context<'_>, alarm: &mut Alarm) -> Poll<Result<(), Reason>> {
        match self.out.poll_capacity(cx) {
            Poll::Ready(Some(Ok(_))) => return Poll::Ready(Ok(())),
            Poll::Ready(_) => return Poll::Ready(Err(Reason::ClientGone)),
            Poll::Pending => {}
        }
        let most = self.client.listener.limits().send_timeout;
        self.reply.poll_blocked(cx, alarm, &mut self.blocked, most, true, None).map(Err)
    }
}
