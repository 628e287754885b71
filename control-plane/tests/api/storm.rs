//! Operators while everybody else comes back at the same time.

use std::{
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, transport::Channel};
use weir_proto::v1::{
    self, admin_client::AdminClient, control_message::Message as Down, discovery_client::DiscoveryClient,
    proxy_message::Message as Up, registry_client::RegistryClient,
};

use crate::harness::{Server, leased};

const PROXIES: usize = 300;
const AGENTS: usize = 8;
const ROUNDS: usize = 6;

/// What the storm came to.
#[derive(Debug, Default)]
struct Count {
    snapshots: AtomicU64,
    sent_away: AtomicU64,
    registrations: AtomicU64,
    busy: AtomicU64,
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_are_answered_while_proxies_and_agents_come_back_all_the_time() {
    let server = Server::start();
    for n in 0..50 {
        server.register("web", &format!("10.0.0.{n}:80")).await;
    }
    let count = Arc::new(Count::default());
    let mut storm = JoinSet::new();
    for line in 0..6 {
        let channel = server.channel().await;
        for n in 0..PROXIES / 6 {
            storm.spawn(proxy(
                DiscoveryClient::new(channel.clone()),
                format!("p{line}-{n}"),
                Arc::clone(&count),
            ));
        }
    }
    let channel = server.channel().await;
    for n in 0..AGENTS {
        storm.spawn(agent(RegistryClient::new(channel.clone()), n, Arc::clone(&count)));
    }
    // The storm has begun.
    while count.snapshots.load(Ordering::Relaxed) < PROXIES as u64
        || count.registrations.load(Ordering::Relaxed) < AGENTS as u64
    {
        sleep(Duration::from_millis(10)).await;
    }

    let mut took = Vec::new();
    for round in 0..ROUNDS {
        // A connection of its own, as each command of the CLI has one.
        let (begun, mut admin) = (Instant::now(), server.admin().await);
        took.push(begun.elapsed());
        operate(&mut admin, round, &mut took).await;
    }
    storm.abort_all();
    took.sort();
    let at = |percent: usize| took[(took.len() - 1) * percent / 100];
    let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    println!(
        "{} calls of operators: p50 {:?}, p99 {:?}, longest {:?}; meanwhile {} snapshots, {} proxies sent away, {} \
         registrations, {} told to wait",
        took.len(),
        at(50),
        at(99),
        at(100),
        get(&count.snapshots),
        get(&count.sent_away),
        get(&count.registrations),
        get(&count.busy)
    );
}

/// What an operator does: reads, changes, waits for nobody. All of it succeeds.
async fn operate(admin: &mut AdminClient<Channel>, round: usize, took: &mut Vec<Duration>) {
    let states = [v1::OperatorState::Draining, v1::OperatorState::Enabled];
    let state = v1::SetOperatorStateRequest {
        backend: "web/10.0.0.1:80".to_owned(),
        state: states[round % 2] as i32,
        if_revision: None,
    };
    let service = v1::Service { name: format!("s{round}"), ..Default::default() };
    let document = v1::Document { services: vec![service], ..Default::default() };
    let apply = v1::ApplyRequest { documents: vec![document], ..Default::default() };

    let begun = Instant::now();
    admin.get_status(v1::GetStatusRequest {}).await.expect("a status");
    took.push(begun.elapsed());
    let begun = Instant::now();
    admin.list_proxies(v1::ListProxiesRequest {}).await.expect("a list");
    took.push(begun.elapsed());
    let begun = Instant::now();
    admin.set_operator_state(state).await.expect("set");
    took.push(begun.elapsed());
    let begun = Instant::now();
    let applied = admin.apply(apply).await.expect("applied").into_inner();
    took.push(begun.elapsed());
    let request = v1::RevisionStatusRequest { revision: applied.revision, once: true };
    let mut outcomes = admin.revision_status(request).await.expect("a stream").into_inner();
    assert!(outcomes.message().await.expect("alive").is_some_and(|answer| !answer.proxies.is_empty()));
}

/// A proxy that comes with nothing again and again, and follows for a moment.
async fn proxy(client: DiscoveryClient<Channel>, id: String, count: Arc<Count>) {
    loop {
        let follow = stream(client.clone(), &id, &count);
        // However it ends, it comes back.
        let _ = timeout(Duration::from_millis(fastrand::u64(2_000..6_000)), follow).await;
    }
}

async fn stream(mut client: DiscoveryClient<Channel>, id: &str, count: &Count) -> Result<(), Status> {
    let (up, messages) = mpsc::channel(8);
    let say = async |message| up.send(v1::ProxyMessage { message: Some(message) }).await;
    let hello = v1::Hello { proxy_id: id.to_owned(), level: 3, ..Default::default() };
    say(Up::Hello(hello)).await.map_err(|_| Status::cancelled("closed"))?;
    let mut down = client.stream(ReceiverStream::new(messages)).await?.into_inner();
    while let Some(message) = down.message().await? {
        let answer = match message.message {
            Some(Down::SnapshotPage(page)) if page.last => {
                count.snapshots.fetch_add(1, Ordering::Relaxed);
                Up::Ack(v1::Ack { position: page.position, refused: Vec::new() })
            }
            Some(Down::Delta(delta)) => Up::Ack(v1::Ack { position: delta.to, refused: Vec::new() }),
            Some(Down::GoAway(_)) => {
                count.sent_away.fetch_add(1, Ordering::Relaxed);
                return pending().await;
            }
            _ => continue,
        };
        say(answer).await.map_err(|_| Status::cancelled("closed"))?;
    }
    Ok(())
}

/// An agent that registers one backend after the other.
async fn agent(mut client: RegistryClient<Channel>, n: usize, count: Arc<Count>) {
    for port in 1_u16.. {
        let request = leased("web", &format!("10.1.0.{n}:{port}"), &format!("agent-{n}"));
        match client.register(request).await {
            Ok(_) => _ = count.registrations.fetch_add(1, Ordering::Relaxed),
            Err(status) => {
                assert!(matches!(status.code(), Code::ResourceExhausted | Code::Unavailable), "{status}");
                count.busy.fetch_add(1, Ordering::Relaxed);
            }
        }
        sleep(Duration::from_millis(fastrand::u64(300..600))).await;
    }
}
