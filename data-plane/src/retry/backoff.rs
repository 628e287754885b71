//! How long to wait before a retry: exponential, with full jitter, and never less than the backend asked for.
//! ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015.)

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};
use tokio::time::Duration;
use weir_proto::RetryPolicy;

use crate::message::{Fields, Name};

/// The dates of RFC 9110 section 5.6.7: the one that is sent, and two that are obsolete and still understood.
const DATES: [&str; 3] = ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];

/// The pause before the retry that `retries` others went before; none if no time would be `left` after it. Where the
/// backend asked for a pause, the jitter comes on top: whoever was told the same does not come back at once.
pub(crate) fn pause(
    policy: &RetryPolicy,
    retries: u32,
    retry_after: Option<Duration>,
    left: Duration,
) -> Option<Duration> {
    let jitter = ceiling(policy, retries).mul_f64(fastrand::f64());
    let pause = retry_after.unwrap_or_default().saturating_add(jitter);
    (pause < left).then_some(pause)
}

/// What the backend asked for with `Retry-After` (RFC 9110 section 10.2.3). A time that has passed is no pause; what is
/// neither seconds nor a date says nothing.
pub(crate) fn retry_after(fields: &Fields) -> Option<Duration> {
    let value = std::str::from_utf8(fields.get(Name::RetryAfter)?).ok()?;
    until(value, Timestamp::now())
}

fn ceiling(policy: &RetryPolicy, retries: u32) -> Duration {
    policy.base_interval.saturating_mul(2_u32.saturating_pow(retries)).min(policy.max_interval)
}

fn until(value: &str, now: Timestamp) -> Option<Duration> {
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // What does not fit is longer than anybody waits.
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let civil = DATES.iter().find_map(|format| DateTime::strptime(format, value).ok())?;
    let date = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FAR: Duration = Duration::from_hours(1);

    #[test]
    fn the_ceiling_doubles_from_the_base_to_the_most() {
        let policy = RetryPolicy::default();
        let ceilings: Vec<_> = (0..6).map(|n| ceiling(&policy, n).as_millis()).collect();
        assert_eq!(ceilings, [25, 50, 100, 200, 250, 250]);
    }

    #[test]
    fn jitter_is_full() {
        let pauses: Vec<_> = (0..1000).filter_map(|_| pause(&RetryPolicy::default(), 9, None, FAR)).collect();
        assert_eq!(pauses.len(), 1000);
        assert!(pauses.iter().any(|pause| pause.as_millis() < 25), "some are short");
        assert!(pauses.iter().any(|pause| pause.as_millis() > 225), "some are long");
    }

    #[test]
    fn seconds_and_dates_are_understood() {
        let now = "1994-11-06T08:49:30Z".parse().unwrap();
        for (value, expected) in [
            ("0", Some(0)),
            ("120", Some(120)),
            ("00007", Some(7)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", Some(7)),
            ("Sun Nov  6 08:49:37 1994", Some(7)),
            ("Sun, 06 Nov 1994 08:49:29 GMT", Some(0)),
            ("Sun, 31 Dec 0000 23:59:59 GMT", Some(0)),
            ("", None),
            ("-1", None),
            ("+1", None),
            ("1.5", None),
            ("1, 2", None),
            ("soon", None),
            ("Mon, 06 Nov 1994 08:49:37 GMT", None),
            ("Sun, 06 Nov 1994 08:49:37 CET", None),
        ] {
            assert_eq!(until(value, now), expected.map(Duration::from_secs), "{value:?}");
        }
        assert_eq!(until("99999999999999999999999", now), Some(Duration::MAX));
    }

    #[test]
    fn the_field_of_an_answer_is_read() {
        let mut fields = Fields::default();
        assert_eq!(retry_after(&fields), None);
        fields.push(Name::RetryAfter, b"3");
        assert_eq!(retry_after(&fields), Some(Duration::from_secs(3)));
    }

    proptest! {
        #[test]
        fn a_pause_is_within_all_bounds(
            base in 1_u64..60_000, more in 0_u64..600_000, retries: u32, asked: Option<u32>, left in 0_u64..100_000,
        ) {
            let policy = RetryPolicy {
                base_interval: Duration::from_millis(base),
                max_interval: Duration::from_millis(base + more),
                ..RetryPolicy::default()
            };
            let asked = asked.map(|millis| Duration::from_millis(u64::from(millis)));
            let least = asked.unwrap_or_default();
            let left = Duration::from_millis(left);
            match pause(&policy, retries, asked, left) {
                Some(pause) => prop_assert!((least..=least + policy.max_interval).contains(&pause) && pause < left),
                None => prop_assert!(least + policy.max_interval >= left),
            }
        }

        #[test]
        fn no_value_panics(value: String, seconds in -377_705_116_800_i64..=253_402_207_200) {
            until(&value, Timestamp::from_second(seconds).unwrap_or(Timestamp::MIN));
        }

        #[test]
        fn every_date_that_is_sent_is_understood(seconds in 0_i64..=253_402_207_200) {
            let date = Timestamp::from_second(seconds).unwrap();
            let value = date.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
            let expected = Duration::from_secs(seconds.try_into().unwrap());
            prop_assert_eq!(until(&value, Timestamp::UNIX_EPOCH), Some(expected), "{}", value);
        }
    }
}
