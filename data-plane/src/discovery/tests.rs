//! The client against a control plane whose every message the test chooses.

mod closing;
mod endless;
mod histories;
mod lasting;
mod questions;

use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use weir_proto::{
    ObjectKind,
    v1::{self, control_message::Message as Down, proxy_message::Message as Up},
};

use super::*;
use crate::{
    balance::Pick,
    objects::State,
    table::Here,
    testing::{
        Object, backend, backend_in_state,
        control_plane::{ControlPlane, Peer, delta, pages, state},
        listener, raw, service,
    },
};

/// Small, so that a test reaches them.
const BOUNDS: Bounds = Bounds { objects: 1_000, bytes: 1 << 20, within: Duration::from_mins(5) };

/// A proxy without its sockets.
struct Proxy {
    table: Arc<SharedTable>,
    metrics: ConfigMetrics,
    link: watch::Receiver<Link>,
    phase: watch::Sender<Phase>,
    _run: AbortOnDropHandle<()>,
}

impl Proxy {
    fn start(control_planes: Vec<Uri>) -> Self {
        let table = Arc::new(SharedTable::empty());
        let id = ProxyId::try_from("proxy-1").unwrap();
        let workers =
            Arc::new(Workers::start(1, &id, &table, None, &crate::admission::Shed::none()).unwrap());
        let metrics = ConfigMetrics::default();
        let (phase, phases) = watch::channel(Phase::Serving);
        let (link, links) = watch::channel(Link::default());
        let applier =
            Applier::new(Arc::clone(&table), Arc::clone(&workers), Here::default(), metrics.clone());
        let discovery = Discovery {
            control_planes,
            identity: Identity {
                id,
                boot_id: 1,
                zone: "a".into(),
                advertised_address: String::new(),
                listen: None,
            },
            applier: Arc::new(Mutex::new(applier)),
            table: Arc::clone(&table),
            workers,
            phase: phases,
            link,
            metrics: metrics.clone(),
            bounds: BOUNDS,
        };
        let run = AbortOnDropHandle::new(tokio::spawn(discovery.run()));
        Self { table, metrics, link: links, phase, _run: run }
    }

    fn revision(&self) -> Option<u64> {
        self.table.load().as_ref().map(|table| table.position.revision.0)
    }

    fn backends(&self) -> Vec<String> {
        let table = self.table.load();
        let entries = table.iter().flat_map(|table| table.services.values());
        let mut all: Vec<_> =
            entries.flat_map(|e| e.members.values()).map(|m| m.endpoint.key().to_string()).collect();
        all.sort();
        all
    }
}

/// A proxy that has just acknowledged these objects as revision 1 of epoch 1.
async fn started(list: &[Object]) -> (ControlPlane, Peer, Proxy, State) {
    let mut plane = ControlPlane::start().await;
    let proxy = Proxy::start(vec![plane.uri()]);
    let (mut peer, _) = plane.accept().await;
    let first = state(1, 1, list);
    peer.snapshot(&first, 2, false).await;
    peer.ack().await;
    (plane, peer, proxy, first)
}

fn web(n: usize) -> Vec<Object> {
    let backends = (1..n).map(|i| backend("web", &format!("10.0.0.{i}:80")));
    std::iter::once(service("web")).chain(backends).collect()
}

#[tokio::test]
async fn a_snapshot_in_pages_comes_into_force_as_a_whole() {
    let mut plane = ControlPlane::start().await;
    let proxy = Proxy::start(vec![plane.uri()]);
    let (mut peer, hello) = plane.accept().await;
    assert_eq!(
        (hello.proxy_id.as_str(), hello.zone.as_str(), hello.level),
        ("proxy-1", "a", weir_proto::LEVEL)
    );
    assert_eq!(hello.position, None);
    let first = state(1, 7, &web(5));
    let mut all = pages(&first, 2, false);
    let last = all.pop().unwrap();
    for page in all {
        peer.send(Down::SnapshotPage(page)).await;
    }
    peer.send(Down::Ping(v1::Ping { sequence: 3 })).await;
    assert_eq!(peer.answer().await, Some(Up::Pong(v1::Pong { sequence: 3 })));
    assert_eq!(proxy.revision(), None, "nothing takes effect before the last page");
    peer.send(Down::SnapshotPage(last)).await;
    let ack = peer.ack().await;
    assert_eq!(ack.position, Some(first.position.into()));
    assert_eq!((proxy.revision(), proxy.backends().len()), (Some(7), 4));
}

#[tokio::test]
async fn a_delta_applies_and_is_acknowledged() {
    let (_plane, mut peer, proxy, first) = started(&web(3)).await;
    let second = state(1, 4, &[service("web"), backend("web", "10.0.0.9:80")]);
    peer.delta(&first, &second).await;
    assert_eq!(peer.ack().await.position, Some(second.position.into()));
    assert_eq!(proxy.backends(), ["web/10.0.0.9:80"]);
}

#[tokio::test]
async fn a_wrong_digest_is_answered_with_resync_and_changes_nothing() {
    let (_plane, mut peer, proxy, first) = started(&web(3)).await;
    let second = state(1, 2, &web(2));
    let mut wrong = delta(&first, &second);
    wrong.to.as_mut().unwrap().digest += 1;
    peer.send(Down::Delta(wrong)).await;
    assert!(peer.resync().await.contains("was announced"));
    assert_eq!((proxy.revision(), proxy.backends().len()), (Some(1), 2));
    peer.snapshot(&second, 2, false).await;
    peer.ack().await;
    assert_eq!((proxy.revision(), proxy.metrics.resyncs.get()), (Some(2), 1));
}

#[tokio::test]
async fn a_gap_in_the_pages_is_answered_with_resync() {
    let (_plane, mut peer, proxy, _) = started(&web(3)).await;
    let mut all = pages(&state(1, 2, &web(6)), 2, false);
    all.remove(1);
    for page in all {
        peer.send(Down::SnapshotPage(page)).await;
    }
    assert_eq!(peer.resync().await, "page 2 came where 1 was due");
    assert_eq!(proxy.revision(), Some(1));
}

#[tokio::test]
async fn unusable_twice_in_a_row_ends_the_stream() {
    let (mut plane, mut peer, _proxy, _) = started(&web(3)).await;
    let page =
        v1::SnapshotPage { index: 5, position: Some(state(1, 2, &[]).position.into()), ..Default::default() };
    peer.send(Down::SnapshotPage(page.clone())).await;
    peer.resync().await;
    let incomplete = v1::SnapshotPage { index: 0, last: true, total_objects: 1, ..page };
    peer.send(Down::SnapshotPage(incomplete)).await;
    let (_peer, hello) = plane.accept().await;
    assert_eq!(hello.position.map(|p| p.revision), Some(1), "it comes back with what it has");
}

#[tokio::test]
async fn an_empty_new_epoch_is_kept_out_until_an_operator_accepts_it() {
    let (_plane, mut peer, proxy, _) = started(&web(4)).await;
    let lost = state(2, 1, &[]);
    peer.snapshot(&lost, 2, false).await;
    let said = peer.kept_out().await;
    assert_eq!((said.offered, said.reason()), (Some(lost.position.into()), v1::KeptOutReason::OtherEpoch));
    assert_eq!((said.objects, said.objects_in_force, said.backends, said.backends_in_force), (0, 4, 0, 3));
    // The answer to a ping shows that the snapshot before it was judged.
    peer.send(Down::Ping(v1::Ping { sequence: 1 })).await;
    assert!(matches!(peer.answer().await, Some(Up::Pong(_))), "a state that is kept out is not acknowledged");
    assert_eq!((proxy.revision(), proxy.backends().len()), (Some(1), 3));
    assert_eq!(proxy.metrics.kept_out_epochs.get(), 1);
    let kept = proxy.link.borrow().kept_out.clone().expect("shown to operators");
    assert_eq!((kept.offered.epoch.0, kept.size.objects, kept.size.objects_in_force), (2, 0, 4));

    peer.snapshot(&lost, 2, true).await;
    assert_eq!(peer.kept_out().await, v1::KeptOut::default(), "it is over");
    assert_eq!(peer.ack().await.position, Some(lost.position.into()));
    assert!(proxy.backends().is_empty());
    assert_eq!(proxy.link.borrow().kept_out, None);
}

#[tokio::test]
async fn an_older_revision_is_ignored_and_counted() {
    let (mut plane, mut peer, proxy, first) = started(&web(4)).await;
    let second = state(1, 5, &web(3));
    peer.delta(&first, &second).await;
    peer.ack().await;
    peer.snapshot(&state(1, 3, &[]), 2, false).await;
    let (_peer, hello) = plane.accept().await;
    assert_eq!(hello.position, Some(second.position.into()));
    assert_eq!((proxy.revision(), proxy.backends().len()), (Some(5), 2));
    assert_eq!(proxy.metrics.ignored_older.get(), 1);
}

#[tokio::test]
async fn a_control_plane_may_die_and_come_back() {
    let address = crate::testing::port();
    let mut plane = ControlPlane::start_at(address).await;
    let proxy = Proxy::start(vec![plane.uri()]);
    let (mut peer, _) = plane.accept().await;
    let first = state(1, 1, &web(4));
    peer.snapshot(&first, 2, false).await;
    peer.ack().await;
    drop((plane, peer));
    let mut link = proxy.link.clone();
    link.wait_for(|link| link.connected_to.is_none()).await.unwrap();
    assert_eq!((proxy.revision(), proxy.backends().len()), (Some(1), 3), "nothing is lost meanwhile");

    let mut plane = ControlPlane::start_at(address).await;
    let (mut peer, hello) = plane.accept().await;
    assert_eq!(hello.position, Some(first.position.into()), "it asks for what it lacks only");
    peer.delta(&first, &first).await;
    assert_eq!(peer.ack().await.position, Some(first.position.into()));
}

#[tokio::test]
async fn several_control_planes_are_tried_in_turn() {
    let mut plane = ControlPlane::start().await;
    let gone: Uri = format!("http://{}", crate::testing::port()).parse().unwrap();
    let _proxy = Proxy::start(vec![gone.clone(), gone, plane.uri()]);
    plane.accept().await;
}

#[tokio::test]
async fn go_away_is_honoured() {
    let (mut plane, peer, proxy, _) = started(&web(2)).await;
    let retry_after = Some(weir_proto::duration_to_wire(Duration::from_millis(10)));
    peer.send(Down::GoAway(v1::GoAway { retry_after, reason: "upgrade".into() })).await;
    plane.accept().await;
    assert_eq!(proxy.link.borrow().last_failure, None, "it is no failure");
}

#[tokio::test]
async fn a_half_open_stream_is_noticed() {
    let (mut plane, mut peer, proxy, _) = started(&web(2)).await;
    peer.report(|_| true).await;
    tokio::time::pause();
    let before = Instant::now();
    let mut link = proxy.link.clone();
    let failure = link.wait_for(|link| link.last_failure.is_some()).await.unwrap().last_failure.clone();
    let silent = before.elapsed();
    assert!(silent <= Duration::from_secs(31), "noticed after {silent:?}");
    assert!(failure.is_some_and(|f| f.contains("nothing was heard for 30s")));
    tokio::time::resume();
    plane.accept().await;
}

#[tokio::test]
async fn a_malformed_object_is_refused_by_name_and_the_rest_applies() {
    let (_plane, mut peer, proxy, first) = started(&web(2)).await;
    let bad = raw(ObjectKind::Backend, "web/10.0.0.1:80", b"\xff", 0);
    let second = state(1, 2, &[service("web"), bad, backend("web", "10.0.0.2:80")]);
    peer.delta(&first, &second).await;
    let ack = peer.ack().await;
    assert_eq!(ack.position, Some(second.position.into()), "the digest covers what was received");
    assert_eq!(ack.refused.len(), 1);
    assert_eq!(ack.refused[0].object.as_ref().map(|o| o.name.as_str()), Some("web/10.0.0.1:80"));
    assert_eq!(proxy.backends(), ["web/10.0.0.1:80", "web/10.0.0.2:80"], "it keeps its previous form");
    assert_eq!(proxy.metrics.refused.get(), 1);
}

#[tokio::test]
async fn a_listener_whose_address_is_taken_is_refused() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_plane, mut peer, _proxy, first) = started(&web(2)).await;
    let mut list = web(2);
    list.push(listener("edge", &address));
    peer.delta(&first, &state(1, 2, &list)).await;
    let refused = peer.ack().await.refused;
    assert_eq!(refused[0].field, "address");
    assert!(refused[0].reason.contains(&address), "{refused:?}");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_refused_by_object_and_field() {
    let (_plane, mut peer, proxy, first) = started(&web(2)).await;
    let tls = Some(v1::ServiceTls { ca_file: "/nowhere/ca.pem".into(), ..Default::default() });
    let wire = v1::Service { name: "shop".into(), tls, ..Default::default() };
    let shop = raw(ObjectKind::Service, "shop", &prost::Message::encode_to_vec(&wire), 2);
    let second = state(1, 2, &[service("web"), shop, backend("web", "10.0.0.2:80")]);
    peer.delta(&first, &second).await;
    let ack = peer.ack().await;
    let refused = v1::Refused {
        object: Some(v1::ObjectRef { kind: ObjectKind::Service as i32, name: "shop".into() }),
        field: "tls.ca_file".into(),
        reason: "/nowhere/ca.pem: no such file".into(),
    };
    assert_eq!((ack.position, ack.refused), (Some(second.position.into()), vec![refused]));
    assert_eq!(proxy.backends(), ["web/10.0.0.2:80"], "the rest applies");
}

#[tokio::test]
async fn reports_tell_of_backends_that_drain_and_of_the_proxys_own_state() {
    let (_plane, mut peer, proxy, first) = started(&web(2)).await;
    let endpoint = {
        let table = proxy.table.load_full().unwrap();
        Arc::clone(&table.services["web"].members.values().next().unwrap().endpoint)
    };
    assert!(endpoint.live().gate().enter(1));
    let request = endpoint.begin(&Pick::default());
    let draining = backend_in_state("web", "10.0.0.1:80", v1::OperatorState::Draining);
    let second = state(1, 2, &[service("web"), draining]);
    peer.delta(&first, &second).await;
    let busy = peer.report(|r| r.revision == 2).await;
    assert_eq!(busy.draining, [v1::BackendInFlight { backend: "web/10.0.0.1:80".into(), in_flight: 1 }]);
    assert!(endpoint.is_retired(false));

    // Gone from the configuration, it is still told of as long as it has requests.
    let third = state(1, 3, &[service("web")]);
    peer.delta(&second, &third).await;
    assert_eq!(peer.report(|r| r.revision == 3).await.draining.len(), 1);
    drop(request);
    peer.report(|r| r.draining.iter().all(|b| b.in_flight == 0)).await;

    proxy.phase.send_replace(Phase::Draining);
    peer.report(|r| r.state == v1::ProxyState::Draining as i32).await;
}
