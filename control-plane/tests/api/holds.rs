//! A lease that is overdue and held goes as soon as every proxy finds its backend dead, and not before.

use weir_proto::v1::{self, HealthState, LeaseState, proxy_message::Message as Up};

use crate::{
    discovery::proxy::Proxy,
    harness::{Server, registration},
    http,
};

const BACKENDS: [&str; 3] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"];

fn finds(health: HealthState) -> Up {
    let conditions = BACKENDS.map(|address| v1::BackendCondition {
        backend: format!("web/{address}"),
        health: health as i32,
        ..Default::default()
    });
    Up::Report(v1::Report { conditions: conditions.into(), ..Default::default() })
}

/// Asks until it is so; the test's own time limit ends it otherwise.
async fn until(server: &Server, wanted: impl Fn(&[v1::ObjectInfo]) -> bool) -> Vec<v1::ObjectInfo> {
    let list = v1::ListObjectsRequest { kind: v1::ObjectKind::Backend as i32, ..Default::default() };
    let mut admin = server.admin().await;
    loop {
        let objects = admin.list_objects(list.clone()).await.expect("a page").into_inner().objects;
        if wanted(&objects) {
            return objects;
        }
    }
}

fn expired(objects: &[v1::ObjectInfo]) -> usize {
    let states = objects.iter().filter_map(|object| match object.resource.as_ref()?.resource.as_ref()? {
        v1::resource::Resource::Backend(backend) => Some(backend.lease_state()),
        _ => None,
    });
    states.filter(|state| *state == LeaseState::Expired).count()
}

fn overdue(objects: &[v1::ObjectInfo]) -> usize {
    objects.iter().filter(|object| object.overdue_since.is_some() && !object.hold_reason.is_empty()).count()
}

#[tokio::test]
async fn what_every_connected_proxy_finds_dead_is_not_held() {
    let server = Server::start();
    let (a, mut b) = (Proxy::connect(&server, "a", None).await, Proxy::connect(&server, "b", None).await);
    b.state().await;
    // Nobody renews them: one goes after a second, another one a second later.
    for address in BACKENDS {
        let mut request = registration("web", address);
        let ttl = Some(prost_types::Duration { seconds: 1, nanos: 0 });
        request.lease = Some(v1::LeaseTerms { ttl, ..Default::default() });
        server.registry().await.register(request).await.expect("registered");
    }
    // The last one has to wait until the proxies find it dead, all of them.
    until(&server, |objects| (expired(objects), overdue(objects)) == (2, 1)).await;
    a.say(finds(HealthState::Unhealthy)).await;
    b.say(finds(HealthState::Degraded)).await;
    let conditions = |objects: &[v1::ObjectInfo]| objects.iter().all(|object| object.conditions.len() == 2);
    let objects = until(&server, conditions).await;
    assert_eq!((expired(&objects), overdue(&objects)), (2, 1));
    assert_eq!(server.status().await.overdue_leases, 1);

    b.say(finds(HealthState::Unhealthy)).await;
    until(&server, |objects| (expired(objects), overdue(objects)) == (3, 0)).await;
    let metrics = http::get(server.admin, "/metrics").await.1;
    for line in [
        "weir_control_plane_lease_expiries_total{cause=\"silence\"} 2",
        "weir_control_plane_lease_expiries_total{cause=\"unhealthy\"} 1",
        "weir_control_plane_overdue_leases 0",
        "weir_control_plane_self_preservation 0",
    ] {
        assert!(metrics.lines().any(|l| l == line), "{line} in\n{metrics}");
    }
}
