//! A new connection to a backend: TCP, and TLS where the service asks for it.

use std::{io, sync::Arc};

use tokio::{
    net::TcpStream,
    time::{self, Duration},
};
use tokio_rustls::{TlsConnector, TlsStream};

use crate::{
    endpoint::{Connected, Endpoint},
    reason::Reason,
    stream::Stream,
    table::ServiceEntry,
};

/// Within `timeout`, handshake included; before that it may wait until the endpoint may have one more connection.
pub(crate) async fn connect(
    service: &ServiceEntry,
    endpoint: &Arc<Endpoint>,
    timeout: Duration,
) -> Result<(Stream, Connected), Reason> {
    let connected = Connected::claim(endpoint, &service.service.circuit_breakers).await?;
    let opened = time::timeout(timeout, Box::pin(open(service, endpoint))).await;
    opened.unwrap_or(Err(Reason::ConnectTimeout)).map(|stream| (stream, connected))
}

async fn open(service: &ServiceEntry, endpoint: &Endpoint) -> Result<Stream, Reason> {
    if let Some(what) = service.here.bars(endpoint.address()) {
        weir_proto::seldom!(warn, backend = %endpoint.key(), "{} is not dialled: it is {what}", endpoint.address());
        return Err(Reason::BackendForbidden);
    }
    let socket = match TcpStream::connect(endpoint.address()).await {
        Ok(socket) => socket,
        Err(e) if e.kind() == io::ErrorKind::ConnectionRefused => return Err(Reason::ConnectRefused),
        Err(e) if e.kind() == io::ErrorKind::TimedOut => return Err(Reason::ConnectTimeout),
        Err(e) => {
            tracing::debug!("{}: {e}", endpoint.key());
            return Err(Reason::ConnectFailed);
        }
    };
    // It fails only where the connection has gone already, which whoever writes finds out.
    let _ = socket.set_nodelay(true);
    let Some(tls) = &service.tls else { return Ok(Stream::Plain(socket)) };
    let name = tls.server_name(endpoint.address());
    match TlsConnector::from(tls.config()).connect(name, socket).await {
        Ok(stream) if !tls.accepts(stream.get_ref().1.alpn_protocol()) => {
            tracing::debug!("{}: it speaks another protocol than the service", endpoint.key());
            Err(Reason::BackendTls)
        }
        Ok(stream) => Ok(Stream::Tls(Box::new(TlsStream::Client(stream)))),
        Err(e) => {
            tracing::debug!("{}: {e}", endpoint.key());
            Err(Reason::BackendTls)
        }
    }
}
