//! The way from an accepted socket to a stream of HTTP's bytes: nothing in the clear, a handshake under TLS.

use std::{io, net::SocketAddr, rc::Rc, sync::Arc};

use rustls::{ServerConfig, server::Acceptor};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time,
};
use tokio_rustls::{StartHandshake, TlsStream};

use crate::{
    http1::request,
    stream::Stream,
    worker::{Listener, Local},
};

/// What is read at once of a client's first words: few are longer.
const FIRST_WORDS: usize = 2 * 1024;

/// What came of a socket.
#[derive(Debug)]
pub(super) enum Opened {
    Stream(Stream),
    /// It begins like HTTP, where TLS is spoken.
    Clear(TcpStream),
}

/// None if the client does not get through it in time; its own fault, and told to it by TLS.
pub(super) async fn accept(
    local: &Rc<Local>,
    listener: &Rc<Listener>,
    socket: TcpStream,
    peer: SocketAddr,
) -> Option<Opened> {
    let Some(tls) = listener.tls() else { return Some(Opened::Stream(Stream::Plain(socket))) };
    let handshake = Box::pin(shake_hands(tls.config(), socket));
    let opened = match time::timeout(listener.limits().header_timeout, handshake).await {
        Ok(Ok(opened @ Opened::Stream(_))) => return Some(opened),
        Ok(Ok(Opened::Clear(socket))) => Some(Opened::Clear(socket)),
        Ok(Err(e)) => {
            tracing::debug!("{peer}: no TLS: {e}");
            None
        }
        Err(_) => {
            tracing::debug!("{peer}: no TLS: the handshake took too long");
            None
        }
    };
    local.counters().tls_failures.add(1);
    opened
}

/// Looks at the first bytes before the library does, in the read that it would have made.
async fn shake_hands(config: Arc<ServerConfig>, mut socket: TcpStream) -> io::Result<Opened> {
    let (mut acceptor, mut words, mut is_first) = (Acceptor::default(), [0; FIRST_WORDS], true);
    let accepted = loop {
        let n = socket.read(&mut words).await?;
        if n == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if is_first && request::may_begin(&words[..n]) {
            return Ok(Opened::Clear(socket));
        }
        is_first = false;
        let mut rest = &words[..n];
        while !rest.is_empty() {
            acceptor.read_tls(&mut rest)?;
        }
        match acceptor.accept() {
            Ok(Some(accepted)) => break accepted,
            Ok(None) => {}
            Err((e, mut alert)) => {
                let mut bytes = Vec::new();
                alert.write_all(&mut bytes)?;
                socket.write_all(&bytes).await?;
                return Err(io::Error::new(io::ErrorKind::InvalidData, e));
            }
        }
    };
    let stream = StartHandshake::from_parts(accepted, socket).into_stream(config).await?;
    Ok(Opened::Stream(Stream::Tls(Box::new(TlsStream::Server(stream)))))
}
