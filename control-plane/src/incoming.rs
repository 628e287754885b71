//! Connections to the control plane: accepted without Nagle's delay, counted, and cut when the process must end, or when
//! they say nothing and there is no room for others.

mod frames;
mod opening;
mod quiet;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep, sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

pub(crate) use self::quiet::{Entry as QuietEntry, Quiet};
use self::{
    frames::Frames,
    opening::{Opening, PREFACE_BYTES, Spoken},
};

/// Between two attempts to accept while the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take to open HTTP/2. Keepalive watches over it only from then on.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes that may wait until it is known whom they go to: a server of HTTP/2 begins with its settings.
const MOST_HELD: usize = 4_096;
/// KiB that are read of a request that is refused.
const MOST_REST: usize = 64;

/// The head of the answer to a client that speaks HTTP/1; what is said follows.
const BAD_REQUEST: &str = "HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n";

/// How long a connection may last, so that clients that say nothing do not take all the room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// For ever, if the client opens HTTP/2 within 10 s.
    Opening,
    /// That long in all.
    InAll(Duration),
}

/// Accepts clients, up to a number at one time. For one more, that one is cut which has asked for nothing for the longest
/// time; if all have asked for something, further ones wait until one leaves.
pub(crate) struct Acceptor {
    listener: tokio::net::TcpListener,
    room: Arc<Semaphore>,
    patience: Patience,
    cut: CancellationToken,
    /// Those that make room for others.
    quiet: Arc<Quiet>,
}

impl Acceptor {
    /// Accepts at most `most` connections at one time; all of them fail when `cut` is cancelled, and each one that
    /// exceeds `patience`.
    pub(crate) fn new(
        listener: TcpListener,
        most: usize,
        patience: Patience,
        cut: CancellationToken,
    ) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(Self { listener, room: Arc::new(Semaphore::new(most)), patience, cut, quiet: Arc::default() })
    }

    /// The connections, without an end.
    pub(crate) fn into_stream(self) -> impl Stream<Item = io::Result<Connection>> {
        stream::unfold(self, |acceptor| async move { Some((Ok(acceptor.next().await), acceptor)) })
    }

    async fn next(&self) -> Connection {
        loop {
            match self.listener.accept().await {
                Ok((io, peer)) => {
                    // With Nagle's delay a change would take 40 ms to a proxy instead of 2.
                    if let Err(error) = io.set_nodelay(true) {
                        tracing::debug!(%peer, %error, "cannot switch off Nagle's delay");
                    }
                    return self.connection(io, peer, self.permit().await);
                }
                Err(error) => {
                    let cut = self.quiet.cut_longest();
                    weir_proto::seldom!(warn, %error, cut, "cannot accept a connection; trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn permit(&self) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            return Some(permit);
        }
        let cut = self.quiet.cut_longest();
        weir_proto::seldom!(
            warn,
            cut,
            "there is no room for another connection; who asks for nothing makes way"
        );
        Arc::clone(&self.room).acquire_owned().await.ok()
    }

    fn connection(
        &self,
        io: TcpStream,
        peer: SocketAddr,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Connection {
        let cut = self.cut.child_token();
        let quiet = Some(self.quiet.enter(cut.clone()));
        let (frames, opening) = match self.patience {
            Patience::Opening => {
                (Some(Frames::after(PREFACE_BYTES, Instant::now())), Some(Opening::default()))
            }
            Patience::InAll(_) => (None, None),
        };
        Connection {
            io,
            peer,
            cut: Box::pin(cut.cancelled_owned()),
            awaited: self.patience.into(),
            frames,
            opening,
            held: Vec::new(),
            refused: false,
            quiet,
            _permit: permit,
        }
    }
}

impl axum::serve::Listener for Acceptor {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let connection = self.next().await;
        let peer = connection.peer;
        (connection, peer)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// One client.
pub(crate) struct Connection {
    io: TcpStream,
    peer: SocketAddr,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// None once it may last.
    awaited: Option<Awaited>,
    /// None if it does not speak HTTP/2.
    frames: Option<Frames>,
    /// Until it is known what the client speaks; then what we say is held.
    opening: Option<Opening>,
    held: Vec<u8>,
    /// It speaks something else: it is told so, and nothing more.
    refused: bool,
    /// None once it has asked for something.
    quiet: Option<QuietEntry>,
    /// Its room among the others; the semaphore is never closed, so there always is one.
    _permit: Option<OwnedSemaphorePermit>,
}

/// What a client must have sent by when.
struct Awaited {
    until: Pin<Box<Sleep>>,
    /// None: the time is up whatever it sends.
    bytes: Option<usize>,
}

impl From<Patience> for Option<Awaited> {
    fn from(patience: Patience) -> Self {
        let (within, bytes) = match patience {
            Patience::Opening => (OPENING_TIMEOUT, Some(PREFACE_BYTES)),
            Patience::InAll(within) => (within, None),
        };
        Some(Awaited { until: Box::pin(sleep(within)), bytes })
    }
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub SocketAddr);

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        Peer(self.peer)
    }
}

impl Connection {
    fn check(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if self.cut.as_mut().poll(cx).is_ready() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "it ends, or makes room"));
        }
        if self.awaited.as_mut().is_some_and(|awaited| awaited.until.as_mut().poll(cx).is_ready()) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client took too long"));
        }
        Ok(())
    }

    /// Takes note of what the client sent. An error if nothing more is read of it.
    fn hear(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        match self.opening.as_mut().map(|opening| opening.hear(bytes)) {
            Some(None) | None => {}
            Some(Some(Spoken::Http2)) => self.opening = None,
            Some(Some(spoken)) => {
                self.opening = None;
                self.refuse(spoken);
                return Ok(());
            }
        }
        if let Some(frames) = &mut self.frames {
            if !frames.admit(bytes, Instant::now()) {
                weir_proto::seldom!(warn, peer = %self.peer, "a client floods its connection with frames that bring nothing; it is cut");
                return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "a flood of frames"));
            }
            if frames.has_asked() {
                self.quiet = None;
            }
        }
        self.heard(bytes.len());
        Ok(())
    }

    fn refuse(&mut self, spoken: Spoken) {
        let peer = self.peer;
        self.refused = true;
        // What the library would have said is for clients of HTTP/2.
        self.held.clear();
        match spoken {
            Spoken::Http1 => {
                weir_proto::seldom!(info, %peer, "a client speaks HTTP/1 to the gRPC port; it is told so");
                self.held = format!("{BAD_REQUEST}{}\n", weir_proto::GRPC_PORT).into_bytes();
            }
            Spoken::Tls => {
                weir_proto::seldom!(warn, %peer, "a client speaks TLS to the gRPC port, which has none: its URL must begin with http://");
            }
            Spoken::Http2 | Spoken::Other => {
                weir_proto::seldom!(info, %peer, "a client speaks neither HTTP nor TLS to the gRPC port; it is cut");
            }
        }
    }

    /// Sends what was held.
    fn poll_held(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let sent = ready!(Pin::new(&mut self.io).poll_write(cx, &self.held))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }

    /// Sends the only answer, and ends.
    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_held(cx))?;
        ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
        // What is here and not read would have the system reset the connection, and the client lose the answer.
        let mut rest = [0; 1_024];
        for _ in 0..MOST_REST {
            let mut buffer = ReadBuf::new(&mut rest);
            let read = Pin::new(&mut self.io).poll_read(cx, &mut buffer);
            if !matches!(read, Poll::Ready(Ok(()))) || buffer.filled().is_empty() {
                break;
            }
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "the client speaks no HTTP/2")))
    }

    /// Keeps what the library says until it is known whom it goes to. None once that is known.
    fn hold(&mut self, bytes: &[u8]) -> Option<io::Result<usize>> {
        if self.frames.is_none() {
            // It is being answered, which nobody is cut in the midst of.
            self.quiet = None;
        }
        if self.refused {
            return Some(Ok(bytes.len()));
        }
        self.opening.as_ref()?;
        if self.held.len() + bytes.len() > MOST_HELD {
            return Some(Err(io::Error::other("more is said than a client is greeted with")));
        }
        self.held.extend_from_slice(bytes);
        Some(Ok(bytes.len()))
    }

    /// Notes that the client sent that many bytes.
    fn heard(&mut self, n: usize) {
        if let Some(Awaited { bytes: Some(bytes), .. }) = &mut self.awaited {
            *bytes = bytes.saturating_sub(n);
            if *bytes == 0 {
                self.awaited = None;
            }
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check(cx)?;
        if self.refused {
            return self.poll_refusal(cx);
        }
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.io).poll_read(cx, buffer);
        let heard = buffer.filled().get(before..).unwrap_or_default();
        self.hear(heard)?;
        if self.refused {
            buffer.set_filled(before);
            return self.poll_refusal(cx);
        }
        if self.opening.is_none()
            && let Poll::Ready(Err(error)) = self.poll_held(cx)
        {
            return Poll::Ready(Err(error));
        }
        outcome
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        if let Some(held) = self.hold(bytes) {
            return Poll::Ready(held);
        }
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        if self.refused || self.opening.is_some() {
            let first = bytes.iter().find(|bytes| !bytes.is_empty());
            return self.poll_write(cx, first.map_or(&[][..], |bytes| &bytes[..]));
        }
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.refused || self.opening.is_some() {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_held(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
