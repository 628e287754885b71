//! `Registry`: register, heartbeat, deregister.

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;
use weir_proto::v1::{self, deregister_request::Target};

use crate::harness::{Server, leased, registration};

fn seconds(seconds: i64) -> prost_types::Duration {
    prost_types::Duration { seconds, nanos: 0 }
}

#[tokio::test]
async fn the_same_registration_again_changes_nothing() {
    let server = Server::start();
    let mut registry = server.registry().await;
    let first =
        registry.register(leased("web", "10.0.0.7:8080", "a")).await.expect("registered").into_inner();
    assert!(first.created && first.lease_id != 0);
    assert_eq!((first.ttl, first.heartbeat_interval), (Some(seconds(15)), Some(seconds(5))));
    let again =
        registry.register(leased("web", "10.0.0.7:8080", "a")).await.expect("registered").into_inner();
    let outcome = v1::RegisterOutcome::Unchanged as i32;
    assert_eq!(again, v1::RegisterResponse { created: false, outcome, ..first });
}

#[tokio::test]
async fn a_static_backend_has_no_lease() {
    let server = Server::start();
    let answer = server.registry().await.register(registration("web", "10.0.0.7:8080")).await;
    let answer = answer.expect("registered").into_inner();
    assert_eq!((answer.lease_id, answer.ttl, answer.heartbeat_interval), (0, None, None));
}

#[tokio::test]
async fn heartbeats_are_answered_in_order_and_name_unknown_leases() {
    let server = Server::start();
    let mut registry = server.registry().await;
    let lease =
        registry.register(leased("web", "10.0.0.7:8080", "a")).await.expect("ok").into_inner().lease_id;
    let revision = server.status().await.revision;
    let (beats, stream) = mpsc::channel(8);
    let mut answers = registry.heartbeat(ReceiverStream::new(stream)).await.expect("a stream").into_inner();
    for sequence in 1..=3 {
        let beat = v1::HeartbeatRequest { lease_ids: vec![lease, lease + 1], sequence };
        beats.send(beat).await.expect("open");
    }
    for sequence in 1..=3 {
        let answer = answers.message().await.expect("alive").expect("an answer");
        assert_eq!((answer.sequence, answer.unknown_lease_ids), (sequence, vec![lease + 1]));
    }
    assert_eq!(server.status().await.revision, revision, "a heartbeat changes nothing");

    let too_many = v1::HeartbeatRequest { lease_ids: vec![1; 10_001], sequence: 4 };
    beats.send(too_many).await.expect("open");
    assert_eq!(answers.message().await.expect_err("the stream ends").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn deregistering_twice_is_fine() {
    let server = Server::start();
    let mut registry = server.registry().await;
    let lease =
        registry.register(leased("web", "10.0.0.7:8080", "a")).await.expect("ok").into_inner().lease_id;
    let gone = |target| v1::DeregisterRequest { target: Some(target), drain: None };
    let first = registry.deregister(gone(Target::LeaseId(lease))).await.expect("ok").into_inner();
    assert!(first.existed && first.revision > 1);
    let name = Target::Backend("web/10.0.0.7:8080".to_owned());
    let again = registry.deregister(gone(name)).await.expect("ok").into_inner();
    assert_eq!((again.existed, again.revision), (false, first.revision));
}

#[tokio::test]
async fn without_a_proxy_a_drain_takes_no_time() {
    let server = Server::start();
    server.register("web", "10.0.0.7:8080").await;
    let target = Some(Target::Backend("web/10.0.0.7:8080".to_owned()));
    let request = v1::DeregisterRequest { target, drain: Some(seconds(3600)) };
    let answer = server.registry().await.deregister(request).await.expect("ok").into_inner();
    assert!(answer.existed);
    assert_eq!(server.status().await.backends, 0);
}

#[tokio::test]
async fn a_drain_that_is_given_up_leaves_the_backend_draining() {
    let server = Server::start();
    server.register("web", "10.0.0.7:8080").await;
    let _busy = crate::discovery::proxy::Proxy::connect(&server, "edge", None).await;
    let mut events = {
        let request = v1::WatchEventsRequest { past: 0, ..Default::default() };
        server.admin().await.watch_events(request).await.expect("a stream").into_inner()
    };
    let target = Some(Target::Backend("web/10.0.0.7:8080".to_owned()));
    let request = v1::DeregisterRequest { target, drain: Some(seconds(3600)) };
    let mut registry = server.registry().await;
    let call = tokio::spawn(async move { registry.deregister(request).await });
    loop {
        let event = events.message().await.expect("alive").expect("an event");
        if event.r#type() == v1::EventType::OperatorStateChanged {
            break;
        }
    }
    call.abort();
    let object =
        Some(v1::ObjectRef { kind: v1::ObjectKind::Backend as i32, name: "web/10.0.0.7:8080".to_owned() });
    let info = server.admin().await.get_object(v1::GetObjectRequest { object }).await.expect("still there");
    let Some(v1::resource::Resource::Backend(backend)) = info.into_inner().resource.and_then(|r| r.resource)
    else {
        panic!("not a backend")
    };
    assert_eq!(backend.operator_state(), v1::OperatorState::Draining);
}
