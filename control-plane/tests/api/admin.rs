//! `Admin`: what operators declare, read, change and watch.

use prost::Message;
use weir_proto::v1::{self, ChangeKind, ObjectKind, resource::Resource};

use crate::harness::{Server, leased, registration};

fn shop() -> v1::Document {
    v1::Document {
        source: "shop.yaml".to_owned(),
        listeners: vec![v1::Listener {
            name: "web".to_owned(),
            address: "0.0.0.0:8080".to_owned(),
            ..Default::default()
        }],
        services: vec![v1::Service { name: "shop".to_owned(), ..Default::default() }],
        backends: registration("shop", "10.0.0.5:8080").backend.into_iter().collect(),
        routes: vec![v1::Route {
            services: vec![v1::WeightedService { name: "shop".to_owned(), weight: None }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn apply(document: v1::Document) -> v1::ApplyRequest {
    v1::ApplyRequest { documents: vec![document], ..Default::default() }
}

/// That many backends of `web`.
fn many(net: &str, count: usize) -> Vec<v1::Backend> {
    let address = |n: usize| format!("{net}.{}.{}:80", n / 250, n % 250);
    (0..count).filter_map(|n| registration("web", &address(n)).backend).collect()
}

fn kinds(answer: &v1::ApplyResponse) -> Vec<(ChangeKind, String)> {
    let name = |change: &v1::Change| change.object.as_ref().expect("named").name.clone();
    answer.changes.iter().map(|change| (change.kind(), name(change))).collect()
}

fn object(kind: ObjectKind, name: &str) -> v1::ObjectRef {
    v1::ObjectRef { kind: kind as i32, name: name.to_owned() }
}

#[tokio::test]
async fn what_is_applied_is_one_revision_and_can_be_read_back() {
    let server = Server::start();
    let mut admin = server.admin().await;
    let dry =
        admin.apply(v1::ApplyRequest { dry_run: true, ..apply(shop()) }).await.expect("ok").into_inner();
    assert_eq!((dry.revision, dry.changes.len()), (0, 4));
    let real = admin.apply(apply(shop())).await.expect("ok").into_inner();
    assert_eq!((real.revision, kinds(&real)), (1, kinds(&dry)));
    assert!(real.changes.iter().all(|c| c.before.is_none() && c.after.is_some()));
    let again = admin.apply(apply(shop())).await.expect("ok").into_inner();
    assert_eq!(again.revision, 1);
    assert!(kinds(&again).iter().all(|(kind, _)| *kind == ChangeKind::Unchanged));

    let get = v1::GetObjectRequest { object: Some(object(ObjectKind::Route, "*/")) };
    let route = admin.get_object(get).await.expect("the route's default name").into_inner();
    let Some(Resource::Route(route)) = route.resource.and_then(|r| r.resource) else { panic!("not a route") };
    assert_eq!(route.services[0].name, "shop");
    let status = server.status().await;
    assert_eq!((status.listeners, status.services, status.backends, status.routes), (1, 1, 1, 1));
    assert_eq!(status.store, "memory");
}

#[tokio::test]
async fn pruning_takes_what_the_file_set_no_longer_declares() {
    let server = Server::start();
    let mut admin = server.admin().await;
    server.register("other", "10.0.0.9:80").await;
    admin.apply(apply(shop())).await.expect("ok");
    let rest = v1::Document { listeners: shop().listeners, ..Default::default() };
    let answer = admin.apply(v1::ApplyRequest { prune: true, ..apply(rest) }).await.expect("ok").into_inner();
    let gone = answer.changes.iter().filter(|change| change.kind() == ChangeKind::Deleted);
    assert!(gone.clone().all(|change| change.before.is_some() && change.after.is_none()));
    assert_eq!(gone.count(), 3);
    let status = server.status().await;
    assert_eq!((status.listeners, status.services, status.backends), (1, 1, 1), "not another owner's");
}

#[tokio::test]
async fn a_listing_comes_in_pages() {
    let server = Server::start();
    for (service, n) in [("a", 2), ("web", 5), ("web-2", 1)] {
        for n in 0..n {
            server.register(service, &format!("10.0.0.{n}:80")).await;
        }
    }
    let mut admin = server.admin().await;
    let mut request = v1::ListObjectsRequest {
        kind: ObjectKind::Backend as i32,
        service: "web".to_owned(),
        page_size: 2,
        ..Default::default()
    };
    let mut names = Vec::new();
    let mut pages = 0;
    loop {
        let page = admin.list_objects(request.clone()).await.expect("a page").into_inner();
        assert_eq!(page.revision, 8);
        pages += 1;
        for info in page.objects {
            let Some(Resource::Backend(backend)) = info.resource.and_then(|r| r.resource) else {
                panic!("kind")
            };
            names.push(format!("{}/{}", backend.service, backend.id));
        }
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    let expected: Vec<_> = (0..5).map(|n| format!("web/10.0.0.{n}:80")).collect();
    assert_eq!((names, pages), (expected, 3));
    let all = v1::ListObjectsRequest { kind: ObjectKind::Backend as i32, ..Default::default() };
    assert_eq!(admin.list_objects(all).await.expect("a page").into_inner().objects.len(), 8);
}

#[tokio::test]
async fn a_lease_shows_what_is_left_of_it() {
    let server = Server::start();
    server.registry().await.register(leased("web", "10.0.0.1:80", "agent-1")).await.expect("registered");
    let get = v1::GetObjectRequest { object: Some(object(ObjectKind::Backend, "web/10.0.0.1:80")) };
    let info = server.admin().await.get_object(get).await.expect("there").into_inner();
    let left = info.lease_remaining.expect("a lease").seconds;
    assert!((1..=15).contains(&left), "{left}");
    assert_eq!(info.meta.and_then(|m| m.owner).map(|o| o.name).as_deref(), Some("agent-1"));
}

#[tokio::test]
async fn an_operators_state_is_set_once() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    let mut admin = server.admin().await;
    let request = v1::SetOperatorStateRequest {
        backend: "web/10.0.0.1:80".to_owned(),
        state: v1::OperatorState::Disabled as i32,
        if_revision: Some(1),
    };
    let first = admin.set_operator_state(request.clone()).await.expect("ok").into_inner();
    assert_eq!(first.revision, 2);
    assert_eq!(first.backend.expect("the backend").operator_state(), v1::OperatorState::Disabled);
    let again = v1::SetOperatorStateRequest { if_revision: None, ..request };
    assert_eq!(admin.set_operator_state(again).await.expect("ok").into_inner().revision, 2);
}

#[tokio::test]
async fn deleting_a_service_can_take_its_backends_along() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    let object = Some(object(ObjectKind::Service, "web"));
    let request = v1::DeleteObjectRequest { object, if_revision: Some(1), cascade: true };
    let revision = server.admin().await.delete_object(request).await.expect("ok").into_inner().revision;
    let status = server.status().await;
    assert_eq!((revision, status.revision, status.services, status.backends), (2, 2, 0, 0));
}

#[tokio::test]
async fn events_come_with_as_much_past_as_is_asked_for() {
    let server = Server::start();
    server.register("web", "10.0.0.1:80").await;
    server.register("web", "10.0.0.2:80").await;
    let mut admin = server.admin().await;
    let mut events = admin
        .watch_events(v1::WatchEventsRequest { past: 1, ..Default::default() })
        .await
        .expect("a stream")
        .into_inner();
    let past = events.message().await.expect("alive").expect("an event");
    assert_eq!((past.r#type(), past.revision), (v1::EventType::ObjectCreated, 2));
    server.register("web", "10.0.0.3:80").await;
    let next = events.message().await.expect("alive").expect("an event");
    assert_eq!((next.sequence, next.revision), (past.sequence + 1, 3));
}

#[tokio::test]
async fn a_page_fits_into_what_receivers_take_by_default() {
    let server = Server::start();
    // What an owner adds is more than the backend itself, so it must count.
    let document = v1::Document { backends: many("10.1", 9_000), ..Default::default() };
    let file_set = "f".repeat(253);
    let request = v1::ApplyRequest { file_set, ..apply(document) };
    server.admin().await.max_decoding_message_size(16 << 20).apply(request).await.expect("applied");
    let mut list =
        v1::ListObjectsRequest { kind: ObjectKind::Backend as i32, page_size: 10_000, ..Default::default() };
    let (mut found, mut pages) = (0, 0);
    while pages == 0 || !list.page_token.is_empty() {
        let page = server.admin().await.list_objects(list.clone()).await.expect("a page").into_inner();
        assert!(page.encoded_len() < 3 << 20, "{} bytes", page.encoded_len());
        (found, pages, list.page_token) = (found + page.objects.len(), pages + 1, page.next_page_token);
    }
    assert_eq!((found, pages), (9_000, 2));
}
