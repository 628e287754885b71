//! What comes into force of objects that speak TLS, and what of those whose files cannot be used.

use std::{fs, sync::Arc};

use prost::Message;
use weir_proto::{ObjectKind, ProxyId, v1};

use super::{Applied, Applier, Here, SharedTable};
use crate::{
    discovery::Step,
    endpoint::Endpoint,
    metrics::ConfigMetrics,
    objects::Objects,
    testing::{Object, backend, control_plane::state, raw},
    tls::testing::{Authority, Folder},
    worker::Workers,
};

/// An applier with a worker, and what it was given last.
struct Fixture {
    table: Arc<SharedTable>,
    applier: Applier,
    objects: Objects,
    revision: u64,
}

impl Fixture {
    fn new() -> Self {
        let table = Arc::new(SharedTable::empty());
        let id = ProxyId::try_from("proxy-1").unwrap();
        let workers =
            Arc::new(Workers::start(1, &id, &table, None, &crate::admission::Shed::none()).unwrap());
        let applier = Applier::new(Arc::clone(&table), workers, Here::default(), ConfigMetrics::default());
        Self { table, applier, objects: Objects::default(), revision: 0 }
    }

    async fn apply(&mut self, list: &[Object]) {
        self.revision += 1;
        let state = state(1, self.revision, list);
        let keys = self.objects.changed(&state.objects);
        self.objects = state.objects.clone();
        self.applier.apply(Step { state, keys }).await;
    }

    fn applied(&self) -> Applied {
        self.applier.watch().borrow().clone()
    }

    fn refused(&self) -> Vec<String> {
        self.applied().refused.iter().map(|(key, invalid)| format!("{key}: {invalid}")).collect()
    }

    fn endpoint(&self) -> Arc<Endpoint> {
        let table = self.table.load_full().unwrap();
        Arc::clone(&table.services["web"].members["10.0.0.1:80"].endpoint)
    }
}

/// An address that nobody listens on.
fn free() -> String {
    crate::testing::port().to_string()
}

fn listener(address: &str, change: impl FnOnce(&mut v1::Listener)) -> Object {
    let mut wire = v1::Listener { name: "web".into(), address: address.into(), ..v1::Listener::default() };
    change(&mut wire);
    raw(ObjectKind::Listener, "web", &wire.encode_to_vec(), 2)
}

fn secure(address: &str, folder: &Folder, min_version: v1::TlsVersion) -> Object {
    let file = |name: &str| folder.path().join(name).display().to_string();
    let pair = v1::CertificateFiles { certificate_file: file("web.crt"), private_key_file: file("web.key") };
    listener(address, |wire| {
        wire.tls = Some(v1::ListenerTls {
            certificates: vec![pair],
            min_version: min_version as i32,
            client_certificate: None,
        });
    })
}

fn service(change: impl FnOnce(&mut v1::Service)) -> Object {
    let mut wire = v1::Service { name: "web".into(), ..v1::Service::default() };
    change(&mut wire);
    raw(ObjectKind::Service, "web", &wire.encode_to_vec(), 2)
}

fn trusting(folder: &Folder, file: &str) -> Object {
    let ca_file = folder.path().join(file).display().to_string();
    service(|wire| wire.tls = Some(v1::ServiceTls { ca_file, ..v1::ServiceTls::default() }))
}

#[tokio::test]
async fn a_listener_whose_files_cannot_be_used_keeps_its_previous_form_until_they_can() {
    let (folder, root, address) = (Folder::new(), Authority::new("root"), free());
    let mut fixture = Fixture::new();
    fixture.apply(&[listener(&address, |_| ())]).await;
    fixture.apply(&[secure(&address, &folder, v1::TlsVersion::TlsVersion12)]).await;
    let file = folder.path().join("web.crt");
    let expected =
        format!("listener web: tls.certificates[0].certificate_file: {}: no such file", file.display());
    assert_eq!(fixture.refused(), [expected]);
    let open = fixture.applied().open;
    assert!(open.values().all(|terms| terms.tls.is_none()) && open.len() == 1, "{open:?}");

    folder.issue("web", &root, &["web.example"]);
    fixture.applier.retry_refused().await;
    assert_eq!(fixture.refused(), [""; 0]);
    assert!(fixture.applied().open.values().all(|terms| terms.tls.is_some()));
}

#[tokio::test]
async fn a_new_listener_whose_files_cannot_be_used_is_not_open_in_the_clear() {
    let (folder, address) = (Folder::new(), free());
    let mut fixture = Fixture::new();
    fixture.apply(&[secure(&address, &folder, v1::TlsVersion::TlsVersion12)]).await;
    assert_eq!((fixture.refused().len(), fixture.applied().open.len()), (1, 0));
}

#[tokio::test]
async fn other_settings_of_an_open_listener_leave_its_socket_and_the_same_ones_its_sessions() {
    let (folder, root, address) = (Folder::new(), Authority::new("root"), free());
    folder.issue("web", &root, &["web.example"]);
    let mut fixture = Fixture::new();
    let mut seen = Vec::new();
    for min_version in
        [v1::TlsVersion::TlsVersion12, v1::TlsVersion::TlsVersion12, v1::TlsVersion::TlsVersion13]
    {
        // The address could not be bound again while it is open.
        let renamed = format!("10.0.0.{}:80", seen.len() + 1);
        fixture.apply(&[secure(&address, &folder, min_version), backend("web", &renamed)]).await;
        assert_eq!(fixture.refused(), [""; 0]);
        seen.push(fixture.applied().open.values().next().unwrap().tls.clone().unwrap());
    }
    assert!(Arc::ptr_eq(&seen[0], &seen[1]) && !Arc::ptr_eq(&seen[1], &seen[2]));
}

#[tokio::test]
async fn a_service_whose_files_cannot_be_used_keeps_its_previous_form_until_they_can() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    folder.write("good.pem", &root.certificate());
    let mut fixture = Fixture::new();
    let backend = backend("web", "10.0.0.1:80");
    fixture.apply(&[trusting(&folder, "good.pem"), backend.clone()]).await;
    let tls = |fixture: &Fixture| fixture.table.load_full().unwrap().services["web"].tls.clone().unwrap();
    let before = tls(&fixture);
    fixture.apply(&[trusting(&folder, "bad.pem"), backend.clone()]).await;
    let bad = folder.path().join("bad.pem");
    assert_eq!(fixture.refused(), [format!("service web: tls.ca_file: {}: no such file", bad.display())]);
    assert!(Arc::ptr_eq(&before, &tls(&fixture)));

    fs::copy(folder.path().join("good.pem"), bad).unwrap();
    fixture.applier.retry_refused().await;
    assert_eq!(fixture.refused(), [""; 0]);
    assert!(!Arc::ptr_eq(&before, &tls(&fixture)));
}

#[tokio::test]
async fn backends_of_a_new_service_whose_files_cannot_be_used_are_not_spoken_to_in_the_clear() {
    let folder = Folder::new();
    let mut fixture = Fixture::new();
    fixture.apply(&[trusting(&folder, "bad.pem"), backend("web", "10.0.0.1:80")]).await;
    assert_eq!(fixture.refused().len(), 1);
    assert!(!fixture.table.load_full().unwrap().services.contains_key("web"));
}

#[tokio::test]
async fn connections_that_speak_something_else_are_not_used_any_more() {
    let (folder, root) = (Folder::new(), Authority::new("root"));
    folder.write("good.pem", &root.certificate());
    let mut fixture = Fixture::new();
    let backend = backend("web", "10.0.0.1:80");
    let http2 = service(|wire| wire.protocol = v1::ServiceProtocol::Http2 as i32);
    let mut before: Option<Arc<Endpoint>> = None;
    for form in [service(|_| ()), trusting(&folder, "good.pem"), http2, service(|_| ())] {
        fixture.apply(&[form, backend.clone()]).await;
        let now = fixture.endpoint();
        if let Some(before) = before.replace(Arc::clone(&now)) {
            assert!(!Arc::ptr_eq(&before, &now) && before.is_retired(false) && !now.is_retired(false));
        }
    }
    let retried = |wire: &mut v1::Service| {
        wire.retry_policy = Some(v1::RetryPolicy { num_retries: Some(0), ..Default::default() });
    };
    fixture.apply(&[service(retried), backend]).await;
    assert!(Arc::ptr_eq(&before.unwrap(), &fixture.endpoint()), "what does not concern them leaves them");
}

/// A ring of so many points over one backend: 12 bytes each.
fn ring(name: &str, points: u32) -> Object {
    let ring = v1::RingHash { minimum_ring_size: Some(points), ..v1::RingHash::default() };
    let policy = v1::lb_policy::Policy::RingHash(ring);
    let lb_policy = Some(v1::LbPolicy { policy: Some(policy) });
    let wire = v1::Service { name: name.into(), lb_policy, ..v1::Service::default() };
    raw(ObjectKind::Service, name, &wire.encode_to_vec(), 3)
}

fn points(fixture: &Fixture, name: &str) -> Option<u32> {
    let table = fixture.table.load_full().unwrap();
    match &table.services.get(name)?.service.lb_policy {
        weir_proto::LbPolicy::RingHash(ring) => Some(ring.minimum_ring_size),
        _ => Some(0),
    }
}

const MIB: u64 = 1 << 20;
/// Points of a ring of 12 MiB.
const LARGE: u32 = 1 << 20;

#[tokio::test]
async fn tables_that_do_not_fit_beside_the_others_are_refused_by_object() {
    let mut fixture = Fixture::new();
    fixture.applier.limit_tables(30 * MIB);
    let backends = ["a", "b", "c"].map(|name| backend(name, "10.0.0.1:80"));
    let all = |list: Vec<Object>| [list, backends.to_vec()].concat();
    fixture.apply(&all(vec![ring("a", LARGE), ring("b", 1024), ring("c", LARGE)])).await;
    assert_eq!(fixture.refused(), [""; 0]);
    // Together they would need 36 MiB.
    fixture.apply(&all(vec![ring("a", LARGE), ring("b", LARGE), ring("c", LARGE)])).await;
    let expected = "service b: lb_policy.ring_hash.minimum_ring_size: asks for tables of 12 MiB, where of the 30 MiB that \
                    this proxy gives all of them 6 MiB are left; ask for less, or set --max-lookup-table-memory";
    assert_eq!(fixture.refused(), [expected]);
    assert_eq!(points(&fixture, "b"), Some(1024), "it keeps its previous form");
    assert_eq!((points(&fixture, "a"), points(&fixture, "c")), (Some(LARGE), Some(LARGE)));
    // One that is new has no previous form.
    let four = |b, rest: &[Object]| {
        all([vec![ring("a", LARGE), ring("b", b), ring("c", LARGE)], rest.to_vec()].concat())
    };
    let new = [ring("d", LARGE), backend("d", "10.0.0.1:80")];
    fixture.apply(&four(LARGE, &new)).await;
    assert_eq!((fixture.refused().len(), points(&fixture, "d")), (2, None));
    // What another one gives back is enough for one of them.
    let list = all(vec![ring("b", LARGE), ring("c", LARGE), ring("d", LARGE), backend("d", "10.0.0.1:80")]);
    fixture.apply(&list).await;
    assert_eq!(fixture.refused().len(), 1, "{:?}", fixture.refused());
    assert_eq!((points(&fixture, "b"), points(&fixture, "d")), (Some(LARGE), None));
}

#[tokio::test]
async fn what_is_refused_for_its_size_survives_a_restart_as_it_was() {
    let mut fixture = Fixture::new();
    fixture.applier.limit_tables(16 * MIB);
    let backends = ["a", "b"].map(|name| backend(name, "10.0.0.1:80"));
    fixture.apply(&[&[ring("a", LARGE), ring("b", 1024)], &backends[..]].concat()).await;
    fixture.apply(&[&[ring("a", LARGE), ring("b", LARGE)], &backends[..]].concat()).await;
    fixture.applier.retry_refused().await;
    let copy = fixture.applier.copy().unwrap();

    let mut again = Fixture::new();
    again.applier.limit_tables(16 * MIB);
    again.applier.restore(copy).await;
    assert_eq!(again.refused(), fixture.refused());
    assert_eq!((points(&again, "a"), points(&again, "b")), (Some(LARGE), Some(1024)));
}

#[tokio::test]
async fn more_backends_than_there_is_room_for_make_the_table_coarser_and_take_nothing_away() {
    let mut fixture = Fixture::new();
    fixture.applier.limit_tables(20 * MIB);
    let second = v1::Backend {
        service: "a".into(),
        address: "10.0.0.2:80".into(),
        priority: Some(1),
        ..v1::Backend::default()
    };
    let second = raw(ObjectKind::Backend, "a/10.0.0.2:80", &second.encode_to_vec(), 3);
    let first = [ring("a", LARGE), backend("a", "10.0.0.1:80")];
    fixture.apply(&first).await;
    fixture.apply(&[&first[..], &[second]].concat()).await;
    assert_eq!((fixture.refused().len(), points(&fixture, "a")), (1, Some(1024)));
    assert_eq!(fixture.table.load_full().unwrap().services["a"].routable, 2);
    fixture.apply(&first).await;
    assert_eq!((fixture.refused().len(), points(&fixture, "a")), (0, Some(LARGE)));
}

#[tokio::test]
async fn keys_of_rate_limits_must_fit_too_of_services_and_of_routes() {
    let mut fixture = Fixture::new();
    fixture.applier.limit_tables(20 * MIB);
    let key = v1::RateLimitKey { key: Some(v1::rate_limit_key::Key::ClientAddress(true)) };
    let limit =
        v1::RateLimit { requests: 1, max_keys: Some(1 << 20), key: Some(key), ..v1::RateLimit::default() };
    let service = service(|wire| wire.rate_limits = vec![limit.clone()]);
    let route = v1::Route {
        name: "r".into(),
        r#match: Some(v1::RouteMatch { host: "x.example".into(), ..v1::RouteMatch::default() }),
        services: vec![v1::WeightedService { name: "web".into(), weight: None }],
        rate_limits: vec![limit],
        ..Default::default()
    };
    let route = raw(ObjectKind::Route, "r", &route.encode_to_vec(), 3);
    fixture.apply(&[service.clone(), route.clone()]).await;
    let refused = fixture.refused();
    assert!(
        refused.len() == 1 && refused[0].contains("rate_limits: asks for tables of 16 MiB"),
        "{refused:?}"
    );
    fixture.apply(&[route]).await;
    assert_eq!(fixture.refused(), [""; 0]);
}

#[tokio::test]
async fn a_large_table_keeps_nothing_waiting_and_comes_into_use_when_it_is_built() {
    let mut fixture = Fixture::new();
    fixture.apply(&[ring("web", LARGE), backend("web", "10.0.0.1:80")]).await;
    assert!(fixture.applied().position.is_some(), "what is built later is in force");
    let entry = Arc::clone(&fixture.table.load_full().unwrap().services["web"]);
    while !entry.balance.is_finished() {
        tokio::task::yield_now().await;
    }
}
