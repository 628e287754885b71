//! A whole proxy, started as `main` starts it.

mod health;
mod tls;

use std::{net::SocketAddr, path::Path, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    AccessLogTarget, Config, Error, Listeners,
    objects::State,
    testing::{
        Object, backend,
        control_plane::{ControlPlane, Peer, state},
        listener, raw, route, service,
    },
};

const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const PATIENCE: Duration = Duration::from_secs(20);

struct Proxy {
    traffic: SocketAddr,
    admin: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), Error>>,
}

impl Proxy {
    fn start(plane: &ControlPlane, data_dir: Option<&Path>) -> Self {
        Self::start_with(plane, |config| config.data_dir = data_dir.map(Into::into))
    }

    fn start_with(plane: &ControlPlane, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            control_plane: vec![plane.uri()],
            listen: ANY.into(),
            admin: ANY,
            workers: std::num::NonZeroUsize::new(1),
            lame_duck: Duration::from_millis(50),
            drain_timeout: Duration::from_secs(5),
            ..Config::default()
        };
        change(&mut config);
        let listeners = Listeners::bind(&config).unwrap();
        let (traffic, admin) = (listeners.traffic_addr().unwrap(), listeners.admin_addr());
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(super::serve(config, listeners, shutdown.clone()));
        Self { traffic, admin, shutdown, task }
    }

    /// The status and the body of the admin's answer.
    async fn ask(&self, path: &str) -> (u16, String) {
        let answer = get(self.admin, path).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    async fn until_ready(&self, ready: bool) {
        let wanted = if ready { 200 } else { 503 };
        let poll = async { while self.ask("/readyz").await.0 != wanted {} };
        timeout(PATIENCE, poll).await.expect("readiness in time");
    }

    async fn stop(self) {
        self.shutdown.cancel();
        timeout(PATIENCE, self.task).await.expect("stops in time").unwrap().unwrap();
    }
}

async fn get(address: SocketAddr, path: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: weir.test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

async fn started(list: &[Object], data_dir: Option<&Path>) -> (ControlPlane, Peer, Proxy, State) {
    let mut plane = ControlPlane::start().await;
    let proxy = Proxy::start(&plane, data_dir);
    let (mut peer, _) = plane.accept().await;
    let first = state(1, 1, list);
    peer.snapshot(&first, 10, false).await;
    peer.ack().await;
    (plane, peer, proxy, first)
}

fn web() -> Vec<Object> {
    vec![service("web"), backend("web", "127.0.0.1:1"), route("shop.example", "/", "web")]
}

/// An address on which nobody listens yet.
fn free() -> String {
    crate::testing::port().to_string()
}

#[tokio::test]
async fn ready_with_the_first_state_and_not_while_draining() {
    let mut plane = ControlPlane::start().await;
    let proxy = Proxy::start(&plane, None);
    let (mut peer, _) = plane.accept().await;
    assert_eq!(proxy.ask("/livez").await.0, 200);
    assert_eq!(proxy.ask("/readyz").await, (503, "no configuration yet\n".to_owned()));
    peer.snapshot(&state(1, 1, &web()), 10, false).await;
    peer.ack().await;
    proxy.until_ready(true).await;
    drop((plane, peer));
    assert_eq!(proxy.ask("/readyz").await.0, 200, "the control plane's end is no reason");
    proxy.shutdown.cancel();
    proxy.until_ready(false).await;
    proxy.stop().await;
}

#[tokio::test]
async fn a_restarted_proxy_serves_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let bad = raw(weir_proto::ObjectKind::Service, "web", b"\xff", 0);
    let (_plane, mut peer, proxy, first) = started(&web(), Some(dir.path())).await;
    // What is refused survives with its previous form.
    let mut list = web();
    list[0] = bad;
    let second = state(1, 2, &list);
    peer.delta(&first, &second).await;
    assert_eq!(peer.ack().await.refused.len(), 1);
    proxy.stop().await;

    let mut plane = ControlPlane::start().await;
    let proxy = Proxy::start(&plane, Some(dir.path()));
    let (_peer, hello) = plane.accept().await;
    assert_eq!(hello.position, Some(second.position.into()));
    proxy.until_ready(true).await;
    let (_, config) = proxy.ask("/config").await;
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["position"]["revision"], 2);
    assert_eq!(config["services"]["web"]["backends"]["127.0.0.1:1"]["routable"], true);
    assert_eq!(config["routes"][0]["host"], "shop.example");
    assert_eq!(config["refused"][0]["object"], "service web");
    proxy.stop().await;
}

#[tokio::test]
async fn configured_listeners_replace_the_one_of_the_start_and_give_way_to_it() {
    let (_plane, mut peer, proxy, first) = started(&web(), None).await;
    let address = free();
    let mut list = web();
    list.push(listener("edge", &address));
    let second = state(1, 2, &list);
    peer.delta(&first, &second).await;
    assert_eq!(peer.ack().await.refused, []);
    assert!(TcpStream::connect(&address).await.is_ok());
    assert!(TcpStream::connect(proxy.traffic).await.is_err(), "--listen is for want of listeners");
    let third = state(1, 3, &web());
    peer.delta(&second, &third).await;
    peer.ack().await;
    assert!(TcpStream::connect(&address).await.is_err());
    assert!(TcpStream::connect(proxy.traffic).await.is_ok());
    proxy.stop().await;
}

#[tokio::test]
async fn a_listener_that_takes_every_address_replaces_one_that_takes_one() {
    let (_plane, mut peer, proxy, first) = started(&web(), None).await;
    let mut list = web();
    list.push(listener("edge", &format!("0.0.0.0:{}", proxy.traffic.port())));
    let second = state(1, 2, &list);
    peer.delta(&first, &second).await;
    assert_eq!(peer.ack().await.refused, []);
    let (_, config) = proxy.ask("/config").await;
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["listeners"].as_array().unwrap().len(), 1);
    assert_eq!(config["listeners"][0]["name"], "edge");
    proxy.stop().await;
}

#[tokio::test]
async fn metrics_tell_of_the_configuration_and_the_traffic() {
    let (_plane, _peer, proxy, _) = started(&web(), None).await;
    let (status, text) = proxy.ask("/metrics").await;
    assert_eq!(status, 200);
    for line in [
        "weir_proxy_config_revision 1",
        "weir_proxy_control_plane_connected 1",
        "weir_proxy_requests_in_flight 0",
        "weir_proxy_request_duration_seconds_count{service=\"web\"} 0",
        "weir_proxy_request_duration_seconds_bucket{le=\"+Inf\",service=\"web\"} 0",
        "weir_proxy_config_age_seconds 0.",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line} is missing in:\n{text}");
    }
    proxy.stop().await;
}

#[tokio::test]
async fn the_last_request_is_in_the_access_log() {
    let plane = ControlPlane::start().await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let target = AccessLogTarget::File(file.path().into());
    let proxy = Proxy::start_with(&plane, |config| config.access_log = target);
    let answer = get(proxy.traffic, "/last").await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    proxy.stop().await;
    let lines = std::fs::read_to_string(file.path()).unwrap();
    assert_eq!(lines.matches("\"path\":\"/last\"").count(), 1, "{lines}");
}

#[tokio::test]
async fn aborting_the_future_closes_the_sockets() {
    let (_plane, _peer, proxy, _) = started(&web(), None).await;
    // A scraper's connection that stays open must not keep the workers.
    let mut scraper = TcpStream::connect(proxy.admin).await.unwrap();
    scraper.write_all(b"GET /livez HTTP/1.1\r\nhost: weir.test\r\n\r\n").await.unwrap();
    scraper.read_u8().await.unwrap();
    proxy.task.abort();
    assert!(proxy.task.await.unwrap_err().is_cancelled());
    let gone = async { while TcpStream::connect(proxy.traffic).await.is_ok() {} };
    timeout(PATIENCE, gone).await.expect("the workers end");
}
