//! A connection that is no longer HTTP: bytes both ways, each end closing in its own time.

use std::{
    cell::Cell,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::{self, Duration, Instant},
};

use crate::{
    downstream::ClientIo,
    endpoint::InFlight,
    exchange::Exchange,
    upstream::{Lease, Parts},
};

/// What a `101` leads to, held until the client has been told.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) lease: Lease,
    pub(crate) in_flight: InFlight,
    pub(crate) exchange: Exchange,
}

/// Relays until both ends have closed, one fails, or nothing has moved for `idle_timeout`. `read` is what the client
/// sent early.
pub(crate) async fn run(tunnel: Tunnel, client: ClientIo, read: Bytes, idle_timeout: Duration) {
    let Tunnel { lease, in_flight, mut exchange } = tunnel;
    let Some(Parts { io, read_buf, .. }) = lease.into_parts().await else { return };
    let moved = Cell::new(Instant::now());
    let mut client = Active { stream: client.into_stream(), moved: &moved };
    let mut backend = Active { stream: io.into_inner(), moved: &moved };
    let relay = async {
        client.write_all(&read_buf).await?;
        backend.write_all(&read).await?;
        tokio::io::copy_bidirectional(&mut client, &mut backend).await
    };
    let idle = async {
        while moved.get().elapsed() < idle_timeout {
            time::sleep_until(moved.get() + idle_timeout).await;
        }
    };
    tokio::select! {
        ended = relay => if let Ok((_, to_client)) = ended {
            exchange.sent(usize::try_from(to_client).unwrap_or(usize::MAX));
        },
        () = idle => {}
    }
    // However a tunnel ends, it is not for us to judge.
    exchange.complete();
    drop(in_flight);
}

/// A stream that notes when bytes move.
struct Active<'a> {
    stream: TcpStream,
    moved: &'a Cell<Instant>,
}

impl AsyncRead for Active<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if outcome.is_ready() {
            self.moved.set(Instant::now());
        }
        outcome
    }
}

impl AsyncWrite for Active<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, buf);
        if outcome.is_ready() {
            self.moved.set(Instant::now());
        }
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
