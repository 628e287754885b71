//! The seam to clients: a connection that yields requests and takes replies, in the protocol that the client speaks.

mod blocked;
mod close;
mod detect;
mod guard;
mod handshake;
pub(crate) mod http1;
pub(crate) mod http2;
mod standing;

use std::{net::SocketAddr, rc::Rc, task::Context};

use tokio::{
    net::TcpStream,
    time::{Duration, Instant},
};

pub(crate) use self::{
    blocked::{Blocked, Holds},
    close::Ending,
    standing::Standing,
};
use self::{detect::Known, handshake::Opened};
use crate::{
    access_log::Record,
    admission::Stalled,
    alarm::Alarm,
    buffer::Buffer,
    message::ResponseHead,
    reason::Reason,
    stream::Stream,
    worker::{Guards, Listener, Local, Waiter},
};

/// A client that has just been answered may well ask again.
const IDLE_GRACE: Duration = Duration::from_secs(1);

/// One client's connection, as its requests see it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) local: Rc<Local>,
    pub(crate) listener: Rc<Listener>,
    pub(crate) peer: SocketAddr,
    /// The client's address without the port, for `X-Forwarded-For`.
    pub(crate) peer_text: Box<str>,
    /// Whether it came by TLS.
    pub(crate) secure: bool,
    pub(crate) standing: Standing,
}

/// The way for responses before the last one.
#[derive(Debug)]
pub(crate) enum Interim<'a> {
    /// The client's protocol has none.
    None,
    Http1(http1::Interim<'a>),
    Http2(http2::Interim<'a>),
}

/// Serves one connection to its end. Dropped, it is cut.
pub(crate) async fn serve(
    local: Rc<Local>,
    listener: Rc<Listener>,
    socket: TcpStream,
    peer: SocketAddr,
    _guards: Guards,
) {
    let _waiter = Waiter::enter(&local).await;
    let secure = listener.tls().is_some();
    let Some(opened) = handshake::accept(&local, &listener, socket, peer).await else { return };
    let peer_text = peer.ip().to_canonical().to_string().into_boxed_str();
    let client = Rc::new(Client { local, listener, peer, peer_text, secure, standing: Standing::default() });
    let stream = match opened {
        Opened::Stream(stream) => stream,
        Opened::Clear(socket) => {
            return Box::pin(http1::refuse(&client, Stream::Plain(socket), Reason::TlsExpected)).await;
        }
    };
    let known = detect::beforehand(client.listener.protocol(), &stream);
    let (stream, read) = match known {
        Known::Http2 => (stream, Buffer::none()),
        Known::Http1 | Known::Not => match http1::serve(&client, stream, known == Known::Not).await {
            Some(http2) => http2,
            None => return,
        },
    };
    Box::pin(http2::serve(&client, stream, read)).await;
}

impl Client {
    /// For the time without a request, which began `idle_since`: whether the connection is to make way for another one. It
    /// listens for that only after its grace, and while there are nearly as many as there may be.
    fn vacates(
        &self,
        cx: &mut Context<'_>,
        alarm: &mut Alarm,
        idle_since: Instant,
        vacating: &mut Option<Box<Stalled>>,
    ) -> bool {
        if !self.listener.is_dense() || alarm.poll(cx, idle_since + IDLE_GRACE).is_pending() {
            return false;
        }
        let stalls = self.listener.crowd().stalls();
        vacating.get_or_insert_with(|| Box::new(Stalled::new(stalls))).poll(cx).is_ready()
    }

    /// Counts and logs what ended before it was a request.
    pub(crate) fn refused(&self, reason: Reason, took: tokio::time::Duration) {
        let status = reason.status().as_u16();
        self.local.counters().unrouted.count(reason, status, took);
        let Some(log) = self.local.log() else { return };
        log.borrow_mut().push(&Record {
            listener: &self.listener.name(),
            client: self.peer,
            request: None,
            status,
            reason: reason.code(),
            service: None,
            backend: None,
            attempts: 0,
            bytes_in: 0,
            bytes_out: 0,
            took,
            upstream: None,
        });
    }
}

impl Interim<'_> {
    /// Passes a response on that is not the last one. Never waits: what does not go out at once goes with what follows.
    pub(crate) fn send(&mut self, head: &ResponseHead) {
        match self {
            Self::None => {}
            Self::Http1(interim) => interim.send(head),
            Self::Http2(interim) => interim.send(head),
        }
    }

    /// Writes what did not go out at once. Never ready.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) {
        if let Self::Http1(interim) = self {
            interim.poll_write(cx);
        }
    }
}
