//! Connections to the control plane: accepted without Nagle's delay, counted, and cut when the process must end.

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
    time::sleep,
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// Between two attempts to accept while the process is out of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Accepts clients, up to a number at one time; further ones wait in the backlog until one leaves.
pub(crate) struct Acceptor {
    listener: tokio::net::TcpListener,
    room: Arc<Semaphore>,
    cut: CancellationToken,
}

impl Acceptor {
    /// Accepts at most `most` connections at one time; all of them fail when `cut` is cancelled.
    pub(crate) fn new(listener: TcpListener, most: usize, cut: CancellationToken) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        Ok(Self { listener, room: Arc::new(Semaphore::new(most)), cut })
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
                    return Connection { io, peer, cut, _permit: permit };
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection; trying again");
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
    /// Its room among the others; the semaphore is never closed, so there always is one.
    _permit: Option<OwnedSemaphorePermit>,
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
        match self.cut.as_mut().poll(cx) {
            Poll::Ready(()) => {
                Err(io::Error::new(io::ErrorKind::ConnectionAborted, "the control plane ends"))
            }
            Poll::Pending => Ok(()),
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
        Pin::new(&mut self.io).poll_read(cx, buffer)
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
    use tokio::io::AsyncReadExt;

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
        (Acceptor::new(listener, most, cut).expect("a listener"), address)
    }
}
