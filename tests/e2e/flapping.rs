//! A backend that comes and goes all the time: proxies are woken a few times, and then it is held back.

use std::time::Duration;

use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};
use weir_proto::v1::{self, control_message::Message, proxy_message};
use weir_tests::{Api, Backend, Daemons};

/// How often it tries, half of the time to leave.
const TRIES: u32 = 20;
const TTL: Duration = Duration::from_secs(15);

#[tokio::test(flavor = "multi_thread")]
async fn few_updates_reach_the_proxies_and_then_it_is_held_back() {
    let (flaps, steady) = (Backend::start("flaps").await, Backend::start("steady").await);
    let daemons = Daemons::start(1).await;
    let (api, name) = (&daemons.api, format!("web/{}", flaps.address()));
    api.register("web", steady.address()).await.unwrap();
    let mut newest = api.lease("web", flaps.address(), TTL).await.unwrap().revision;
    let mut stream = Updates::follow(api).await;
    stream.reach(newest).await;

    let (mut updates, mut refusals) = (0, Vec::new());
    for half in 0..TRIES {
        let revision = if half % 2 == 0 {
            api.deregister(&name).await.unwrap().revision
        } else {
            match api.lease("web", flaps.address(), TTL).await {
                Ok(registered) => registered.revision,
                Err(status) => {
                    refusals.push(status);
                    newest
                }
            }
        };
        if revision > newest {
            // So slowly that each change is published by itself.
            updates += stream.reach(revision).await;
            newest = revision;
        }
    }
    println!("{TRIES} tries to come or go, {updates} updates, {} refused", refusals.len());
    assert_eq!((updates, refusals.len()), (3, 9), "down, up, down: as it was new, too");
    for refusal in &refusals {
        assert_eq!(refusal.code(), Code::ResourceExhausted, "{refusal}");
        assert!(refusal.message().contains("is held back"), "{refusal}");
    }
    assert!(timeout(Duration::from_millis(300), stream.next()).await.is_err(), "and no further one");
    assert_eq!(api.status().await.unwrap().held_back_backends, 1);
    assert!((daemons.metric("weir_control_plane_held_back_registrations_total").await - 9.0).abs() < 0.1);
    assert!(told(api).await.starts_with(&format!("backend {name} came or changed 2 times")));
}

/// What was told of the backend that is held back.
async fn told(api: &Api) -> String {
    let request = v1::WatchEventsRequest { past: 10_000, ..Default::default() };
    let mut events = api.admin.clone().watch_events(request).await.unwrap().into_inner();
    loop {
        let event = events.message().await.unwrap().unwrap();
        if event.r#type() == v1::EventType::BackendHeldBack {
            return event.message;
        }
    }
}

/// A proxy's stream, driven by hand.
struct Updates {
    up: mpsc::Sender<v1::ProxyMessage>,
    down: Streaming<v1::ControlMessage>,
}

impl Updates {
    async fn follow(api: &Api) -> Self {
        let (up, messages) = mpsc::channel(4);
        let hello = v1::Hello { proxy_id: "counts".to_owned(), boot_id: 1, level: 1, ..v1::Hello::default() };
        up.send(message(proxy_message::Message::Hello(hello))).await.unwrap();
        let down = api.discovery.clone().stream(ReceiverStream::new(messages)).await.unwrap().into_inner();
        Self { up, down }
    }

    /// Takes and acknowledges updates until the revision is there. How many.
    async fn reach(&mut self, revision: u64) -> u32 {
        let mut count = 1;
        while self.next().await < revision {
            count += 1;
        }
        count
    }

    /// Takes and acknowledges the next one.
    async fn next(&mut self) -> u64 {
        loop {
            let position = match self.down.message().await.unwrap().unwrap().message {
                Some(Message::SnapshotPage(page)) if page.last => page.position.unwrap(),
                Some(Message::Delta(delta)) => delta.to.unwrap(),
                _ => continue,
            };
            let ack = v1::Ack { position: Some(position), refused: Vec::new() };
            self.up.send(message(proxy_message::Message::Ack(ack))).await.unwrap();
            return position.revision;
        }
    }
}

fn message(message: proxy_message::Message) -> v1::ProxyMessage {
    v1::ProxyMessage { message: Some(message) }
}
