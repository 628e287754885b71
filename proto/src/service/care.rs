//! What else a service may want for its requests: see `config.proto`.

use std::{sync::Arc, time::Duration};

use super::DAY;
use crate::{
    Invalid, ServiceName,
    bounds::{at_most, bounded, number, required, status},
    duration::from_wire,
    field, v1,
};

/// The cookie by which clients stay with their backend.
const AFFINITY_COOKIE: &str = "weir_affinity";
/// The longest path of a cookie.
const MAX_COOKIE_PATH: usize = 1024;
/// How long a backend may be new, and how long a hedge or a fault may wait.
const HOUR: Duration = Duration::from_hours(1);

/// A second attempt while the first has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HedgePolicy {
    /// How long the first may take before the second begins.
    pub delay: Duration,
}

/// Trouble on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultInjection {
    /// Percent of the requests that wait, and how long.
    pub delay: Option<(u32, Duration)>,
    /// Percent of the requests that are answered at once, and the status.
    pub abort: Option<(u32, u16)>,
}

/// A copy of requests to another service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// It need not exist.
    pub service: ServiceName,
    /// Percent of the requests.
    pub percent: u32,
}

/// Clients stay with the backend that answered them first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionAffinity {
    /// A token.
    pub cookie_name: Arc<str>,
    /// None: until the client ends.
    pub ttl: Option<Duration>,
    /// Starts with `/`.
    pub path: Arc<str>,
}

/// Less than its share for a backend that is new or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlowStart {
    /// How long.
    pub window: Duration,
    /// In thousandths: 1,000 is a line.
    pub aggression: u32,
    /// Percent of the share that it begins with.
    pub min_weight_percent: u32,
}

/// Backends of the proxy's own zone first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ZoneAware {
    /// Routable ones in the zone, or zones do not matter.
    pub min_backends: u32,
}

impl TryFrom<v1::HedgePolicy> for HedgePolicy {
    type Error = Invalid;

    fn try_from(wire: v1::HedgePolicy) -> Result<Self, Invalid> {
        Ok(Self { delay: required("delay", wire.delay, Duration::from_millis(1)..=HOUR)? })
    }
}

impl TryFrom<v1::FaultInjection> for FaultInjection {
    type Error = Invalid;

    /// A share of 0 keeps what is said beside it, and does nothing.
    fn try_from(wire: v1::FaultInjection) -> Result<Self, Invalid> {
        let share = |field, percent| number(field, Some(percent), 0, 0, 100);
        let delay = match share("delay_percent", wire.delay_percent)? {
            0 if wire.delay.is_none() => None,
            percent => {
                let delay = required("delay", wire.delay, Duration::from_millis(1)..=HOUR)?;
                (percent > 0).then_some((percent, delay))
            }
        };
        let abort = match share("abort_percent", wire.abort_percent)? {
            0 if wire.abort_status == 0 => None,
            _ if wire.abort_status == 0 => return Err(Invalid::new("abort_status", "is missing")),
            percent => {
                let status = status("abort_status", wire.abort_status, 200..=599)?;
                (percent > 0).then_some((percent, status))
            }
        };
        Ok(Self { delay, abort })
    }
}

impl TryFrom<v1::Mirror> for Mirror {
    type Error = Invalid;

    fn try_from(wire: v1::Mirror) -> Result<Self, Invalid> {
        Ok(Self {
            service: ServiceName::try_from(wire.service.as_str()).map_err(|e| e.within("service"))?,
            percent: number("percent", wire.percent, 100, 0, 100)?,
        })
    }
}

impl TryFrom<v1::SessionAffinity> for SessionAffinity {
    type Error = Invalid;

    fn try_from(wire: v1::SessionAffinity) -> Result<Self, Invalid> {
        let name = if wire.cookie_name.is_empty() { AFFINITY_COOKIE } else { &wire.cookie_name };
        let ttl = from_wire("ttl", wire.ttl, Duration::ZERO, Duration::ZERO, 366 * DAY)?;
        let path = if wire.path.is_empty() { "/" } else { &wire.path };
        Ok(Self {
            cookie_name: field::token(name).map_err(|e| e.within("cookie_name"))?,
            ttl: (ttl > Duration::ZERO).then_some(ttl),
            path: cookie_path(path).map_err(|e| e.within("path"))?,
        })
    }
}

impl TryFrom<v1::SlowStart> for SlowStart {
    type Error = Invalid;

    fn try_from(wire: v1::SlowStart) -> Result<Self, Invalid> {
        let aggression = wire.aggression.unwrap_or(1.0);
        if !(0.1..=10.0).contains(&aggression) {
            return Err(Invalid::new("aggression", format_args!("must be 0.1 to 10, is {aggression}")));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 100 to 10,000")]
        let aggression = (aggression * 1000.0).round() as u32;
        Ok(Self {
            window: required("window", wire.window, Duration::from_millis(100)..=HOUR)?,
            aggression,
            min_weight_percent: number("min_weight_percent", wire.min_weight_percent, 10, 1, 100)?,
        })
    }
}

impl Default for ZoneAware {
    fn default() -> Self {
        Self { min_backends: 1 }
    }
}

impl TryFrom<v1::ZoneAware> for ZoneAware {
    type Error = Invalid;

    fn try_from(wire: v1::ZoneAware) -> Result<Self, Invalid> {
        let d = Self::default();
        Ok(Self { min_backends: bounded!(wire.min_backends, d, 1..=10_000)? })
    }
}

/// The path of a cookie: RFC 6265 section 4.1.1, and without blanks.
fn cookie_path(text: &str) -> Result<Arc<str>, Invalid> {
    if !text.starts_with('/') {
        return Err(Invalid::new("", format_args!("must start with /, {text:?} does not")));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || *c == ';') {
        return Err(Invalid::new("", format_args!("must not contain {bad:?}")));
    }
    at_most(text, MAX_COOKIE_PATH)?;
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration_to_wire;

    const SECOND: Duration = Duration::from_secs(1);

    fn reason<W, T: TryFrom<W, Error = Invalid> + std::fmt::Debug>(wire: W) -> String {
        T::try_from(wire).unwrap_err().to_string()
    }

    #[test]
    fn a_fault_needs_what_it_is() {
        let wire = |delay_percent, delay: Option<Duration>, abort_percent, abort_status| {
            let delay = delay.map(duration_to_wire);
            v1::FaultInjection { delay_percent, delay, abort_percent, abort_status }
        };
        let fault = |delay, abort| Ok(FaultInjection { delay, abort });
        assert_eq!(FaultInjection::try_from(wire(0, None, 0, 0)), fault(None, None));
        assert_eq!(FaultInjection::try_from(wire(0, Some(SECOND), 0, 503)), fault(None, None));
        assert_eq!(
            FaultInjection::try_from(wire(1, Some(SECOND), 100, 599)),
            fault(Some((1, SECOND)), Some((100, 599)))
        );
        let reason = reason::<_, FaultInjection>;
        assert_eq!(reason(wire(1, None, 0, 0)), "delay: is missing");
        assert_eq!(reason(wire(0, Some(2 * HOUR), 0, 0)), "delay: must be 1ms to 3600s, is 7200s");
        assert_eq!(reason(wire(0, None, 1, 0)), "abort_status: is missing");
        assert_eq!(reason(wire(0, None, 1, 199)), "abort_status: must be 200 to 599, is 199");
        assert_eq!(reason(wire(101, None, 0, 0)), "delay_percent: must be 0 to 100, is 101");
        assert_eq!(reason(wire(0, None, 101, 0)), "abort_percent: must be 0 to 100, is 101");
    }

    #[test]
    fn what_has_no_default_must_be_said() {
        assert_eq!(reason::<_, HedgePolicy>(v1::HedgePolicy::default()), "delay: is missing");
        assert_eq!(reason::<_, SlowStart>(v1::SlowStart::default()), "window: is missing");
        assert_eq!(reason::<_, Mirror>(v1::Mirror::default()), "service: must not be empty");
    }

    #[test]
    fn the_start_is_slow_in_thousandths() {
        let wire = |aggression| v1::SlowStart {
            window: Some(duration_to_wire(SECOND)),
            aggression,
            ..Default::default()
        };
        let start = |aggression| Ok(SlowStart { window: SECOND, aggression, min_weight_percent: 10 });
        assert_eq!(SlowStart::try_from(wire(None)), start(1000));
        assert_eq!(SlowStart::try_from(wire(Some(0.1))), start(100));
        assert_eq!(SlowStart::try_from(wire(Some(10.0))), start(10_000));
        for bad in [0.0, 0.09, 10.01, -1.0, f64::NAN, f64::INFINITY] {
            let reason = reason::<_, SlowStart>(wire(Some(bad)));
            assert!(reason.starts_with("aggression: must be 0.1 to 10, is "), "{reason}");
        }
    }

    #[test]
    fn a_cookie_says_no_more_than_its_attributes() {
        let affinity = |cookie_name: &str, path: &str| {
            let (cookie_name, path) = (cookie_name.to_owned(), path.to_owned());
            SessionAffinity::try_from(v1::SessionAffinity { cookie_name, ttl: None, path })
        };
        let default = SessionAffinity { cookie_name: AFFINITY_COOKIE.into(), ttl: None, path: "/".into() };
        assert_eq!(affinity("", ""), Ok(default));
        assert!(affinity("Sid", "/shop").is_ok());
        for (name, path) in [("a b", "/"), ("a=b", "/"), ("a", "shop"), ("a", "/;Secure"), ("a", "/\r\n")] {
            assert!(affinity(name, path).is_err(), "{name:?} {path:?}");
        }
    }
}
