//! Connections to the control plane: accepted without Nagle's delay, counted, and cut when the process must end.

mod frames;

use std::{
    future::Future,
    io,
    net::{SocketAddr, TcpListener},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
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

use self::frames::Frames;

/// Between two attempts to accept while the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a client may take to open HTTP/2. Keepalive watches over it only from then on.
const OPENING_TIMEOUT: Duration = Duration::from_secs(10);
/// What opens HTTP/2 (RFC 9113 section 3.4), in bytes.
const PREFACE: usize = 24;

/// How long a connection may last, so that clients that say nothing do not take all the room.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Patience {
    /// For ever, if the client opens HTTP/2 within 10 s.
    Opening,
    /// That long in all.
    InAll(Duration),
}

/// Accepts clients, up to a number at one time; further ones wait in the backlog until one leaves.
pub(crate) struct Acceptor {
    listener: tokio::net::TcpListener,
    room: Arc<Semaphore>,
    patience: Patience,
    cut: CancellationToken,
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
        Ok(Self { listener, room: Arc::new(Semaphore::new(most)), patience, cut })
    }

    /// The connections, without an end.
    pub(crate) fn into_stream(self) -> impl Stream<Item = io::Result<Connection>> {
        stream::unfold(self, |acceptor| async move { Some((Ok(acceptor.next().await), acceptor)) })
    }

    async fn next(&self) -> Connection {
        let permit = Arc::clone(&self.room).acquire_owned().await.ok();
        loop {
            match self.listener.accept().await {
                Ok((io, peer)) => {
                    // With Nagle's delay a change would take 40 ms to a proxy instead of 2.
                    if let Err(error) = io.set_nodelay(true) {
                        tracing::debug!(%peer, %error, "cannot switch off Nagle's delay");
                    }
                    let cut = Box::pin(self.cut.clone().cancelled_owned());
                    let frames = match self.patience {
                        Patience::Opening => Some(Frames::after(PREFACE, Instant::now())),
                        Patience::InAll(_) => None,
                    };
                    let awaited = self.patience.into();
                    return Connection { io, peer, cut, awaited, frames, _permit: permit };
                }
                Err(error) => {
                    weir_proto::seldom!(warn, %error, "cannot accept a connection; trying again");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
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
            Patience::Opening => (OPENING_TIMEOUT, Some(PREFACE)),
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
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the control plane ends"));
        }
        if self.awaited.as_mut().is_some_and(|awaited| awaited.until.as_mut().poll(cx).is_ready()) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "the client took too long"));
        }
        Ok(())
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
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.io).poll_read(cx, buffer);
        let heard = &buffer.filled()[before..];
        if self
            .frames
            .as_mut()
            .is_some_and(|frames| !heard.is_empty() && !frames.admit(heard, Instant::now()))
        {
            weir_proto::seldom!(warn, peer = %self.peer, "a client floods its connection with frames that bring nothing; it is cut");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, "a flood of frames")));
        }
        self.heard(heard.len());
        outcome
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(cx)?;
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        time::Instant,
    };

    use super::*;

    #[tokio::test]
    async fn a_cut_ends_a_connection_that_says_nothing() {
        let cut = CancellationToken::new();
        let (acceptor, address) = acceptor(1, cut.clone());
        let client = TcpStream::connect(address).await.expect("connects");
        let mut connection = acceptor.next().await;
        assert!(connection.io.nodelay().expect("a socket"));
        assert_eq!(connection.connect_info().0, client.local_addr().expect("connected"));

        let reading = tokio::spawn(async move { connection.read_u8().await.map_err(|e| e.kind()) });
        cut.cancel();
        let outcome = reading.await.expect("no panic");
        assert_eq!(outcome, Err(io::ErrorKind::ConnectionAborted));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_opens_nothing_is_not_waited_for() {
        let (acceptor, address) = acceptor(2, CancellationToken::new());
        let mut client = TcpStream::connect(address).await.expect("connects");
        let mut connection = acceptor.next().await;
        client.write_all(&[0; PREFACE - 1]).await.expect("sent");
        connection.read_exact(&mut [0; PREFACE - 1]).await.expect("read");
        let start = Instant::now();
        let outcome = connection.read_u8().await.map_err(|e| e.kind());
        assert_eq!((outcome, start.elapsed()), (Err(io::ErrorKind::TimedOut), OPENING_TIMEOUT));

        let mut client = TcpStream::connect(address).await.expect("connects");
        let mut connection = acceptor.next().await;
        client.write_all(&[0; PREFACE]).await.expect("sent");
        connection.read_exact(&mut [0; PREFACE]).await.expect("read");
        assert!(tokio::time::timeout(Duration::from_hours(1), connection.read_u8()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_bounded_connection_ends_whatever_the_client_sends() {
        let (mut acceptor, address) = acceptor(1, CancellationToken::new());
        acceptor.patience = Patience::InAll(Duration::from_secs(3));
        let mut client = TcpStream::connect(address).await.expect("connects");
        let mut connection = acceptor.next().await;
        let trickle = async {
            while client.write_u8(b'x').await.is_ok() {
                sleep(Duration::from_millis(100)).await;
            }
        };
        let (start, mut sink) = (Instant::now(), Vec::new());
        let outcome = tokio::select! {
            outcome = connection.read_to_end(&mut sink) => outcome.map_err(|e| e.kind()),
            () = trickle => Ok(0),
        };
        assert_eq!((outcome, start.elapsed()), (Err(io::ErrorKind::TimedOut), Duration::from_secs(3)));
    }

    #[tokio::test]
    async fn who_finds_no_room_is_accepted_when_somebody_leaves() {
        let (acceptor, address) = acceptor(1, CancellationToken::new());
        let _clients = (TcpStream::connect(address).await, TcpStream::connect(address).await);
        let first = acceptor.next().await;
        let mut second = Box::pin(acceptor.next());
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(first);
        second.await;
    }

    fn acceptor(most: usize, cut: CancellationToken) -> (Acceptor, SocketAddr) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.set_nonblocking(true).expect("nonblocking");
        let address = listener.local_addr().expect("bound");
        (Acceptor::new(listener, most, Patience::Opening, cut).expect("a listener"), address)
    }
}
