//! When a backend is ejected, for how long, and how many may be: numbers only.

use tokio::time::Duration;
use weir_proto::OutlierDetection;

use crate::endpoint::EjectionCause;

/// What failures in a row lead to: those of any kind, and those that are a gateway's. A threshold that is reached stays
/// reached, so that an ejection that could not be happens as soon as it can.
pub(in crate::health) fn tripped(
    settings: &OutlierDetection,
    (any, gateway): (u32, u32),
) -> Option<EjectionCause> {
    let reached = |count, threshold| threshold > 0 && count >= threshold;
    if reached(gateway, settings.consecutive_gateway_failure) {
        Some(EjectionCause::ConsecutiveGatewayFailure)
    } else if reached(any, settings.consecutive_5xx) {
        Some(EjectionCause::Consecutive5xx)
    } else {
        None
    }
}

/// How many of the routable backends may be out at one time: a share, but one at least, and never all.
pub(super) fn allowed(percent: u32, routable: u32) -> u32 {
    if percent == 0 {
        return 0;
    }
    let share = u64::from(percent) * u64::from(routable) / 100;
    u32::try_from(share).unwrap_or(u32::MAX).max(1).min(routable.saturating_sub(1))
}

/// How long an ejection lasts that is one of `count` which are not forgotten.
pub(super) fn lasts(settings: &OutlierDetection, count: u32) -> Duration {
    settings.base_ejection_time.saturating_mul(count).min(settings.max_ejection_time)
}

/// How many ejections count for the next one: it, and those `before`, of which one was forgotten for each interval since
/// the last was over. No more than make a difference, or a long story would take long to forget.
pub(super) fn next_count(settings: &OutlierDetection, before: u32, calm: Duration) -> u32 {
    let longest = quotient(settings.max_ejection_time, settings.base_ejection_time, u128::div_ceil);
    let forgotten = quotient(calm, settings.interval, |calm, interval| calm / interval);
    before.saturating_sub(forgotten).saturating_add(1).min(longest.max(1))
}

fn quotient(dividend: Duration, divisor: Duration, divide: fn(u128, u128) -> u128) -> u32 {
    u32::try_from(divide(dividend.as_nanos(), divisor.as_nanos().max(1))).unwrap_or(u32::MAX)
}
