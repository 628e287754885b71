//! No backend is left, or none that is well: an answer at once, and traffic goes on where anybody can take it.

use tokio::time::Instant;
use weir_proto::v1::OperatorState;
use weir_tests::{Backend, Behaviour, Daemons, Load, Response, at_once, get, until};

const CHECK: &str = "health_check: { http: { path: /health }, interval: 100ms, unhealthy_threshold: 1, healthy_threshold: 1 }";

#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_dead_clients_hear_so_at_once() {
    let (mut a, mut b) = (Backend::start("a").await, Backend::start("b").await);
    let daemons = Daemons::start(1).await;
    daemons.serve("web", &[CHECK], &[a.address(), b.address()]).await;
    a.stop().await;
    b.stop().await;
    for (backend, name) in [(&a, "a"), (&b, "b")] {
        let what = format!("found dead: {name}");
        daemons.finds(0, "web", backend.address(), &what, |found| found["health"] == "unhealthy").await;
    }

    let started = Instant::now();
    for _ in 0..20 {
        let answer = get(daemons.traffic[0], "/").await.unwrap();
        assert_eq!((answer.status(), reason(&answer)), (503, "connect_refused".to_owned()));
        assert!(answer.head.get("retry-after").is_some(), "{}", answer.head.raw);
    }
    at_once("20 answers without a backend", started);

    for backend in [&a, &b] {
        let name = format!("web/{}", backend.address());
        let revision = daemons.api.operator_state(&name, OperatorState::Disabled).await.unwrap();
        daemons.api.acknowledged(revision, 1).await;
    }
    let answer = get(daemons.traffic[0], "/").await.unwrap();
    assert_eq!((answer.status(), reason(&answer)), (503, "no_routable_backend".to_owned()));
    assert!(answer.head.get("retry-after").is_some(), "{}", answer.head.raw);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_are_unhealthy_but_alive_traffic_goes_to_all_and_operators_are_told() {
    let sick = || Behaviour::at("/health", Behaviour::Status(500), Behaviour::Name);
    let (a, b) = (Backend::with("a", sick()).await, Backend::with("b", sick()).await);
    let daemons = Daemons::start(1).await;
    daemons.serve("web", &[CHECK], &[a.address(), b.address()]).await;
    let panic = async || daemons.counted(0, "weir_proxy_service_panic", &[("service", "web")]).await;
    until("panic", async || (panic().await > 0.5).then_some(())).await;

    let outcome = Load::run(daemons.traffic[0], 4, 100).await;
    assert_eq!(outcome.failures, Vec::<String>::new());
    assert_eq!((outcome.answers["a"], outcome.answers["b"]), (50, 50));
    let proxy = &daemons.proxies[0];
    proxy.line("service web: too few of its backends are usable, so all are used whatever health says").await;

    a.set(Behaviour::Name);
    until("the end of panic", async || (panic().await < 0.5).then_some(())).await;
    proxy.line("service web: enough of its backends are usable again, and only those are used").await;
    let outcome = Load::run(daemons.traffic[0], 4, 100).await;
    assert_eq!((outcome.failed, outcome.answers.get("b")), (0, None), "{outcome:?}");
}

/// The word that tells why.
fn reason(answer: &Response) -> String {
    let status = answer.head.get("proxy-status").unwrap_or_default();
    status.split("details=\"").nth(1).unwrap_or_default().trim_end_matches('"').to_owned()
}
