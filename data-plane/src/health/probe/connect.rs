//! The connection of a probe: TCP, and TLS where the service has it.

use std::{net::SocketAddr, sync::Arc};

use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};
use weir_proto::Probe;

use super::{Fault, Question};
use crate::{stream::Stream, tls};

/// The name of HTTP/2 in ALPN: RFC 9113 section 3.1.
const ALPN_HTTP2: &[u8] = b"h2";

/// To the backend, or to the port beside it that answers probes.
pub(super) async fn open(question: &Question, mut address: SocketAddr) -> Result<Stream, Fault> {
    address.set_port(question.check.port.unwrap_or(address.port()));
    if let Some(what) = question.here.bars(address) {
        return Err(Fault::backend(format_args!("{address} is not asked: it is {what}")));
    }
    let socket = TcpStream::connect(address).await?;
    // It fails only where the connection has gone already, which whoever writes finds out.
    let _ = socket.set_nodelay(true);
    match &question.tls {
        None => Ok(Stream::Plain(socket)),
        Some(tls) => shake_hands(question, tls, address, socket).await,
    }
}

async fn shake_hands(
    question: &Question,
    tls: &tls::Client,
    address: SocketAddr,
    socket: TcpStream,
) -> Result<Stream, Fault> {
    let mut config = tls.config();
    let calls = matches!(question.check.probe, Probe::Grpc { .. });
    if calls {
        // gRPC is HTTP/2, whatever requests to the service are.
        Arc::make_mut(&mut config).alpn_protocols = vec![ALPN_HTTP2.into()];
    }
    let connecting = TlsConnector::from(config).connect(tls.server_name(address), socket);
    let stream = connecting.await.map_err(|e| Fault::backend(format_args!("TLS: {e}")))?;
    let chosen = stream.get_ref().1.alpn_protocol();
    if !if calls { chosen == Some(ALPN_HTTP2) } else { tls.accepts(chosen) } {
        return Err(Fault::backend("TLS: it speaks another protocol than the service"));
    }
    Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
}
