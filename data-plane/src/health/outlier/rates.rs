//! Who fails more often than it may: by comparison with the others, or by a fixed share. Looked at once an interval.

use std::{collections::HashMap, sync::Arc};

use tokio::time::Duration;
use weir_proto::OutlierDetection;

use crate::{
    endpoint::{EjectionCause, Endpoint, EndpointId, Marks},
    moment::Moment,
    table::ServiceEntry,
};

/// Rates that differ by less than this, in percent, are the same: sums of fractions are not exact.
const SAME: f64 = 1e-9;

/// What the endpoints of a service had counted when the interval began.
#[derive(Debug)]
pub(in crate::health) struct Interval {
    began: Moment,
    totals: HashMap<EndpointId, (u64, u64)>,
}

/// What one met in an interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    pub(super) successes: u64,
    pub(super) failures: u64,
}

impl Interval {
    /// The first one. What was counted before it began belongs to it.
    pub(in crate::health) fn begin(now: Moment) -> Self {
        Self { began: now, totals: HashMap::new() }
    }

    /// Ejects those whose rates stand out, if the interval is over, and begins the next one.
    pub(in crate::health) fn judge(&mut self, service: &ServiceEntry, now: Moment) {
        let settings = &service.service.outlier_detection;
        if now.since(self.began) < settings.interval.max(Duration::from_millis(1)) {
            return;
        }
        let before = std::mem::replace(self, Self::begin(now));
        let (mut endpoints, mut tallies): (Vec<&Arc<Endpoint>>, Vec<_>) = (Vec::new(), Vec::new());
        for endpoint in service.members.values().map(|member| &member.endpoint) {
            let (successes, failures) = endpoint.passive().totals();
            self.totals.insert(endpoint.id(), (successes, failures));
            // Those that are out have had no share of the requests that the others had.
            if !endpoint.marks().has(Marks::EJECTED.and(Marks::TAKEN_OUT)) {
                let (s, f) = before.totals.get(&endpoint.id()).copied().unwrap_or_default();
                tallies.push(Tally {
                    successes: successes.saturating_sub(s),
                    failures: failures.saturating_sub(f),
                });
                endpoints.push(endpoint);
            }
        }
        for (index, cause) in outliers(settings, &tallies) {
            super::eject(service, endpoints[index], cause, now);
        }
    }
}

/// Those that stand out, the worst first, with the first cause that holds.
pub(super) fn outliers(settings: &OutlierDetection, tallies: &[Tally]) -> Vec<(usize, EjectionCause)> {
    let least = least_success_rate(settings, tallies);
    let most = most_failures(settings, tallies);
    let cause = |tally: &Tally| {
        let rate = tally.success_rate();
        let by = |volume: u32, wrong: bool| tally.volume() >= u64::from(volume) && wrong;
        if by(settings.success_rate_request_volume, least.is_some_and(|least| rate < least - SAME)) {
            Some(EjectionCause::SuccessRate)
        } else if by(
            settings.failure_percentage_request_volume,
            most.is_some_and(|m| 100.0 - rate >= m - SAME),
        ) {
            Some(EjectionCause::FailurePercentage)
        } else {
            None
        }
    };
    let mut outliers: Vec<_> =
        (0..).zip(tallies).filter_map(|(index, tally)| Some((index, cause(tally)?))).collect();
    outliers.sort_by(|(a, _), (b, _)| tallies[*a].success_rate().total_cmp(&tallies[*b].success_rate()));
    outliers
}

/// In percent: so far below the mean that, by the spread of all rates, it is no accident. None if there is too little to
/// compare.
fn least_success_rate(settings: &OutlierDetection, tallies: &[Tally]) -> Option<f64> {
    let enough = |tally: &&Tally| tally.volume() >= u64::from(settings.success_rate_request_volume);
    let rates: Vec<f64> = tallies.iter().filter(enough).map(Tally::success_rate).collect();
    let hosts = u32::try_from(rates.len()).unwrap_or(u32::MAX);
    if settings.success_rate_stdev_factor == 0 || hosts < settings.success_rate_minimum_hosts.max(1) {
        return None;
    }
    let hosts = f64::from(hosts);
    let mean = rates.iter().sum::<f64>() / hosts;
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / hosts;
    Some(mean - variance.sqrt() * f64::from(settings.success_rate_stdev_factor) / 1000.0)
}

/// In percent. None if it is not asked for, or too few had enough requests.
fn most_failures(settings: &OutlierDetection, tallies: &[Tally]) -> Option<f64> {
    let enough = |tally: &&Tally| tally.volume() >= u64::from(settings.failure_percentage_request_volume);
    let hosts = u32::try_from(tallies.iter().filter(enough).count()).unwrap_or(u32::MAX);
    let asked =
        settings.failure_percentage_threshold > 0 && hosts >= settings.failure_percentage_minimum_hosts;
    asked.then(|| f64::from(settings.failure_percentage_threshold))
}

impl Tally {
    fn volume(&self) -> u64 {
        self.successes.saturating_add(self.failures)
    }

    /// In percent.
    fn success_rate(&self) -> f64 {
        100.0 * number(self.successes) / number(self.volume()).max(1.0)
    }
}

/// More than four billion in an interval are cut to that.
fn number(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(percent: &[u64]) -> Vec<Tally> {
        percent.iter().map(|rate| Tally { successes: *rate, failures: 100 - rate }).collect()
    }

    fn tallies() -> impl Strategy<Value = Vec<Tally>> {
        let tally = (0u64..2000, 0u64..2000).prop_map(|(successes, failures)| Tally { successes, failures });
        prop::collection::vec(tally, 0..30)
    }

    #[test]
    fn the_threshold_is_the_mean_less_the_spread() {
        let settings = OutlierDetection::default();
        // Mean 80, standard deviation 40: Envoy's example with one of five that fails.
        let tallies = of(&[100, 100, 100, 100, 0]);
        assert!((least_success_rate(&settings, &tallies).unwrap() - 4.0).abs() < 1e-9);
        assert_eq!(outliers(&settings, &tallies), [(4, EjectionCause::SuccessRate)]);
        assert_eq!(outliers(&settings, &tallies[..4]), []);
    }

    #[test]
    fn too_few_requests_or_hosts_are_no_comparison() {
        let settings = OutlierDetection::default();
        let mut tallies = of(&[100, 100, 100, 100, 100, 0]);
        tallies[5].failures = 99;
        assert_eq!(outliers(&settings, &tallies), [], "its own requests");
        tallies[5].failures = 100;
        tallies[0].successes = 99;
        assert_eq!(outliers(&settings, &tallies).len(), 1, "five are enough");
        tallies[1].successes = 99;
        assert_eq!(outliers(&settings, &tallies), [], "four are not");
    }

    #[test]
    fn a_percentage_is_reached_by_what_equals_it() {
        let settings = OutlierDetection {
            failure_percentage_threshold: 30,
            success_rate_stdev_factor: 0,
            ..OutlierDetection::default()
        };
        let found = outliers(&settings, &of(&[71, 70, 100, 0, 90]));
        let cause = EjectionCause::FailurePercentage;
        assert_eq!(found, [(3, cause), (1, cause)]);
        assert_eq!(outliers(&settings, &of(&[71, 70, 100, 0])), []);
    }

    proptest! {
        #[test]
        fn equals_never_stand_out(tally in (0u64..100_000, 0u64..100_000), hosts in 1usize..200, factor in 1u32..4000) {
            let settings = OutlierDetection { success_rate_stdev_factor: factor, ..OutlierDetection::default() };
            let tally = Tally { successes: tally.0, failures: tally.1 };
            prop_assert_eq!(outliers(&settings, &vec![tally; hosts]), []);
        }

        #[test]
        fn the_best_never_stands_out_and_the_worst_comes_first(tallies in tallies(), factor in 1u32..4000) {
            let settings = OutlierDetection { success_rate_stdev_factor: factor, ..OutlierDetection::default() };
            let found = outliers(&settings, &tallies);
            let rates: Vec<f64> = found.iter().map(|(index, _)| tallies[*index].success_rate()).collect();
            prop_assert!(rates.is_sorted());
            let best = tallies.iter().filter(|t| t.volume() >= 100).map(Tally::success_rate).fold(0.0, f64::max);
            prop_assert!(rates.iter().all(|rate| *rate < best));
        }
    }
}
