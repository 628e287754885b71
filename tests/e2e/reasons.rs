//! Why a request got no answer of a backend is one word everywhere: to the client, in the log, in metrics, in `explain`.

use serde_json::Value;
use weir_proto::v1::OperatorState;
use weir_tests::{Backend, Behaviour, Client, Daemons, Response, until};

const NO_EJECTIONS: &str = "outlier_detection: { disabled: true }";

#[tokio::test(flavor = "multi_thread")]
async fn rate_limited() {
    let (backend, daemons) = (Backend::start("a").await, Daemons::logged().await);
    daemons.serve("web", &["rate_limits: [{ requests: 1, per: 1h }]"], &[backend.address()]).await;
    assert_eq!(ask(&daemons).await.status(), 200);
    same_everywhere(&daemons, 429, "rate_limited").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn overflow() {
    let backend = Backend::with("a", Behaviour::Hold).await;
    let daemons = Daemons::logged().await;
    let breakers = "circuit_breakers: { max_requests: 1, max_pending_requests: 0 }";
    daemons.serve("web", &[breakers], &[backend.address()]).await;
    let mut held = Client::open(daemons.traffic[0]).await.unwrap();
    held.wire.send(REQUEST).await.unwrap();
    // The only one that may be under way.
    backend.has(1).await;
    same_everywhere(&daemons, 503, "overflow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn circuit_open() {
    let backend = Backend::with("a", Behaviour::Status(500)).await;
    let daemons = Daemons::logged().await;
    let breakers = "circuit_breakers: { consecutive_failures: 1, open_time: 1h }";
    daemons.serve("web", &[breakers, NO_EJECTIONS], &[backend.address()]).await;
    assert_eq!(ask(&daemons).await.status(), 500);
    same_everywhere(&daemons, 503, "circuit_open").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_routable_backend() {
    let (backend, daemons) = (Backend::start("a").await, Daemons::logged().await);
    daemons.serve("web", &[], &[backend.address()]).await;
    let name = format!("web/{}", backend.address());
    let revision = daemons.api.operator_state(&name, OperatorState::Draining).await.unwrap();
    daemons.api.acknowledged(revision, 1).await;
    same_everywhere(&daemons, 503, "no_routable_backend").await;
}

/// What nobody can know before it was tried. `explain` has what the last probe met.
#[tokio::test(flavor = "multi_thread")]
async fn connect_refused() {
    let (mut backend, daemons) = (Backend::start("a").await, Daemons::logged().await);
    backend.stop().await;
    daemons.serve("web", &["health_check: { tcp: {}, interval: 100ms }"], &[backend.address()]).await;
    daemons.finds(0, "web", backend.address(), "unhealthy", |found| found["health"] == "unhealthy").await;
    told(&daemons, &ask(&daemons).await, 503, "connect_refused").await;
    let explained = explain(&daemons).await;
    assert_eq!(explained["outcome"], "ok", "it would be tried: {explained:#}");
    assert_eq!(explained["candidates"][0]["health_reason"], "connection refused", "{explained:#}");
}

const REQUEST: &str = "GET /cart?token=secret HTTP/1.1\r\nHost: shop.example\r\n\r\n";

async fn ask(daemons: &Daemons) -> Response {
    Client::open(daemons.traffic[0]).await.unwrap().send("GET", REQUEST).await.unwrap()
}

/// Before it is asked, and when it is, and afterwards.
async fn same_everywhere(daemons: &Daemons, status: u16, reason: &str) {
    let explained = explain(daemons).await;
    assert_eq!(
        (&explained["outcome"], &explained["status"]),
        (&reason.into(), &status.into()),
        "{explained:#}"
    );
    told(daemons, &ask(daemons).await, status, reason).await;
}

async fn explain(daemons: &Daemons) -> Value {
    let explained = daemons.weir_ok(&["explain", "GET", "http://shop.example/cart", "-o", "json"]).await;
    serde_json::from_str(&explained).unwrap()
}

/// The answer, the access log and the metrics.
async fn told(daemons: &Daemons, answer: &Response, status: u16, reason: &str) {
    assert_eq!(answer.status(), status);
    let said = answer.head.get("proxy-status").unwrap();
    assert!(said.ends_with(&format!("details=\"{reason}\"")), "{said}");
    assert!(answer.text().ends_with(&format!("({reason})")), "{}", answer.text());

    let line = until("its line in the access log", async || {
        daemons.access_log(0).into_iter().find(|line| line["reason"] == reason)
    })
    .await;
    let logged = (&line["status"], &line["service"], &line["path"]);
    assert_eq!(logged, (&status.into(), &"web".into(), &"/cart".into()), "{line}");

    let class = if status >= 500 { "5xx" } else { "4xx" };
    let labels = [("service", "web"), ("class", class), ("reason", reason)];
    until("its metric", async || {
        (daemons.counted(0, "weir_proxy_requests_total", &labels).await >= 1.0).then_some(())
    })
    .await;
}
