//! Operators ask what a proxy would do with a request, and what it finds of its backends: `weir explain`, `weir backend`.

use std::time::Duration;

use serde_json::Value;
use weir_proto::v1::{self, OperatorState};
use weir_tests::{Backend, Behaviour, Daemons, get, until};

/// `web` with probes that are quick to notice, and these backends.
async fn serve(daemons: &Daemons, probe: v1::health_check::Probe, backends: &[&Backend]) {
    let interval = Some(weir_proto::duration_to_wire(Duration::from_millis(100)));
    let health_check = v1::HealthCheck {
        probe: Some(probe),
        interval,
        unhealthy_threshold: Some(1),
        healthy_threshold: Some(1),
        ..Default::default()
    };
    let service =
        v1::Service { name: "web".to_owned(), health_check: Some(health_check), ..Default::default() };
    daemons.api.apply(v1::Document { services: vec![service], ..Default::default() }).await.unwrap();
    for backend in backends {
        daemons.api.register("web", backend.address()).await.unwrap();
    }
    daemons.api.settled(daemons.proxies.len()).await;
}

async fn explain(daemons: &Daemons, more: &[&str]) -> Value {
    let args = [&["explain", "GET", "shop.example/cart", "-o", "json"], more].concat();
    serde_json::from_str(&daemons.weir_ok(&args).await).unwrap()
}

/// The candidate for a backend.
fn candidate<'a>(explained: &'a Value, backend: &Backend) -> &'a Value {
    let name = format!("web/{}", backend.address());
    let list = explained["candidates"].as_array().unwrap();
    list.iter()
        .find(|c| c["backend"] == name.as_str())
        .unwrap_or_else(|| panic!("no {name} in {explained:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_backend_is_named_with_the_reason() {
    let (mut dies, lives) = (Backend::start("dies").await, Backend::start("lives").await);
    let daemons = Daemons::start(2).await;
    serve(&daemons, v1::health_check::Probe::Tcp(v1::TcpProbe {}), &[&dies, &lives]).await;
    let name = format!("web/{}", dies.address());
    let well = until("both to be healthy", async || {
        let explained = explain(&daemons, &[]).await;
        [&dies, &lives].iter().all(|b| candidate(&explained, b)["health"] == "healthy").then_some(explained)
    })
    .await;
    assert_eq!(
        (&well["outcome"], &well["proxy"], &well["service"]),
        (&"ok".into(), &"proxy-0".into(), &"web".into())
    );
    assert_eq!(candidate(&well, &dies)["usable"], true);

    dies.stop().await;
    let sick = until("the probes to notice", async || {
        let explained = explain(&daemons, &["--proxy", "proxy-1"]).await;
        (candidate(&explained, &dies)["health"] == "unhealthy").then_some(explained)
    })
    .await;
    let out = candidate(&sick, &dies);
    assert_eq!(
        (&sick["proxy"], &out["usable"], &out["why"]),
        (&"proxy-1".into(), &false.into(), &"unhealthy".into())
    );
    assert!(out["health_reason"].as_str().is_some_and(|why| why.contains("refused")), "{out}");
    assert_eq!(sick["pick"], format!("web/{}", lives.address()), "there is no other");
    let text = daemons.weir_ok(&["explain", "get", "http://shop.example/cart", "--proxy", "proxy-1"]).await;
    assert!(text.contains(&format!("would be answered by web/{}", lives.address())), "{text}");

    // The fleet's view comes with the reports of the proxies.
    let list = until("both proxies to report it", async || {
        let list = daemons.weir_ok(&["backend", "list", "web"]).await;
        list.contains("2/2 unhealthy").then_some(list)
    })
    .await;
    let line = |backend: &Backend| {
        let name = format!("web/{}", backend.address());
        list.lines().find(|line| line.starts_with(&name)).unwrap_or_default().to_owned()
    };
    assert!(line(&dies).contains("2/2 unhealthy") && line(&lives).contains(" healthy "), "{list}");
    let shown = daemons.weir_ok(&["backend", "show", &name]).await;
    for proxy in ["proxy-0", "proxy-1"] {
        let line = shown.lines().find(|line| line.starts_with(proxy)).unwrap_or_default();
        assert!(line.contains("unhealthy") && line.contains("refused"), "{shown}");
    }
    let admin = daemons.proxies[0].address("admin").await;
    let page = get(admin, "/backends").await.unwrap().text();
    let line = page.lines().find(|line| line.contains(&dies.address().to_string())).unwrap_or_default();
    assert!(line.contains("unhealthy") && line.contains("refused"), "{page}");
    let metrics = get(admin, "/metrics").await.unwrap().text();
    for line in [
        "weir_proxy_backends{service=\"web\",state=\"unhealthy\"} 1",
        "weir_proxy_backends{service=\"web\",state=\"healthy\"} 1",
        "weir_proxy_service_panic{service=\"web\"} 0",
        "weir_proxy_ejections_total{service=\"web\",reason=\"consecutive_5xx\"} 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in\n{metrics}");
    }
    let events = daemons
        .api
        .admin
        .clone()
        .watch_events(v1::WatchEventsRequest { past: 1_000, ..Default::default() })
        .await;
    let mut events = events.unwrap().into_inner();
    let told = until("the event", async || {
        let event = events.message().await.unwrap().unwrap();
        (event.r#type() == v1::EventType::BackendConditionChanged).then_some(event.message)
    })
    .await;
    assert!(told.contains(&format!("finds {name} unhealthy: ")), "{told}");

    dies.restart().await;
    until("the fleet to find it healthy again", async || {
        let list = daemons.weir_ok(&["backend", "list", "web"]).await;
        (!list.contains("unhealthy")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_took_out_says_so_and_no_request_is_needed_to_see_it() {
    let (drained, other) = (Backend::start("drained").await, Backend::start("other").await);
    let daemons = Daemons::start(1).await;
    for backend in [&drained, &other] {
        daemons.api.register("web", backend.address()).await.unwrap();
    }
    let name = format!("web/{}", drained.address());
    let revision = daemons.api.operator_state(&name, OperatorState::Draining).await.unwrap();
    daemons.api.acknowledged(revision, 1).await;
    let explained = explain(&daemons, &[]).await;
    let out = candidate(&explained, &drained);
    assert_eq!((&out["usable"], &out["why"]), (&false.into(), &"draining".into()));
    assert_eq!(explained["pick"], format!("web/{}", other.address()));

    let revision = daemons
        .api
        .operator_state(&format!("web/{}", other.address()), OperatorState::Disabled)
        .await
        .unwrap();
    daemons.api.acknowledged(revision, 1).await;
    let text = daemons.weir_ok(&["explain", "GET", "shop.example"]).await;
    assert!(
        text.contains("would be refused: 503 no_routable_backend - every backend of the service"),
        "{text}"
    );
    let answer = get(daemons.traffic[0], "/").await.unwrap();
    assert_eq!(answer.status(), 503, "and so it is");
    assert_eq!(drained.requests() + other.requests(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_nobody_is_healthy_it_says_that_health_is_ignored() {
    let all =
        [Backend::with("a", Behaviour::Status(500)).await, Backend::with("b", Behaviour::Status(500)).await];
    let daemons = Daemons::start(1).await;
    let probe = v1::health_check::Probe::Http(v1::HttpProbe::default());
    serve(&daemons, probe, &[&all[0], &all[1]]).await;
    let panicking = until("panic", async || {
        let explained = explain(&daemons, &[]).await;
        (explained["panic"] == true).then_some(explained)
    })
    .await;
    for backend in &all {
        let candidate = candidate(&panicking, backend);
        assert_eq!((&candidate["usable"], &candidate["why"]), (&true.into(), &"unhealthy".into()));
        assert!(candidate["health_reason"].as_str().is_some_and(|why| why.contains("500")), "{candidate}");
    }
    assert!(daemons.weir_ok(&["explain", "GET", "shop.example"]).await.contains("\nPANIC: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_asked_is_named() {
    let mut daemons = Daemons::start(1).await;
    let nobody = daemons.weir(&["explain", "GET", "shop.example", "--proxy", "proxy-9"]).await;
    assert_eq!(nobody.status.code(), Some(7));
    let said = String::from_utf8_lossy(&nobody.stderr).into_owned();
    assert!(said.contains("no proxy proxy-9 is connected; see `weir proxy list`"), "{said}");
    daemons.proxies[0].kill().await;
    until("the proxy to be missed", async || {
        let answer = daemons.weir(&["explain", "GET", "shop.example"]).await;
        (answer.status.code() == Some(7)).then_some(())
    })
    .await;
}
