//! A proxy driven by hand: it says what the test tells it to, and applies what it gets as a proxy does.

use std::collections::BTreeMap;

use bytes::Bytes;
use prost::Message as _;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use weir_proto::{
    Digest, ObjectKey,
    v1::{self, control_message::Message as Down, proxy_message::Message as Up},
};

use crate::harness::Server;

pub(crate) struct Proxy {
    up: mpsc::Sender<v1::ProxyMessage>,
    pub(crate) down: Streaming<v1::ControlMessage>,
    pub(crate) objects: BTreeMap<ObjectKey, Bytes>,
}

/// A complete state, as it came.
#[derive(Debug, PartialEq)]
pub(crate) enum State {
    Delta { from: u64, to: v1::Position, objects: usize },
    Snapshot { at: v1::Position, pages: usize },
}

impl State {
    pub(crate) fn position(&self) -> v1::Position {
        match self {
            Self::Delta { to, .. } => *to,
            Self::Snapshot { at, .. } => *at,
        }
    }
}

impl Proxy {
    pub(crate) async fn connect(server: &Server, id: &str, has: Option<v1::Position>) -> Self {
        let hello = v1::Hello { proxy_id: id.to_owned(), level: 1, position: has, ..Default::default() };
        Self::open(server, Up::Hello(hello)).await
    }

    /// Returns when everything that was changed so far is published: additions may be held back for a moment.
    pub(crate) async fn wait_for_publication(server: &Server) {
        let newest = server.status().await.revision;
        let mut observer = Self::connect(server, "observer", None).await;
        while observer.follow().await.revision < newest {}
    }

    /// Opens a stream with this message.
    pub(crate) async fn open(server: &Server, first: Up) -> Self {
        let (up, stream) = mpsc::channel(64);
        let mut discovery = server.discovery().await;
        let down = discovery.stream(ReceiverStream::new(stream)).await.expect("a stream").into_inner();
        let proxy = Self { up, down, objects: BTreeMap::new() };
        proxy.say(first).await;
        proxy
    }

    pub(crate) async fn say(&self, message: Up) {
        self.up.send(v1::ProxyMessage { message: Some(message) }).await.expect("the stream is open");
    }

    pub(crate) async fn ack(&self, position: v1::Position) {
        self.say(Up::Ack(v1::Ack { position: Some(position), refused: Vec::new() })).await;
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Down>, Status> {
        Ok(self.down.message().await?.and_then(|message| message.message))
    }

    /// The next state, taken over. Its digest must be right.
    pub(crate) async fn state(&mut self) -> State {
        let mut pages = 0;
        loop {
            match self.next().await.expect("the stream lives").expect("a message") {
                Down::Delta(delta) => {
                    let objects = self.apply(&delta.body);
                    let to = delta.to.expect("a position");
                    assert_eq!(self.digest(), to.digest, "the digest of the result");
                    return State::Delta { from: delta.from_revision, to, objects };
                }
                Down::SnapshotPage(page) => {
                    assert_eq!(page.index, pages);
                    if pages == 0 {
                        self.objects.clear();
                    }
                    pages += 1;
                    let body = v1::SnapshotBody::decode(page.body).expect("a page's body");
                    body.objects.into_iter().for_each(|object| self.take(object));
                    if page.last {
                        let at = page.position.expect("a position");
                        assert_eq!(self.objects.len() as u64, page.total_objects);
                        assert_eq!(self.digest(), at.digest, "the digest of the whole");
                        return State::Snapshot { at, pages: pages as usize };
                    }
                }
                Down::Ping(ping) => self.say(Up::Pong(v1::Pong { sequence: ping.sequence })).await,
                Down::Question(_) | Down::Close(_) => panic!("asked in a test that asks nothing"),
                Down::GoAway(_) => panic!("sent away"),
            }
        }
    }

    /// The next state, acknowledged.
    pub(crate) async fn follow(&mut self) -> v1::Position {
        let position = self.state().await.position();
        self.ack(position).await;
        position
    }

    fn apply(&mut self, body: &Bytes) -> usize {
        let body = v1::DeltaBody::decode(body.clone()).expect("a delta's body");
        let objects = body.upserted.len() + body.removed.len();
        body.upserted.into_iter().for_each(|object| self.take(object));
        for object in body.removed {
            self.objects.remove(&ObjectKey::try_from(object).expect("a known kind"));
        }
        objects
    }

    fn take(&mut self, object: v1::Object) {
        let kind = weir_proto::ObjectKind::try_from(object.kind).expect("a known kind");
        self.objects.insert(ObjectKey::new(kind, &object.name), object.body);
    }

    fn digest(&self) -> u64 {
        self.objects.iter().fold(Digest::default(), |digest, (key, body)| digest.with(key, body)).0
    }
}
