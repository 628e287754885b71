//! The seam to backends: a connection takes a request and yields a response, in the protocol of the service.

mod awaited;
mod clock;
mod connect;
pub(crate) mod http1;
pub(crate) mod http2;
mod pool;

use std::{
    rc::Rc,
    sync::Arc,
    task::{Context, Poll},
};

use weir_proto::ServiceProtocol;

pub(crate) use self::{
    clock::{Clock, Flow},
    connect::connect,
    pool::Pool,
};
use crate::{
    body::{RequestBody, ResponseBody},
    downstream::Interim,
    endpoint::Endpoint,
    headers::Upgrade,
    message::{RequestHead, ResponseHead},
    reason::Reason,
    retry::Progress,
    table::ServiceEntry,
    worker::Local,
};

/// What an attempt is made with.
#[derive(Debug)]
pub(crate) struct Attempt<'t> {
    pub(crate) local: &'t Rc<Local>,
    pub(crate) service: &'t ServiceEntry,
    pub(crate) endpoint: &'t Arc<Endpoint>,
    pub(crate) head: &'t RequestHead,
    /// Whether the request asks to go on in another protocol.
    pub(crate) upgrade: Upgrade,
    /// Whether it is of a client that the endpoint has already: then it may go there while that drains.
    pub(crate) pinned: bool,
    /// Whether it may be repeated after it was sent, so that its body should be kept.
    pub(crate) keeps: bool,
    /// Whether the head has changed since the attempt before.
    pub(crate) new_head: bool,
}

impl<'t> Attempt<'t> {
    /// The only one of a request that changes no protocols.
    pub(crate) fn plain(
        local: &'t Rc<Local>,
        service: &'t ServiceEntry,
        endpoint: &'t Arc<Endpoint>,
        head: &'t RequestHead,
    ) -> Self {
        Self {
            local,
            service,
            endpoint,
            head,
            upgrade: Upgrade::Strip,
            pinned: false,
            keeps: false,
            new_head: false,
        }
    }
}

/// A request that was not answered yet.
#[derive(Debug)]
pub(crate) enum Unsent<'a> {
    /// As it came from the client.
    Body(RequestBody<'a>),
    /// As it was written for another attempt, which is whole.
    Http1(http1::Upload<'a>),
}

/// The rest of a request, whose answer has begun.
#[derive(Debug)]
pub(crate) enum Upload<'a> {
    Http1(http1::Upload<'a>),
    Http2(http2::Upload<'a>),
}

/// What a backend answered.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) head: ResponseHead,
    pub(crate) body: ResponseBody,
    pub(crate) upload: Upload<'a>,
}

/// An attempt without an answer.
#[derive(Debug)]
pub(crate) enum Failure<'a> {
    /// The endpoint was retired before anything was sent.
    Retired(Unsent<'a>),
    /// There was an attempt.
    Failed {
        /// What the client is told if nobody tries again.
        reason: Reason,
        /// How far it got.
        progress: Progress,
        /// The request, if another attempt would send the same.
        request: Option<Unsent<'a>>,
    },
}

/// Sends a request to an endpoint, on an idle connection or a new one, and waits for the head of the response.
pub(crate) async fn send<'a>(
    attempt: Attempt<'_>,
    request: Unsent<'a>,
    clock: &mut Clock<'_>,
    interim: &mut Interim<'_>,
) -> Result<Answer<'a>, Failure<'a>> {
    match (attempt.service.service.protocol, request) {
        (ServiceProtocol::Http1, request) => http1::send(attempt, request, clock, interim).await,
        (ServiceProtocol::Http2, Unsent::Body(body)) => {
            Box::pin(http2::send(attempt, body, clock, interim)).await
        }
        // The service's protocol has changed between two attempts.
        (ServiceProtocol::Http2, Unsent::Http1(_)) => {
            let (reason, progress) = (Reason::BackendReset, Progress::Over);
            Err(Failure::Failed { reason, progress, request: None })
        }
    }
}

impl<'a> Unsent<'a> {
    /// What is left of the client's body.
    pub(crate) fn body(&mut self) -> &mut RequestBody<'a> {
        match self {
            Self::Body(body) => body,
            Self::Http1(upload) => upload.body(),
        }
    }

    /// What is left of the client's body.
    pub(crate) fn into_body(self) -> RequestBody<'a> {
        match self {
            Self::Body(body) => body,
            Self::Http1(upload) => upload.into_body(),
        }
    }
}

impl<'a> Upload<'a> {
    /// Goes on. An error is the client's; how it ends at the backend is seen in the response.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, body: &ResponseBody) -> Poll<Result<(), Reason>> {
        match (self, body) {
            (Self::Http1(upload), ResponseBody::Http1(body)) => upload.poll(cx, body.io()),
            (Self::Http2(upload), _) => upload.poll(cx),
            (Self::Http1(_), _) => Poll::Pending,
        }
    }

    /// What is left of the client's body.
    pub(crate) fn body(&mut self) -> &mut RequestBody<'a> {
        match self {
            Self::Http1(upload) => upload.body(),
            Self::Http2(upload) => upload.body(),
        }
    }

    /// Whether all of the request is with the backend.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Http1(upload) => upload.is_done(),
            Self::Http2(upload) => upload.is_done(),
        }
    }

    /// Ready when the client has gone. For the time after the request.
    pub(crate) fn poll_client_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.body().poll_gone(cx)
    }

    /// As that of the request's body. For the time after the response.
    pub(crate) fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.body().poll_ended(cx)
    }

    /// Whether another attempt could send the same.
    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Http1(upload) => upload.is_whole(),
            Self::Http2(upload) => upload.is_whole(),
        }
    }

    /// Keeps nothing of what was sent: it has been answered.
    pub(crate) fn forget(&mut self) {
        match self {
            Self::Http1(upload) => upload.forget(),
            Self::Http2(upload) => upload.forget(),
        }
    }

    /// The request from its start, if it is whole.
    pub(crate) fn rewind(self) -> Option<Unsent<'a>> {
        match self {
            Self::Http1(mut upload) => upload.rewind().then_some(Unsent::Http1(upload)),
            Self::Http2(upload) => upload.rewind().map(Unsent::Body),
        }
    }

    /// Bytes of the request's body so far.
    pub(crate) fn bytes(&mut self) -> u64 {
        self.body().bytes()
    }
}
