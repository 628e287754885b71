//! Requests that no declared route takes: where they go can be seen, and nothing that is added changes it.

use std::net::SocketAddr;

use serde_json::Value;
use weir_proto::v1;
use weir_tests::{Backend, Client, Cluster, Daemons};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_service_changes_nothing_for_others() {
    let (web, typo, api) =
        (Backend::start("web").await, Backend::start("typo").await, Backend::start("api").await);
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&web]).await;
    let anywhere = async || ask(cluster.traffic(), "anywhere.example").await;
    assert_eq!(anywhere().await, (200, "web".to_owned()));

    let mistyped = cluster.api.register("wbe", typo.address()).await.unwrap();
    assert!(mistyped.warnings[0].contains("the service wbe is new, and no route names it"), "{mistyped:?}");
    cluster.settled().await;
    assert_eq!(anywhere().await, (200, "web".to_owned()), "nor does a service whose name comes first");
    cluster.serve("api", &[&api]).await;
    assert_eq!(anywhere().await, (200, "web".to_owned()));
    assert_eq!(ask(cluster.traffic(), "API:80").await, (200, "api".to_owned()), "whom the Host names");

    let to = |host: &str, service: &str| v1::Route {
        r#match: Some(v1::RouteMatch { host: host.to_owned(), path: None }),
        services: vec![v1::WeightedService { name: service.to_owned(), weight: None }],
        ..v1::Route::default()
    };
    let routes = vec![to("shop.example", "api")];
    cluster.apply(v1::Document { routes, ..v1::Document::default() }).await;
    assert_eq!(ask(cluster.traffic(), "shop.example").await, (200, "api".to_owned()));
    assert_eq!(anywhere().await, (200, "web".to_owned()), "nor does a route for another host");

    cluster.apply(v1::Document { routes: vec![to("", "api")], ..v1::Document::default() }).await;
    assert_eq!(anywhere().await, (200, "api".to_owned()), "only one for every host");
    assert_eq!(ask(cluster.traffic(), "web").await, (200, "api".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_listed_turned_off_and_turned_on_and_exported_by_nobody() {
    let (web, api) = (Backend::start("web").await, Backend::start("api").await);
    let daemons = Daemons::start(1).await;
    daemons.serve("web", &[], &[web.address()]).await;
    daemons.weir_ok(&["backend", "register", "api", &api.address().to_string()]).await;
    let listed = daemons.weir_ok(&["route", "list"]).await;
    let line = listed.lines().find(|line| line.starts_with("default")).unwrap_or_else(|| panic!("{listed}"));
    assert!(
        line.contains("the service named by Host, else web") && line.contains("nobody (implicit)"),
        "{listed}"
    );
    let routes: Value =
        serde_json::from_str(&daemons.weir_ok(&["route", "list", "-o", "json"]).await).unwrap();
    assert_eq!(routes[0]["meta"]["implicit"], true, "{routes}");
    assert!(!daemons.weir_ok(&["export"]).await.contains("default"));
    let explained = daemons.weir_ok(&["explain", "GET", "http://anywhere.example/"]).await;
    assert!(explained.contains("route    default"), "{explained}");

    daemons.weir_ok(&["route", "delete", "default", "--wait"]).await;
    assert_eq!(ask(daemons.traffic[0], "anywhere.example").await.0, 404);
    assert!(daemons.weir_ok(&["route", "list"]).await.contains("off"));
    let turned = daemons.weir_ok(&["route", "default", "on", "--wait"]).await;
    assert!(turned.contains("route default is on") && turned.contains("else to web"), "{turned}");
    assert_eq!(ask(daemons.traffic[0], "anywhere.example").await, (200, "web".to_owned()));
    assert!(daemons.weir_ok(&["route", "default", "off"]).await.contains("it takes no request"));
}

async fn ask(address: SocketAddr, host: &str) -> (u16, String) {
    let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let response = Client::open(address).await.unwrap().send("GET", request).await.unwrap();
    (response.status(), response.text())
}
