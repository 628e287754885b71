//! A request's body, from the client to a backend.

use std::{
    cell::{Cell, RefCell},
    pin::Pin,
    rc::{Rc, Weak},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::BodyError;
use crate::{downstream::Client, headers, reason::Reason};

/// What the client sends. Attempts share it: until something was taken from it, any of them may have it.
#[derive(Debug)]
pub(crate) struct ClientBody {
    /// None once nobody wants it any more.
    incoming: RefCell<Option<Incoming>>,
    flow: Cell<Flow>,
    failure: Cell<Option<Reason>>,
    bytes: Cell<u64>,
    /// Of the task that wants the next frame.
    reader: RefCell<Option<Waker>>,
    /// Its connection tells a client that left from one that talks nonsense. Weak, because it knows this body.
    client: Weak<Client>,
}

/// Who is to move next, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flow {
    /// Nothing was asked for yet.
    Untouched,
    /// The client is to send.
    Client(Instant),
    /// The backend is to take what the client sent.
    Backend(Instant),
    /// All of it is with the backend's connection.
    Done(Instant),
}

/// One attempt's hold on the body; none where the request has no body.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestBody(Option<Rc<ClientBody>>);

impl ClientBody {
    pub(crate) fn new(incoming: Incoming, client: &Rc<Client>) -> Rc<Self> {
        Rc::new(Self {
            incoming: RefCell::new(Some(incoming)),
            flow: Cell::new(Flow::Untouched),
            failure: Cell::default(),
            bytes: Cell::default(),
            reader: RefCell::default(),
            client: Rc::downgrade(client),
        })
    }

    pub(crate) fn flow(&self) -> Flow {
        self.flow.get()
    }

    /// Bytes taken so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.get()
    }

    /// Why it will not come to its end, if so.
    pub(crate) fn failure(&self) -> Option<Reason> {
        self.failure.get()
    }

    /// Ends it in the middle, unless it has ended: whoever reads it gets an error.
    pub(crate) fn abort(&self, reason: Reason) {
        if matches!(self.flow.get(), Flow::Done(_)) || self.failure.get().is_some() {
            return;
        }
        self.failure.set(Some(reason));
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Lets go of it: what has not come yet is drained, if that is quick, or the client's connection closed.
    pub(crate) fn close(&self) {
        self.abort(Reason::ClientGone);
        self.incoming.take();
    }

    fn poll_frame(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(reason) = self.failure.get() {
            return Poll::Ready(Some(Err(BodyError(reason))));
        }
        let mut incoming = self.incoming.borrow_mut();
        let Some(incoming) = &mut *incoming else { return Poll::Ready(None) };
        match Pin::new(&mut *incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                if let Some(data) = frame.data_ref() {
                    self.bytes.set(self.bytes.get() + data.len() as u64);
                }
                if let Some(trailers) = frame.trailers_mut() {
                    headers::clean_trailers(trailers);
                }
                let now = Instant::now();
                self.flow.set(if incoming.is_end_stream() { Flow::Done(now) } else { Flow::Backend(now) });
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => {
                let gone = self.client.upgrade().is_none_or(|client| client.state.is_gone());
                let reason = if gone { Reason::ClientGone } else { Reason::RequestBodyMalformed };
                self.failure.set(Some(reason));
                Poll::Ready(Some(Err(BodyError(reason))))
            }
            Poll::Ready(None) => {
                if !matches!(self.flow.get(), Flow::Done(_)) {
                    self.flow.set(Flow::Done(Instant::now()));
                }
                Poll::Ready(None)
            }
            Poll::Pending => {
                if !matches!(self.flow.get(), Flow::Client(_)) {
                    self.flow.set(Flow::Client(Instant::now()));
                }
                self.reader.replace(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }
}

impl ClientBody {
    fn is_end_stream(&self) -> bool {
        self.failure.get().is_none() && self.incoming.borrow().as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.borrow().as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl RequestBody {
    pub(crate) fn new(body: Option<Rc<ClientBody>>) -> Self {
        Self(body)
    }

    pub(crate) fn client(&self) -> Option<&Rc<ClientBody>> {
        self.0.as_ref()
    }

    /// Whether another attempt would send the same.
    pub(crate) fn is_untouched(&self) -> bool {
        self.0.as_ref().is_none_or(|body| body.flow() == Flow::Untouched)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.0.as_ref().map_or(Poll::Ready(None), |body| body.poll_frame(cx))
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(|body| body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), |body| body.size_hint())
    }
}
