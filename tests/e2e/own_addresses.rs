//! What only a machine itself should reach is reached by no detour: not as a backend, not as the port of a probe, not in
//! another spelling.

use tonic::Code;
use weir_proto::v1;
use weir_tests::{Backend, Client, Cluster, get, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_does_not_serve_its_own_admin_page_to_clients() {
    let cluster = Cluster::start().await;
    let admin = cluster.proxies[0].admin;
    assert!(get(admin, "/config").await.unwrap().text().contains("services"), "there is something to see");
    let mapped = format!("[::ffff:{}]:{}", admin.ip(), admin.port());
    for (service, address) in [("plain", admin.to_string()), ("mapped", mapped)] {
        let backend = v1::Backend { service: service.into(), address, ..Default::default() };
        let request = v1::RegisterRequest { backend: Some(backend), ..Default::default() };
        cluster.api.registry.clone().register(request).await.expect("the control plane does not know it");
        cluster.settled().await;
        let mut client = Client::open(cluster.traffic()).await.unwrap();
        let request = format!("GET /config HTTP/1.1\r\nHost: {service}\r\n\r\n");
        let answer = client.send("GET", request).await.unwrap();
        assert_eq!(answer.status(), 502, "{}", answer.text());
        assert!(!answer.text().contains("services"), "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_asks_no_daemon_about_itself() {
    let backend = Backend::start("a").await;
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&backend]).await;
    let probed = |port: u16| {
        let http = v1::HttpProbe { path: "/".into(), expected_body: "weir".into(), ..Default::default() };
        let probe = Some(v1::health_check::Probe::Http(http));
        let health_check = Some(v1::HealthCheck { probe, port: Some(port.into()), ..Default::default() });
        let service = v1::Service { name: "web".into(), health_check, ..Default::default() };
        v1::Document { services: vec![service], ..Default::default() }
    };
    for port in [cluster.grpc().port(), cluster.control_plane_admin().port()] {
        let refused = cluster.api.apply(probed(port)).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
        let text = refused.message();
        assert!(text.contains("health_check.port") && text.contains("the control plane itself"), "{text}");
    }
    // The control plane does not know where a proxy listens; the proxy does.
    let proxy = &cluster.proxies[0];
    cluster.apply(probed(proxy.admin.port())).await;
    until("a probe that is not sent", async || {
        let found = proxy.found("web", backend.address()).await.to_string();
        found.contains("is not asked").then_some(())
    })
    .await;
}
