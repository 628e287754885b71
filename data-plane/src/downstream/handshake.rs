//! The way from an accepted socket to a stream of HTTP's bytes: nothing in the clear, a handshake under TLS.

use std::{net::SocketAddr, rc::Rc};

use tokio::{net::TcpStream, time};
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::{
    stream::Stream,
    worker::{Listener, Local},
};

/// None if the client does not get through it in time; its own fault, and told to it by TLS.
pub(super) async fn accept(
    local: &Rc<Local>,
    listener: &Rc<Listener>,
    socket: TcpStream,
    peer: SocketAddr,
) -> Option<Stream> {
    let Some(tls) = listener.tls() else { return Some(Stream::Plain(socket)) };
    let handshake = Box::pin(TlsAcceptor::from(tls.config()).accept(socket));
    match time::timeout(listener.limits().header_timeout, handshake).await {
        Ok(Ok(stream)) => return Some(Stream::Tls(Box::new(TlsStream::Server(stream)))),
        Ok(Err(e)) => tracing::debug!("{peer}: no TLS: {e}"),
        Err(_) => tracing::debug!("{peer}: no TLS: the handshake took too long"),
    }
    local.counters().tls_failures.add(1);
    None
}
