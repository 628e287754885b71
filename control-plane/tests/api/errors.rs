//! Each wrong request has its status, and names what is wrong.

use tonic::{Code, Status};
use tonic_types::StatusExt;
use weir_proto::v1;

use crate::harness::{Server, leased, registration};

fn field(status: &Status) -> String {
    let violations = status.get_details_bad_request().expect("fields").field_violations;
    violations.into_iter().next().expect("a field").field
}

fn backend(name: &str) -> v1::ObjectRef {
    v1::ObjectRef { kind: v1::ObjectKind::Backend as i32, name: name.to_owned() }
}

#[tokio::test]
async fn a_bad_registration_names_its_field() {
    let server = Server::start();
    let mut registry = server.registry().await;
    let mut with = registration("web", "10.0.0.7:8080");
    with.backend.as_mut().expect("set").lease_state = 2;
    let mut lease = leased("web", "10.0.0.7:8080", "a");
    lease.lease = Some(v1::LeaseTerms { ttl: Some(prost_types::Duration::default()), ..Default::default() });
    for (request, expected) in [
        (v1::RegisterRequest::default(), "backend"),
        (registration("web", "nowhere"), "backend.address"),
        (registration("Web", "10.0.0.7:8080"), "backend.service"),
        (with, "backend.lease_state"),
        (lease, "lease.ttl"),
        (leased("web", "10.0.0.7:8080", "two words"), "owner"),
    ] {
        let status = registry.register(request).await.expect_err("refused");
        assert_eq!((status.code(), field(&status).as_str()), (Code::InvalidArgument, expected));
    }
    assert_eq!(server.status().await.revision, 0, "nothing changed");
}

#[tokio::test]
async fn a_forbidden_address_is_named_and_refused_in_every_call() {
    let server = Server::start();
    let metadata = "169.254.169.254:80";
    let status = server.registry().await.register(registration("web", metadata)).await.expect_err("refused");
    assert_eq!((status.code(), field(&status).as_str()), (Code::PermissionDenied, "backend.address"));
    let own = server.admin.to_string();
    let status = server.registry().await.register(registration("web", &own)).await.expect_err("refused");
    assert_eq!(status.code(), Code::PermissionDenied);

    let backends = registration("web", metadata).backend.into_iter().collect();
    let documents = vec![v1::Document { backends, ..Default::default() }];
    let apply = v1::ApplyRequest { documents, ..Default::default() };
    let status = server.admin().await.apply(apply).await.expect_err("refused");
    assert_eq!(status.code(), Code::PermissionDenied);
    assert_eq!(field(&status), "documents[0].backends[0].address");
    assert_eq!(server.status().await.revision, 0, "nothing changed");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let get = admin
        .get_object(v1::GetObjectRequest { object: Some(backend("web/a")) })
        .await
        .expect_err("not there");
    let delete = v1::DeleteObjectRequest { object: Some(backend("web/a")), ..Default::default() };
    let delete = admin.delete_object(delete).await.expect_err("not there");
    let state = v1::OperatorState::Disabled as i32;
    let set = v1::SetOperatorStateRequest { backend: "web/a".to_owned(), state, if_revision: None };
    let set = admin.set_operator_state(set).await.expect_err("not there");
    let weight = v1::SetBackendWeightRequest { backend: "web/a".to_owned(), ..Default::default() };
    let weight = admin.set_backend_weight(weight).await.expect_err("not there");
    for status in [get, delete, set, weight] {
        assert_eq!(status.code(), Code::NotFound);
        let info = status.get_details_resource_info().expect("the object");
        assert_eq!((&*info.resource_type, &*info.resource_name), ("backend", "web/a"));
    }
}

#[tokio::test]
async fn another_owners_backend_already_exists() {
    let server = Server::start();
    let mut registry = server.registry().await;
    registry.register(leased("web", "10.0.0.7:8080", "one")).await.expect("registered");
    let mut other = leased("web", "10.0.0.7:8080", "two");
    other.backend.as_mut().expect("set").weight = Some(5);
    let status = registry.register(other).await.expect_err("refused");
    assert_eq!(status.code(), Code::AlreadyExists);
    let info = status.get_details_resource_info().expect("the object");
    assert!(info.owner.contains("one"), "{}", info.owner);
}

#[tokio::test]
async fn a_precondition_that_does_not_hold_fails() {
    let server = Server::start();
    let revision = server.register("web", "10.0.0.7:8080").await;
    let mut admin = server.admin().await;
    let service = Some(v1::ObjectRef { kind: v1::ObjectKind::Service as i32, name: "web".to_owned() });
    let used = v1::DeleteObjectRequest { object: service.clone(), ..Default::default() };
    let used = admin.delete_object(used).await.expect_err("it has a backend");
    assert!(used.get_details_resource_info().is_some());
    let stale = v1::DeleteObjectRequest { object: service, if_revision: Some(revision + 1), cascade: true };
    let stale = admin.delete_object(stale).await.expect_err("another revision");
    let epoch = admin.accept_epoch(v1::AcceptEpochRequest { epoch: 1 }).await.expect_err("another epoch");
    for status in [used, stale, epoch] {
        assert_eq!(status.code(), Code::FailedPrecondition, "{status}");
    }
    assert_eq!(server.status().await.revision, revision);
}

#[tokio::test]
async fn bad_requests_of_operators_name_their_fields() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let get = admin.get_object(v1::GetObjectRequest::default()).await.expect_err("no object");
    let list = admin.list_objects(v1::ListObjectsRequest::default()).await.expect_err("no kind");
    let delete = admin.delete_object(v1::DeleteObjectRequest::default()).await.expect_err("no object");
    let state = v1::SetOperatorStateRequest { backend: "web/a".to_owned(), ..Default::default() };
    let state = admin.set_operator_state(state).await.expect_err("no state");
    let deregister = v1::DeregisterRequest::default();
    let deregister = server.registry().await.deregister(deregister).await.expect_err("no target");
    for (status, expected) in
        [(get, "object"), (list, "kind"), (delete, "object"), (state, "state"), (deregister, "target")]
    {
        assert_eq!((status.code(), field(&status).as_str()), (Code::InvalidArgument, expected));
    }
}

#[tokio::test]
async fn an_operators_weight_has_its_own_call_and_its_bounds() {
    let server = Server::start();
    let mut registry = server.registry().await;
    registry.register(registration("web", "10.0.0.7:8080")).await.expect("registered");
    for wrong in [0, 257] {
        let request = v1::SetBackendWeightRequest {
            backend: "web/10.0.0.7:8080".to_owned(),
            weight: Some(wrong),
            if_revision: None,
        };
        let status = server.admin().await.set_backend_weight(request).await.expect_err("out of bounds");
        assert_eq!((status.code(), field(&status).as_str()), (Code::InvalidArgument, "weight"));
    }
    let mut request = registration("web", "10.0.0.8:8080");
    request.backend.as_mut().expect("set").operator_weight = Some(3);
    let status = registry.register(request).await.expect_err("not its to set");
    assert_eq!((status.code(), field(&status).as_str()), (Code::InvalidArgument, "backend.operator_weight"));
}

#[tokio::test]
async fn too_large_a_message_is_refused_and_the_server_stays_up() {
    let server = Server::start();
    let huge = registration("web", &"1".repeat(2 << 20));
    let status = server.registry().await.register(huge).await.expect_err("refused");
    assert!(matches!(status.code(), Code::OutOfRange | Code::ResourceExhausted), "{status}");
    server.register("web", "10.0.0.7:8080").await;
}
