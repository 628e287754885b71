//! A lease lasts as long as heartbeats arrive, and one ttl longer; a heartbeat is nobody else's business.

use std::time::Duration;

use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::ReceiverStream;
use weir_proto::v1::{self, control_message::Message, proxy_message};
use weir_tests::{Api, Backend, Cluster, Heartbeats, Load, until};

const TTL: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn silence_ends_the_traffic_within_a_ttl_and_a_second() {
    let (silent, steady) = (Backend::start("silent").await, Backend::start("steady").await);
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&steady]).await;
    let lease = cluster.api.lease("web", silent.address(), TTL).await.unwrap().lease_id;
    let load = Load::start(cluster.traffic(), 2, Duration::from_millis(1));

    let heartbeats = Heartbeats::start(&cluster.api, vec![lease], TTL / 3);
    let began = Instant::now();
    until("three ttls", async || (began.elapsed() > 3 * TTL).then_some(())).await;
    let before = silent.requests();
    load.progress(20).await;
    assert!(silent.requests() > before, "a backend that heartbeats stays in");
    drop(heartbeats);
    let stopped = Instant::now();

    // The last request is the one after which none comes for a whole ttl.
    let mut last = (silent.requests(), Instant::now());
    until("the last request", async || {
        if silent.requests() != last.0 {
            last = (silent.requests(), Instant::now());
        }
        (last.1.elapsed() > TTL).then_some(())
    })
    .await;
    let after = last.1 - stopped;
    let outcome = load.stop().await;

    println!("a backend with a ttl of {TTL:?} got its last request {after:?} after its heartbeats stopped");
    // That it is exactly within a second of the ttl, tests with a stopped clock show; here a busy machine may be late.
    assert!(after <= TTL + Duration::from_secs(10), "{after:?}");
    assert_eq!(outcome.failures, Vec::<String>::new());
    until("it to be listed as expired", async || {
        let listed = cluster.api.backends("web").await.ok()?;
        let silent =
            listed.iter().find(|b| b.address == silent.address().to_string()).expect("it stays listed");
        (silent.lease_state() == v1::LeaseState::Expired).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_heartbeat_makes_no_revision_and_wakes_no_proxy() {
    let backend = Backend::start("a").await;
    let cluster = Cluster::start().await;
    let registered = cluster.api.lease("web", backend.address(), TTL).await.unwrap();
    cluster.settled().await;
    let mut proxy = FakeProxy::connect(&cluster.api).await;
    assert_eq!(proxy.next().await, Some(registered.revision), "it has the backend");

    let (sender, requests) = mpsc::channel(1);
    let mut registry = cluster.api.registry.clone();
    let mut answers = registry.heartbeat(ReceiverStream::new(requests)).await.unwrap().into_inner();
    let began = Instant::now();
    for sequence in 0.. {
        if began.elapsed() > 2 * TTL {
            break;
        }
        let request = v1::HeartbeatRequest { lease_ids: vec![registered.lease_id, 4711], sequence };
        sender.send(request).await.unwrap();
        let answer = answers.message().await.unwrap().unwrap();
        assert_eq!((answer.sequence, answer.unknown_lease_ids), (sequence, vec![4711]));
    }

    assert_eq!(cluster.api.status().await.unwrap().revision, registered.revision);
    let disabled = format!("web/{}", backend.address());
    let next = cluster.api.operator_state(&disabled, v1::OperatorState::Disabled).await.unwrap();
    assert_eq!(next, registered.revision + 1);
    assert_eq!(proxy.next().await, Some(next), "the first word since the registration");
}

/// A proxy's stream, driven by hand.
struct FakeProxy {
    up: mpsc::Sender<v1::ProxyMessage>,
    down: tonic::Streaming<v1::ControlMessage>,
}

impl FakeProxy {
    async fn connect(api: &Api) -> Self {
        let (up, messages) = mpsc::channel(4);
        let hello = v1::Hello { proxy_id: "fake".to_owned(), boot_id: 1, level: 1, ..v1::Hello::default() };
        up.send(message(proxy_message::Message::Hello(hello))).await.unwrap();
        let down = api.discovery.clone().stream(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { up, down }
    }

    /// Takes and acknowledges the next state. Its revision.
    async fn next(&mut self) -> Option<u64> {
        loop {
            let position = match self.down.message().await.unwrap()?.message? {
                Message::SnapshotPage(page) if !page.last => continue,
                Message::SnapshotPage(page) => page.position?,
                Message::Delta(delta) => delta.to?,
                Message::Ping(_) | Message::GoAway(_) | Message::Question(_) | Message::Close(_) => continue,
            };
            let ack = v1::Ack { position: Some(position), refused: Vec::new() };
            self.up.send(message(proxy_message::Message::Ack(ack))).await.unwrap();
            return Some(position.revision);
        }
    }
}

fn message(message: proxy_message::Message) -> v1::ProxyMessage {
    v1::ProxyMessage { message: Some(message) }
}
