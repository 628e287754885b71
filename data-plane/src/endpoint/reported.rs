//! What an endpoint said of its own load last, and what weight that makes: gRPC's proposal A58.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use weir_proto::ReportedLoad as Settings;

use crate::{balance::LoadReport, moment::Moment};

/// Written by all workers without a lock: two reports that mix are both of the same moment.
#[derive(Debug, Default)]
pub(crate) struct Reported {
    /// Numbers by their bits.
    utilization: AtomicU64,
    rps: AtomicU64,
    eps: AtomicU64,
    /// When it began to report, 0 before that, and when it did last.
    since: AtomicU64,
    last: AtomicU64,
}

impl Reported {
    pub(crate) fn report(&self, report: LoadReport, now: Moment) {
        self.utilization.store(report.utilization.to_bits(), Relaxed);
        self.rps.store(report.rps.to_bits(), Relaxed);
        self.eps.store(report.eps.to_bits(), Relaxed);
        self.last.store(now.as_nanos(), Relaxed);
        if self.since.load(Relaxed) == 0 {
            self.since.store(now.as_nanos(), Relaxed);
        }
    }

    /// What its reports are worth now: requests per second for its utilization. None if there are none, if they are too
    /// old, or if it has reported only for a short while and may still be warming up. One whose reports were too old
    /// begins anew.
    pub(crate) fn weight(&self, settings: &Settings, now: Moment) -> Option<f64> {
        let (since, last) = (self.since.load(Relaxed), self.last.load(Relaxed));
        if since == 0 {
            return None;
        }
        if now.since(Moment::from_nanos(last)) >= settings.weight_expiration_period {
            self.since.store(0, Relaxed);
            return None;
        }
        if now.since(Moment::from_nanos(since)) < settings.blackout_period {
            return None;
        }
        let number = |bits: &AtomicU64| f64::from_bits(bits.load(Relaxed));
        let rps = number(&self.rps);
        let penalty = f64::from(settings.error_utilization_penalty) / 100.0;
        Some(rps / (number(&self.utilization) + number(&self.eps) / rps * penalty))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Moment {
        Moment::from_nanos(1).plus(SECOND * seconds)
    }

    fn report(reported: &Reported, eps: f64, seconds: u32) {
        reported.report(LoadReport { utilization: 0.5, rps: 100.0, eps }, at(seconds));
    }

    #[test]
    fn a_weight_is_what_a_backend_does_for_its_utilization() {
        let reported = Reported::default();
        let settings = Settings { blackout_period: Duration::ZERO, ..Settings::default() };
        assert_eq!(reported.weight(&settings, at(0)), None);
        report(&reported, 0.0, 0);
        assert_eq!(reported.weight(&settings, at(0)), Some(200.0));
        report(&reported, 50.0, 1);
        assert_eq!(reported.weight(&settings, at(1)), Some(100.0), "half of its requests fail");
        let strict = Settings { error_utilization_penalty: 300, ..settings };
        assert_eq!(reported.weight(&strict, at(1)), Some(50.0));
    }

    #[test]
    fn reports_count_after_a_while_and_not_for_ever() {
        let reported = Reported::default();
        let settings = Settings::default();
        report(&reported, 0.0, 0);
        assert_eq!(reported.weight(&settings, at(9)), None, "it may be warming up");
        report(&reported, 0.0, 9);
        assert!(
            reported.weight(&settings, at(10)).is_some() && reported.weight(&settings, at(188)).is_some()
        );
        assert_eq!(reported.weight(&settings, at(189)), None, "it has not reported for three minutes");
        report(&reported, 0.0, 190);
        assert_eq!(reported.weight(&settings, at(191)), None, "it begins anew");
        assert!(reported.weight(&settings, at(200)).is_some());
    }
}
