//! A connection to a backend that speaks HTTP/2, and the task that drives it.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::{
    Ping, PingPong,
    client::{self, SendRequest},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    task,
    time::{self, Duration, Instant},
};
use weir_proto::ResponseLimits;

use super::{pool::MAX_STREAMS, watch::Watch};
use crate::{endpoint::Connected, reason::Reason, stream::Stream, worker::Local};

/// What a backend may send of one response before the client takes it.
const STREAM_WINDOW: u32 = 128 * 1024;

/// What a backend may send of all responses before they are taken: as much as all streams together may hold, so that a
/// client that takes nothing holds up nobody else.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * 100;
const _: () = assert!(CONNECTION_WINDOW as usize == STREAM_WINDOW as usize * MAX_STREAMS);

/// What is kept of one request for the socket to take.
const SEND_BUFFER: usize = 64 * 1024;

/// A backend that owes answers and says nothing for so long is asked whether it is still there. Many end connections
/// that ask more often than every five minutes.
pub(super) const SILENCE: Duration = Duration::from_secs(310);

/// How long it may take to say so.
pub(super) const PONG_TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Bytes>,
    born: Instant,
    idle_since: Cell<Instant>,
    state: Rc<State>,
}

/// What the connection and its task know of each other.
#[derive(Debug, Default)]
struct State {
    in_flight: Cell<usize>,
    /// Requests of which the backend takes nothing more.
    clogged: Cell<usize>,
    /// No request can be begun any more.
    over: Cell<bool>,
    /// Something has come since the task looked last.
    heard: Cell<bool>,
    watch: Rc<Watch>,
}

/// A request that has used up what the backend allows, while that is so.
#[derive(Debug)]
pub(super) struct Clogged(Rc<State>);

impl Drop for Clogged {
    fn drop(&mut self) {
        self.0.clogged.set(self.0.clogged.get() - 1);
    }
}

/// Tells a connection which of its requests are not taken.
#[derive(Debug, Clone)]
pub(super) struct Gauge(Rc<State>);

impl Gauge {
    pub(super) fn clog(&self) -> Clogged {
        self.0.clogged.set(self.0.clogged.get() + 1);
        Clogged(Rc::clone(&self.0))
    }
}

/// Counts the connection while it is open.
struct Open(Rc<Local>, Rc<State>, #[expect(dead_code, reason = "its end matters")] Connected);

impl Connection {
    pub(super) async fn open(
        local: &Rc<Local>,
        stream: Stream,
        connected: Connected,
        limits: ResponseLimits,
    ) -> Result<Rc<Self>, Reason> {
        let state = Rc::new(State::default());
        let handshake = client::Builder::new()
            .enable_push(false)
            .initial_max_send_streams(MAX_STREAMS)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(SEND_BUFFER)
            .max_header_list_size(limits.max_header_bytes)
            .handshake::<_, Bytes>(Heard { stream, state: Rc::clone(&state) });
        let (sender, connection) = handshake.await.map_err(|_| Reason::ConnectFailed)?;
        local.counters().upstream_opened.add(1);
        task::spawn_local(drive(connection, Open(Rc::clone(local), Rc::clone(&state), connected)));
        let now = Instant::now();
        Ok(Rc::new(Self { sender, born: now, idle_since: Cell::new(now), state }))
    }

    pub(super) fn sender(&self) -> SendRequest<Bytes> {
        self.sender.clone()
    }

    pub(super) fn watch(&self) -> &Rc<Watch> {
        &self.state.watch
    }

    pub(super) fn born(&self) -> Instant {
        self.born
    }

    pub(super) fn begin(&self) {
        self.state.in_flight.set(self.in_flight() + 1);
    }

    pub(super) fn end(&self) {
        self.state.in_flight.set(self.in_flight() - 1);
        if self.in_flight() == 0 {
            self.idle_since.set(Instant::now());
        }
    }

    pub(super) fn in_flight(&self) -> usize {
        self.state.in_flight.get()
    }

    /// Whether the backend takes all that it is sent, so that the window that requests share is not used up by some.
    pub(super) fn flows(&self) -> bool {
        self.state.clogged.get() == 0
    }

    pub(super) fn gauge(&self) -> Gauge {
        Gauge(Rc::clone(&self.state))
    }

    /// How many requests there may be at a time.
    pub(super) fn limit(&self) -> usize {
        self.sender.current_max_send_streams().min(MAX_STREAMS)
    }

    /// Since when there is no request.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        (self.in_flight() == 0).then(|| self.idle_since.get())
    }

    pub(super) fn is_over(&self) -> bool {
        self.state.over.get()
    }

    pub(super) fn retire(&self) {
        self.state.over.set(true);
    }
}

/// Until either side ends it: we do when nobody holds it any more.
async fn drive(mut connection: client::Connection<Heard, Bytes>, open: Open) {
    let mut ping_pong = connection.ping_pong();
    let mut check = pin!(time::sleep(SILENCE));
    let mut asked = false;
    poll_fn(|cx| {
        if let Poll::Ready(end) = Pin::new(&mut connection).poll(cx) {
            if let Err(e) = end {
                tracing::debug!("a connection to a backend ended: {e}");
            }
            open.0.counters().upstream_floods.add(u64::from(open.1.watch.is_overdrawn()));
            return Poll::Ready(());
        }
        while check.as_mut().poll(cx).is_ready() {
            let heard = open.1.heard.take() || open.1.in_flight.get() == 0;
            if asked && !heard {
                tracing::debug!("a backend is not there any more");
                return Poll::Ready(());
            }
            asked = !heard && ask(&mut ping_pong, cx);
            let next = if asked { PONG_TIMEOUT } else { SILENCE };
            check.as_mut().reset(Instant::now() + next);
        }
        Poll::Pending
    })
    .await;
    // It is counted until it is closed.
    drop(connection);
}

/// Whether the backend was asked for a sign of life.
fn ask(ping_pong: &mut Option<PingPong>, cx: &mut Context<'_>) -> bool {
    let Some(ping_pong) = ping_pong else { return false };
    // Takes the answer to the last question, if there was one.
    let _ = ping_pong.poll_pong(cx);
    ping_pong.send_ping(Ping::opaque()).is_ok()
}

impl Drop for Open {
    fn drop(&mut self) {
        self.1.over.set(true);
        self.0.counters().upstream_closed.add(1);
    }
}

/// A stream that notes what comes.
#[derive(Debug)]
struct Heard {
    stream: Stream,
    state: Rc<State>,
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        self.state.heard.set(true);
        if self.state.watch.read(&buf.filled()[before..]) {
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(io::Error::other("it makes work without answering")))
        }
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
