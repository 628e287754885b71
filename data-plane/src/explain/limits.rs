//! How near a service is to its limits.

use weir_proto::v1::LimitUse;

use super::request::Asked;
use crate::{reason::Reason, table::ServiceEntry};

/// Every limit that this request could meet.
pub(super) fn used(entry: &ServiceEntry, _asked: &Asked) -> Vec<LimitUse> {
    let (breakers, gate) = (&entry.service.circuit_breakers, entry.live.gate());
    let fullest = entry.members.values().map(|member| member.endpoint.in_flight()).max();
    vec![
        limit("circuit_breakers.max_requests", gate.held(), breakers.max_requests),
        limit("circuit_breakers.max_pending_requests", gate.waiting(), breakers.max_pending_requests),
        limit(
            "circuit_breakers.max_requests_per_backend",
            fullest.unwrap_or(0),
            breakers.max_requests_per_backend,
        ),
    ]
}

/// Refuses a request that would find no room to wait either.
pub(super) fn check(entry: &ServiceEntry) -> Result<(), Reason> {
    let (breakers, gate) = (&entry.service.circuit_breakers, entry.live.gate());
    let must_wait = gate.waiting() > 0 || gate.held() >= breakers.max_requests;
    if must_wait && gate.waiting() >= breakers.max_pending_requests {
        return Err(Reason::Overflow);
    }
    Ok(())
}

fn limit(setting: &str, used: impl Into<u64>, limit: impl Into<u64>) -> LimitUse {
    LimitUse { setting: setting.to_owned(), used: used.into(), limit: limit.into() }
}
