//! What people want to know of a service first: how it is balanced and probed, and what else is not left to its default.

use weir_proto::{Probe, Service, v1};

/// A service in a few words.
pub(super) struct Summary {
    /// The policy's name.
    pub(super) policy: &'static str,
    /// What its backends are probed by.
    pub(super) health_check: &'static str,
    /// The other settings that say something.
    pub(super) settings: String,
}

impl Summary {
    /// None if the service says what only a newer version understands.
    pub(super) fn of(wire: &v1::Service) -> Option<Self> {
        let service = Service::try_from(wire.clone()).ok()?;
        let health_check = match service.health_check.as_ref().map(|check| &check.probe) {
            None => "none",
            Some(Probe::Http(_)) => "http",
            Some(Probe::Tcp) => "tcp",
            Some(Probe::Grpc { .. }) => "grpc",
        };
        let policy = service.lb_policy.as_str();
        Some(Self { policy, health_check, settings: settings(&service).join(" ") })
    }
}

/// A setting that is spelled out as its default is none.
fn settings(service: &Service) -> Vec<&'static str> {
    let default = Service::with_defaults(service.name.clone());
    let all = [
        ("timeouts", service.timeouts != default.timeouts),
        ("retry_policy", service.retry_policy != default.retry_policy),
        ("protocol", service.protocol != default.protocol),
        ("tls", service.tls != default.tls),
        ("outlier_detection", service.outlier_detection != default.outlier_detection),
        ("circuit_breakers", service.circuit_breakers != default.circuit_breakers),
        ("adaptive_concurrency", service.adaptive_concurrency != default.adaptive_concurrency),
        ("rate_limits", service.rate_limits != default.rate_limits),
        ("hedge_policy", service.hedge_policy != default.hedge_policy),
        ("fault_injection", service.fault_injection != default.fault_injection),
        ("mirror", service.mirror != default.mirror),
        ("session_affinity", service.session_affinity != default.session_affinity),
        ("slow_start", service.slow_start != default.slow_start),
        ("zone_aware", service.zone_aware != default.zone_aware),
        ("healthy_panic_threshold", service.healthy_panic_threshold != default.healthy_panic_threshold),
        ("overprovisioning_factor", service.overprovisioning_factor != default.overprovisioning_factor),
        ("response_limits", service.response_limits != default.response_limits),
    ];
    all.into_iter().filter(|(_, differs)| *differs).map(|(name, _)| name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(change: impl FnOnce(&mut v1::Service)) -> Option<[String; 3]> {
        let mut wire = v1::Service { name: "web".to_owned(), ..Default::default() };
        change(&mut wire);
        Summary::of(&wire).map(|s| [s.policy.to_owned(), s.health_check.to_owned(), s.settings])
    }

    #[test]
    fn only_what_differs_from_its_default_is_named() {
        let said = |words: [&str; 3]| Some(words.map(str::to_owned));
        assert_eq!(words(|_| ()), said(["round_robin", "none", ""]));
        let some = words(|wire| {
            let policy = v1::lb_policy::Policy::LeastRequest(v1::LeastRequest::default());
            wire.lb_policy = Some(v1::LbPolicy { policy: Some(policy) });
            let probe = Some(v1::health_check::Probe::Tcp(v1::TcpProbe {}));
            wire.health_check = Some(v1::HealthCheck { probe, ..Default::default() });
            wire.circuit_breakers =
                Some(v1::CircuitBreakers { max_requests: Some(1024), ..Default::default() });
            wire.retry_policy = Some(v1::RetryPolicy { num_retries: Some(2), ..Default::default() });
            wire.zone_aware = Some(v1::ZoneAware::default());
        });
        assert_eq!(some, said(["least_request", "tcp", "retry_policy zone_aware"]));
    }

    #[test]
    fn what_a_newer_version_says_is_not_guessed_at() {
        assert_eq!(words(|wire| wire.lb_policy = Some(v1::LbPolicy { policy: None })), None);
    }
}
