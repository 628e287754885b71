//! One request of a connection, from its head to the end of the response, in a task of its own.

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use h2::{RecvStream, server::SendResponse};
use http::{Method, Request, StatusCode};
use tokio::time::{Duration, Instant, timeout};

use super::{
    super::{self as downstream, Client, guard::Wire},
    Body, Interim,
    delivery::Delivery,
    heads::Heads,
    inbound::{self, Refusal},
};
use crate::{
    alarm::Alarm,
    body::{Patience, RequestBody},
    http2::fields,
    message::{RequestHead, ResponseHead},
    proxy,
    reason::Reason,
    reply::Reply,
    upstream::Upload,
    worker::Waiter,
};

/// The requests of a connection that have not ended.
#[derive(Debug)]
pub(super) struct Streams {
    client: Rc<Client>,
    heads: Rc<Heads>,
    active: Cell<usize>,
    idle_since: Cell<Instant>,
    /// Of the task that wants to know when there is none.
    driver: RefCell<Option<Waker>>,
}

/// One of them, while it lives.
#[derive(Debug)]
pub(super) struct Active(Rc<Streams>);

impl Streams {
    pub(super) fn new(client: &Rc<Client>) -> Self {
        Self {
            client: Rc::clone(client),
            heads: Rc::default(),
            active: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
            driver: RefCell::default(),
        }
    }

    /// Wakes this task whenever the last request has ended, or the connection is to end.
    pub(super) fn watched_by(&self, driver: &Waker) {
        self.driver.replace(Some(driver.clone()));
    }

    pub(super) fn begin(self: &Rc<Self>) -> Active {
        self.active.set(self.active.get() + 1);
        self.client.standing.begin();
        Active(Rc::clone(self))
    }

    fn wake_driver(&self) {
        if let Some(driver) = &*self.driver.borrow() {
            driver.wake_by_ref();
        }
    }

    /// Since when there is none.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.active.get() == 0).then(|| self.idle_since.get())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let Streams { client, active, idle_since, .. } = &*self.0;
        client.standing.end();
        active.set(active.get() - 1);
        if active.get() == 0 {
            idle_since.set(Instant::now());
            self.0.wake_driver();
        }
    }
}

/// Serves a request. Ends early when the client resets the stream, or the connection ends.
pub(super) async fn serve(
    client: Rc<Client>,
    wire: Rc<Wire>,
    active: Active,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) {
    let _waiter = Waiter::enter(&client.local).await;
    let respond = RefCell::new(respond);
    let to_head = *request.method() == Method::HEAD;
    // Large, and gone with the request's head before the client is waited for.
    let mut answered = Box::pin(answer(&client, &wire, &active.0.heads, request, &respond)).await;
    // Where it is: each move would be kept for as long as the client takes.
    if let Some(reply) = &mut answered {
        let mut respond = respond.into_inner();
        let delivered = deliver(&client, &wire, &mut respond, reply, to_head).await;
        if let Some(upload) = end(&client, &wire, &active, &mut respond, answered, delivered) {
            drop(active);
            // Many clients say the end of a body in a frame of its own, and a response may well be faster. Resetting such a
            // stream is allowed (RFC 9113 section 8.1), and takes clients by surprise.
            let patience = client.listener.limits().body_idle_timeout;
            Box::pin(ended(upload, patience)).await;
        }
    }
}

/// None if there is nobody left to be answered, or all has been said.
async fn answer(
    client: &Rc<Client>,
    wire: &Rc<Wire>,
    heads: &Rc<Heads>,
    request: Request<RecvStream>,
    respond: &RefCell<SendResponse<Bytes>>,
) -> Option<Reply<'static>> {
    let (parts, incoming) = request.into_parts();
    let limits = client.listener.limits();
    let mut head = RequestHead::default();
    let length = match inbound::convert(&parts, incoming.is_end_stream(), &limits, &mut head) {
        Ok(length) => length,
        Err(refusal) => {
            refuse(client, wire, respond, refusal);
            return None;
        }
    };
    drop(parts);
    let Some(_held) = heads.hold(&client.local, &limits, head.fields.size(), wire.received()) else {
        refuse(client, wire, respond, Refusal::Later);
        return None;
    };
    let mut alarm = client.local.alarms().take();
    let body = RequestBody::Http2(Box::new(Body::new(
        wire,
        incoming,
        length,
        &limits,
        Patience::with(&head.fields),
    )));
    let reply = {
        let interim = downstream::Interim::Http2(Interim::new(respond));
        let mut reply = pin!(proxy::serve(client, &mut head, body, interim, &mut alarm));
        poll_fn(|cx| {
            if poll_reset(respond, cx).is_ready() {
                return Poll::Ready(None);
            }
            reply.as_mut().poll(cx).map(Some)
        })
        .await
    };
    client.local.alarms().give(alarm);
    reply
}

async fn deliver(
    client: &Client,
    wire: &Wire,
    respond: &mut SendResponse<Bytes>,
    reply: &mut Reply<'_>,
    to_head: bool,
) -> Result<(), Reason> {
    if to_head {
        reply.forget_text();
    }
    if reply.reason() == Reason::RequestBodyMalformed {
        wire.refused();
        return Err(Reason::RequestBodyMalformed);
    }
    let mut alarm = Alarm::default();
    let mut delivery = Delivery::begin(client, wire, respond, reply, to_head)?;
    poll_fn(|cx| delivery.poll(cx, &mut alarm)).await
}

/// The answer was sent, or could not be. The rest of the request, if that has not ended.
fn end<'a>(
    client: &Client,
    wire: &Wire,
    active: &Active,
    respond: &mut SendResponse<Bytes>,
    reply: Option<Reply<'a>>,
    delivered: Result<(), Reason>,
) -> Option<Upload<'a>> {
    let (reply, reason) = match delivered {
        Ok(()) => {
            wire.answered();
            client.standing.take();
            let mut upload = reply?.complete_before_upload()?;
            let mut cx = Context::from_waker(Waker::noop());
            return upload.poll_ended(&mut cx).is_pending().then_some(upload);
        }
        Err(Reason::ClientGone) => return None,
        Err(reason) => (reply?, reason),
    };
    // Cut short, it must not look complete.
    respond.send_reset(match reason {
        Reason::ClientStalled => h2::Reason::CANCEL,
        Reason::ClientDisplaced => h2::Reason::ENHANCE_YOUR_CALM,
        // The codec has reset it already where it was the one to notice.
        Reason::RequestBodyMalformed => h2::Reason::PROTOCOL_ERROR,
        _ => h2::Reason::INTERNAL_ERROR,
    });
    if matches!(reason, Reason::ClientStalled | Reason::ClientDisplaced) {
        wire.stalled(reason, client.standing.stall());
        active.0.wake_driver();
    }
    reply.fail(reason);
    None
}

/// Waits for the end of a request that is no longer needed.
async fn ended(mut upload: Upload<'_>, patience: Duration) {
    let _ = timeout(patience, poll_fn(|cx| upload.poll_ended(cx))).await;
}

/// What is not handed on to anybody.
fn refuse(client: &Client, wire: &Wire, respond: &RefCell<SendResponse<Bytes>>, refusal: Refusal) {
    wire.refused();
    let mut respond = respond.borrow_mut();
    match refusal {
        Refusal::Reset => {
            client.refused(Reason::RequestMalformed, Duration::ZERO);
            respond.send_reset(h2::Reason::PROTOCOL_ERROR);
        }
        Refusal::Later => {
            client.refused(Reason::HeaderTooLarge, Duration::ZERO);
            respond.send_reset(h2::Reason::REFUSED_STREAM);
        }
        Refusal::Answer(reason) => {
            client.refused(reason, Duration::ZERO);
            // It fails only where the client has gone.
            let _ = respond.send_response(response(&ResponseHead::new(reason.status())), true);
        }
    }
}

/// The head of a response as HTTP/2's codec takes it.
pub(super) fn response(head: &ResponseHead) -> http::Response<()> {
    let mut response = http::Response::new(());
    *response.status_mut() = head.status;
    *response.headers_mut() = fields::to_map(&head.fields);
    if head.status.is_informational() || head.status == StatusCode::NO_CONTENT {
        response.headers_mut().remove(http::header::CONTENT_LENGTH);
    }
    response
}

/// Ready when the client has reset the stream, or the connection has ended. For the time before the response.
fn poll_reset(respond: &RefCell<SendResponse<Bytes>>, cx: &mut Context<'_>) -> Poll<()> {
    respond.borrow_mut().poll_reset(cx).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the future that such a function makes.
    fn size<A, B, C, D, E, F: Future>(_: fn(A, B, C, D, E) -> F) -> usize {
        size_of::<F>()
    }

    /// Clients may leave a hundred of them lying on each connection.
    #[test]
    fn a_stream_that_waits_for_its_client_is_small() {
        let serve = size(serve);
        println!("a stream {serve}, its reply {}", size_of::<Reply<'static>>());
        assert!(serve <= 2 * 1024, "{serve}");
    }
}
