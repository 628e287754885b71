//! A backend that an operator drained stays away, though its agent lives on.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use weir_proto::v1::{self, DrainPhase, OperatorState, deregister_request::Target};
use weir_tests::{Api, Backend, Cluster, Daemons, Signal, get};

use crate::agent;

const TIMEOUT: Duration = Duration::from_secs(15);
const TTL: Duration = Duration::from_mins(1);

/// An agent that sends a heartbeat when it is told to.
struct Agent {
    beats: mpsc::Sender<v1::HeartbeatRequest>,
    answers: Streaming<v1::HeartbeatResponse>,
}

impl Agent {
    async fn connect(api: &Api) -> Self {
        let (beats, requests) = mpsc::channel(1);
        let mut registry = api.registry.clone();
        beats.send(v1::HeartbeatRequest::default()).await.unwrap();
        let mut answers = registry.heartbeat(ReceiverStream::new(requests)).await.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some());
        Self { beats, answers }
    }

    /// The leases that are unknown, and those that are withdrawn.
    async fn beat(&mut self, leases: &[u64]) -> (Vec<u64>, Vec<u64>) {
        let request = v1::HeartbeatRequest { lease_ids: leases.to_vec(), sequence: 7 };
        self.beats.send(request).await.unwrap();
        let answer = self.answers.message().await.unwrap().unwrap();
        (answer.unknown_lease_ids, answer.withdrawn_lease_ids)
    }
}

async fn drain(api: &Api, backend: &str) {
    let progress = api.drain(backend, TIMEOUT).await.unwrap();
    assert!(progress.last().is_some_and(|last| last.phase() == DrainPhase::Removed), "{progress:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn its_lease_is_withdrawn_and_not_unknown_until_it_registers_anew() {
    let backend = Backend::start("a").await;
    let cluster = Cluster::start().await;
    let api = &cluster.api;
    let lease = api.lease("web", backend.address(), TTL).await.unwrap().lease_id;
    let mut agent = Agent::connect(api).await;
    assert_eq!(agent.beat(&[lease]).await, (vec![], vec![]));

    drain(api, &format!("web/{}", backend.address())).await;
    for _ in 0..3 {
        assert_eq!(agent.beat(&[4711, lease]).await, (vec![4711], vec![lease]));
    }
    assert_eq!(api.backends("web").await.unwrap(), []);

    let anew = api.lease("web", backend.address(), TTL).await.unwrap();
    assert!(anew.created && anew.lease_id != lease, "{anew:?}");
    assert_eq!(api.backends("web").await.unwrap()[0].operator_state(), OperatorState::Enabled);
    assert_eq!(agent.beat(&[anew.lease_id, lease]).await, (vec![], vec![lease]));
    cluster.settled().await;
    assert_eq!(get(cluster.traffic(), "/").await.unwrap().text(), "a");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_agent_drains_itself_is_unknown_afterwards() {
    let backend = Backend::start("a").await;
    let cluster = Cluster::start().await;
    let lease = cluster.api.lease("web", backend.address(), TTL).await.unwrap().lease_id;
    let mut agent = Agent::connect(&cluster.api).await;
    let drain = Some(weir_proto::duration_to_wire(TIMEOUT));
    let request = v1::DeregisterRequest { target: Some(Target::LeaseId(lease)), drain };
    assert!(cluster.api.registry.clone().deregister(request).await.unwrap().into_inner().existed);
    assert_eq!(agent.beat(&[lease]).await, (vec![lease], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_under_weir_run_runs_on_without_traffic_and_comes_back_when_it_is_started_again() {
    let daemons = Daemons::start(1).await;
    let (mut process, port) = agent::run(&daemons, "3s");
    let id = port.address().to_string();
    agent::registered(&daemons, &id).await;
    drain(&daemons.api, &format!("web/{id}")).await;
    process.line("an operator drained the backend").await;

    let removed = daemons.api.settled(1).await;
    assert_eq!(get(daemons.traffic[0], "/").await.unwrap().status(), 503);
    process.signal(Signal::TERM);
    assert_eq!(process.exit().await.code(), Some(7), "{}", process.output());
    assert_eq!(daemons.api.status().await.unwrap().revision, removed, "it was not registered again");

    let (_again, port) = agent::run(&daemons, "3s");
    let back = agent::registered(&daemons, &port.address().to_string()).await;
    assert_eq!(back.operator_state(), OperatorState::Enabled);
}
