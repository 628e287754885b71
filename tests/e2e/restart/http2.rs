//! Clients of HTTP/2 that behave as RFC 9113 section 6.8 has it: after a GOAWAY they begin no more requests, wait for
//! those that were begun, and go on with another connection. Only what was not looked at is repeated.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::{net::TcpStream, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// Requests at one time on one connection.
const AT_ONCE: usize = 10;

/// Load that runs.
pub(super) struct Load2 {
    clients: JoinSet<Vec<String>>,
    stop: CancellationToken,
    answered: Arc<AtomicUsize>,
}

/// What became of a request.
enum Fate {
    Answered,
    /// Nobody looked at it: another connection may.
    Repeat,
    Failed(String),
}

impl Load2 {
    pub(super) fn start(address: SocketAddr, clients: usize) -> Self {
        let (stop, answered) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)));
        let clients = (0..clients).map(|_| client(address, stop.clone(), answered.clone())).collect();
        Self { clients, stop, answered }
    }

    pub(super) fn answered(&self) -> usize {
        self.answered.load(Relaxed)
    }

    /// Waits until this many further requests have been answered.
    pub(super) async fn progress(&self, further: usize) {
        let goal = self.answered() + further;
        weir_tests::until("further answers", async || (self.answered() >= goal).then_some(())).await;
    }

    /// How many were answered, and what failed.
    pub(super) async fn stop(self) -> (usize, Vec<String>) {
        self.stop.cancel();
        let failures = self.clients.join_all().await.concat();
        (self.answered.load(Relaxed), failures)
    }
}

/// One connection after the other.
async fn client(address: SocketAddr, stop: CancellationToken, answered: Arc<AtomicUsize>) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.is_cancelled() {
        let stream = match TcpStream::connect(address).await {
            Ok(stream) => stream,
            Err(e) => {
                failures.push(format!("connect: {e}"));
                continue;
            }
        };
        stream.set_nodelay(true).unwrap();
        let (sender, connection) = match h2::client::handshake(stream).await {
            Ok(pair) => pair,
            Err(e) => {
                failures.push(format!("handshake: {e}"));
                continue;
            }
        };
        let connection = tokio::spawn(connection);
        let requests = (0..AT_ONCE).map(|_| requests(sender.clone(), stop.clone(), answered.clone()));
        failures.extend(requests.collect::<JoinSet<_>>().join_all().await.concat());
        drop(sender);
        // How it ended is told by its requests.
        let _ = connection.await;
    }
    failures
}

/// One request after the other, for as long as the connection takes them.
async fn requests(
    mut sender: SendRequest<Bytes>,
    stop: CancellationToken,
    answered: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut failures = Vec::new();
    while !stop.is_cancelled() {
        match request(&mut sender).await {
            Fate::Answered => {
                answered.fetch_add(1, Relaxed);
            }
            Fate::Repeat => break,
            Fate::Failed(why) => {
                failures.push(why);
                break;
            }
        }
    }
    failures
}

async fn request(sender: &mut SendRequest<Bytes>) -> Fate {
    let Ok(mut sender) = sender.clone().ready().await else { return Fate::Repeat };
    let request = Request::builder().uri("http://test/").body(()).unwrap();
    // Not begun.
    let Ok((response, _)) = sender.send_request(request, true) else { return Fate::Repeat };
    let answer = async {
        let response = response.await?;
        let status = response.status();
        let mut body = response.into_body();
        let mut length = 0;
        while let Some(data) = body.data().await {
            length += data?.len();
        }
        Ok::<_, h2::Error>((status.as_u16(), length))
    };
    match answer.await {
        Ok((200, 1)) => Fate::Answered,
        Ok(other) => Fate::Failed(format!("{other:?}")),
        // Above the last one that the GOAWAY named.
        Err(e) if e.is_go_away() && e.is_remote() => Fate::Repeat,
        Err(e) if e.reason() == Some(h2::Reason::REFUSED_STREAM) => Fate::Repeat,
        Err(e) => Fate::Failed(format!("{e:?}")),
    }
}
