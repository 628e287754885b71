//! HTTP/1 with a client: one request after the other on one connection.
//!
//! A connection that is used has buffers and timers, in the boxed part of its task (`busy`). One that waits for its
//! next request has given them back, and is a socket with a task of less than a kilobyte around it.

mod body;
mod busy;
mod delivery;
mod head;
mod input;
mod interim;

use std::{future::poll_fn, pin::Pin, rc::Rc, task::Poll};

use tokio::time::{Duration, Instant};
use tokio_util::sync::WaitForCancellationFutureOwned;

pub(crate) use self::{body::Body, busy::Busy, interim::Interim};
use self::{busy::Next, input::Input};
use super::{Client, close};
use crate::{
    alarm::Alarm,
    buffer::Buffer,
    reason::Reason,
    stream::{Io, Stream},
    upgrade,
};

/// How long a connection that should close waits for one more request: closing at once would meet requests that are
/// already under way.
pub(super) const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);

/// One connection. Dropped in the middle of a response whose end is the end of the connection, it is reset.
#[derive(Debug)]
struct Connection {
    io: Option<Io>,
    input: Input,
    /// Whether its first bytes may still say that it is HTTP/2.
    undecided: bool,
    /// A plain close would look like the good end of the response under way.
    reset: bool,
    /// Since when it waits for a request.
    idle_since: Instant,
    /// Of all that this connection waits for, one after the other.
    alarm: Alarm,
    closing: Closing,
}

/// Whether the listener closes. The task is woken when it begins to.
struct Closing {
    signal: Pin<Box<WaitForCancellationFutureOwned>>,
    waits: bool,
}

/// Serves a connection to its end. If it is `undecided` and turns out to be HTTP/2, gives back the stream, with what
/// was read of it.
pub(super) async fn serve(client: &Rc<Client>, stream: Stream, undecided: bool) -> Option<(Stream, Buffer)> {
    let mut connection = Box::new(Connection::new(client, stream, undecided));
    loop {
        if !connection.until_readable(client).await {
            return None;
        }
        client.local.buffers().lend(&mut connection.input.buffer);
        let next;
        (connection, next) = busy::serve(client, connection).await;
        if connection.input.buffer.is_empty() {
            client.local.buffers().take_back(&mut connection.input.buffer);
        }
        match next {
            Next::Idle => {}
            Next::End(ending) => {
                let io = connection.into_io()?;
                Box::pin(close::close(client, io, ending)).await;
                return None;
            }
            Next::Tunnel(tunnel) => {
                let read = std::mem::replace(&mut connection.input.buffer, Buffer::none());
                let io = connection.into_io()?;
                Box::pin(upgrade::run(client, *tunnel, io, read)).await;
                return None;
            }
            Next::Http2 => {
                let read = std::mem::replace(&mut connection.input.buffer, Buffer::none());
                return Some((connection.into_io()?.into_inner(), read));
            }
        }
    }
}

/// Ends a connection that never was HTTP, with an answer that says why.
pub(super) async fn refuse(client: &Rc<Client>, stream: Stream, reason: Reason) {
    client.refused(reason, Duration::ZERO);
    let mut connection = Connection::new(client, stream, false);
    let ending = busy::last_words(client, &mut connection, reason).await;
    if let Some(io) = connection.into_io() {
        close::close(client, io, ending).await;
    }
}

impl Connection {
    fn new(client: &Client, stream: Stream, undecided: bool) -> Self {
        Self {
            io: Some(Io::new(stream)),
            input: Input::new(),
            undecided,
            reset: false,
            idle_since: Instant::now(),
            alarm: Alarm::default(),
            closing: Closing::new(client),
        }
    }

    /// None only after it was taken out.
    fn io(&self) -> Option<&Io> {
        self.io.as_ref()
    }

    fn into_io(mut self) -> Option<Io> {
        self.reset = false;
        self.io.take()
    }

    /// False when the wait is over: for an hour nothing came, the listener closes, or another connection wants the place.
    async fn until_readable(&mut self, client: &Client) -> bool {
        let Self { io: Some(io), closing, idle_since, alarm, .. } = self else { return false };
        let mut vacating = None;
        poll_fn(|cx| {
            if let Poll::Ready(readable) = io.poll_readable(cx) {
                return Poll::Ready(readable.is_ok());
            }
            if client.vacates(cx, alarm, *idle_since, &mut vacating) {
                return Poll::Ready(false);
            }
            let deadline = *idle_since + idle_timeout(client, closing.poll(client, cx));
            alarm.poll(cx, deadline).map(|()| false)
        })
        .await
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(io) = self.io.take().filter(|_| self.reset) {
            close::reset(&io.into_inner());
        }
    }
}

/// How long a connection may wait for a request.
fn idle_timeout(client: &Client, closing: bool) -> Duration {
    if closing { CLOSING_TIMEOUT } else { client.listener.limits().idle_timeout }
}

impl Closing {
    fn new(client: &Client) -> Self {
        Self { signal: Box::pin(client.listener.closing_owned()), waits: false }
    }

    /// Asks without a lock, but for the first time.
    fn poll(&mut self, client: &Client, cx: &mut std::task::Context<'_>) -> bool {
        if !self.waits {
            self.waits = true;
            // Ready or not is asked below.
            let _ = self.signal.as_mut().poll(cx);
        }
        client.listener.is_closing()
    }
}

impl std::fmt::Debug for Closing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Closing").field("waits", &self.waits).finish_non_exhaustive()
    }
}
