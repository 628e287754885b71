//! A control plane of which a test moves every hand.

use std::{net::SocketAddr, time::Duration};

use prost::Message;
use tokio::{net::TcpListener, sync::mpsc, time::timeout};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tokio_util::task::AbortOnDropHandle;
use tonic::{Request, Response, Status, Streaming, transport::Server};
use weir_proto::{
    Epoch, Revision,
    v1::{
        self, ControlMessage, ProxyMessage,
        control_message::Message as Down,
        discovery_server::{Discovery, DiscoveryServer},
        proxy_message::Message as Up,
    },
};

use super::{Object, insert, wire};
use crate::objects::{Objects, Position, State};

/// Long enough for a slow machine, short enough to end a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Accepts streams until it is dropped.
pub(crate) struct ControlPlane {
    pub(crate) address: SocketAddr,
    streams: mpsc::Receiver<Peer>,
    _server: AbortOnDropHandle<()>,
}

/// The other end of a proxy's stream.
pub(crate) struct Peer {
    inbound: Streaming<ProxyMessage>,
    outbound: mpsc::Sender<Result<ControlMessage, Status>>,
}

struct Service {
    streams: mpsc::Sender<Peer>,
}

impl ControlPlane {
    pub(crate) async fn start() -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    pub(crate) async fn start_at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, streams) = mpsc::channel(4);
        let service = DiscoveryServer::new(Service { streams: sender });
        let server =
            Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async {
            let _ = server.await;
        });
        Self { address, streams, _server: AbortOnDropHandle::new(server) }
    }

    pub(crate) fn uri(&self) -> http::Uri {
        format!("http://{}", self.address).parse().unwrap()
    }

    /// The next stream, after its Hello.
    pub(crate) async fn accept(&mut self) -> (Peer, v1::Hello) {
        let mut peer = timeout(PATIENCE, self.streams.recv()).await.expect("a stream in time").unwrap();
        match peer.next().await {
            Some(Up::Hello(hello)) => (peer, hello),
            other => panic!("Hello comes first, not {other:?}"),
        }
    }
}

#[tonic::async_trait]
impl Discovery for Service {
    type StreamStream = ReceiverStream<Result<ControlMessage, Status>>;

    async fn stream(
        &self,
        request: Request<Streaming<ProxyMessage>>,
    ) -> Result<Response<Self::StreamStream>, Status> {
        let (outbound, messages) = mpsc::channel(64);
        let peer = Peer { inbound: request.into_inner(), outbound };
        self.streams.send(peer).await.map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(ReceiverStream::new(messages)))
    }
}

impl Peer {
    /// None at the stream's end.
    async fn next(&mut self) -> Option<Up> {
        let message = timeout(PATIENCE, self.inbound.message()).await.expect("a message in time");
        message.ok().flatten().and_then(|m| m.message)
    }

    pub(crate) async fn send(&self, message: Down) {
        self.outbound.send(Ok(ControlMessage { message: Some(message) })).await.unwrap();
    }

    /// Sends a whole snapshot, `per_page` objects a page.
    pub(crate) async fn snapshot(&self, state: &State, per_page: usize, epoch_accepted: bool) {
        for page in pages(state, per_page, epoch_accepted) {
            self.send(Down::SnapshotPage(page)).await;
        }
    }

    /// Sends what leads from one state to the other.
    pub(crate) async fn delta(&self, from: &State, to: &State) {
        self.send(Down::Delta(delta(from, to))).await;
    }

    /// The next message that is none of those that come by the clock.
    pub(crate) async fn answer(&mut self) -> Option<Up> {
        loop {
            match self.next().await {
                Some(Up::Report(_)) => {}
                other => return other,
            }
        }
    }

    pub(crate) async fn ack(&mut self) -> v1::Ack {
        match self.answer().await {
            Some(Up::Ack(ack)) => ack,
            other => panic!("an Ack is due, not {other:?}"),
        }
    }

    /// What the proxy says that it keeps out.
    pub(crate) async fn kept_out(&mut self) -> v1::KeptOut {
        match self.answer().await {
            Some(Up::KeptOut(kept_out)) => kept_out,
            other => panic!("a KeptOut is due, not {other:?}"),
        }
    }

    pub(crate) async fn resync(&mut self) -> String {
        match self.answer().await {
            Some(Up::Resync(resync)) => resync.reason,
            other => panic!("a Resync is due, not {other:?}"),
        }
    }

    /// The first report that is as wanted.
    pub(crate) async fn report(&mut self, wanted: impl Fn(&v1::Report) -> bool) -> v1::Report {
        loop {
            match self.next().await {
                Some(Up::Report(report)) if wanted(&report) => return report,
                Some(_) => {}
                None => panic!("the stream ended before the report"),
            }
        }
    }
}

/// A state with these objects.
pub(crate) fn state(epoch: u64, revision: u64, list: &[Object]) -> State {
    let mut objects = Objects::default();
    for object in list {
        insert(&mut objects, object.clone());
    }
    let position = Position { epoch: Epoch(epoch), revision: Revision(revision), digest: objects.digest() };
    State { position, objects }
}

pub(crate) fn pages(state: &State, per_page: usize, epoch_accepted: bool) -> Vec<v1::SnapshotPage> {
    let objects: Vec<_> = state.objects.iter().map(|(k, r)| wire(&(k.clone(), r.clone()))).collect();
    let chunks: Vec<_> = if objects.is_empty() { vec![&[][..]] } else { objects.chunks(per_page).collect() };
    let page = |(i, chunk): (usize, &&[v1::Object])| v1::SnapshotPage {
        position: Some(state.position.into()),
        index: u32::try_from(i).unwrap(),
        last: i + 1 == chunks.len(),
        total_objects: objects.len() as u64,
        epoch_accepted,
        accepted_revision: 0,
        removals_from: 0,
        body: v1::SnapshotBody { objects: chunk.to_vec() }.encode_to_vec().into(),
    };
    chunks.iter().enumerate().map(page).collect()
}

pub(crate) fn delta(from: &State, to: &State) -> v1::Delta {
    let mut body = v1::DeltaBody::default();
    for key in from.objects.changed(&to.objects) {
        match to.objects.get(&key) {
            Some(received) => body.upserted.push(wire(&(key, received.clone()))),
            None => body.removed.push(key.wire()),
        }
    }
    v1::Delta {
        from_revision: from.position.revision.0,
        to: Some(to.position.into()),
        body: body.encode_to_vec().into(),
        from_digest: from.position.digest.0,
    }
}
