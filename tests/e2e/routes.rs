//! Routes by host and path prefix, the most specific first, and shares between services.

use std::net::SocketAddr;

use weir_proto::v1;
use weir_tests::{Backend, Client, Cluster};

#[tokio::test(flavor = "multi_thread")]
async fn the_most_specific_route_decides() {
    let (shop, checkout, rest) =
        (Backend::start("shop").await, Backend::start("checkout").await, Backend::start("rest").await);
    let cluster = Cluster::start().await;
    let routes = vec![
        route("shop.example", "/", "shop"),
        route("shop.example", "/checkout", "checkout"),
        route("*.example", "/", "rest"),
    ];
    let backends = vec![backend("shop", &shop), backend("checkout", &checkout), backend("rest", &rest)];
    cluster.apply(v1::Document { backends, routes, ..v1::Document::default() }).await;

    for (host, path, expected) in [
        ("shop.example", "/", "shop"),
        ("SHOP.example:80", "/checkoutx", "shop"),
        ("shop.example", "/checkout", "checkout"),
        ("shop.example", "/checkout/1?x", "checkout"),
        ("other.example", "/checkout", "rest"),
    ] {
        assert_eq!(ask(cluster.traffic(), host, path).await, (200, expected.to_owned()), "{host}{path}");
    }
    assert_eq!(
        ask(cluster.traffic(), "elsewhere", "/").await,
        (200, "checkout".to_owned()),
        "the implicit one"
    );
    cluster.api.default_route(false).await.unwrap();
    cluster.settled().await;
    let (status, text) = ask(cluster.traffic(), "elsewhere", "/").await;
    assert_eq!(status, 404);
    assert!(text.contains("(no_route)"), "{text}");
    assert_eq!(ask(cluster.traffic(), "other.example", "/").await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn weights_share_exactly() {
    let (old, new) = (Backend::start("old").await, Backend::start("new").await);
    let cluster = Cluster::start().await;
    let share = |name: &str, weight| v1::WeightedService { name: name.to_owned(), weight: Some(weight) };
    let split = v1::Route { services: vec![share("old", 95), share("new", 5)], ..route("", "/", "old") };
    let backends = vec![backend("old", &old), backend("new", &new)];
    cluster.apply(v1::Document { backends, routes: vec![split], ..v1::Document::default() }).await;

    for _ in 0..200 {
        assert_eq!(ask(cluster.traffic(), "test", "/").await.0, 200);
    }
    assert_eq!((old.requests(), new.requests()), (190, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_routes_the_host_names_the_service() {
    let (web, api) = (Backend::start("web").await, Backend::start("api").await);
    let cluster = Cluster::start().await;
    cluster.serve("web", &[&web]).await;
    assert_eq!(ask(cluster.traffic(), "whatever", "/").await, (200, "web".to_owned()), "the only service");

    cluster.serve("api.example", &[&api]).await;
    assert_eq!(ask(cluster.traffic(), "web", "/").await, (200, "web".to_owned()));
    assert_eq!(ask(cluster.traffic(), "API.example:80", "/").await, (200, "api".to_owned()));
    assert_eq!(ask(cluster.traffic(), "whatever", "/").await, (200, "web".to_owned()), "the oldest service");
}

async fn ask(address: SocketAddr, host: &str, path: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let response = Client::open(address).await.unwrap().send("GET", request).await.unwrap();
    (response.status(), response.text())
}

fn route(host: &str, prefix: &str, service: &str) -> v1::Route {
    v1::Route {
        r#match: Some(v1::RouteMatch {
            host: host.to_owned(),
            path: Some(v1::route_match::Path::PathPrefix(prefix.to_owned())),
        }),
        services: vec![v1::WeightedService { name: service.to_owned(), weight: None }],
        ..v1::Route::default()
    }
}

fn backend(service: &str, backend: &Backend) -> v1::Backend {
    v1::Backend {
        service: service.to_owned(),
        address: backend.address().to_string(),
        ..v1::Backend::default()
    }
}
