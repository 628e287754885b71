//! A client's byte stream: counts, tells the connection's state what happens, and leaves closing to the connection.

use std::{
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::{self, Duration},
};

use super::Client;

/// How long and how much is still read after the last answer, so that the client can read it: a socket that is closed
/// with bytes unread is reset, and takes the answer along.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 256 * 1024;

#[derive(Debug)]
pub(crate) struct ClientIo {
    stream: TcpStream,
    client: Rc<Client>,
}

impl ClientIo {
    pub(super) fn new(stream: TcpStream, client: Rc<Client>) -> Self {
        Self { stream, client }
    }

    /// The bare stream, for a tunnel.
    pub(crate) fn into_stream(self) -> TcpStream {
        self.stream
    }

    /// Writes what is no answer to a request.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.client.local.counters().bytes_sent.add(bytes.len() as u64);
        time::timeout(LINGER, self.stream.write_all(bytes)).await?
    }

    /// Closes so that the client can read what was sent to it.
    pub(super) async fn linger(mut self) {
        if self.client.state.is_gone() || self.stream.shutdown().await.is_err() {
            return;
        }
        let mut rest = (&mut self.stream).take(LINGER_BYTES);
        let mut sink = tokio::io::sink();
        // Whatever happens here: the connection is over.
        let _ = time::timeout(LINGER, tokio::io::copy(&mut rest, &mut sink)).await;
    }

    /// Closes so that the client sees an error, and nothing waits to be sent.
    pub(super) fn reset(self) {
        if let Err(e) = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO)) {
            tracing::debug!("{}: cannot reset: {e}", self.client.peer);
        }
    }

    fn wrote(&self, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Ready(Ok(n)) => {
                self.client.local.counters().bytes_sent.add(*n as u64);
                self.client.state.set_blocked(false);
            }
            Poll::Ready(Err(_)) => self.client.state.set_gone(),
            Poll::Pending => self.client.state.set_blocked(true),
        }
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        let n = buf.filled().len() - before;
        if n == 0 {
            self.client.state.set_gone();
        } else {
            self.client.local.counters().bytes_received.add(n as u64);
            self.client.state.received();
        }
        Poll::Ready(outcome)
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if !self.client.state.is_answering() {
            // Hyper's own bare answer to what is no request. Ours says why, and follows.
            return Poll::Ready(Ok(buf.len()));
        }
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(&outcome);
        outcome
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.client.state.flushed();
        Poll::Ready(Ok(()))
    }

    /// Only says that all is written: how the socket is closed, if at all, depends on how the connection ended.
    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.client.state.is_answering() {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
