//! Does, off the request path, what time brings about: probations, the end of slow starts, rates, shares, panics.

use std::{collections::HashMap, sync::Arc};

use tokio::time::{self, Duration, MissedTickBehavior};
use weir_proto::{ServiceName, SlowStart};

use super::outlier::{self, Interval};
use crate::{
    endpoint::{Endpoint, Marks},
    live::Live,
    moment::Moment,
    table::{ServiceEntry, SharedTable, Table},
};

/// How often it is looked whether anything is due: so late a probation begins, or shares follow a change of health.
const TICK: Duration = Duration::from_millis(100);

/// How often everything is looked at, whether or not it is known to have changed.
const ROUND: Duration = Duration::from_secs(1);

/// Looks after the services of the table in force, for as long as it is polled.
pub(crate) async fn sweep(table: Arc<SharedTable>) {
    let mut sweeper = Sweeper::default();
    let mut ticks = time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(table) = table.load_full() {
            sweeper.look(&table, Moment::now());
        }
    }
}

/// What is remembered from one look to the next.
#[derive(Debug, Default)]
struct Sweeper {
    services: HashMap<ServiceName, Watched>,
}

/// One service.
#[derive(Debug)]
pub(super) struct Watched {
    /// Tells a service from one of the same name that was removed.
    live: Arc<Live>,
    next_round: Moment,
    interval: Interval,
    /// Whether health was ignored at the last look.
    panics: bool,
}

impl Sweeper {
    fn look(&mut self, table: &Table, now: Moment) {
        for (name, service) in &table.services {
            match self.services.get_mut(name) {
                Some(watched) if Arc::ptr_eq(&watched.live, &service.live) => watched.look(service, now),
                _ => {
                    let mut watched = Watched::new(service, now);
                    watched.look(service, now);
                    self.services.insert(name.clone(), watched);
                }
            }
        }
        if self.services.len() > table.services.len() {
            self.services.retain(|name, _| table.services.contains_key(name));
        }
    }
}

impl Watched {
    pub(super) fn new(service: &ServiceEntry, now: Moment) -> Self {
        Self {
            live: Arc::clone(&service.live),
            next_round: now,
            interval: Interval::begin(now),
            panics: false,
        }
    }

    pub(super) fn look(&mut self, service: &ServiceEntry, now: Moment) {
        outlier::look_after(service, now);
        if service.adaptive.as_ref().is_some_and(|adaptive| adaptive.update(now)) {
            service.live.gate().look_again();
        }
        let round = now >= self.next_round;
        if round {
            self.next_round = now.plus(ROUND);
            self.interval.judge(service, now);
            let slow_start = service.service.slow_start.as_ref();
            for member in service.members.values() {
                end_ramp(slow_start, &member.endpoint, now);
                end_limit(&member.endpoint, now);
            }
            service.balance.refresh(now);
            service.live.budget().tick(now, service.counters.started());
        }
        if service.live.take_changed() || round {
            service.balance.recount();
        }
        self.tell_panic(service);
    }

    fn tell_panic(&mut self, service: &ServiceEntry) {
        let panics = service.balance.is_panicking();
        if panics == std::mem::replace(&mut self.panics, panics) {
            return;
        }
        let name = &service.service.name;
        if panics {
            service.live.panicked();
            weir_proto::seldom!(
                warn,
                "service {name}: too few of its backends are usable, so all are used whatever health says"
            );
        } else {
            weir_proto::seldom!(
                info,
                "service {name}: enough of its backends are usable again, and only those are used"
            );
        }
    }
}

/// From then on it costs picks nothing that the endpoint had enough.
fn end_limit(endpoint: &Endpoint, now: Moment) {
    if !endpoint.marks().has(Marks::LIMITED) || now < endpoint.limited_until() {
        return;
    }
    endpoint.mark(Marks::LIMITED, Marks::default());
    if now < endpoint.limited_until() {
        // It has said so again meanwhile.
        endpoint.mark(Marks::default(), Marks::LIMITED);
    }
}

/// From its end on, a slow start costs picks nothing.
fn end_ramp(slow_start: Option<&SlowStart>, endpoint: &Endpoint, now: Moment) {
    if !endpoint.marks().has(Marks::RAMPING) {
        return;
    }
    let began = endpoint.ramp_began();
    if slow_start.is_some_and(|slow_start| now.since(began) < slow_start.window) {
        return;
    }
    endpoint.mark(Marks::RAMPING, Marks::default());
    if endpoint.ramp_began() != began {
        // Another one has begun meanwhile.
        endpoint.mark(Marks::default(), Marks::RAMPING);
    }
}
