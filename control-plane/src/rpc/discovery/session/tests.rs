//! What time does to a stream, with the clock stopped.

mod admission;
mod histories;
mod questions;

use std::sync::Arc;

use prometheus_client::registry::Registry as Counters;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use weir_proto::{Backend, Digest, Epoch, ProxyId, Revision};

use super::*;
use crate::{
    caller::Caller,
    fleet::{Fleet, Identity},
    metrics::Metrics,
    registry::{Options, Registration, Registry, Task},
    store,
};

const MINUTE: Duration = Duration::from_mins(1);

/// A proxy on the other end of a session.
struct Proxy {
    api: Api,
    up: mpsc::Sender<Result<v1::ProxyMessage, Status>>,
    down: mpsc::Receiver<Result<v1::ControlMessage, Status>>,
    end: tokio::task::JoinHandle<Result<(), Status>>,
    _registry: Option<Task>,
}

impl Proxy {
    async fn with(has: Option<Position>) -> Self {
        Self::with_tombstones(1_000, has).await
    }

    /// Of a control plane that remembers so many removed objects.
    async fn with_tombstones(tombstones: usize, has: Option<Position>) -> Self {
        let metrics = Metrics::new(&mut Counters::default());
        let store = store::open("memory", None).expect("a store");
        let options = Options { tombstones, ..Options::new(metrics.clone()) };
        let (registry, task) = Registry::start(store, options).await.expect("it starts");
        let position = registry.current().position();
        let api = Api {
            fleet: Fleet::new(position, Arc::clone(registry.events()), metrics.clone()),
            registry,
            metrics,
            dns_address: None,
            room: crate::descriptors::Room::within(usize::MAX),
            started_at: std::time::SystemTime::now(),
            stopping: CancellationToken::new(),
        };
        Self::on(api, "edge", has, Some(task))
    }

    /// Another proxy of the same control plane, which must live longer.
    fn beside(other: &Self, id: &str, has: Option<Position>) -> Self {
        Self::on(other.api.clone(), id, has, None)
    }

    fn on(api: Api, id: &str, has: Option<Position>, registry: Option<Task>) -> Self {
        let identity = Identity {
            id: ProxyId::try_from(id).expect("an id"),
            boot_id: 1,
            version: String::new(),
            zone: String::new(),
            advertised_address: String::new(),
            peer_address: String::new(),
        };
        let membership = api.fleet.join(identity).expect("room");
        let session = Session::new(&api, membership, has);
        let (up, messages) = mpsc::channel(8);
        let (outgoing, down) = mpsc::channel(2);
        let end = tokio::spawn(async move { session.run(ReceiverStream::new(messages), &outgoing).await });
        Self { api, up, down, end, _registry: registry }
    }

    async fn say(&self, message: Message) {
        let message = v1::ProxyMessage { message: Some(message) };
        self.up.send(Ok(message)).await.expect("the session runs");
    }

    async fn next(&mut self) -> Option<control_message::Message> {
        self.down.recv().await.and_then(|message| message.expect("no error").message)
    }

    async fn register(&self, address: &str) {
        let wire = v1::Backend { service: "web".into(), address: address.into(), ..Default::default() };
        let backend = Backend::try_from(wire).expect("valid");
        let registration = Registration { backend, lease: None, owner: String::new() };
        self.api.registry.register(&Caller::own(), registration).await.expect("registered");
    }
}

fn elsewhere() -> Position {
    Position { epoch: Epoch(77), revision: Revision(5), digest: Digest(5) }
}

#[tokio::test(start_paused = true)]
async fn two_pings_without_an_answer_end_the_stream() {
    let start = Instant::now();
    let mut proxy = Proxy::with(None).await;
    let mut pings = 0;
    while let Some(message) = proxy.next().await {
        pings += u32::from(matches!(message, control_message::Message::Ping(_)));
    }
    let end = proxy.end.await.expect("no panic").expect_err("ended");
    assert_eq!((pings, end.code()), (2, Code::Unavailable));
    assert!(start.elapsed() >= 3 * PING_EVERY && start.elapsed() < 4 * PING_EVERY, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_stops_reading_is_let_go_with_all_that_waits_for_it() {
    let start = Instant::now();
    let proxy = Proxy::with(None).await;
    // Its connection takes two messages, and then no more.
    for n in 1..=5 {
        proxy.register(&format!("10.0.0.{n}:80")).await;
        proxy.say(Message::Resync(v1::Resync::default())).await;
        tokio::time::sleep(2 * RESYNC_PAUSE).await;
    }
    let end = timeout(MINUTE, proxy.end).await.expect("in time").expect("no panic").expect_err("ended");
    assert_eq!(end.code(), Code::Unavailable);
    assert!(start.elapsed() < 4 * PING_EVERY, "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn answered_pings_keep_a_quiet_stream_for_ever() {
    let mut proxy = Proxy::with(None).await;
    let mut pings = 0;
    let quiet = timeout(10 * MINUTE, async {
        while let Some(message) = proxy.next().await {
            if let control_message::Message::Ping(v1::Ping { sequence }) = message {
                pings += 1;
                proxy.say(Message::Pong(v1::Pong { sequence })).await;
            }
        }
    });
    assert!(quiet.await.is_err(), "the stream ended");
    assert!((38..=40).contains(&pings), "{pings} pings in 10 minutes");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_always_wants_everything_gets_it_once_a_second() {
    let mut proxy = Proxy::with(None).await;
    let mut snapshots = 0;
    let _ = timeout(Duration::from_secs(10), async {
        while let Some(message) = proxy.next().await {
            if let control_message::Message::SnapshotPage(_) = message {
                snapshots += 1;
                proxy.say(Message::Resync(v1::Resync::default())).await;
            }
        }
    })
    .await;
    assert!((9..=11).contains(&snapshots), "{snapshots} snapshots in 10 s");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_keeps_an_epoch_out_hears_of_more_of_it_but_not_often() {
    let mut proxy = Proxy::with(Some(elsewhere())).await;
    assert!(matches!(proxy.next().await, Some(control_message::Message::SnapshotPage(_))));
    let start = Instant::now();
    for n in 1..=50 {
        proxy.register(&format!("10.0.0.{n}:80")).await;
    }
    let Some(control_message::Message::SnapshotPage(page)) = proxy.next().await else { panic!("not a page") };
    assert!(start.elapsed() > KEPT_OUT_PAUSE / 2, "{:?}", start.elapsed());
    assert_eq!(page.total_objects, 52, "the newest state, not one of those between");
    proxy.say(Message::Ack(v1::Ack { position: page.position, refused: Vec::new() })).await;
    proxy.register("10.0.1.1:80").await;
    assert!(matches!(proxy.next().await, Some(control_message::Message::Delta(_))), "it took the epoch");
}
