//! What changes of the configuration do to what was learned.

use prost::Message;
use weir_proto::{ObjectKind, ProxyId, v1};

use super::*;
use crate::{
    discovery::Step,
    metrics::ConfigMetrics,
    objects::Objects,
    table::{Applier, Here, SharedTable},
    testing::{Object, backend, control_plane::state, raw},
    worker::Workers,
};

fn web(change: impl FnOnce(&mut v1::Service)) -> Object {
    let mut wire = v1::Service { name: "web".into(), ..v1::Service::default() };
    change(&mut wire);
    raw(ObjectKind::Service, "web", &wire.encode_to_vec(), 2)
}

#[tokio::test]
async fn a_new_policy_or_neighbour_resets_nothing_that_was_learned() {
    let table = Arc::new(SharedTable::empty());
    let id = ProxyId::try_from("proxy-1").unwrap();
    let workers = Arc::new(Workers::start(1, &id, &table, None, &crate::admission::Shed::none()).unwrap());
    let mut applier = Applier::new(Arc::clone(&table), workers, Here::default(), ConfigMetrics::default());
    let mut objects = Objects::default();
    let first = [backend("web", "10.0.0.1:80"), backend("web", "10.0.0.2:80")];
    let policies = [
        web(|_| ()),
        web(|wire| {
            wire.outlier_detection =
                Some(v1::OutlierDetection { consecutive_5xx: Some(9), ..Default::default() });
        }),
        web(|wire| wire.retry_policy = Some(v1::RetryPolicy { num_retries: Some(0), ..Default::default() })),
    ];
    for (revision, policy) in (1..).zip(policies) {
        let mut list = first.to_vec();
        list.push(policy);
        if revision == 3 {
            list.push(backend("web", "10.0.0.3:80"));
        }
        let state = state(1, revision, &list);
        let keys = objects.changed(&state.objects);
        objects = state.objects.clone();
        applier.apply(Step { state, keys }).await;
        let loaded = table.load_full().unwrap();
        let service = &loaded.services["web"];
        let endpoint = &service.members["10.0.0.1:80"].endpoint;
        if revision == 1 {
            endpoint.latency().observe(Duration::from_millis(5), Moment::now(), Duration::from_secs(10));
            for _ in 0..5 {
                learn(service, &mut begin(endpoint, Among::All).unwrap(), Verdict::ServerError);
            }
            for _ in 0..3 {
                let other = &service.members["10.0.0.2:80"].endpoint;
                learn(service, &mut begin(other, Among::All).unwrap(), Verdict::ServerError);
            }
        }
        assert!(endpoint.marks().has(Marks::EJECTED));
        assert_eq!(endpoint.ejection().unwrap().cause, EjectionCause::Consecutive5xx);
        assert_eq!((service.live.ejected(), endpoint.passive().totals()), (1, (0, 5)));
        assert_eq!(service.members["10.0.0.2:80"].endpoint.passive().consecutive_failures(), 3);
        assert_eq!(service.live.ejections().by_cause().map(|(_, count)| count).sum::<u64>(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_ejects_nothing_any_more_has_all_back_at_once() {
    for off in
        [|d: &mut OutlierDetection| d.disabled = true, |d: &mut OutlierDetection| d.max_ejection_percent = 0]
    {
        let mut fixture = Fixture::new(3, |_| ());
        fixture.fail(0, 5);
        fixture.change(3, off);
        assert!(fixture.marks(0).has(Marks::EJECTED));
        fixture.pass(Duration::from_millis(100)).await;
        assert!(!fixture.marks(0).has(Marks::EJECTED));
        assert_eq!(fixture.service.live.ejected(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_shorter_time_holds_for_the_next_ejection() {
    let mut fixture = Fixture::new(3, |_| ());
    fixture.fail(0, 5);
    fixture.change(3, |d| d.base_ejection_time = Duration::from_secs(1));
    fixture.pass(Duration::from_secs(20)).await;
    assert!(!fixture.marks(0).has(Marks::PROBATION));
    fixture.pass(Duration::from_secs(10)).await;
    learn(&fixture.service, &mut fixture.begin(0).unwrap(), Verdict::GatewayFailure);
    fixture.pass(Duration::from_secs(2)).await;
    assert!(fixture.marks(0).has(Marks::PROBATION));
}

#[tokio::test(start_paused = true)]
async fn panic_is_counted_when_it_begins() {
    let mut fixture = Fixture::new(4, |_| ());
    for index in 0..3 {
        fixture.endpoint(index).mark(Marks::default(), Marks::UNHEALTHY);
    }
    for _ in 0..3 {
        fixture.pass(Duration::from_secs(1)).await;
    }
    assert!(fixture.service.balance.is_panicking());
    assert_eq!(fixture.service.live.panics(), 1);
    fixture.endpoint(0).mark(Marks::UNHEALTHY, Marks::default());
    fixture.pass(Duration::from_millis(100)).await;
    assert!(!fixture.service.balance.is_panicking());
    fixture.endpoint(0).mark(Marks::default(), Marks::UNHEALTHY);
    fixture.pass(Duration::from_millis(100)).await;
    assert_eq!(fixture.service.live.panics(), 2);
}
