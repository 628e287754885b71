//! A sample backend: an HTTP server that says its name and what it was asked, with an agent of its own.

use std::{convert::Infallible, fmt::Write, net::Ipv4Addr, time::Duration};

use http_body_util::Full;
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::task::AbortOnDropHandle;
use weir_proto::v1;

use crate::{
    Error,
    agent::{Agent, State, Wish},
};

/// The service that sample backends belong to.
pub(super) const SERVICE: &str = "sample";
/// How long a registration lasts without a heartbeat.
const TTL: Duration = Duration::from_secs(15);
/// How long to wait after a failed accept, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A running sample backend. Dropping it ends it at once.
pub(super) struct Sample {
    wish: watch::Sender<Wish>,
    state: watch::Receiver<State>,
    agent: AbortOnDropHandle<()>,
    _server: AbortOnDropHandle<()>,
}

impl Sample {
    /// Listens, and begins to register.
    pub(super) fn start(control_plane: &str, number: u8) -> Result<Self, Error> {
        let failed = |e: std::io::Error| {
            Error::Failed(format!("cannot start a sample backend: {}", crate::error::reason(&e)))
        };
        let socket = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let listener = TcpListener::from_std(socket).map_err(failed)?;
        let name = format!("{SERVICE}-{number}");
        let backend = v1::Backend {
            service: SERVICE.to_owned(),
            id: name.clone(),
            address: address.to_string(),
            ..Default::default()
        };
        let agent = Agent::new(&[control_plane.to_owned()], backend, TTL, "weir-dev".to_owned())?;
        let (wish, wishes) = watch::channel(Wish::Stay);
        let (sender, state) = watch::channel(State::Starting);
        let agent = tokio::spawn(async move { drop(agent.attend(wishes, &sender).await) });
        let server = tokio::spawn(serve(listener, name));
        Ok(Self {
            wish,
            state,
            agent: AbortOnDropHandle::new(agent),
            _server: AbortOnDropHandle::new(server),
        })
    }

    /// Waits for the registration: its revision.
    pub(super) async fn registered(&mut self) -> u64 {
        match self.state.wait_for(|state| matches!(state, State::Registered { .. })).await.as_deref() {
            Ok(State::Registered { revision }) => *revision,
            _ => 0,
        }
    }

    /// Removes its registration, then ends it.
    pub(super) async fn stop(self) {
        self.wish.send_replace(Wish::Leave { drain: None });
        drop(self.agent.await);
    }
}

async fn serve(listener: TcpListener, name: String) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        drop(stream.set_nodelay(true));
        let name = name.clone();
        let answer =
            service_fn(move |request| std::future::ready(Ok::<_, Infallible>(hello(&name, &request))));
        connections.spawn(async move {
            let mut http = http1::Builder::new();
            drop(http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), answer).await);
        });
    }
}

fn hello(name: &str, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut text = format!("hello from {name}\n{} {}\n", request.method(), request.uri());
    for (key, value) in request.headers() {
        let value = String::from_utf8_lossy(value.as_bytes());
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{key}: {value}");
    }
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let plain = hyper::header::HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, plain);
    response
}
