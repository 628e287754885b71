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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::endpoint::Passive;

    fn settings() -> impl Strategy<Value = OutlierDetection> {
        let time = |range: std::ops::Range<u64>| range.prop_map(Duration::from_millis);
        (time(100..3_600_000), time(0..86_400_000), time(1_000..3_600_000)).prop_map(
            |(base, more, interval)| OutlierDetection {
                base_ejection_time: base,
                max_ejection_time: base + more,
                interval,
                ..OutlierDetection::default()
            },
        )
    }

    proptest! {
        #[test]
        fn one_always_may_be_out_and_all_never(percent in 1u32..=100, routable in 2u32..20_000) {
            let allowed = allowed(percent, routable);
            prop_assert!(allowed >= 1 && allowed < routable);
            // Counted after the ejection: one more than the least would be over the share.
            prop_assert!(allowed == 1 || u64::from(allowed) * 100 <= u64::from(percent) * u64::from(routable));
            prop_assert!(
                allowed == routable - 1
                    || u64::from(allowed + 1) * 100 > u64::from(percent) * u64::from(routable)
            );
        }

        #[test]
        fn an_only_one_stays_and_no_percent_is_none(percent in 0u32..=100, routable in 0u32..20_000) {
            prop_assert_eq!(allowed(percent, routable.min(1)), 0);
            prop_assert_eq!(allowed(0, routable), 0);
        }

        #[test]
        fn each_ejection_lasts_longer_than_the_one_before_until_the_most(settings in settings()) {
            let (mut count, mut before) = (0, Duration::ZERO);
            for _ in 0..20 {
                count = next_count(&settings, count, Duration::ZERO);
                let lasts = lasts(&settings, count);
                prop_assert!(lasts > before || lasts == settings.max_ejection_time);
                prop_assert!(lasts <= settings.max_ejection_time);
                before = lasts;
            }
        }

        #[test]
        fn a_long_story_is_forgotten_as_fast_as_it_made_a_difference(settings in settings(), ejections in 1u32..1000) {
            let mut count = 0;
            for _ in 0..ejections {
                count = next_count(&settings, count, Duration::ZERO);
            }
            let matters = quotient(settings.max_ejection_time, settings.base_ejection_time, u128::div_ceil);
            prop_assert!(count <= matters.max(1));
            prop_assert_eq!(next_count(&settings, count, settings.interval * matters), 1);
            let calm = settings.interval.saturating_sub(Duration::from_nanos(1));
            prop_assert_eq!(next_count(&settings, count, calm), (count + 1).min(matters));
        }

        /// Against a model that remembers every outcome: 0 a success, 1 a failure, 2 a gateway's.
        #[test]
        fn failures_count_since_the_last_success_and_a_gateways_since_the_last_of_another_kind(
            outcomes in prop::collection::vec(0u8..3, 1..60),
            consecutive_5xx in 0u32..6,
            consecutive_gateway_failure in 0u32..6,
        ) {
            let settings =
                OutlierDetection { consecutive_5xx, consecutive_gateway_failure, ..OutlierDetection::default() };
            let passive = Passive::default();
            for (index, outcome) in outcomes.iter().enumerate() {
                if *outcome == 0 {
                    passive.succeed();
                    prop_assert_eq!(passive.consecutive_failures(), 0);
                    continue;
                }
                let before = outcomes[..=index].iter().rev();
                let any = before.clone().take_while(|outcome| **outcome != 0).count();
                let gateway = before.take_while(|outcome| **outcome == 2).count();
                let reached = |count: usize, threshold: u32| threshold > 0 && count >= threshold as usize;
                let expected = if reached(gateway, consecutive_gateway_failure) {
                    Some(EjectionCause::ConsecutiveGatewayFailure)
                } else {
                    reached(any, consecutive_5xx).then_some(EjectionCause::Consecutive5xx)
                };
                prop_assert_eq!(tripped(&settings, passive.fail(*outcome == 2)), expected);
            }
            let failures = outcomes.iter().filter(|outcome| **outcome != 0).count() as u64;
            prop_assert_eq!(passive.totals(), (outcomes.len() as u64 - failures, failures));
        }
    }
}
