//! Many agents fall silent at once, as when a network breaks: few backends are taken out, and all is well again when they
//! are heard.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::Duration,
};

use tokio::{task::JoinSet, time::Instant};
use weir_proto::v1;
use weir_tests::{Api, Backend, Cluster, Heartbeats, Load, until};

/// Agents, and one of so many that falls silent.
const AGENTS: usize = 200;
const SILENT: usize = 80;
/// What may expire of them in one ttl: 15 %.
const MOST: usize = 30;
/// They share real backends, each agent's registration being one of its own.
const BACKENDS: usize = 20;
const TTL: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread")]
async fn few_expire_and_all_come_back_by_themselves() {
    let mut backends = Vec::new();
    for n in 0..BACKENDS {
        backends.push(Backend::start(&name(n)).await);
    }
    let cluster = Cluster::start().await;
    // All at the same time, so that the first is renewed in time, however long the last takes.
    let mut registered = JoinSet::new();
    for agent in 0..AGENTS {
        let (api, address) = (cluster.api.clone(), backends[backend_of(agent)].address());
        registered.spawn(async move { (agent, register(&api, agent, address).await) });
    }
    let leases: Vec<_> =
        registered.join_all().await.into_iter().collect::<BTreeMap<_, _>>().into_values().collect();
    let (silent, steady) = leases.split_at(SILENT);
    let _steady = Heartbeats::start(&cluster.api, steady.to_vec(), TTL / 3);
    let others = Heartbeats::start(&cluster.api, silent.to_vec(), TTL / 3);
    cluster.settled().await;
    let load = Load::start(cluster.traffic(), 2, Duration::from_millis(1));
    load.progress(100).await;

    drop(others);
    let status = until("leases to be held", async || {
        let status = cluster.api.status().await.ok()?;
        (status.self_preservation && status.overdue_leases > 0).then_some(status)
    })
    .await;
    let began = Instant::now();
    let mut most = 0;
    until("three more ttls", async || {
        let expired = expired(&cluster.api).await.len();
        assert!(expired <= MOST, "{expired} of {AGENTS} expired within {:?}", began.elapsed());
        most = most.max(expired);
        (began.elapsed() > 3 * TTL).then_some(())
    })
    .await;
    println!(
        "{SILENT} of {AGENTS} agents silent for {:?} with a ttl of {TTL:?}: at most {most} expired, {} held at first",
        began.elapsed() + TTL,
        status.overdue_leases
    );
    assert!(most > 0, "what is within the cap expires");
    let held = held(&cluster.api).await;
    assert!(
        held.len() >= SILENT - MOST && held.iter().all(|why| why.contains("renewals are missing")),
        "{held:?}"
    );
    // Every backend of which anybody did not expire gets its turn, those that are held too.
    cluster.settled().await;
    let gone = expired(&cluster.api).await;
    let (gone_now, stay): (Vec<_>, Vec<_>) = (0..AGENTS).partition(|agent| gone.contains(&id(*agent)));
    let turns = Load::run(cluster.traffic(), 1, 3 * AGENTS).await;
    let serving: BTreeSet<_> = stay.into_iter().map(|agent| name(backend_of(agent))).collect();
    assert_eq!(turns.answers.into_keys().collect::<BTreeSet<_>>(), serving);

    // The network is back: heartbeats are heard, and agents whose leases are unknown register again.
    let _all = Heartbeats::start(&cluster.api, leases.clone(), TTL / 3);
    let mut again = Vec::new();
    for agent in gone_now {
        again.push(register(&cluster.api, agent, backends[backend_of(agent)].address()).await);
    }
    let _again = Heartbeats::start(&cluster.api, again, TTL / 3);
    until("everything to be well again", async || {
        let status = cluster.api.status().await.ok()?;
        let well = (status.live_leases, status.overdue_leases, status.self_preservation);
        (well == (AGENTS as u64, 0, false)).then_some(())
    })
    .await;
    let outcome = load.stop().await;
    assert_eq!((outcome.failures, turns.failures), (Vec::<String>::new(), Vec::new()));
}

/// Those that fall silent have the first half of the backends among them.
fn backend_of(agent: usize) -> usize {
    let half = BACKENDS / 2;
    if agent < SILENT { agent % half } else { half + agent % half }
}

fn name(backend: usize) -> String {
    format!("b{backend}")
}

fn id(agent: usize) -> String {
    format!("agent-{agent}")
}

async fn register(api: &Api, agent: usize, address: SocketAddr) -> u64 {
    let backend = v1::Backend {
        service: "web".to_owned(),
        id: id(agent),
        address: address.to_string(),
        ..v1::Backend::default()
    };
    let ttl = Some(weir_proto::duration_to_wire(TTL));
    let lease = Some(v1::LeaseTerms { ttl, ..v1::LeaseTerms::default() });
    let request = v1::RegisterRequest { backend: Some(backend), lease, owner: id(agent) };
    api.registry.clone().register(request).await.unwrap().into_inner().lease_id
}

/// The ids of those that expired.
async fn expired(api: &Api) -> Vec<String> {
    let backends = api.backends("web").await.unwrap();
    let expired = backends.into_iter().filter(|backend| backend.lease_state() == v1::LeaseState::Expired);
    expired.map(|backend| backend.id).collect()
}

/// Why leases that are overdue are held, of each.
async fn held(api: &Api) -> Vec<String> {
    let request = v1::ListObjectsRequest {
        kind: v1::ObjectKind::Backend.into(),
        service: "web".to_owned(),
        page_size: 10_000,
        ..v1::ListObjectsRequest::default()
    };
    let objects = api.admin.clone().list_objects(request).await.unwrap().into_inner().objects;
    let overdue = objects.into_iter().filter(|object| object.overdue_since.is_some());
    overdue.map(|object| object.hold_reason).collect()
}
