//! The seam to clients: a connection that yields requests and takes responses. HTTP/1 by hyper.

mod io;
mod state;
mod watch;

use std::{
    convert::Infallible,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::Instant};

pub(crate) use self::io::ClientIo;
use self::{
    state::State,
    watch::{Due, Watch},
};
use crate::{
    answer,
    body::{ClientBody, RequestBody, ResponseBody},
    counters::Outcomes,
    proxy,
    reason::Reason,
    upgrade::{self, Tunnel},
    worker::{Listener, Local},
};

/// Hyper's lower bound for its buffer.
const LEAST_BUFFER: usize = 8192;

/// One client's connection, as its requests see it.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) local: Rc<Local>,
    pub(crate) listener: Rc<Listener>,
    pub(crate) peer: SocketAddr,
    /// The client's address without the port, for `X-Forwarded-For`.
    pub(crate) peer_value: HeaderValue,
    pub(crate) state: State,
}

/// Forgets a tunnel that never came to be: it holds the client that holds it.
struct Untie(Rc<Client>);

impl Drop for Untie {
    fn drop(&mut self) {
        self.0.state.take_tunnel();
    }
}

/// How the HTTP part of a connection ended.
enum End {
    /// By either side, or by an error of either.
    Http(Result<(), hyper::Error>),
    /// By us, because a time ran out.
    Due(Due),
    /// By us, because the proxy ends.
    Cut,
}

/// Serves one connection to its end, or until the worker cuts it.
pub(crate) async fn serve(local: &Rc<Local>, listener: &Rc<Listener>, stream: TcpStream, peer: SocketAddr) {
    let client = Rc::new(Client {
        local: Rc::clone(local),
        listener: Rc::clone(listener),
        peer,
        peer_value: HeaderValue::try_from(peer.ip().to_canonical().to_string())
            .unwrap_or_else(|_| HeaderValue::from_static("unknown")),
        state: State::new(),
    });
    let _untie = Untie(Rc::clone(&client));
    let limits = listener.limits();
    let mut builder = http1::Builder::new();
    builder
        .preserve_header_case(true)
        .max_headers(limits.max_headers as usize)
        .max_header_size(limits.max_header_bytes as usize)
        .max_buf_size((limits.max_header_bytes as usize).max(LEAST_BUFFER));
    let for_requests = Rc::clone(&client);
    let service = service_fn(move |request| {
        let client = Rc::clone(&for_requests);
        async move { Ok::<_, Infallible>(request_in(&client, request).await) }
    });
    let io = TokioIo::new(ClientIo::new(stream, Rc::clone(&client)));
    let mut connection = builder.serve_connection(io, service);
    let end = {
        let mut watch = Watch::default();
        let mut closing = pin!(listener.closing());
        let mut cut = pin!(local.until_cut());
        poll_fn(|cx| {
            if cut.as_mut().poll(cx).is_ready() {
                return Poll::Ready(End::Cut);
            }
            if let Poll::Ready(result) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(End::Http(result));
            }
            if !watch.is_closing() && closing.as_mut().poll(cx).is_ready() {
                watch.set_closing();
            }
            watch.poll(cx, &client.state, &listener.limits()).map(End::Due)
        })
        .await
    };
    let parts = connection.into_parts();
    tokio::select! {
        biased;
        () = finish(&client, parts.io.into_inner(), parts.read_buf, end) => {}
        () = local.until_cut() => {}
    }
}

/// One request: hands it to the proxy, and closes the connection after it if the listener closes.
async fn request_in(client: &Rc<Client>, request: Request<Incoming>) -> Response<ResponseBody> {
    client.state.request_began(request.version());
    let (parts, incoming) = request.into_parts();
    let body = (!incoming.is_end_stream()).then(|| ClientBody::new(incoming, client));
    client.state.set_body(body.clone());
    let mut response = proxy::serve(client, Request::from_parts(parts, RequestBody::new(body))).await;
    if client.listener.is_closing() && !response.headers().contains_key(header::UPGRADE) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

async fn finish(client: &Rc<Client>, io: ClientIo, read: Bytes, end: End) {
    if let Some(tunnel) = client.state.take_tunnel() {
        let idle_timeout = client.listener.limits().idle_timeout;
        return upgrade::run(tunnel, io, read, idle_timeout).await;
    }
    match end {
        End::Http(Ok(())) => io.linger().await,
        End::Http(Err(e)) => match refusal(client, &e) {
            Some(reason) => refuse(client, io, reason).await,
            None if client.state.must_reset() => io.reset(),
            None => {}
        },
        End::Due(Due::Idle) => {}
        End::Due(Due::Head) => refuse(client, io, Reason::HeaderTimeout).await,
        End::Due(Due::Stalled) => io.reset(),
        End::Cut => {
            if client.state.is_answering() {
                client.state.cut_short();
            }
            if client.state.must_reset() {
                io.reset();
            }
        }
    }
}

/// The answer to what is no request, where there is somebody to answer.
fn refusal(client: &Client, error: &hyper::Error) -> Option<Reason> {
    if client.state.is_answering() || !error.is_parse() {
        None
    } else if error.is_parse_too_large() {
        Some(Reason::HeaderTooLarge)
    } else {
        Some(Reason::RequestMalformed)
    }
}

async fn refuse(client: &Client, mut io: ClientIo, reason: Reason) {
    let counters: &Outcomes = &client.local.counters().unrouted;
    counters.count(reason, reason.status().as_u16(), client.state.head_age(Instant::now()));
    if io.send(&answer::raw(reason)).await.is_ok() {
        io.linger().await;
    }
}

impl Client {
    /// What is to follow the head of a `101` that is on its way to the client.
    pub(crate) fn tunnel(&self, tunnel: Tunnel) {
        self.state.set_tunnel(tunnel);
    }
}
