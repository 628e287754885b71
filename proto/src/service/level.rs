//! What a proxy must know to do a service justice: `Object.level` in `object.proto`.

use super::{RetryOn, RetryPolicy, Service, ServiceProtocol, Timeouts};

/// What proxies of level 2 knew.
const RETRY_ON: [RetryOn; 3] =
    [RetryOn::ConnectFailure, RetryOn::RefusedStream, RetryOn::ResetBeforeResponse];

impl Service {
    /// The level of the contract that an object with this service needs. A setting that is spelled out as its default
    /// needs no more than one that is absent.
    #[must_use]
    pub fn level(&self) -> u32 {
        if *self != self.as_of_level_2() {
            3
        } else if self.tls.is_some() || self.protocol == ServiceProtocol::Http2 {
            2
        } else {
            1
        }
    }

    /// What a proxy of level 2 would make of it.
    fn as_of_level_2(&self) -> Self {
        let (timeouts, retry) = (&self.timeouts, &self.retry_policy);
        let known =
            retry.retry_on == RetryOn::DEFAULT || retry.retry_on.iter().all(|on| RETRY_ON.contains(on));
        Self {
            timeouts: Timeouts {
                connect: timeouts.connect,
                request: timeouts.request,
                body_idle: timeouts.body_idle,
                connection_idle: timeouts.connection_idle,
                ..Timeouts::default()
            },
            retry_policy: RetryPolicy {
                num_retries: retry.num_retries,
                retry_on: if known { retry.retry_on.clone() } else { RetryOn::DEFAULT.to_vec() },
                ..RetryPolicy::default()
            },
            protocol: self.protocol,
            tls: self.tls.clone(),
            ..Self::with_defaults(self.name.clone())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::{duration_to_wire, v1};

    fn level(change: impl FnOnce(&mut v1::Service)) -> u32 {
        let mut wire = v1::Service { name: "web".into(), ..Default::default() };
        change(&mut wire);
        Service::try_from(wire).unwrap().level()
    }

    #[test]
    fn an_older_proxy_must_not_speak_in_the_clear_to_who_speaks_tls() {
        assert_eq!(level(|_| ()), 1);
        assert_eq!(level(|wire| wire.protocol = v1::ServiceProtocol::Http1 as i32), 1);
        assert_eq!(level(|wire| wire.protocol = v1::ServiceProtocol::Http2 as i32), 2);
        assert_eq!(level(|wire| wire.tls = Some(v1::ServiceTls::default())), 2);
    }

    #[test]
    fn an_older_proxy_must_not_ignore_what_it_does_not_know() {
        let second = || Some(duration_to_wire(Duration::from_secs(1)));
        let policy = |policy| Some(v1::LbPolicy { policy: Some(policy) });
        let changes: [fn(&mut v1::Service); 10] = [
            |wire| wire.adaptive_concurrency = Some(v1::AdaptiveConcurrency::default()),
            |wire| wire.rate_limits = vec![v1::RateLimit { requests: 1, ..Default::default() }],
            |wire| wire.session_affinity = Some(v1::SessionAffinity::default()),
            |wire| wire.zone_aware = Some(v1::ZoneAware::default()),
            |wire| wire.fault_injection = Some(v1::FaultInjection::default()),
            |wire| wire.healthy_panic_threshold = Some(0),
            |wire| wire.overprovisioning_factor = Some(100),
            |wire| {
                wire.response_limits =
                    Some(v1::ResponseLimits { max_headers: Some(1), ..Default::default() });
            },
            |wire| wire.retry_policy = Some(v1::RetryPolicy { retry_on: vec![4], ..Default::default() }),
            |wire| wire.mirror = Some(v1::Mirror { service: "shadow".into(), percent: None }),
        ];
        for (i, change) in changes.into_iter().enumerate() {
            assert_eq!(level(change), 3, "{i}");
        }
        let disabled = || v1::OutlierDetection { disabled: true, ..Default::default() };
        assert_eq!(level(|wire| wire.outlier_detection = Some(disabled())), 3);
        let one = || v1::CircuitBreakers { max_requests: Some(1), ..Default::default() };
        assert_eq!(level(|wire| wire.circuit_breakers = Some(one())), 3);
        let tcp = v1::health_check::Probe::Tcp(v1::TcpProbe {});
        assert_eq!(
            level(|wire| wire.health_check = Some(v1::HealthCheck { probe: Some(tcp), ..Default::default() })),
            3
        );
        assert_eq!(level(|wire| wire.lb_policy = policy(v1::lb_policy::Policy::Random(v1::Random {}))), 3);
        assert_eq!(
            level(|wire| wire.timeouts = Some(v1::Timeouts { per_try: second(), ..Default::default() })),
            3
        );
        assert_eq!(
            level(|wire| {
                wire.protocol = v1::ServiceProtocol::Http2 as i32;
                wire.slow_start = Some(v1::SlowStart { window: second(), ..Default::default() });
            }),
            3
        );
    }

    #[test]
    fn a_default_that_is_spelled_out_says_nothing() {
        assert_eq!(
            level(|wire| {
                wire.outlier_detection = Some(v1::OutlierDetection::default());
                wire.circuit_breakers =
                    Some(v1::CircuitBreakers { max_requests: Some(1024), ..Default::default() });
                wire.healthy_panic_threshold = Some(50);
                wire.lb_policy =
                    Some(v1::LbPolicy { policy: Some(v1::lb_policy::Policy::RoundRobin(v1::RoundRobin {})) });
            }),
            1
        );
    }

    proptest! {
        /// Whatever a service of level 2 could say, a proxy of level 2 still gets it.
        #[test]
        fn a_service_that_says_nothing_new_stays_at_its_old_level(
            times in prop::collection::vec(prop::option::of(1u64..86_400_000), 4),
            num_retries in prop::option::of(0u32..=10),
            retry_on in prop::collection::vec(1i32..=3, 0..5),
            http2: bool,
            tls: bool,
        ) {
            let time = |i: usize| times[i].map(|millis| duration_to_wire(Duration::from_millis(millis)));
            let old = level(|wire| {
                wire.timeouts = Some(v1::Timeouts {
                    connect: time(0),
                    request: time(1),
                    body_idle: time(2),
                    connection_idle: time(3),
                    ..Default::default()
                });
                wire.retry_policy = Some(v1::RetryPolicy { num_retries, retry_on, ..Default::default() });
                wire.protocol = if http2 { 2 } else { 0 };
                wire.tls = tls.then(v1::ServiceTls::default);
            });
            prop_assert_eq!(old, if http2 || tls { 2 } else { 1 });
        }
    }
}
