//! When backends are ejected: `OutlierDetection` in `config.proto`.

use std::time::Duration;

use super::DAY;
use crate::{Invalid, bounds::bounded, v1};

/// When backends are ejected, by what requests meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutlierDetection {
    /// Nothing is ever ejected.
    pub disabled: bool,
    /// Failures in a row; 0 is never.
    pub consecutive_5xx: u32,
    /// Gateway failures in a row; 0 is never.
    pub consecutive_gateway_failure: u32,
    /// How often rates are looked at.
    pub interval: Duration,
    /// Of the first ejection.
    pub base_ejection_time: Duration,
    /// Of any.
    pub max_ejection_time: Duration,
    /// Of the routable backends, the one to be ejected included.
    pub max_ejection_percent: u32,
    /// Backends with enough requests to compare success rates.
    pub success_rate_minimum_hosts: u32,
    /// Enough requests, in an interval.
    pub success_rate_request_volume: u32,
    /// Thousandths of the standard deviation; 0 is never.
    pub success_rate_stdev_factor: u32,
    /// Percent of failed requests; 0 is never.
    pub failure_percentage_threshold: u32,
    /// Backends with enough requests.
    pub failure_percentage_minimum_hosts: u32,
    /// Enough requests, in an interval.
    pub failure_percentage_request_volume: u32,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            disabled: false,
            consecutive_5xx: 5,
            consecutive_gateway_failure: 5,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_mins(5),
            max_ejection_percent: 10,
            success_rate_minimum_hosts: 5,
            success_rate_request_volume: 100,
            success_rate_stdev_factor: 1900,
            failure_percentage_threshold: 0,
            failure_percentage_minimum_hosts: 5,
            failure_percentage_request_volume: 50,
        }
    }
}

impl TryFrom<v1::OutlierDetection> for OutlierDetection {
    type Error = Invalid;

    fn try_from(wire: v1::OutlierDetection) -> Result<Self, Invalid> {
        const HOUR: Duration = Duration::from_hours(1);
        let mut d = Self::default();
        d.base_ejection_time = bounded!(wire.base_ejection_time, d, Duration::from_millis(100)..=HOUR)?;
        d.max_ejection_time = d.max_ejection_time.max(d.base_ejection_time);
        Ok(Self {
            disabled: wire.disabled,
            consecutive_5xx: bounded!(wire.consecutive_5xx, d, 0..=1000)?,
            consecutive_gateway_failure: bounded!(wire.consecutive_gateway_failure, d, 0..=1000)?,
            interval: bounded!(wire.interval, d, Duration::from_secs(1)..=HOUR)?,
            base_ejection_time: d.base_ejection_time,
            max_ejection_time: bounded!(wire.max_ejection_time, d, d.base_ejection_time..=DAY)?,
            max_ejection_percent: bounded!(wire.max_ejection_percent, d, 0..=100)?,
            success_rate_minimum_hosts: bounded!(wire.success_rate_minimum_hosts, d, 2..=10_000)?,
            success_rate_request_volume: bounded!(wire.success_rate_request_volume, d, 1..=1_000_000)?,
            success_rate_stdev_factor: bounded!(wire.success_rate_stdev_factor, d, 0..=10_000)?,
            failure_percentage_threshold: bounded!(wire.failure_percentage_threshold, d, 0..=100)?,
            failure_percentage_minimum_hosts: bounded!(wire.failure_percentage_minimum_hosts, d, 1..=10_000)?,
            failure_percentage_request_volume: bounded!(
                wire.failure_percentage_request_volume,
                d,
                1..=1_000_000
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration_to_wire;

    #[test]
    fn the_longest_ejection_is_no_shorter_than_the_first() {
        let times = |base: u64, max: Option<u64>| {
            let time = |seconds| duration_to_wire(Duration::from_secs(seconds));
            let wire = v1::OutlierDetection {
                base_ejection_time: Some(time(base)),
                max_ejection_time: max.map(time),
                ..Default::default()
            };
            OutlierDetection::try_from(wire).map(|o| o.max_ejection_time.as_secs()).map_err(|e| e.to_string())
        };
        assert_eq!((times(30, None), times(600, None), times(600, Some(600))), (Ok(300), Ok(600), Ok(600)));
        assert_eq!(
            times(600, Some(599)),
            Err("max_ejection_time: must be 600s to 86400s, is 599s".to_owned())
        );
    }

    #[test]
    fn zero_means_never_where_it_may_be_said() {
        let wire = v1::OutlierDetection {
            consecutive_5xx: Some(0),
            max_ejection_percent: Some(0),
            success_rate_stdev_factor: Some(0),
            ..Default::default()
        };
        let read = OutlierDetection::try_from(wire).unwrap();
        assert_eq!(
            (read.consecutive_5xx, read.max_ejection_percent, read.success_rate_stdev_factor),
            (0, 0, 0)
        );
        let wire = v1::OutlierDetection { success_rate_minimum_hosts: Some(1), ..Default::default() };
        assert_eq!(
            OutlierDetection::try_from(wire).map_err(|e| e.to_string()),
            Err("success_rate_minimum_hosts: must be 2 to 10000, is 1".to_owned())
        );
    }
}
