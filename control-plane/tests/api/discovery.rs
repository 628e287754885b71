//! `Discovery`: what a proxy gets, and when.

mod conditions;
mod drain;
pub(crate) mod proxy;
mod resync;

use tonic::Code;
use weir_proto::v1::{self, control_message::Message as Down, proxy_message::Message as Up};

use self::proxy::{Proxy, State};
use crate::harness::{Server, leased, registration};

#[tokio::test]
async fn a_proxy_with_nothing_gets_a_snapshot_and_then_deltas() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    let mut proxy = Proxy::connect(&server, "edge", None).await;
    let State::Snapshot { at, pages: 1 } = proxy.state().await else { panic!("not one page") };
    assert_eq!((at.revision, proxy.objects.len()), (1, 3), "the backend, its service and the implicit route");
    proxy.ack(at).await;
    server.register("web", "10.0.0.2:80").await;
    let delta = proxy.state().await;
    assert!(
        matches!(delta, State::Delta { from: 1, to: v1::Position { revision: 2, .. }, objects: 1 }),
        "{delta:?}"
    );
}

#[tokio::test]
async fn a_proxy_that_is_up_to_date_is_told_so_and_one_behind_gets_the_difference() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    let mut first = Proxy::connect(&server, "edge", None).await;
    let old = first.follow().await;
    drop(first);
    let mut same = Proxy::connect(&server, "edge", Some(old)).await;
    let Down::Delta(delta) = same.next().await.expect("alive").expect("a message") else {
        panic!("not a delta")
    };
    assert_eq!((delta.from_revision, delta.to, delta.body.len()), (old.revision, Some(old), 0));
    drop(same);

    for port in 81..84 {
        server.register("web", &format!("10.0.0.1:{port}")).await;
    }
    Proxy::wait_for_publication(&server).await;
    let mut behind = Proxy::connect(&server, "edge", Some(old)).await;
    let Down::Delta(delta) = behind.next().await.expect("alive").expect("a message") else {
        panic!("not a delta")
    };
    assert_eq!((delta.from_revision, delta.to.map(|to| to.revision)), (1, Some(4)));
}

#[tokio::test]
async fn an_unknown_epoch_gets_a_snapshot_and_no_error() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    let known = Proxy::connect(&server, "edge", None).await.follow().await;
    for has in [v1::Position { epoch: known.epoch ^ 1, ..known }, v1::Position::default()] {
        let state = Proxy::connect(&server, "edge", Some(has)).await.state().await;
        assert_eq!(state, State::Snapshot { at: known, pages: 1 }, "{has:?}");
    }
}

#[tokio::test]
async fn what_happens_while_a_proxy_is_busy_comes_as_one_delta() {
    let server = Server::start();
    let mut proxy = Proxy::connect(&server, "edge", None).await;
    let at = proxy.state().await.position();
    let mut registry = server.registry().await;
    for n in 0..1_000 {
        let address = format!("10.0.{}.{}:80", n / 250, n % 250);
        registry.register(registration("web", &address)).await.expect("registered");
    }
    let newest = server.status().await.revision;
    Proxy::wait_for_publication(&server).await;
    proxy.ack(at).await;
    let delta = proxy.state().await;
    assert!(
        matches!(delta, State::Delta { from, to, .. } if from == at.revision && to.revision == newest),
        "{delta:?}"
    );
    assert_eq!(proxy.objects.len(), 1_002);
}

#[tokio::test]
async fn a_large_configuration_comes_in_pages() {
    let server = Server::start();
    let mut registry = server.registry().await;
    for n in 0..40 {
        let mut request = registration("web", &format!("10.0.0.{n}:80"));
        let metadata = (0..64).map(|i| (format!("k{i}"), "v".repeat(1_000))).collect();
        request.backend.as_mut().expect("set").metadata = metadata;
        registry.register(request).await.expect("registered");
    }
    let newest = server.status().await.revision;
    let mut observer = Proxy::connect(&server, "observer", None).await;
    let mut known = observer.follow().await;
    while known.revision < newest {
        known = observer.follow().await;
    }
    // A proxy that may have the newest revision gets no older one.
    let mut proxy = Proxy::connect(&server, "edge", Some(known)).await;
    proxy.next().await.expect("told that it is up to date");
    proxy.say(Up::Resync(v1::Resync::default())).await;
    let State::Snapshot { pages, .. } = proxy.state().await else { panic!("not a snapshot") };
    assert!((3..=4).contains(&pages), "{pages} pages for 2.6 MB");
    assert_eq!(proxy.objects.len(), 42);
}

#[tokio::test]
async fn the_same_id_again_ends_the_older_stream() {
    let server = Server::start();
    let mut first = Proxy::connect(&server, "edge", None).await;
    first.follow().await;
    let mut second = Proxy::connect(&server, "edge", None).await;
    assert_eq!(first.next().await.expect_err("ended").code(), Code::Aborted);
    second.follow().await;
    let proxies =
        server.admin().await.list_proxies(v1::ListProxiesRequest {}).await.expect("a list").into_inner();
    assert_eq!(proxies.proxies.len(), 1);
    assert!(proxies.proxies[0].connected, "the newer stream stands");
}

#[tokio::test]
async fn a_stream_must_begin_with_a_good_hello_and_have_one() {
    let server = Server::start();
    let mut rude = Proxy::open(&server, Up::Pong(v1::Pong::default())).await;
    assert_eq!(rude.next().await.expect_err("ended").code(), Code::FailedPrecondition);
    let mut nobody = Proxy::connect(&server, "", None).await;
    assert_eq!(nobody.next().await.expect_err("ended").code(), Code::InvalidArgument);
    let mut twice = Proxy::connect(&server, "edge", None).await;
    twice.follow().await;
    twice.say(Up::Hello(v1::Hello { proxy_id: "edge".to_owned(), ..Default::default() })).await;
    assert_eq!(twice.next().await.expect_err("ended").code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_heartbeat_wakes_no_proxy() {
    let server = Server::start();
    let mut registry = server.registry().await;
    let lease = registry.register(leased("web", "10.0.0.1:80", "a")).await.expect("ok").into_inner().lease_id;
    let mut proxy = Proxy::connect(&server, "edge", None).await;
    let before = proxy.follow().await;
    let beat = v1::HeartbeatRequest { lease_ids: vec![lease], sequence: 1 };
    let mut answers = registry.heartbeat(tokio_stream::iter([beat])).await.expect("a stream").into_inner();
    answers.message().await.expect("alive").expect("an answer");
    server.register("web", "10.0.0.2:80").await;
    let next = proxy.state().await;
    let State::Delta { from, to, .. } = next else { panic!("not a delta") };
    assert_eq!((from, to.revision), (before.revision, before.revision + 1), "nothing came between");
}
