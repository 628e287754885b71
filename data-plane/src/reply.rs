//! A response on its way to the client: what both of their protocols write, and what is held until it is written.

mod ahead;
mod held;

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::time::{Duration, Instant};

use self::ahead::Ahead;
pub(crate) use self::held::Held;
use crate::{
    admission::Stalls,
    alarm::Alarm,
    body::{Length, ResponseBody},
    downstream::{Blocked, Holds},
    exchange::Exchange,
    health::{self, Verdict},
    message::{Fields, ResponseHead},
    reason::Reason,
    splice::Pipe,
    upgrade::Tunnel,
    upstream::{Answer, Upload},
};

/// How long a client whose request holds nothing may take nothing while others want its connection's place.
const LISTENER_GRACE: Duration = Duration::from_secs(1);

/// Cheaper to copy than to think about.
const SMALL_PIECE: usize = 4 * 1024;

/// Dropped before it is complete, the client has gone.
#[derive(Debug)]
pub(crate) struct Reply<'a> {
    /// As it goes to the client, but for what says where its body ends.
    pub(crate) head: ResponseHead,
    /// What was taken of the body while the client took nothing.
    ahead: Option<Box<Ahead>>,
    /// What the body ended with after that, other than well.
    failed_ahead: Option<Reason>,
    body: ResponseBody,
    upload: Option<Upload<'a>>,
    /// None once the backend has done its part, and where there was none.
    held: Option<Held>,
    trailers: Option<Fields>,
    /// Why it will not come to its end.
    failed: Option<Reason>,
    exchange: Exchange,
    tunnel: bool,
    closes: bool,
}

impl<'a> Reply<'a> {
    /// Our own answer. `closes` where what follows on the connection cannot be trusted.
    pub(crate) fn own(head: ResponseHead, text: Bytes, exchange: Exchange, closes: bool) -> Self {
        let body = ResponseBody::Text(text);
        Self {
            head,
            ahead: None,
            failed_ahead: None,
            body,
            upload: None,
            held: None,
            trailers: None,
            failed: None,
            exchange,
            tunnel: false,
            closes,
        }
    }

    /// A backend's. With `tunnel`, what follows its head is no longer HTTP.
    pub(crate) fn relayed(answer: Answer<'a>, held: Held, exchange: Exchange, tunnel: bool) -> Self {
        let Answer { head, body, upload } = answer;
        let mut reply = Self {
            head,
            ahead: None,
            failed_ahead: None,
            body,
            upload: Some(upload),
            held: Some(held),
            trailers: None,
            failed: None,
            exchange,
            tunnel,
            closes: false,
        };
        reply.release_if_ended();
        reply
    }

    /// Why it is as it is.
    pub(crate) fn reason(&self) -> Reason {
        self.exchange.reason()
    }

    pub(crate) fn length(&self) -> Length {
        self.body.length()
    }

    /// Whether nothing more is to be sent, trailers neither.
    pub(crate) fn is_ended(&self) -> bool {
        self.body.is_ended() && self.ahead.is_none() && self.trailers.is_none() && self.failed_ahead.is_none()
    }

    pub(crate) fn is_tunnel(&self) -> bool {
        self.tunnel
    }

    /// Whether the connection must not be used again.
    pub(crate) fn closes(&self) -> bool {
        self.closes
    }

    /// Whether a part of the request is still to be sent.
    pub(crate) fn is_uploading(&self) -> bool {
        self.upload.as_ref().is_some_and(|upload| !upload.is_done())
    }

    /// Whether the rest of the request will not be taken, as far as that is known before the answer was written: the
    /// answer is all here, or no success, or ends the backend's connection.
    pub(crate) fn gives_up_upload(&self) -> bool {
        self.is_uploading() && (!self.head.status.is_success() || self.body.is_all_there())
    }

    /// Goes on sending the request while the response is relayed, and leaves a backend that must be left. To be polled
    /// with everything that is waited for.
    pub(crate) fn poll_upload(&mut self, cx: &mut Context<'_>) {
        self.poll_leave(cx);
        if let Some(upload) = self.upload.as_mut().filter(|upload| !upload.is_done())
            && let Poll::Ready(Err(reason)) = upload.poll(cx, &self.body)
        {
            self.failed.get_or_insert(reason);
        }
    }

    /// The next bytes of the body, at least one; none when it has ended.
    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Reason>> {
        if let Some(reason) = self.failed {
            return Poll::Ready(Err(reason));
        }
        if self.ahead.is_some() {
            return Poll::Ready(Ok(self.ahead.as_ref().map_or(&[], |ahead| ahead.text())));
        }
        if let Some(reason) = self.failed_ahead {
            return Poll::Ready(Err(reason));
        }
        let ended = match self.body.poll_fill(cx) {
            Poll::Ready(bytes) => bytes?.is_empty(),
            Poll::Pending => return self.poll_silent(cx),
        };
        if let Some(held) = &mut self.held {
            held.silent_since = None;
        }
        if ended {
            self.release();
            return Poll::Ready(Ok(&[]));
        }
        self.body.poll_fill(cx)
    }

    pub(crate) fn consume(&mut self, n: usize) {
        self.exchange.sent(n);
        if let Some(ahead) = &mut self.ahead {
            ahead.consume(n);
            if ahead.text().is_empty() {
                self.ahead = None;
            }
            return;
        }
        self.body.consume(n);
        self.release_if_ended();
    }

    /// The client takes nothing: ready when it must go. What is there of the body is taken from the backend, if
    /// `reads_ahead`: one that is wholly here holds no place, no connection and no buffer. `of_connection` are those who
    /// want the place of the client's connection, where that goes with the request.
    pub(crate) fn poll_blocked(
        &mut self,
        cx: &mut Context<'_>,
        alarm: &mut Alarm,
        blocked: &mut Blocked,
        most: Duration,
        reads_ahead: bool,
        of_connection: Option<&Arc<Stalls>>,
    ) -> Poll<Reason> {
        if let Some(held) = self.held.as_ref().filter(|_| reads_ahead && !self.tunnel) {
            let stalled = blocked.has_stalled(cx, alarm, held.stall_grace);
            self.read_ahead(cx, stalled);
        }
        // Of no more use, and this may last.
        self.head.fields = Fields::default();
        self.upload.iter_mut().for_each(Upload::forget);
        blocked.poll(cx, alarm, most, self.holds(of_connection))
    }

    /// Takes small pieces and the last one at once, so that a large body that only waits for a moment is not copied, and
    /// everything from a client that has `stalled`.
    fn read_ahead(&mut self, cx: &mut Context<'_>, stalled: bool) {
        while let Some(held) = &self.held
            && self.failed_ahead.is_none()
        {
            let n = match self.body.poll_fill(cx) {
                Poll::Ready(Ok(bytes)) => bytes.len(),
                Poll::Ready(Err(reason)) => return self.failed_ahead = Some(reason),
                Poll::Pending => return,
            };
            if n == 0 {
                return self.release();
            }
            let local = &held.local;
            let much = !stalled && n > SMALL_PIECE && !self.body.is_last(n);
            if much || !ahead::has_room(local, self.ahead.as_deref(), n) {
                return;
            }
            let ahead = self.ahead.get_or_insert_with(|| Box::new(Ahead::new(local)));
            if let Poll::Ready(Ok(bytes)) = self.body.poll_fill(cx) {
                ahead.add(&bytes[..n]);
            }
            self.body.consume(n);
            self.release_if_ended();
        }
    }

    /// What the request holds that others may wait for, besides what its connection does.
    fn holds<'h>(&'h self, of_connection: Option<&'h Arc<Stalls>>) -> Holds<'h> {
        let Some(held) = &self.held else {
            return Holds { grace: LISTENER_GRACE, stalls: [None, None, of_connection] };
        };
        let endpoint = held.in_flight.endpoint();
        let way = match &self.body {
            ResponseBody::Http2(body) => body.stalls(),
            ResponseBody::Http1(_) | ResponseBody::Text(_) => endpoint.connections().stalls(),
        };
        let stalls = [Some(endpoint.live().gate().stalls()), Some(way), of_connection];
        Holds { grace: held.stall_grace, stalls }
    }

    /// Whether what is to come of the body is much, and could be moved by the kernel.
    pub(crate) fn is_worth_splicing(&self) -> bool {
        let is_worth =
            |body: &ResponseBody| matches!(body, ResponseBody::Http1(body) if body.is_worth_splicing());
        is_worth(&self.body) && self.ahead.is_none()
    }

    /// As `poll_fill` and `consume`, into an empty pipe. Ready with nothing when the body has ended.
    pub(crate) fn poll_into(&mut self, cx: &mut Context<'_>, pipe: &mut Pipe) -> Poll<Result<usize, Reason>> {
        if let Some(reason) = self.failed {
            return Poll::Ready(Err(reason));
        }
        let ResponseBody::Http1(body) = &mut self.body else { return Poll::Ready(Ok(0)) };
        let Poll::Ready(n) = body.poll_into(cx, pipe) else {
            return self.poll_silent(cx).map(|outcome| outcome.map(<[u8]>::len));
        };
        if let Some(held) = &mut self.held {
            held.silent_since = None;
        }
        let n = n?;
        self.exchange.sent(n);
        self.release_if_ended();
        Poll::Ready(Ok(n))
    }

    /// What followed the body, once it has ended.
    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    /// Ready when the client has gone: for the time while only the backend is waited for.
    pub(crate) fn poll_client_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.failed.is_some() {
            return Poll::Ready(());
        }
        match self.upload.as_mut().filter(|upload| upload.is_done()) {
            Some(upload) => upload.poll_client_gone(cx),
            None => Poll::Pending,
        }
    }

    /// The answer to HEAD has no body; what it would have been has been said.
    pub(crate) fn forget_text(&mut self) {
        if let ResponseBody::Text(text) = &mut self.body {
            text.clear();
        }
    }

    /// The last byte was handed on. The time of it.
    pub(crate) fn complete(mut self) -> Instant {
        self.release();
        self.count_upload();
        self.exchange.complete()
    }

    /// The same, while the request may not have ended.
    pub(crate) fn complete_before_upload(mut self) -> Option<Upload<'a>> {
        self.release();
        self.count_upload();
        self.exchange.complete();
        self.upload
    }

    /// The response began, and was cut.
    pub(crate) fn fail(mut self, reason: Reason) {
        if let (Some(held), Some(verdict)) = (&mut self.held, Verdict::of_failure(reason))
            && let Some(service) = self.exchange.service()
        {
            health::learn(service, &mut held.in_flight, verdict);
        }
        self.count_upload();
        self.exchange.cut_short(reason);
    }

    /// What follows the head of a `101`.
    pub(crate) fn into_tunnel(mut self) -> Option<Tunnel> {
        let ResponseBody::Http1(body) = self.body else { return None };
        let (backend, read) = body.into_parts();
        let in_flight = self.held.take()?.in_flight;
        in_flight.endpoint().passive().end_well();
        Some(Tunnel { backend, read, in_flight, exchange: self.exchange })
    }

    /// The backend's part ends here, however slowly the client takes what came.
    fn poll_leave(&mut self, cx: &mut Context<'_>) {
        // A tunnel leaves by itself.
        let Some(held) = self.held.as_mut().filter(|_| !self.tunnel) else { return };
        if held.leave.poll(cx, held.in_flight.endpoint()).is_ready() {
            self.failed.get_or_insert(Reason::BackendDrainTimeout);
            self.count_upload();
            (self.held, self.upload) = (None, None);
            self.body = ResponseBody::Text(Bytes::new());
            self.ahead = None;
        }
    }

    fn poll_silent(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Reason>> {
        let Some(held) = &mut self.held else { return Poll::Pending };
        let since = *held.silent_since.get_or_insert_with(Instant::now);
        ready!(held.alarm.poll(cx, since + held.body_idle));
        Poll::Ready(Err(Reason::BodyTimeout))
    }

    fn release_if_ended(&mut self) {
        if self.held.is_some() && !self.tunnel && self.body.is_ended() {
            self.release();
        }
    }

    /// Gives back what was held as soon as the last byte was read.
    fn release(&mut self) {
        let Some(held) = self.held.take() else { return };
        if held.good_so_far {
            held.in_flight.endpoint().passive().end_well();
        }
        self.trailers = self.body.take_trailers();
        let body = std::mem::replace(&mut self.body, ResponseBody::Text(Bytes::new()));
        let sent = !self.is_uploading();
        if let (ResponseBody::Http1(body), true) = (body, sent)
            && let Some(connection) = body.into_idle()
        {
            let now = self.exchange.answered_at();
            held.local.pool().give(held.in_flight.endpoint(), connection, held.connection_idle, now);
        }
    }

    fn count_upload(&mut self) {
        if let Some(upload) = &mut self.upload {
            self.exchange.received(upload.bytes());
        }
    }
}
