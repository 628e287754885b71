//! A connection that is no longer HTTP: bytes both ways, each end closing in its own time.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf},
    time::{self, Instant},
};

use crate::{
    alarm::Alarm,
    buffer::Buffer,
    downstream::{Blocked, Client, Holds},
    endpoint::{InFlight, Leave},
    exchange::Exchange,
    reason::Reason,
    stream::{Io, Stream},
};

/// What a `101` leads to, after the client was told.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pub(crate) backend: Io,
    /// What the backend sent early.
    pub(crate) read: Buffer,
    pub(crate) in_flight: InFlight,
    pub(crate) exchange: Exchange,
}

/// Relays until both ends have closed, one fails, nothing has moved for the listener's idle timeout, or the backend must be
/// left. `read` is what the client sent early.
pub(crate) async fn run(client: &Rc<Client>, tunnel: Tunnel, io: Io, read: Buffer) {
    let Tunnel { backend, read: answered, in_flight, mut exchange } = tunnel;
    let idle_timeout = client.listener.limits().idle_timeout;
    let moved = Cell::new(Instant::now());
    let (takes_nothing, unobserved) = (Cell::new(false), Cell::new(false));
    let mut client = Active { stream: io.into_inner(), moved: &moved, takes_nothing: &takes_nothing };
    let mut backend = Active { stream: backend.into_inner(), moved: &moved, takes_nothing: &unobserved };
    let early = answered.unread().len();
    let relay = async {
        client.write_all(answered.unread()).await?;
        client.flush().await?;
        backend.write_all(read.unread()).await?;
        backend.flush().await?;
        drop((answered, read));
        tokio::io::copy_bidirectional(&mut client, &mut backend).await
    };
    let idle = async {
        while moved.get().elapsed() < idle_timeout {
            time::sleep_until(moved.get() + idle_timeout).await;
        }
    };
    let grace = exchange.service().map_or(idle_timeout, |entry| entry.service.circuit_breakers.stall_grace);
    let (mut blocked, mut alarm) = (Blocked::default(), Alarm::default());
    let displaced = poll_fn(|cx| {
        if takes_nothing.get() {
            let endpoint = in_flight.endpoint();
            let stalls = [Some(endpoint.live().gate().stalls()), Some(endpoint.connections().stalls()), None];
            return blocked.poll(cx, &mut alarm, idle_timeout, Holds { grace, stalls });
        }
        blocked.moved(usize::MAX);
        Poll::Pending
    });
    let mut leave = Leave::default();
    let left = poll_fn(|cx| leave.poll(cx, in_flight.endpoint()));
    tokio::select! {
        biased;
        ended = relay => if let Ok((_, to_client)) = ended {
            exchange.sent(usize::try_from(to_client).unwrap_or(usize::MAX).saturating_add(early));
        },
        reason = displaced => {
            drop(in_flight);
            return exchange.cut_short(reason);
        }
        () = idle => {}
        () = left => {
            drop(in_flight);
            return exchange.cut_short(Reason::BackendDrainTimeout);
        }
    }
    // However a tunnel ends, it is not for us to judge.
    exchange.complete();
    drop(in_flight);
}

/// A stream that notes when bytes move.
struct Active<'a> {
    stream: Stream,
    moved: &'a Cell<Instant>,
    /// Whether the other end takes nothing of what is to be sent to it.
    takes_nothing: &'a Cell<bool>,
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
        self.takes_nothing.set(outcome.is_pending());
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
