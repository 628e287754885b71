//! The admin pages.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    discovery::proxy::Proxy,
    harness::{Server, leased},
};

/// The status and the body of `GET path`.
pub(crate) async fn get(admin: SocketAddr, path: &str) -> (u16, String) {
    let mut connection = TcpStream::connect(admin).await.expect("the admin service listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    connection.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("answered");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, answer.split_once("\r\n\r\n").expect("a body").1.to_owned())
}

#[tokio::test]
async fn a_serving_control_plane_is_live_and_ready() {
    let server = Server::start();
    server.status().await;
    for path in ["/", "/livez", "/readyz", "/metrics"] {
        assert_eq!(get(server.admin, path).await.0, 200, "{path}");
    }
    assert_eq!(get(server.admin, "/nothing").await.0, 404);
    let index = get(server.admin, "/").await.1;
    assert!(["/livez", "/readyz", "/metrics"].iter().all(|path| index.contains(path)), "{index}");
}

#[tokio::test]
async fn a_connection_has_one_answer() {
    let server = Server::start();
    let mut connection = TcpStream::connect(server.admin).await.expect("the admin service listens");
    connection.write_all(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).await.expect("it ends");
    assert!(answer.contains("connection: close\r\n") && answer.ends_with("ok\n"), "{answer}");
}

#[tokio::test]
async fn metrics_show_the_state_and_what_happened() {
    let server = Server::start();
    server.registry().await.register(leased("web", "10.0.0.1:80", "a")).await.expect("registered");
    let mut proxy = Proxy::connect(&server, "edge", None).await;
    proxy.state().await;
    let metrics = get(server.admin, "/metrics").await.1;
    for line in [
        "weir_control_plane_revision 1",
        "weir_control_plane_objects{kind=\"backend\"} 1",
        "weir_control_plane_live_leases 1",
        "weir_control_plane_connected_proxies 1",
        "weir_control_plane_proxies_behind 1",
        "weir_control_plane_registrations_total 1",
        "weir_control_plane_store_batch_size_count 1",
        "weir_control_plane_streams{call=\"discovery\"} 1",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in\n{metrics}");
    }
    assert!(metrics.contains("weir_control_plane_store_commit_seconds_bucket"), "{metrics}");
}
