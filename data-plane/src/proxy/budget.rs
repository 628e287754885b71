//! Retries and hedges of a service, within what its budget allows.

use crate::{moment::Moment, table::ServiceEntry};

/// Takes one, if there is one.
pub(super) fn withdraw(service: &ServiceEntry) -> bool {
    let policy = &service.service.retry_policy;
    service.live.budget().withdraw(policy, Moment::now(), service.counters.started())
}
