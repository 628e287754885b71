//! Takes backends out for a while that fail what they are asked, and lets them back after one request has succeeded:
//! Envoy's outlier detection, with a probation at the end of each ejection.
//!
//! The consecutive failures are counted on request threads, which eject at once; the rest is done once an interval, off
//! the request path. Here nobody waits for anybody but at the record of one endpoint, and that only when something
//! changes: the places among the few that may be out at one time are taken by compare-and-swap.

mod counts;
mod rates;
mod rules;
#[cfg(test)]
mod tests;

use tokio::time::Duration;
use weir_proto::OutlierDetection;

pub(crate) use self::counts::EjectionCounts;
pub(super) use self::{rates::Interval, rules::tripped};
use crate::{
    endpoint::{Ejection, EjectionCause, Endpoint, Marks},
    moment::Moment,
    table::ServiceEntry,
};

/// A backend that nobody asked anything for so many times the first ejection's time is let back without a probation:
/// requests that may decide are idempotent, and some services get no such ones.
const PATIENCE: u32 = 2;

/// Ejects the endpoint, unless it is out anyway or as many are out as may be: then the next failure tries again.
pub(super) fn eject(service: &ServiceEntry, endpoint: &Endpoint, cause: EjectionCause, now: Moment) {
    let settings = &service.service.outlier_detection;
    if settings.disabled || endpoint.marks().has(Marks::EJECTED.and(Marks::TAKEN_OUT)) {
        return;
    }
    let counts = service.live.ejections();
    let most = rules::allowed(settings.max_ejection_percent, service.routable);
    if service.live.ejected() >= most {
        counts.prevented();
        return;
    }
    let mut record = endpoint.health();
    if !endpoint.eject(most) {
        return;
    }
    // Without this, what failed before would count again when it is back.
    endpoint.passive().forgive();
    let calm = now.since(record.calm_since);
    record.ejections = rules::next_count(settings, record.ejections, calm);
    let lasts = rules::lasts(settings, record.ejections);
    record.ejection = Some(Ejection { cause, since: now, until: now.plus(lasts) });
    record.calm_since = now.plus(lasts);
    drop(record);
    tell(endpoint, settings, cause, lasts);
    counts.ejected(cause);
}

/// The one request of the probation failed: the ejection goes on, for longer.
pub(super) fn eject_again(service: &ServiceEntry, endpoint: &Endpoint, now: Moment) {
    let settings = &service.service.outlier_detection;
    let cause = EjectionCause::Probation;
    let mut record = endpoint.health();
    if !endpoint.marks().has(Marks::EJECTED) {
        return;
    }
    record.ejections = rules::next_count(settings, record.ejections, Duration::ZERO);
    let lasts = rules::lasts(settings, record.ejections);
    record.ejection = Some(Ejection { cause, since: now, until: now.plus(lasts) });
    record.calm_since = now.plus(lasts);
    endpoint.mark(Marks::PROBATION.and(Marks::PROBED), Marks::default());
    drop(record);
    tell(endpoint, settings, cause, lasts);
    service.live.ejections().ejected(cause);
}

/// Lets the endpoint back, to less than its share at first; `why` completes a sentence for people.
pub(super) fn readmit(endpoint: &Endpoint, why: &str, now: Moment) {
    let mut record = endpoint.health();
    if !endpoint.marks().has(Marks::EJECTED) {
        return;
    }
    record.ejection = None;
    record.calm_since = now;
    endpoint.passive().forgive();
    endpoint.ramp();
    endpoint.mark(Marks::EJECTION, Marks::default());
    drop(record);
    tracing::info!("backend {} is back: {why}", endpoint.key());
}

/// Moves the ejections of a service on whose time has come. Costs nothing while there are none.
pub(super) fn look_after(service: &ServiceEntry, now: Moment) {
    if service.live.ejected() == 0 {
        return;
    }
    let settings = &service.service.outlier_detection;
    for member in service.members.values() {
        look_after_one(settings, &member.endpoint, now);
    }
}

fn look_after_one(settings: &OutlierDetection, endpoint: &Endpoint, now: Moment) {
    let marks = endpoint.marks();
    if !marks.has(Marks::EJECTED) {
        return;
    }
    if settings.disabled || settings.max_ejection_percent == 0 {
        return readmit(endpoint, "nothing is ejected any more", now);
    }
    let Some(ejection) = endpoint.ejection() else { return };
    if now < ejection.until || marks.has(Marks::PROBED) {
        return;
    }
    if now >= ejection.until.plus(settings.base_ejection_time.saturating_mul(PATIENCE)) {
        readmit(endpoint, "nothing was asked of it that could have decided", now);
    } else if !marks.has(Marks::PROBATION) {
        endpoint.mark(Marks::default(), Marks::PROBATION);
    }
}

fn tell(endpoint: &Endpoint, settings: &OutlierDetection, cause: EjectionCause, lasts: Duration) {
    let why = match cause {
        EjectionCause::Consecutive5xx => format!("{} failures in a row", settings.consecutive_5xx),
        EjectionCause::ConsecutiveGatewayFailure => {
            format!("{} gateway failures in a row", settings.consecutive_gateway_failure)
        }
        EjectionCause::SuccessRate => "it succeeds less often than the others".to_owned(),
        EjectionCause::FailurePercentage => "too many of its requests fail".to_owned(),
        EjectionCause::Probation => "the request of its probation failed".to_owned(),
    };
    tracing::warn!("backend {} is ejected for {lasts:?}: {why}", endpoint.key());
}
