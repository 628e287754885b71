//! What the supervisor makes of tables, and checkers of answers.

mod pace;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::atomic::{AtomicU16, Ordering::Relaxed},
};

use tokio::{
    io::AsyncWriteExt,
    time::{self, Duration},
};
use weir_proto::{
    Backend as Form, BackendId, BackendKey, Digest, Epoch, HealthCheck, HttpProbe, LeaseState, OperatorState,
    Probe, Revision, Service, ServiceProtocol,
};

use super::*;
use crate::{
    endpoint::{Endpoint, Health},
    health::probe::tests::{Backend, head},
    objects::Position,
    router::Router,
};

/// Long enough for every machine.
const PATIENCE: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_hours(1);

/// A backend whose answers are what a test says, until it says something else.
struct Moody {
    backend: Backend,
    status: Arc<AtomicU16>,
}

impl Moody {
    async fn new(status: u16) -> Self {
        let status = Arc::new(AtomicU16::new(status));
        let for_backend = Arc::clone(&status);
        let backend = Backend::scripted(move |mut stream, heads| {
            let status = Arc::clone(&for_backend);
            async move {
                let head = head(&mut stream).await;
                heads.lock().unwrap().push(head);
                let answer = format!("HTTP/1.1 {} \r\ncontent-length: 0\r\n\r\n", status.load(Relaxed));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await;
        Self { backend, status }
    }

    fn address(&self) -> SocketAddr {
        self.backend.address
    }

    fn asked(&self) -> usize {
        self.backend.heads.lock().unwrap().len()
    }
}

/// Two answers in a row to be healthy, three not to be; without a pause between them.
fn check() -> HealthCheck {
    let pause = Duration::from_millis(1);
    let check = HealthCheck::with_defaults(Probe::Http(HttpProbe::default()));
    HealthCheck { interval: pause, unhealthy_interval: pause, timeout: PATIENCE, ..check }
}

/// One that asks once, as far as a test can see.
fn once() -> HealthCheck {
    HealthCheck { interval: HOUR, unhealthy_interval: HOUR, ..check() }
}

fn backend(id: &str, address: SocketAddr) -> Form {
    let service = ServiceName::try_from("web").unwrap();
    Form {
        key: BackendKey { service, id: BackendId::try_from(id).unwrap() },
        address,
        weight: 1,
        zone: String::new(),
        metadata: BTreeMap::new(),
        operator_state: OperatorState::Enabled,
        lease_state: LeaseState::Static,
        priority: 0,
        operator_weight: None,
    }
}

/// The service `web`, which follows `before`.
fn entry(check: Option<HealthCheck>, backends: &[Form], before: Option<&ServiceEntry>) -> Arc<ServiceEntry> {
    let mut service = Service::with_defaults(ServiceName::try_from("web").unwrap());
    service.health_check = check;
    let backends = backends.iter().cloned().map(Arc::new);
    Arc::new(ServiceEntry::new(Arc::new(service), None, backends, before, &Arc::default()))
}

fn table(entry: Option<&Arc<ServiceEntry>>) -> Table {
    let services = entry.map(|entry| (entry.service.name.clone(), Arc::clone(entry)));
    Table {
        position: Position { epoch: Epoch(1), revision: Revision(1), digest: Digest::default() },
        router: Arc::new(Router::compile(std::iter::empty(), None)),
        services: services.into_iter().collect(),
        departed: Vec::new(),
    }
}

fn endpoint(entry: &ServiceEntry, id: &str) -> Arc<Endpoint> {
    Arc::clone(&entry.members[id].endpoint)
}

/// What people are told.
fn told(endpoint: &Endpoint) -> (Health, String) {
    let record = endpoint.health();
    (record.health, record.health_reason.clone())
}

async fn until(condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            time::sleep(Duration::from_millis(1)).await;
        }
    };
    time::timeout(PATIENCE, poll).await.expect("it never comes");
}

async fn until_told(endpoint: &Endpoint, health: Health, reason: &str) {
    until(|| told(endpoint) == (health, reason.to_owned())).await;
}

#[tokio::test]
async fn what_probes_find_is_told_to_requests_and_people() {
    let backend_ = Moody::new(200).await;
    let entry = entry(Some(check()), &[backend("a", backend_.address())], None);
    let endpoint = endpoint(&entry, "a");
    assert_eq!(told(&endpoint), (Health::Unknown, String::new()));
    assert!(endpoint.marks().has(Marks::UNKNOWN), "nobody knows whether it is there");
    let mut supervisor = Supervisor::default();
    supervisor.follow(&table(Some(&entry))).await;
    for (status, health, reason, mark) in [
        (200, Health::Healthy, "", Marks::default()),
        (503, Health::Unhealthy, "status 503", Marks::UNHEALTHY),
        (500, Health::Unhealthy, "status 500", Marks::UNHEALTHY),
        (429, Health::Degraded, "status 429", Marks::DEGRADED),
        (404, Health::Unhealthy, "status 404", Marks::UNHEALTHY),
        (204, Health::Healthy, "", Marks::default()),
    ] {
        backend_.status.store(status, Relaxed);
        until_told(&endpoint, health, reason).await;
        assert_eq!(endpoint.marks().without(Marks::RAMPING), mark, "{status}");
    }
    assert!(endpoint.marks().has(Marks::RAMPING), "it is back, and begins slowly");
    let [(_, passed), (_, degraded), (_, failed), (_, skipped)] = entry.live.probes().by_outcome();
    assert!(passed >= 3 && degraded >= 2 && failed >= 7 && skipped == 0);
}

#[tokio::test]
async fn an_unknown_one_needs_one_answer_and_a_known_one_a_row() {
    let (well, ill) = (Moody::new(200).await, Moody::new(503).await);
    let forms = [backend("well", well.address()), backend("ill", ill.address())];
    let entry = entry(Some(once()), &forms, None);
    let mut supervisor = Supervisor::default();
    supervisor.follow(&table(Some(&entry))).await;
    until_told(&endpoint(&entry, "well"), Health::Healthy, "").await;
    until_told(&endpoint(&entry, "ill"), Health::Unhealthy, "status 503").await;
    assert_eq!((well.asked(), ill.asked()), (1, 1));
}

#[tokio::test]
async fn another_question_is_asked_at_once_and_what_was_found_stays() {
    let moody = Moody::new(503).await;
    let forms = [backend("a", moody.address())];
    let first = entry(Some(once()), &forms, None);
    let mut supervisor = Supervisor::default();
    supervisor.follow(&table(Some(&first))).await;
    until_told(&endpoint(&first, "a"), Health::Unhealthy, "status 503").await;
    let since = endpoint(&first, "a").health().health_since;

    moody.status.store(200, Relaxed);
    let probe = Probe::Http(HttpProbe { path: "/healthcheck".into(), ..HttpProbe::default() });
    let second = entry(Some(HealthCheck { probe, ..once() }), &forms, Some(&first));
    supervisor.follow(&table(Some(&second))).await;
    until(|| moody.asked() == 2).await;
    assert!(moody.backend.heads.lock().unwrap()[1].starts_with("GET /healthcheck HTTP/1.1\r\n"));
    let endpoint = endpoint(&second, "a");
    assert_eq!(told(&endpoint), (Health::Unhealthy, "status 503".into()), "it takes two in a row");
    assert_eq!(endpoint.health().health_since, since);
}

#[tokio::test]
async fn what_speaks_another_protocol_now_is_as_well_as_it_was() {
    let moody = Moody::new(503).await;
    let forms = [backend("a", moody.address())];
    let before = entry(Some(once()), &forms, None);
    let mut supervisor = Supervisor::default();
    supervisor.follow(&table(Some(&before))).await;
    until_told(&endpoint(&before, "a"), Health::Unhealthy, "status 503").await;
    let mut service = (*before.service).clone();
    service.protocol = ServiceProtocol::Http2;
    let after =
        ServiceEntry::new(Arc::new(service), None, forms.map(Arc::new), Some(&before), &Arc::default());
    let (before, after) = (endpoint(&before, "a"), endpoint(&after, "a"));
    assert_ne!(before.id(), after.id(), "its connections must not be used");
    assert_eq!(told(&after), (Health::Unhealthy, "status 503".into()));
    assert!(after.marks().has(Marks::UNHEALTHY));
}

#[tokio::test]
async fn neighbours_of_what_changes_are_left_alone() {
    let (old, new) = (Moody::new(200).await, Moody::new(200).await);
    let forms = [backend("old", old.address()), backend("new", new.address())];
    let first = entry(Some(once()), &forms[..1], None);
    let mut supervisor = Supervisor::default();
    supervisor.follow(&table(Some(&first))).await;
    until_told(&endpoint(&first, "old"), Health::Healthy, "").await;
    let second = entry(Some(once()), &forms, Some(&first));
    supervisor.follow(&table(Some(&second))).await;
    until_told(&endpoint(&second, "new"), Health::Healthy, "").await;
    assert_eq!((old.asked(), new.asked()), (1, 1));
    let third = entry(Some(once()), &forms[1..], Some(&second));
    supervisor.follow(&table(Some(&third))).await;
    assert_eq!(supervisor.services["web"].checkers.len(), 1, "who has gone is not asked");
    supervisor.follow(&table(None)).await;
    assert!(supervisor.services.is_empty());
}

#[tokio::test]
async fn a_backend_that_moves_is_unknown_again() {
    let (here, there) = (Moody::new(200).await, Moody::new(503).await);
    let first = entry(Some(once()), &[backend("a", here.address())], None);
    let mut supervisor = Supervisor::default();
    supervisor.follow(&table(Some(&first))).await;
    until_told(&endpoint(&first, "a"), Health::Healthy, "").await;
    let second = entry(Some(once()), &[backend("a", there.address())], Some(&first));
    let moved = endpoint(&second, "a");
    assert_eq!(told(&moved), (Health::Unknown, String::new()));
    assert!(moved.marks().has(Marks::UNKNOWN));
    supervisor.follow(&table(Some(&second))).await;
    until_told(&moved, Health::Unhealthy, "status 503").await;
    assert_eq!(told(&endpoint(&first, "a")).0, Health::Healthy, "nobody asks there any more");
    assert_eq!(supervisor.services["web"].checkers.len(), 1);
}

#[tokio::test]
async fn a_check_that_is_added_keeps_no_request_waiting() {
    let silent = Backend::silent().await;
    let forms = [backend("a", silent.address)];
    let mut supervisor = Supervisor::default();
    let before = entry(None, &forms, None);
    supervisor.follow(&table(Some(&before))).await;
    let checked = entry(Some(once()), &forms, Some(&before));
    supervisor.follow(&table(Some(&checked))).await;
    let endpoint = endpoint(&checked, "a");
    until_told(&endpoint, Health::Unknown, "").await;
    assert!(!endpoint.marks().has(Marks::UNKNOWN), "it has served until now");
}

#[tokio::test]
async fn a_check_that_is_removed_leaves_nothing() {
    let moody = Moody::new(503).await;
    let forms = [backend("a", moody.address())];
    let mut supervisor = Supervisor::default();
    let before = entry(None, &forms, None);
    supervisor.follow(&table(Some(&before))).await;
    let endpoint = endpoint(&before, "a");
    assert_eq!(told(&endpoint).0, Health::Unchecked);
    let checked = entry(Some(once()), &forms, Some(&before));
    supervisor.follow(&table(Some(&checked))).await;
    until_told(&endpoint, Health::Unhealthy, "status 503").await;
    let after = entry(None, &forms, Some(&checked));
    supervisor.follow(&table(Some(&after))).await;
    assert_eq!(told(&endpoint), (Health::Unchecked, String::new()));
    assert!(!endpoint.marks().has(Marks::HEALTH) && supervisor.services["web"].checkers.is_empty());
}

#[tokio::test]
async fn one_that_is_draining_is_asked_and_one_that_is_disabled_or_expired_is_not() {
    let moody = Moody::new(200).await;
    let mut forms = ["draining", "disabled", "expired"].map(|id| backend(id, moody.address()));
    let first = entry(Some(once()), &forms, None);
    let mut supervisor = Supervisor::default();
    supervisor.follow(&table(Some(&first))).await;
    for id in ["draining", "disabled", "expired"] {
        until_told(&endpoint(&first, id), Health::Healthy, "").await;
    }
    forms[0].operator_state = OperatorState::Draining;
    forms[1].operator_state = OperatorState::Disabled;
    forms[2].lease_state = LeaseState::Expired;
    let second = entry(Some(once()), &forms, Some(&first));
    supervisor.follow(&table(Some(&second))).await;
    assert_eq!(told(&endpoint(&second, "draining")).0, Health::Healthy);
    for id in ["disabled", "expired"] {
        assert_eq!(told(&endpoint(&second, id)).0, Health::Unknown, "{id}");
        assert!(
            endpoint(&second, id).marks().has(Marks::UNKNOWN),
            "{id}: it must be asked before it is back"
        );
    }
    let asked = moody.asked();
    let third =
        entry(Some(once()), &forms.map(|form| backend(form.key.id.as_str(), form.address)), Some(&second));
    supervisor.follow(&table(Some(&third))).await;
    for id in ["disabled", "expired"] {
        until_told(&endpoint(&third, id), Health::Healthy, "").await;
    }
    assert_eq!(moody.asked(), asked + 2);
}

#[tokio::test]
async fn the_table_in_force_is_followed() {
    let moody = Moody::new(200).await;
    let shared = Arc::new(SharedTable::empty());
    let (applied, in_force) = watch::channel(Applied::default());
    let _task = AbortOnDropHandle::new(tokio::spawn(super::check(in_force, Arc::clone(&shared))));
    tokio::task::yield_now().await;
    let entry = entry(Some(once()), &[backend("a", moody.address())], None);
    shared.store(Some(Arc::new(table(Some(&entry)))));
    applied.send_replace(Applied::default());
    until_told(&endpoint(&entry, "a"), Health::Healthy, "").await;
}
