//! Endpoints whose requests end as scripted, and the sweeper's looks at them, by a stopped clock.

mod cap;
mod policy;
mod probation;
mod rates;
mod sweeper;

use std::{collections::BTreeMap, sync::Arc};

use tokio::time::Duration;
use weir_proto::{
    Backend, BackendId, BackendKey, LeaseState, OperatorState, OutlierDetection, Service, ServiceName,
};

use super::super::{Verdict, learn, sweep::Watched};
use crate::{
    balance::{Among, Pick},
    endpoint::{EjectionCause, Endpoint, InFlight, Marks},
    moment::Moment,
    table::ServiceEntry,
};

/// A service as it is in force, and who looks after it.
struct Fixture {
    service: ServiceEntry,
    watched: Watched,
}

impl Fixture {
    /// Of so many backends.
    fn new(backends: u8, change: impl FnOnce(&mut OutlierDetection)) -> Self {
        let service = service(backends, change, None);
        let watched = Watched::new(&service, Moment::now());
        let mut fixture = Self { service, watched };
        fixture.look();
        fixture
    }

    /// Other settings, or other backends.
    fn change(&mut self, backends: u8, change: impl FnOnce(&mut OutlierDetection)) {
        self.service = service(backends, change, Some(&self.service));
    }

    fn endpoint(&self, index: usize) -> Arc<Endpoint> {
        Arc::clone(&self.service.members.values().nth(index).unwrap().endpoint)
    }

    fn marks(&self, index: usize) -> Marks {
        self.endpoint(index).marks()
    }

    /// A request, if the endpoint may have it.
    fn begin(&self, index: usize) -> Option<InFlight> {
        begin(&self.endpoint(index), Among::Healthy)
    }

    /// Requests that the endpoint gets in any case, and that end like this.
    fn end(&self, index: usize, times: usize, verdict: Verdict) {
        for _ in 0..times {
            let mut in_flight = begin(&self.endpoint(index), Among::All).unwrap();
            learn(&self.service, &mut in_flight, verdict);
        }
    }

    fn fail(&self, index: usize, times: usize) {
        self.end(index, times, Verdict::GatewayFailure);
    }

    fn look(&mut self) {
        self.watched.look(&self.service, Moment::now());
    }

    /// Lets time pass, and looks as often as the sweeper does.
    async fn pass(&mut self, time: Duration) {
        let end = Moment::now().plus(time);
        while Moment::now() < end {
            tokio::time::advance(end.since(Moment::now()).min(Duration::from_millis(100))).await;
            self.look();
        }
    }

    fn ejections(&self) -> Vec<(EjectionCause, u64)> {
        self.service.live.ejections().by_cause().filter(|(_, count)| *count > 0).collect()
    }
}

fn service(
    backends: u8,
    change: impl FnOnce(&mut OutlierDetection),
    before: Option<&ServiceEntry>,
) -> ServiceEntry {
    let mut service = Service::with_defaults(ServiceName::try_from("web").unwrap());
    change(&mut service.outlier_detection);
    let backend = |index: u8| {
        let id = BackendId::try_from(format!("backend-{index:03}").as_str()).unwrap();
        Arc::new(Backend {
            key: BackendKey { service: service.name.clone(), id },
            address: ([127, 0, 0, index], 80).into(),
            weight: 1,
            zone: String::new(),
            metadata: BTreeMap::new(),
            operator_state: OperatorState::Enabled,
            lease_state: LeaseState::Static,
            priority: 0,
            operator_weight: None,
        })
    };
    let backends: Vec<_> = (0..backends).map(backend).collect();
    ServiceEntry::new(Arc::new(service), None, backends, before, &Arc::default())
}

fn begin(endpoint: &Arc<Endpoint>, among: Among) -> Option<InFlight> {
    let pick = Pick { among, ..Pick::default() };
    if !pick.admits(endpoint) {
        return None;
    }
    let gate = endpoint.live().gate();
    assert!(gate.enter(u32::MAX));
    let begun = endpoint.begin(&pick);
    if begun.is_none() {
        gate.turn_back();
    }
    begun
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_eject_and_one_success_begins_anew() {
    let fixture = Fixture::new(3, |_| ());
    fixture.fail(0, 4);
    fixture.end(0, 1, Verdict::Success);
    fixture.fail(0, 4);
    assert!(!fixture.marks(0).has(Marks::EJECTED));
    fixture.fail(0, 1);
    assert!(fixture.marks(0).has(Marks::EJECTED) && fixture.begin(0).is_none());
    assert_eq!(fixture.ejections(), [(EjectionCause::ConsecutiveGatewayFailure, 1)]);
    let ejection = fixture.endpoint(0).ejection().unwrap();
    assert_eq!(ejection.cause, EjectionCause::ConsecutiveGatewayFailure);
    assert_eq!(ejection.until.since(ejection.since), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn gateway_failures_are_counted_by_themselves_too() {
    let both = |d: &mut OutlierDetection| {
        d.consecutive_gateway_failure = 2;
        d.consecutive_5xx = 4;
    };
    let fixture = Fixture::new(3, both);
    fixture.fail(0, 1);
    fixture.end(0, 1, Verdict::ServerError);
    fixture.fail(0, 1);
    assert!(!fixture.marks(0).has(Marks::EJECTED), "another failure between is no gateway's");
    fixture.end(0, 1, Verdict::ServerError);
    assert_eq!(fixture.ejections(), [(EjectionCause::Consecutive5xx, 1)]);
}

#[tokio::test(start_paused = true)]
async fn zero_is_never_and_disabled_is_never() {
    let fixture = Fixture::new(3, |d| (d.consecutive_5xx, d.consecutive_gateway_failure) = (0, 0));
    fixture.fail(0, 1000);
    assert!(!fixture.marks(0).has(Marks::EJECTED));
    let fixture = Fixture::new(3, |d| d.disabled = true);
    fixture.fail(0, 1000);
    assert!(!fixture.marks(0).has(Marks::EJECTED));
}

#[tokio::test(start_paused = true)]
async fn what_failed_before_an_ejection_does_not_count_after_it() {
    let mut fixture = Fixture::new(3, |_| ());
    // Some were under way when it was ejected.
    fixture.fail(0, 9);
    fixture.pass(Duration::from_secs(30)).await;
    learn(&fixture.service, &mut fixture.begin(0).unwrap(), Verdict::Success);
    fixture.fail(0, 4);
    assert!(!fixture.marks(0).has(Marks::EJECTED));
}
