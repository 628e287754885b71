//! How near a request is to the limits of its route and its service.

use weir_proto::{RateLimit, v1::LimitUse};

use super::request::Asked;
use crate::{
    admission::{Circulation, Limits, Turn},
    moment::Moment,
    reason::Reason,
    router::CompiledRoute,
    table::ServiceEntry,
};

/// Every limit that this request could meet.
pub(super) fn used(route: Option<&CompiledRoute>, entry: &ServiceEntry, asked: &Asked) -> Vec<LimitUse> {
    let now = Moment::now();
    let (breakers, gate) = (&entry.service.circuit_breakers, entry.live.gate());
    let fullest = entry.members.values().map(|member| member.endpoint.in_flight()).max();
    let policy = &entry.service.retry_policy;
    let (retries, most_retries) = entry.live.budget().used(policy, now, entry.counters.started());
    let of_route = route.map(|route| rates("route.", route.limits(), route.rate_limits(), asked, now));
    let of_service = rates("", &entry.limits, &entry.service.rate_limits, asked, now);
    let mut all = vec![
        limit("circuit_breakers.max_requests", gate.held(), breakers.max_requests),
        limit("circuit_breakers.max_pending_requests", gate.waiting(), breakers.max_pending_requests),
        limit(
            "circuit_breakers.max_requests_per_backend",
            fullest.unwrap_or(0),
            breakers.max_requests_per_backend,
        ),
        limit("retry_policy.budget_percent", retries, most_retries),
    ];
    if let Some(shares) = &entry.shares {
        let held = shares.held(asked.client);
        all.push(limit("circuit_breakers.max_requests_per_client", held, breakers.max_requests_per_client));
    }
    if let Some(adaptive) = &entry.adaptive {
        all.push(limit("adaptive_concurrency", gate.held(), adaptive.limit()));
    }
    let failures = breakers.consecutive_failures;
    if failures > 0 {
        let in_a_row = match entry.live.breaker().circulation(breakers, now) {
            Circulation::Closed { failures } => failures,
            Circulation::Open { .. } | Circulation::HalfOpen => failures,
        };
        all.push(limit("circuit_breakers.consecutive_failures", in_a_row, failures));
    }
    all.extend(of_route.into_iter().flatten().chain(of_service));
    all
}

/// Refuses a request that is over a rate, whose service's circuit is open, or that would find no room to wait either.
pub(super) fn check(
    route: Option<&CompiledRoute>,
    entry: &ServiceEntry,
    asked: &Asked,
) -> Result<(), Reason> {
    let now = Moment::now();
    let limits = route.map(CompiledRoute::limits).into_iter().chain([&entry.limits]);
    let mut left =
        limits.flat_map(Limits::iter).filter_map(|l| l.left(asked.client, &asked.head.fields, now));
    if left.any(|left| left == 0) {
        return Err(Reason::RateLimited);
    }
    let (breakers, gate) = (&entry.service.circuit_breakers, entry.live.gate());
    if let Circulation::Open { .. } = entry.live.breaker().circulation(breakers, now) {
        return Err(Reason::CircuitOpen);
    }
    let share = entry.shares.as_ref().map(|shares| shares.held(asked.client));
    if share.is_some_and(|held| held >= breakers.max_requests_per_client) {
        return Err(Reason::ClientShare);
    }
    let must_wait = gate.has_line(Turn::First) || gate.held() >= entry.max_requests();
    if must_wait && gate.waiting_in(Turn::First) >= breakers.max_pending_requests {
        return Err(Reason::Overflow);
    }
    Ok(())
}

/// The rates that limit this request, by their places in the `settings`.
fn rates(
    of: &'static str,
    limits: &Limits,
    settings: &[RateLimit],
    asked: &Asked,
    now: Moment,
) -> Vec<LimitUse> {
    let used = limits.iter().filter_map(|limiter| {
        let left = limiter.left(asked.client, &asked.head.fields, now)?;
        let at = settings.iter().position(|setting| setting == limiter.limit())?;
        let burst = u64::from(limiter.limit().burst);
        Some((at, limit(&format!("{of}rate_limits[{at}]"), burst.saturating_sub(left), burst)))
    });
    let mut used: Vec<_> = used.collect();
    used.sort_by_key(|(at, _)| *at);
    used.into_iter().map(|(_, limit)| limit).collect()
}

fn limit(setting: &str, used: impl Into<u64>, limit: impl Into<u64>) -> LimitUse {
    LimitUse { setting: setting.to_owned(), used: used.into(), limit: limit.into() }
}
