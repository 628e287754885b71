//! The first listener closes the proxies' own address: that is said, and nobody is sent there any more.

use std::net::SocketAddr;

use serde_json::Value;
use weir_tests::{Backend, Daemons, Port, get, until};

use crate::dns::proxies;

async fn ports(dns: SocketAddr) -> Vec<u16> {
    let mut ports: Vec<_> = proxies(dns).await.0.iter().map(SocketAddr::port).collect();
    ports.sort_unstable();
    ports
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_said_before_and_after_and_addresses_are_those_of_the_sockets_that_are_open() {
    let backend = Backend::start("a").await;
    let daemons = Daemons::start(1).await;
    let dns = daemons.control_plane.address("dns").await;
    let (own, other) = (daemons.traffic[0], Port::free());
    let other = (other.address(), other);
    daemons.serve("web", &[], &[backend.address()]).await;
    // The real port, though nobody advertised it.
    until("DNS to name the own address", async || (ports(dns).await == [own.port()]).then_some(())).await;

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("edge.yaml");
    std::fs::write(&file, format!("listeners: [{{ name: edge, address: \"{}\" }}]\n", other.0)).unwrap();
    let file = file.to_str().unwrap();
    let said = format!("closes the proxies' own address {own} (--listen)");
    for command in [&["diff", "-f", file][..], &["apply", "-f", file, "--wait"]] {
        let output = daemons.weir(command).await;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(&said) && told.contains("1 proxy serves there now"), "{command:?}: {told}");
    }
    assert!(get(own, "/").await.is_err(), "it is closed");
    assert_eq!(get(other.0, "/").await.unwrap().text(), "a");
    until("DNS to name the open socket only", async || (ports(dns).await == [other.0.port()]).then_some(()))
        .await;
    until("the list of proxies to name the open socket only", async || {
        let proxies: Value =
            serde_json::from_str(&daemons.weir_ok(&["proxy", "list", "-o", "json"]).await).unwrap();
        let open = proxies["proxies"][0]["listeners"].as_array()?;
        let [edge] = &open[..] else { return None };
        (edge["name"] == "edge" && edge["address"] == other.0.to_string()).then_some(())
    })
    .await;
    let table = daemons.weir_ok(&["proxy", "list"]).await;
    assert!(table.contains(&other.0.to_string()) && !table.contains(&own.to_string()), "{table}");

    daemons.weir_ok(&["listener", "delete", "edge", "--wait"]).await;
    assert_eq!(get(own, "/").await.unwrap().text(), "a");
    until("DNS to name the own address again", async || (ports(dns).await == [own.port()]).then_some(()))
        .await;
}
