//! A service and its policy: see `config.proto`.

mod care;
mod hash_key;
mod health_check;
mod lb_policy;
mod level;
mod limits;
mod outlier_detection;
mod response_limits;
mod retry;
mod tables;
mod timeouts;

use std::time::Duration;

pub(crate) use self::limits::rate_limits;
pub use self::{
    care::{FaultInjection, HedgePolicy, Mirror, SessionAffinity, SlowStart, ZoneAware},
    hash_key::HashKey,
    health_check::{HealthCheck, HttpProbe, Probe},
    lb_policy::{LbPolicy, LeastRequest, Maglev, PeakEwma, ReportedLoad, RingHash},
    limits::{AdaptiveConcurrency, CircuitBreakers, RateLimit, RateLimitKey},
    outlier_detection::OutlierDetection,
    response_limits::ResponseLimits,
    retry::{RetryOn, RetryPolicy},
    tables::{DEFAULT_LOOKUP_TABLE_MEMORY, rate_limit_bytes, tables_warning},
    timeouts::Timeouts,
};
use crate::{
    Invalid, ServiceName, ServiceTls,
    bounds::{bounded, nested},
    v1,
};

const DAY: Duration = Duration::from_hours(24);

/// A named set of backends, and how to treat them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Unique among services.
    pub name: ServiceName,
    /// How to choose among the backends.
    pub lb_policy: LbPolicy,
    /// How long to wait for them.
    pub timeouts: Timeouts,
    /// When to try another.
    pub retry_policy: RetryPolicy,
    /// What the backends speak.
    pub protocol: ServiceProtocol,
    /// How TLS is spoken to them; in the clear without it.
    pub tls: Option<ServiceTls>,
    /// How they are probed; not at all without it.
    pub health_check: Option<HealthCheck>,
    /// When they are ejected.
    pub outlier_detection: OutlierDetection,
    /// How much may be under way.
    pub circuit_breakers: CircuitBreakers,
    /// How much may be under way is found by latency too.
    pub adaptive_concurrency: Option<AdaptiveConcurrency>,
    /// A request must be within all of them.
    pub rate_limits: Vec<RateLimit>,
    /// A second attempt while the first has not answered.
    pub hedge_policy: Option<HedgePolicy>,
    /// Trouble on purpose.
    pub fault_injection: Option<FaultInjection>,
    /// A copy to another service.
    pub mirror: Option<Mirror>,
    /// Whether clients stay with their backend.
    pub session_affinity: Option<SessionAffinity>,
    /// Less than its share for a backend that is new or back.
    pub slow_start: Option<SlowStart>,
    /// Whether the proxy's own zone comes first.
    pub zone_aware: Option<ZoneAware>,
    /// Percent of usable backends below which all are used.
    pub healthy_panic_threshold: u32,
    /// Percent; see `config.proto`.
    pub overprovisioning_factor: u32,
    /// How large answers may be, apart from their bodies.
    pub response_limits: ResponseLimits,
}

impl Service {
    /// The service that a first registration makes: everything by default.
    #[must_use]
    pub fn with_defaults(name: ServiceName) -> Self {
        Self {
            name,
            lb_policy: LbPolicy::default(),
            timeouts: Timeouts::default(),
            retry_policy: RetryPolicy::default(),
            protocol: ServiceProtocol::default(),
            tls: None,
            health_check: None,
            outlier_detection: OutlierDetection::default(),
            circuit_breakers: CircuitBreakers::default(),
            adaptive_concurrency: None,
            rate_limits: Vec::new(),
            hedge_policy: None,
            fault_injection: None,
            mirror: None,
            session_affinity: None,
            slow_start: None,
            zone_aware: None,
            healthy_panic_threshold: 50,
            overprovisioning_factor: 140,
            response_limits: ResponseLimits::default(),
        }
    }
}

/// Which version of HTTP backends speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ServiceProtocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2.
    Http2,
}

impl TryFrom<v1::Service> for Service {
    type Error = Invalid;

    fn try_from(wire: v1::Service) -> Result<Self, Invalid> {
        let d = Self::with_defaults(ServiceName::try_from(wire.name.as_str()).map_err(|e| e.within("name"))?);
        let mirror: Option<Mirror> = nested!(wire.mirror)?;
        if mirror.as_ref().is_some_and(|mirror| mirror.service == d.name) {
            return Err(Invalid::new(
                "mirror.service",
                "must be another service than the one that is mirrored",
            ));
        }
        Ok(Self {
            lb_policy: nested!(wire.lb_policy)?.unwrap_or_default(),
            timeouts: nested!(wire.timeouts)?.unwrap_or_default(),
            retry_policy: nested!(wire.retry_policy)?.unwrap_or_default(),
            protocol: ServiceProtocol::try_from(wire.protocol).map_err(|e| e.within("protocol"))?,
            tls: nested!(wire.tls)?,
            health_check: nested!(wire.health_check)?,
            outlier_detection: nested!(wire.outlier_detection)?.unwrap_or_default(),
            circuit_breakers: nested!(wire.circuit_breakers)?.unwrap_or_default(),
            adaptive_concurrency: nested!(wire.adaptive_concurrency)?,
            rate_limits: rate_limits(wire.rate_limits)?,
            hedge_policy: nested!(wire.hedge_policy)?,
            fault_injection: nested!(wire.fault_injection)?,
            mirror,
            session_affinity: nested!(wire.session_affinity)?,
            slow_start: nested!(wire.slow_start)?,
            zone_aware: nested!(wire.zone_aware)?,
            healthy_panic_threshold: bounded!(wire.healthy_panic_threshold, d, 0..=100)?,
            overprovisioning_factor: bounded!(wire.overprovisioning_factor, d, 100..=1000)?,
            response_limits: nested!(wire.response_limits)?.unwrap_or_default(),
            name: d.name,
        })
    }
}

impl TryFrom<i32> for ServiceProtocol {
    type Error = Invalid;

    fn try_from(wire: i32) -> Result<Self, Invalid> {
        match v1::ServiceProtocol::try_from(wire) {
            Ok(v1::ServiceProtocol::Unspecified) => Ok(Self::default()),
            Ok(v1::ServiceProtocol::Http1) => Ok(Self::Http1),
            Ok(v1::ServiceProtocol::Http2) => Ok(Self::Http2),
            Err(_) => Err(Invalid::new("", format_args!("must be HTTP1 or HTTP2, not {wire}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(change: impl FnOnce(&mut v1::Service)) -> Result<Service, Invalid> {
        let mut wire = v1::Service { name: "web".into(), ..Default::default() };
        change(&mut wire);
        Service::try_from(wire)
    }

    #[test]
    fn what_is_absent_has_its_default() {
        let name = ServiceName::try_from("web").unwrap();
        assert_eq!(parse(|_| ()), Ok(Service::with_defaults(name)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let reason = |change: fn(&mut v1::Service)| parse(change).unwrap_err().to_string();
        assert_eq!(reason(|wire| wire.protocol = 9), "protocol: must be HTTP1 or HTTP2, not 9");
        assert_eq!(
            reason(|wire| wire.overprovisioning_factor = Some(99)),
            "overprovisioning_factor: must be 100 to 1000, is 99"
        );
        assert_eq!(
            reason(|wire| wire.healthy_panic_threshold = Some(101)),
            "healthy_panic_threshold: must be 0 to 100, is 101"
        );
        let ca_file = || "clients.pem".to_owned();
        let relative = move |wire: &mut v1::Service| {
            wire.tls = Some(v1::ServiceTls { ca_file: ca_file(), ..Default::default() });
        };
        assert!(
            parse(relative).unwrap_err().to_string().starts_with("tls.ca_file: must be an absolute path")
        );
    }

    #[test]
    fn a_path_leads_to_what_is_wrong_however_deep() {
        let policy = v1::lb_policy::Policy::RingHash(v1::RingHash {
            hash_keys: vec![
                v1::HashKey { key: Some(v1::hash_key::Key::Path(true)) },
                v1::HashKey { key: Some(v1::hash_key::Key::Header("a b".into())) },
            ],
            ..Default::default()
        });
        let refusal = parse(|wire| wire.lb_policy = Some(v1::LbPolicy { policy: Some(policy) })).unwrap_err();
        assert_eq!(refusal.field, "lb_policy.ring_hash.hash_keys[1].header");
        let probe = v1::health_check::Probe::Http(v1::HttpProbe { path: "x".into(), ..Default::default() });
        let check = v1::HealthCheck { probe: Some(probe), ..Default::default() };
        assert_eq!(
            parse(|wire| wire.health_check = Some(check)).unwrap_err().field,
            "health_check.http.path"
        );
        let refusal = parse(|wire| wire.rate_limits = vec![v1::RateLimit::default()]).unwrap_err();
        assert_eq!(refusal.field, "rate_limits[0].requests");
        let refusal = parse(|wire| wire.slow_start = Some(v1::SlowStart::default())).unwrap_err();
        assert_eq!(refusal.field, "slow_start.window");
    }

    #[test]
    fn a_service_is_not_its_own_mirror() {
        let mirror = |service: &str| {
            parse(|wire| wire.mirror = Some(v1::Mirror { service: service.into(), percent: None }))
        };
        assert_eq!(mirror("shadow").unwrap().mirror.unwrap().percent, 100);
        assert_eq!(mirror("web").unwrap_err().field, "mirror.service");
    }
}
