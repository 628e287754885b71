//! How many may be out at one time, whoever ejects and however an ejection ends.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

use super::*;

fn out(service: &ServiceEntry) -> usize {
    service.members.values().filter(|member| member.endpoint.marks().has(Marks::EJECTED)).count()
}

#[tokio::test(start_paused = true)]
async fn the_cap_counts_after_the_ejection() {
    for (backends, percent, expected) in [
        (1, 100, 0),
        (2, 100, 1),
        (3, 10, 1),
        (3, 66, 1),
        (3, 67, 2),
        (10, 10, 1),
        (20, 10, 2),
        (20, 14, 2),
        (9, 0, 0),
    ] {
        let fixture = Fixture::new(backends, |d| d.max_ejection_percent = percent);
        for index in 0..usize::from(backends) {
            fixture.fail(index, 7);
        }
        assert_eq!(out(&fixture.service), expected, "{percent} % of {backends}");
        assert_eq!(fixture.service.live.ejected() as usize, expected);
        assert!(fixture.service.live.ejections().total_prevented() > 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_ejected_is_as_soon_as_there_is_room() {
    let mut fixture = Fixture::new(3, |_| ());
    fixture.fail(0, 5);
    fixture.fail(1, 5);
    assert!(!fixture.marks(1).has(Marks::EJECTED));
    fixture.pass(Duration::from_secs(30)).await;
    learn(&fixture.service, &mut fixture.begin(0).unwrap(), Verdict::Success);
    fixture.fail(1, 1);
    assert!(fixture.marks(1).has(Marks::EJECTED));
}

#[tokio::test(start_paused = true)]
async fn what_is_retired_removed_or_found_unhealthy_gives_its_place_back() {
    for taken_out in [Marks::GONE, Marks::DRAINING, Marks::UNHEALTHY] {
        let fixture = Fixture::new(3, |_| ());
        let first = fixture.endpoint(0);
        let under_way: Vec<_> = (0..6).map(|_| begin(&first, Among::All).unwrap()).collect();
        fixture.fail(0, 5);
        fixture.fail(1, 5);
        assert_eq!(out(&fixture.service), 1);
        if taken_out == Marks::UNHEALTHY {
            first.mark(Marks::default(), taken_out);
        } else {
            first.set_retired(taken_out);
        }
        assert!(fixture.service.live.ejected() == 0 && first.ejection().is_none());
        for mut in_flight in under_way {
            learn(&fixture.service, &mut in_flight, Verdict::GatewayFailure);
        }
        assert_eq!(out(&fixture.service), 0, "it is out already");
        fixture.fail(1, 1);
        assert!(fixture.marks(1).has(Marks::EJECTED));
        assert_eq!(fixture.service.live.ejected(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn an_ejection_that_ended_early_is_remembered() {
    let fixture = Fixture::new(3, |_| ());
    fixture.fail(0, 5);
    let endpoint = fixture.endpoint(0);
    endpoint.set_retired(Marks::GONE);
    endpoint.set_retired(Marks::default());
    fixture.fail(0, 5);
    let ejection = endpoint.ejection().unwrap();
    assert_eq!(ejection.until.since(ejection.since), Duration::from_mins(1));
}

#[test]
fn of_many_that_fail_at_once_as_many_as_allowed_are_out() {
    for _ in 0..10 {
        let fixture = Fixture::new(8, |d| d.max_ejection_percent = 30);
        let service = &fixture.service;
        let most = on_all_endpoints(&fixture, || out(service), |endpoint| fail_at(service, endpoint, 10));
        assert!(most <= 2);
        assert_eq!((out(service), service.live.ejected()), (2, 2));
    }
}

#[test]
fn places_are_not_taken_twice() {
    let fixture = Fixture::new(8, |_| ());
    let live = &fixture.service.live;
    let most = AtomicU32::new(0);
    on_all_endpoints(
        &fixture,
        || 0,
        |endpoint| {
            for _ in 0..100_000 {
                if endpoint.eject(1) {
                    most.fetch_max(live.ejected(), Relaxed);
                    endpoint.mark(Marks::EJECTION, Marks::default());
                }
            }
        },
    );
    assert_eq!((most.into_inner(), live.ejected()), (1, 0));
}

#[test]
fn however_ejections_end_all_places_are_given_back_once() {
    let fixture = Fixture::new(8, |d| d.max_ejection_percent = 30);
    let service = &fixture.service;
    let most = on_all_endpoints(
        &fixture,
        || service.live.ejected() as usize,
        |endpoint| {
            for round in 0..2_000 {
                fail_at(service, endpoint, 5);
                match round % 4 {
                    0 => super::super::readmit(endpoint, "this is a test", Moment::now()),
                    1 => _ = endpoint.mark(Marks::default(), Marks::UNHEALTHY),
                    2 => _ = endpoint.mark(Marks::UNHEALTHY, Marks::default()),
                    _ => [Marks::GONE, Marks::default()]
                        .into_iter()
                        .for_each(|marks| endpoint.set_retired(marks)),
                }
            }
        },
    );
    assert!(most <= 2);
    assert_eq!(out(service), service.live.ejected() as usize);
    (0..8).for_each(|index| fixture.endpoint(index).set_retired(Marks::GONE));
    assert_eq!(service.live.ejected(), 0);
}

fn fail_at(service: &ServiceEntry, endpoint: &Arc<Endpoint>, times: usize) {
    for _ in 0..times {
        // Retired ones get none.
        let Some(mut in_flight) = begin(endpoint, Among::All) else { return };
        learn(service, &mut in_flight, Verdict::GatewayFailure);
    }
}

/// Has each endpoint worked on by a thread of its own; the most that `look` saw meanwhile.
fn on_all_endpoints(
    fixture: &Fixture,
    look: impl Fn() -> usize + Sync,
    work: impl Fn(&Arc<Endpoint>) + Sync,
) -> usize {
    let endpoints: Vec<_> = (0..8).map(|index| fixture.endpoint(index)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Relaxed) {
                most = most.max(look());
            }
            most
        });
        let threads: Vec<_> = endpoints.iter().map(|endpoint| scope.spawn(|| work(endpoint))).collect();
        for thread in threads {
            thread.join().unwrap();
        }
        done.store(true, Relaxed);
        watcher.join().unwrap()
    })
}
