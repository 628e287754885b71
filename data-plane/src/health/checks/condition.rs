//! What probes find, written down where requests and people see it.

use weir_proto::Service;

use crate::{
    endpoint::{Endpoint, Health, HealthRecord, Marks},
    moment::Moment,
};

/// For an endpoint that is new in the table. It is unknown until its first probe is answered, unless `before`, which
/// had the same address and spoke something else, is known.
pub(crate) fn begin(endpoint: &Endpoint, before: Option<&Endpoint>, service: &Service) {
    if service.health_check.is_none() {
        return;
    }
    let known = before.map(|before| before.health().clone());
    match known.filter(|record| !matches!(record.health, Health::Unchecked | Health::Unknown)) {
        Some(HealthRecord { health, health_reason, .. }) => write(endpoint, health, health_reason),
        None => suspend(endpoint),
    }
}

/// Nobody asks, and what was known is not true any more.
pub(super) fn suspend(endpoint: &Endpoint) {
    if endpoint.health().health != Health::Unknown || !endpoint.marks().has(Marks::UNKNOWN) {
        write(endpoint, Health::Unknown, String::new());
    }
}

/// Nobody is to ask: as good as healthy.
pub(super) fn forget(endpoint: &Endpoint) {
    if endpoint.health().health != Health::Unchecked {
        write(endpoint, Health::Unchecked, String::new());
    }
}

/// A check begins. Where none was before, requests are not kept waiting for the first answer: that somebody wants to know
/// is no reason to stop.
pub(super) fn attend(endpoint: &Endpoint) -> Health {
    let mut record = endpoint.health();
    if record.health == Health::Unchecked {
        record.health = Health::Unknown;
        record.health_since = Moment::now();
    }
    record.health
}

/// The first answer takes longer than it may: what is not known must not keep requests waiting for ever.
pub(super) fn let_in(endpoint: &Endpoint) {
    if endpoint.marks().has(Marks::UNKNOWN) {
        endpoint.mark(Marks::UNKNOWN, Marks::default());
    }
}

/// Probes found this. Tells requests, people and the log, if it is something new.
pub(super) fn found(endpoint: &Endpoint, health: Health, reason: &str) {
    let before = {
        let mut record = endpoint.health();
        if record.health == health {
            // What ails it may change while it is ill.
            reason.clone_into(&mut record.health_reason);
            return;
        }
        record.health
    };
    if endpoint.marks().has(Marks::UNKNOWN.and(Marks::UNHEALTHY)) {
        // Before it may be picked, so that nobody finds it with its full share.
        endpoint.ramp();
    }
    write(endpoint, health, reason.to_owned());
    let key = endpoint.key();
    match (before, health) {
        (_, Health::Unhealthy) => tracing::warn!("{key} is unhealthy: {reason}"),
        (Health::Unhealthy, Health::Degraded) => {
            tracing::info!("{key} is alive again, and degraded: {reason}");
        }
        (_, Health::Degraded) => tracing::warn!("{key} is degraded: {reason}"),
        (Health::Unhealthy | Health::Degraded, _) => tracing::info!("{key} is healthy again"),
        _ => tracing::debug!("{key} is healthy"),
    }
}

fn write(endpoint: &Endpoint, health: Health, reason: String) {
    let mark = match health {
        Health::Unchecked | Health::Healthy => Marks::default(),
        Health::Unknown => Marks::UNKNOWN,
        Health::Unhealthy => Marks::UNHEALTHY,
        Health::Degraded => Marks::DEGRADED,
    };
    let mut record = endpoint.health();
    record.health = health;
    record.health_reason = reason;
    record.health_since = Moment::now();
    // While the record is held: whoever reads both finds that they agree.
    endpoint.mark(Marks::HEALTH, mark);
}
