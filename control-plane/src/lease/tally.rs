//! How many leases live, are late and are overdue: of all, and of each service. Kept with every change, so that nobody
//! ever counts them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use dashmap::DashMap;
use weir_proto::ServiceName;

use super::slots::Phase;

/// Counts of leases.
#[derive(Debug, Default)]
pub(super) struct Tally {
    live: AtomicUsize,
    late: AtomicUsize,
    overdue: AtomicUsize,
    /// Milliseconds.
    longest_ttl: AtomicU32,
}

/// A service that has leases.
#[derive(Debug)]
pub(super) struct Service {
    name: ServiceName,
    live: AtomicUsize,
    overdue: AtomicUsize,
}

/// The services that have leases, each once.
#[derive(Debug, Default)]
pub(super) struct Services(DashMap<ServiceName, Arc<Service>>);

impl Tally {
    pub(super) fn live(&self) -> usize {
        self.live.load(Relaxed)
    }

    pub(super) fn late(&self) -> usize {
        self.late.load(Relaxed)
    }

    pub(super) fn overdue(&self) -> usize {
        self.overdue.load(Relaxed)
    }

    /// The longest ttl that any lease has had.
    pub(super) fn longest_ttl(&self) -> Duration {
        Duration::from_millis(self.longest_ttl.load(Relaxed).into())
    }

    /// A lease has a ttl of so many milliseconds.
    pub(super) fn has_ttl(&self, millis: u32) {
        self.longest_ttl.fetch_max(millis, Relaxed);
    }

    /// A lease of that service goes from one phase to another; none is before its beginning, and after its end. From
    /// fresh to fresh, as with most heartbeats, nothing is touched.
    pub(super) fn moved(&self, service: &Service, was: Option<Phase>, is: Option<Phase>) {
        let change = |of: fn(Phase) -> bool| (was.is_some_and(of), is.is_some_and(of));
        let (live, late, overdue) =
            (change(Phase::is_live), change(Phase::is_late), change(Phase::is_overdue));
        for (count, change) in [
            (&self.live, live),
            (&self.late, late),
            (&self.overdue, overdue),
            (&service.live, live),
            (&service.overdue, overdue),
        ] {
            match change {
                (false, true) => _ = count.fetch_add(1, Relaxed),
                (true, false) => _ = count.fetch_sub(1, Relaxed),
                _ => {}
            }
        }
    }
}

impl Service {
    pub(super) fn name(&self) -> &ServiceName {
        &self.name
    }

    pub(super) fn live(&self) -> usize {
        self.live.load(Relaxed)
    }
}

impl Services {
    /// The service of that name.
    pub(super) fn get(&self, name: &ServiceName) -> Arc<Service> {
        if let Some(service) = self.0.get(name) {
            return Arc::clone(&service);
        }
        let fresh = || {
            let (live, overdue) = <(AtomicUsize, AtomicUsize)>::default();
            Arc::new(Service { name: name.clone(), live, overdue })
        };
        Arc::clone(&self.0.entry(name.clone()).or_insert_with(fresh))
    }

    /// How many leases of a service are overdue.
    pub(super) fn overdue(&self, name: &ServiceName) -> usize {
        self.0.get(name).map_or(0, |service| service.overdue.load(Relaxed))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets the service of a lease that is gone, if that was its last.
    pub(super) fn leave(&self, service: Arc<Service>) {
        let name = service.name.clone();
        drop(service);
        // Whoever takes it out of the map holds the map's lock, so that one which nobody else holds stays so.
        self.0.remove_if(&name, |_, service| Arc::strong_count(service) == 1);
    }
}
