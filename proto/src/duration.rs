//! Durations on the wire and their bounds.

use std::time::Duration;

use crate::Invalid;

/// As it is written in messages. Longer than 292 years is cut to that.
#[must_use]
pub fn to_wire(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0),
    }
}

/// A duration that a peer gave; none if it is negative. Not by prost's own conversion: it panics on the least number of
/// seconds that there is.
#[must_use]
pub fn read(wire: prost_types::Duration) -> Option<Duration> {
    let (seconds, nanos) = (u64::try_from(wire.seconds).ok()?, u32::try_from(wire.nanos).ok()?);
    Some(Duration::new(seconds, nanos))
}

/// The duration in `field`; an absent one has the default.
pub fn from_wire(
    field: &str,
    wire: Option<prost_types::Duration>,
    default: Duration,
    least: Duration,
    most: Duration,
) -> Result<Duration, Invalid> {
    let Some(wire) = wire else { return Ok(default) };
    let duration = read(wire).ok_or_else(|| Invalid::new(field, "must not be negative"))?;
    if duration < least || duration > most {
        let reason = format!("must be {least:?} to {most:?}, is {duration:?}");
        return Err(Invalid::new(field, reason));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_a_peer_gives_is_read_without_a_panic() {
        let read = |seconds, nanos| read(prost_types::Duration { seconds, nanos });
        assert_eq!(read(1, 500_000_000), Some(Duration::from_millis(1500)));
        assert_eq!(read(-1, 0), None);
        assert_eq!(read(i64::MIN, i32::MIN), None);
        assert!(read(i64::MAX, i32::MAX).is_some());
    }

    #[test]
    fn bounds_hold_and_absence_is_the_default() {
        let parse = |wire| from_wire("ttl", wire, 2 * SECOND, SECOND, 3 * SECOND);
        assert_eq!(parse(None), Ok(2 * SECOND));
        assert_eq!(parse(Some(to_wire(3 * SECOND))), Ok(3 * SECOND));
        assert_eq!(parse(Some(to_wire(4 * SECOND))), Err(Invalid::new("ttl", "must be 1s to 3s, is 4s")));
        for (seconds, nanos) in [(-1, 0), (0, -1), (i64::MIN, 0), (i64::MIN, i32::MIN)] {
            let negative = prost_types::Duration { seconds, nanos };
            assert_eq!(parse(Some(negative)), Err(Invalid::new("ttl", "must not be negative")));
        }
        let endless = prost_types::Duration { seconds: i64::MAX, nanos: i32::MAX };
        assert!(parse(Some(endless)).is_err());
    }
}
