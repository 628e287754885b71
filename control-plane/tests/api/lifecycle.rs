//! From start to end.

use std::time::Duration;

use tokio::{io::AsyncReadExt, net::TcpStream, sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use weir_control_plane::{Config, Error, Listeners};
use weir_proto::v1::{self, control_message::Message as Down};

use crate::{
    discovery::proxy::Proxy,
    harness::{Server, config},
    http::get,
};

/// What the shutdown may take: 5 s, and something for a busy machine.
const BOUND: Duration = Duration::from_secs(8);

#[tokio::test]
async fn stopping_sends_proxies_away_and_ends_every_stream() {
    let server = Server::start();
    let mut proxy = Proxy::connect(&server, "edge", None).await;
    proxy.follow().await;
    let mut events = {
        let request = v1::WatchEventsRequest { past: 0, ..Default::default() };
        server.admin().await.watch_events(request).await.expect("a stream").into_inner()
    };
    let (_beats, stream) = mpsc::channel(1);
    let mut beats =
        server.registry().await.heartbeat(ReceiverStream::new(stream)).await.expect("ok").into_inner();
    let mut health = HealthClient::new(server.channel().await);
    let mut watch = health.watch(HealthCheckRequest::default()).await.expect("a stream").into_inner();
    assert_eq!(watch.message().await.expect("alive").expect("a status").status, 1, "SERVING");

    server.stop();
    let Down::GoAway(away) = proxy.next().await.expect("alive").expect("a message") else {
        panic!("no GoAway")
    };
    let after = Duration::try_from(away.retry_after.expect("a delay")).expect("positive");
    assert!(after <= Duration::from_secs(1), "{after:?}");
    assert!(proxy.next().await.expect("a clean end").is_none());
    let end = loop {
        match events.message().await {
            // That the proxy left is still told.
            Ok(Some(_)) => {}
            other => break other.expect_err("ended with a reason"),
        }
    };
    assert_eq!(end.code(), Code::Unavailable);
    assert_eq!(beats.message().await.expect_err("ended").code(), Code::Unavailable);
    drop((proxy, health, watch));
    timeout(BOUND, server.ended()).await.expect("in time").expect("a clean end");
}

#[tokio::test]
async fn who_does_not_let_go_is_cut_off_within_the_bound() {
    let server = Server::start();
    server.status().await;
    let mut mute = TcpStream::connect(server.grpc).await.expect("connects");
    // The next call is accepted after the mute one.
    server.status().await;
    server.stop();
    timeout(BOUND, server.ended()).await.expect("in time").expect("a clean end");
    // Closed or reset, but over.
    timeout(BOUND, mute.read_to_end(&mut Vec::new())).await.expect("the connection ended").ok();
}

#[tokio::test]
async fn who_has_not_said_hello_is_told_to_come_back() {
    let server = Server::start();
    let (_hello, stream) = mpsc::channel(1);
    let mut nameless =
        server.discovery().await.stream(ReceiverStream::new(stream)).await.expect("ok").into_inner();
    server.stop();
    let end = timeout(Duration::from_secs(4), nameless.message()).await.expect("at once");
    assert_eq!(end.expect_err("ended").code(), Code::Unavailable);
}

#[tokio::test]
async fn a_stopping_control_plane_is_not_ready() {
    let server = Server::start();
    server.status().await;
    let _mute = TcpStream::connect(server.grpc).await.expect("connects");
    server.status().await;
    server.stop();
    let (status, body) = get(server.admin, "/readyz").await;
    assert_eq!((status, body.as_str()), (503, "stopping\n"));
    assert_eq!(get(server.admin, "/livez").await.0, 200);
}

#[tokio::test]
async fn a_restart_goes_on_where_the_last_one_ended() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("not/there/yet");
    let config = || Config { data_dir: Some(data.clone()), store: None, ..config() };
    let first = Server::with(config());
    let revision = first.register("web", "10.0.0.1:80").await;
    let known = Proxy::connect(&first, "edge", None).await.follow().await;
    first.stop();
    timeout(BOUND, first.ended()).await.expect("in time").expect("a clean end");

    let second = Server::with(config());
    assert_eq!(second.status().await.revision, revision);
    second.register("web", "10.0.0.2:80").await;
    let mut proxy = Proxy::connect(&second, "edge", Some(known)).await;
    let Down::Delta(delta) = proxy.next().await.expect("alive").expect("a message") else {
        panic!("not a delta")
    };
    assert_eq!(delta.from_revision, revision, "the revision of the last run still counts");
}

#[tokio::test]
async fn a_store_in_use_is_refused() {
    let dir = tempfile::tempdir().expect("a directory");
    let config = || Config { data_dir: Some(dir.path().to_owned()), store: None, ..config() };
    let first = Server::with(config());
    first.status().await;
    let second = Server::with(config()).ended().await.expect_err("refused");
    assert!(matches!(second, Error::StoreInUse { .. }), "{second}");
}

#[tokio::test]
async fn an_unknown_store_is_refused() {
    let config = Config { store: Some("papyrus".to_owned()), ..config() };
    let error = Listeners::bind(&config).expect_err("refused before anything listens");
    assert!(error.to_string().contains("papyrus"), "{error}");
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let server = Server::start();
    let mut reflection = ServerReflectionClient::new(server.channel().await);
    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut answers = reflection
        .server_reflection_info(tokio_stream::iter([request]))
        .await
        .expect("a stream")
        .into_inner();
    let answer = answers.message().await.expect("alive").expect("an answer");
    let Some(MessageResponse::ListServicesResponse(list)) = answer.message_response else {
        panic!("not a list")
    };
    let names: Vec<_> = list.service.iter().map(|s| s.name.as_str()).collect();
    for name in ["weir.v1.Registry", "weir.v1.Admin", "weir.v1.Discovery", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
}
