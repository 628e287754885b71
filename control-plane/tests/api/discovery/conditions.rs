//! What proxies report of backends, and what others see of it.

use weir_proto::v1::{self, EjectionState, EventType, HealthState, proxy_message::Message as Up};

use super::proxy::Proxy;
use crate::{harness::Server, http};

fn report(list: &[(&str, HealthState, &str)]) -> Up {
    let conditions = list.iter().map(|(backend, health, reason)| v1::BackendCondition {
        backend: (*backend).to_owned(),
        health: *health as i32,
        health_reason: (*reason).to_owned(),
        health_for: Some(prost_types::Duration { seconds: 60, nanos: 0 }),
        ejection: EjectionState::None as i32,
        ..Default::default()
    });
    Up::Report(v1::Report { conditions: conditions.collect(), ..Default::default() })
}

async fn get(server: &Server, backend: &str) -> v1::ObjectInfo {
    let object = Some(v1::ObjectRef { kind: v1::ObjectKind::Backend as i32, name: backend.to_owned() });
    let answer = server.admin().await.get_object(v1::GetObjectRequest { object }).await;
    answer.expect("there is one").into_inner()
}

/// Asks until the backend's conditions are so many; the test's own time limit ends it otherwise.
async fn until(server: &Server, backend: &str, conditions: usize) -> v1::ObjectInfo {
    loop {
        let info = get(server, backend).await;
        if info.conditions.len() == conditions {
            return info;
        }
    }
}

#[tokio::test]
async fn operators_see_which_proxies_find_a_backend_in_trouble() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    let (a, b) = (Proxy::connect(&server, "a", None).await, Proxy::connect(&server, "b", None).await);
    let mut well = Proxy::connect(&server, "c", None).await;
    well.state().await;
    a.say(report(&[
        ("web/10.0.0.1:80", HealthState::Unhealthy, "connection refused"),
        ("web/nobody-knows-it", HealthState::Unhealthy, ""),
    ]))
    .await;
    b.say(report(&[("web/10.0.0.1:80", HealthState::Degraded, "status 429")])).await;
    let info = until(&server, "web/10.0.0.1:80", 2).await;
    assert_eq!(info.connected_proxies, 3);
    let seen = info.conditions.iter().map(|c| {
        let condition = c.condition.as_ref().expect("a condition");
        (c.proxy_id.as_str(), condition.health(), condition.health_reason.as_str())
    });
    assert_eq!(
        seen.collect::<Vec<_>>(),
        [("a", HealthState::Unhealthy, "connection refused"), ("b", HealthState::Degraded, "status 429")]
    );
    let list = v1::ListObjectsRequest { kind: v1::ObjectKind::Backend as i32, ..Default::default() };
    let page = server.admin().await.list_objects(list).await.expect("a page").into_inner();
    assert_eq!((page.objects[0].conditions.len(), page.objects[0].connected_proxies), (2, 3));

    let metrics = http::get(server.admin, "/metrics").await.1;
    for line in [
        "weir_control_plane_backend_conditions{condition=\"unhealthy\"} 1",
        "weir_control_plane_backend_conditions{condition=\"degraded\"} 1",
        "weir_control_plane_backend_conditions{condition=\"ejected\"} 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in\n{metrics}");
    }
    drop(b);
    a.say(report(&[])).await;
    assert_eq!(until(&server, "web/10.0.0.1:80", 0).await.conditions, []);
}

#[tokio::test]
async fn a_change_is_an_event_and_what_a_stream_begins_with_is_none() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    server.register("web", "10.0.0.2:80").await;
    let sick = [("web/10.0.0.1:80", HealthState::Unhealthy, "connection refused")];
    let first = Proxy::connect(&server, "p1", None).await;
    first.say(report(&sick)).await;
    until(&server, "web/10.0.0.1:80", 1).await;
    first.say(report(&[sick[0], ("web/10.0.0.2:80", HealthState::Unhealthy, "status 503")])).await;
    until(&server, "web/10.0.0.2:80", 1).await;
    drop(first);
    // The same process comes back: what it says again is no news, what it does not say any more is.
    let again = Proxy::connect(&server, "p1", None).await;
    again.say(report(&sick)).await;
    until(&server, "web/10.0.0.1:80", 1).await;
    again.say(report(&[])).await;

    let request = v1::WatchEventsRequest { past: 10_000, ..Default::default() };
    let mut events = server.admin().await.watch_events(request).await.expect("a stream").into_inner();
    let mut told = Vec::new();
    while told.len() < 3 {
        let event = events.message().await.expect("alive").expect("an event");
        if event.r#type() == EventType::BackendConditionChanged {
            assert_eq!(event.proxy_id, "p1");
            assert!(event.object.is_some_and(|object| event.message.contains(&object.name)));
            told.push(event.message);
        }
    }
    assert_eq!(
        told,
        [
            "proxy p1 finds web/10.0.0.2:80 unhealthy: status 503",
            "proxy p1 finds web/10.0.0.2:80 healthy again",
            "proxy p1 finds web/10.0.0.1:80 healthy again",
        ]
    );
}

#[tokio::test]
async fn backends_that_flap_do_not_drive_everything_else_out_of_the_memory_of_events() {
    let server = Server::start();
    let mut registry = server.registry().await;
    let names: Vec<_> = (0..900).map(|n| format!("10.0.{}.{}:80", n / 250, n % 250)).collect();
    for name in &names {
        registry.register(crate::harness::registration("web", name)).await.expect("registered");
    }
    let names: Vec<_> = names.iter().map(|name| format!("web/{name}")).collect();
    let sick: Vec<_> = names.iter().map(|name| (name.as_str(), HealthState::Unhealthy, "")).collect();
    let proxy = Proxy::connect(&server, "p1", None).await;
    proxy.say(report(&[])).await;
    for _ in 0..20 {
        proxy.say(report(&sick)).await;
        proxy.say(report(&[])).await;
    }
    proxy.say(report(&sick)).await;
    until(&server, &names[0], 1).await;
    let request = v1::WatchEventsRequest { past: 10_000, ..Default::default() };
    let mut events = server.admin().await.watch_events(request).await.expect("a stream").into_inner();
    server.register("end", "10.9.9.9:80").await;
    let (mut told, mut summaries) = (0, 0);
    loop {
        let event = events.message().await.expect("alive").expect("an event");
        match (event.r#type(), event.object) {
            (EventType::BackendConditionChanged, Some(_)) => told += 1,
            (EventType::BackendConditionChanged, None) => {
                assert!(event.message.contains("more changes"), "{}", event.message);
                summaries += 1;
            }
            (_, Some(object)) if object.name.starts_with("end") => break,
            _ => {}
        }
    }
    // 36,900 changes happened; a slow machine gives some more a second each.
    assert!((500..1_000).contains(&told), "{told} events");
    assert!((1..10).contains(&summaries), "{summaries} summaries");
}
