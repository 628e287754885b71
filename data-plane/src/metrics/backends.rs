//! How the backends of each service are, counted when somebody asks.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use weir_proto::{LeaseState, OperatorState};

use crate::{
    endpoint::Marks,
    table::{Member, ServiceEntry, SharedTable},
};

/// Reads the marks where they are kept. The number of series grows with the services, not with the backends.
#[derive(Debug)]
pub(crate) struct Backends {
    pub(crate) table: Arc<SharedTable>,
}

/// What a backend counts as.
const STATES: [&str; 8] =
    ["expired", "disabled", "draining", "ejected", "unhealthy", "unknown", "degraded", "healthy"];

impl Collector for Backends {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let table = self.table.load();
        let mut services: Vec<_> = table.iter().flat_map(|table| &table.services).collect();
        services.sort_unstable_by_key(|(name, _)| name.as_str());

        let help = "Backends, each in the first of its states that keeps requests away";
        let mut backends = to.encode_descriptor("backends", help, None, MetricType::Gauge)?;
        for (name, entry) in &services {
            for (state, count) in STATES.into_iter().zip(count(entry)) {
                backends
                    .encode_family(&[("service", name.as_str()), ("state", state)])?
                    .encode_gauge(&count)?;
            }
        }
        let help = "1 while too few backends are usable, so that health and ejection are ignored";
        let mut panic = to.encode_descriptor("service_panic", help, None, MetricType::Gauge)?;
        for (name, entry) in &services {
            let now = u64::from(entry.balance.is_panicking());
            panic.encode_family(&[("service", name.as_str())])?.encode_gauge(&now)?;
        }
        let help = "Backends ejected for what requests met";
        let mut ejections = to.encode_descriptor("ejections", help, None, MetricType::Counter)?;
        for (name, entry) in &services {
            for (cause, count) in entry.live.ejections().by_cause() {
                ejections
                    .encode_family(&[("service", name.as_str()), ("reason", cause.code())])?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Probes of backends, by what came of them";
        let mut probes = to.encode_descriptor("health_checks", help, None, MetricType::Counter)?;
        for (name, entry) in services.iter().filter(|(_, entry)| entry.service.health_check.is_some()) {
            for (outcome, count) in entry.live.probes().by_outcome() {
                probes
                    .encode_family(&[("service", name.as_str()), ("outcome", outcome)])?
                    .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
            }
        }
        let help = "Failures that would have ejected, had not as many backends been out as may be";
        let mut prevented = to.encode_descriptor("ejections_prevented", help, None, MetricType::Counter)?;
        for (name, entry) in &services {
            prevented
                .encode_family(&[("service", name.as_str())])?
                .encode_counter::<NoLabelSet, _, u64>(&entry.live.ejections().total_prevented(), None)?;
        }
        Ok(())
    }
}

fn count(entry: &ServiceEntry) -> [u64; STATES.len()] {
    let mut counts = [0; STATES.len()];
    for state in entry.members.values().map(state) {
        for (count, _) in counts.iter_mut().zip(STATES).filter(|(_, each)| *each == state) {
            *count += 1;
        }
    }
    counts
}

/// The first state that is true of a backend.
fn state(Member { backend, endpoint }: &Member) -> &'static str {
    let marks = endpoint.marks();
    match (backend.lease_state, backend.operator_state) {
        (LeaseState::Expired, _) => "expired",
        (_, OperatorState::Disabled) => "disabled",
        (_, OperatorState::Draining) => "draining",
        _ if marks.has(Marks::EJECTED) => "ejected",
        _ if marks.has(Marks::UNHEALTHY) => "unhealthy",
        _ if marks.has(Marks::UNKNOWN) => "unknown",
        _ if marks.has(Marks::DEGRADED) => "degraded",
        _ => "healthy",
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use weir_proto::{Backend, Service, ServiceName, v1};

    use super::*;

    #[test]
    fn every_backend_counts_once() {
        let states = [v1::OperatorState::Enabled, v1::OperatorState::Enabled, v1::OperatorState::Draining];
        let backends = states.into_iter().zip(1..).map(|(state, n)| {
            let address = format!("10.0.0.{n}:80");
            let operator_state = state as i32;
            let wire = v1::Backend { service: "web".into(), address, operator_state, ..Default::default() };
            Arc::new(Backend::try_from(wire).unwrap())
        });
        let service = Arc::new(Service::with_defaults(ServiceName::try_from("web").unwrap()));
        let entry = ServiceEntry::new(service, None, backends, None, &Arc::default());
        let sick = &entry.members["10.0.0.1:80"].endpoint;
        assert!(sick.eject(1));
        sick.mark(Marks::HEALTH, Marks::DEGRADED);
        assert_eq!(count(&entry), [0, 0, 1, 1, 0, 0, 0, 1]);
    }
}
