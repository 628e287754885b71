//! A control plane that has lost its store does not take the fleet along.

use weir_proto::v1;
use weir_tests::{Backend, Cluster, get, until};

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_store_empties_no_proxy_until_an_operator_says_so() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let mut cluster = Cluster::start().await;
    cluster.serve("web", &[&a, &b]).await;
    let before = cluster.api.status().await.unwrap();

    cluster.lose_store().await;
    cluster.start_control_plane().await;
    let after = cluster.api.status().await.unwrap();
    assert_ne!(after.epoch, before.epoch);
    let proxy = connected(&cluster).await;
    assert_ne!(proxy.epoch, after.epoch, "it does not acknowledge the new epoch");
    for _ in 0..4 {
        assert_eq!(get(cluster.traffic(), "/").await.unwrap().status(), 200);
    }

    cluster.api.admin.clone().accept_epoch(v1::AcceptEpochRequest { epoch: after.epoch }).await.unwrap();
    cluster.settled().await;
    assert_eq!(connected(&cluster).await.epoch, after.epoch);
    assert_eq!(get(cluster.traffic(), "/").await.unwrap().status(), 503);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_epoch_with_most_of_the_table_is_taken() {
    let (a, b, c) = (Backend::start("a").await, Backend::start("b").await, Backend::start("c").await);
    let mut cluster = Cluster::start().await;
    cluster.serve("web", &[&a, &b]).await;

    cluster.lose_store().await;
    cluster.start_control_plane().await;
    connected(&cluster).await;
    for backend in [&a, &c] {
        cluster.api.register("web", backend.address()).await.unwrap();
    }
    cluster.settled().await;
    let seen = b.requests();
    for _ in 0..4 {
        assert_eq!(get(cluster.traffic(), "/").await.unwrap().status(), 200);
    }
    assert_eq!((b.requests(), c.requests()), (seen, 2));
}

/// Waits for the proxy to have followed the present control plane for a while: it has had what there is to have.
async fn connected(cluster: &Cluster) -> v1::ProxyInfo {
    until("the proxy to come back", async || {
        let proxies = cluster.api.proxies().await.ok()?.proxies;
        proxies.into_iter().find(|p| p.connected && p.state() == v1::ProxyState::Serving)
    })
    .await
}
