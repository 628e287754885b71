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
    worker::Waiter,
};

/// The requests of a connection that have not ended.
#[derive(Debug)]
pub(super) struct Streams {
    active: Cell<usize>,
    idle_since: Cell<Instant>,
    /// Of the task that wants to know when there is none.
    driver: RefCell<Option<Waker>>,
}

/// One of them, while it lives.
#[derive(Debug)]
pub(super) struct Active(Rc<Streams>);

impl Streams {
    pub(super) fn new() -> Self {
        Self { active: Cell::new(0), idle_since: Cell::new(Instant::now()), driver: RefCell::default() }
    }

    /// Wakes this task whenever the last request has ended.
    pub(super) fn watched_by(&self, driver: &Waker) {
        self.driver.replace(Some(driver.clone()));
    }

    pub(super) fn begin(self: &Rc<Self>) -> Active {
        self.active.set(self.active.get() + 1);
        Active(Rc::clone(self))
    }

    /// Since when there is none.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.active.get() == 0).then(|| self.idle_since.get())
    }
}

impl Drop for Active {
    fn drop(&mut self) {
        let Streams { active, idle_since, driver } = &*self.0;
        active.set(active.get() - 1);
        if active.get() == 0 {
            idle_since.set(Instant::now());
            if let Some(driver) = &*driver.borrow() {
                driver.wake_by_ref();
            }
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
    let (parts, incoming) = request.into_parts();
    let respond = RefCell::new(respond);
    let limits = client.listener.limits();
    let mut head = RequestHead::default();
    let length = match inbound::convert(&parts, incoming.is_end_stream(), &limits, &mut head) {
        Ok(length) => length,
        Err(refusal) => return refuse(&client, &wire, &respond, refusal),
    };
    drop(parts);
    let to_head = head.method == Method::HEAD;
    let mut alarm = client.local.alarms().take();
    let body = RequestBody::Http2(Box::new(Body::new(
        &wire,
        incoming,
        length,
        &limits,
        Patience::with(&head.fields),
    )));
    let reply = {
        let interim = downstream::Interim::Http2(Interim::new(&respond));
        let mut reply = pin!(proxy::serve(&client, &mut head, body, interim, &mut alarm));
        poll_fn(|cx| {
            if poll_reset(&respond, cx).is_ready() {
                return Poll::Ready(None);
            }
            reply.as_mut().poll(cx).map(Some)
        })
        .await
    };
    client.local.alarms().give(alarm);
    if let Some(reply) = reply {
        deliver(&client, &wire, active, respond.into_inner(), reply, to_head).await;
    }
}

async fn deliver(
    client: &Client,
    wire: &Wire,
    active: Active,
    mut respond: SendResponse<Bytes>,
    mut reply: Reply<'_>,
    to_head: bool,
) {
    if to_head {
        reply.forget_text();
    }
    if reply.reason() == Reason::RequestBodyMalformed {
        wire.refused();
        // The codec has reset it already where it was the one to notice.
        respond.send_reset(h2::Reason::PROTOCOL_ERROR);
        reply.fail(Reason::RequestBodyMalformed);
        return;
    }
    let mut alarm = Alarm::default();
    let delivered = match Delivery::begin(client, wire, &mut respond, &mut reply, to_head) {
        Ok(mut delivery) => poll_fn(|cx| delivery.poll(cx, &mut alarm)).await,
        Err(reason) => Err(reason),
    };
    match delivered {
        Ok(()) => {
            wire.answered();
            if let Some(mut upload) = reply.complete_before_upload() {
                drop(active);
                // Many clients say the end of a body in a frame of its own, and a response may well be faster.
                // Resetting such a stream is allowed (RFC 9113 section 8.1), and takes clients by surprise.
                let patience = client.listener.limits().body_idle_timeout;
                let _ = timeout(patience, poll_fn(|cx| upload.poll_ended(cx))).await;
            }
        }
        Err(Reason::ClientGone) => drop(reply),
        Err(reason) => {
            // Cut short, it must not look complete.
            respond.send_reset(match reason {
                Reason::ClientStalled => h2::Reason::CANCEL,
                Reason::RequestBodyMalformed => h2::Reason::PROTOCOL_ERROR,
                _ => h2::Reason::INTERNAL_ERROR,
            });
            reply.fail(reason);
        }
    }
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
