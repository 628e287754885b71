//! Probes by HTTP/2: one connection, one request.

use std::{convert::Infallible, future::pending};

use ::http::{HeaderName, HeaderValue, Method, Request, Response, Uri, header, uri};
use bytes::Bytes;
use h2::{RecvStream, client};
use tokio::select;
use weir_proto::HttpProbe;

use super::{
    Fault, Outcome, USER_AGENT,
    bounded::Bounded,
    http::{Search, judge},
};
use crate::stream::Stream;

/// What the backend may send before it was taken, and bytes of the answer's head.
const WINDOW: u32 = 64 * 1024;

pub(super) async fn get(probe: &HttpProbe, host: &str, stream: Stream) -> Result<Outcome, Fault> {
    let mut request = request(&stream, Method::GET, host, &probe.path)?;
    for (name, value) in &probe.headers {
        let name = HeaderName::try_from(name).map_err(invalid)?;
        let value = HeaderValue::try_from(value).map_err(invalid)?;
        // The fields that we give by ourselves are defaults.
        if name == header::USER_AGENT {
            request.headers_mut().insert(name, value);
        } else {
            request.headers_mut().append(name, value);
        }
    }
    exchange(stream, request, None, async |response: Response<RecvStream>| {
        let outcome = judge(response.status(), probe);
        if outcome != Outcome::Passed {
            return Ok(outcome);
        }
        let (mut search, mut body) = (Search::new(&probe.expected_body), response.into_body());
        while !search.is_over() {
            // How the body ends is all the same: what is missing in it is missing.
            let Some(Ok(piece)) = body.data().await else { break };
            search.take(&piece);
            release(&mut body, piece.len());
        }
        Ok(search.outcome())
    })
    .await
}

/// A request without fields but for our name.
pub(super) fn request(stream: &Stream, method: Method, host: &str, path: &str) -> Result<Request<()>, Fault> {
    let mut uri = uri::Parts::default();
    let secure = matches!(stream, Stream::Tls(_));
    uri.scheme = Some(if secure { uri::Scheme::HTTPS } else { uri::Scheme::HTTP });
    uri.authority = Some(uri::Authority::try_from(host).map_err(invalid)?);
    uri.path_and_query = Some(uri::PathAndQuery::try_from(path).map_err(invalid)?);
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = Uri::from_parts(uri).map_err(invalid)?;
    request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    Ok(request)
}

/// Sends the request with its body, if it has one, and lets `read` judge the response.
pub(super) async fn exchange(
    stream: Stream,
    request: Request<()>,
    body: Option<Bytes>,
    read: impl AsyncFnOnce(Response<RecvStream>) -> Result<Outcome, Fault>,
) -> Result<Outcome, Fault> {
    let handshake = client::Builder::new()
        .enable_push(false)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_header_list_size(WINDOW)
        .handshake::<_, Bytes>(Bounded::new(stream));
    let (mut sender, connection) = handshake.await.map_err(fault)?;
    let exchange = async {
        let (response, mut out) = sender.send_request(request, body.is_none()).map_err(fault)?;
        if let Some(body) = body {
            out.send_data(body, true).map_err(fault)?;
        }
        read(response.await.map_err(fault)?).await
    };
    // What ends the connection is told to the exchange, too.
    let drive = async {
        let _ = connection.await;
        pending::<Infallible>().await
    };
    select! {
        outcome = exchange => outcome,
        never = drive => match never {},
    }
}

/// Lets the backend send as much again.
pub(super) fn release(body: &mut RecvStream, n: usize) {
    // It fails only for more than was received.
    let _ = body.flow_control().release_capacity(n);
}

pub(super) fn fault(error: h2::Error) -> Fault {
    let reason = format!("HTTP/2: {error}");
    error.into_io().map_or_else(|| Fault::backend(reason), Fault::from)
}

/// What the configuration lets pass, and the codec does not.
fn invalid(error: impl Into<::http::Error>) -> Fault {
    Fault::backend(format_args!("the probe cannot be sent by HTTP/2: {}", error.into()))
}
