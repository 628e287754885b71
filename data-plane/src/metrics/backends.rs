//! How the backends of each service are, counted when somebody asks.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use crate::{
    endpoint::Marks,
    explain::panics,
    table::{Member, ServiceEntry, SharedTable},
};

/// Reads the marks where they are kept. The number of series grows with the services, not with the backends.
#[derive(Debug)]
pub(crate) struct Backends {
    pub(crate) table: Arc<SharedTable>,
}

/// What a backend counts as: the first that is true of it.
const STATES: [(&str, fn(&Member) -> bool); 8] = [
    ("expired", |member| member.backend.lease_state == weir_proto::LeaseState::Expired),
    ("disabled", |member| member.backend.operator_state == weir_proto::OperatorState::Disabled),
    ("draining", |member| member.backend.operator_state == weir_proto::OperatorState::Draining),
    ("ejected", |member| member.endpoint.marks().has(Marks::EJECTED)),
    ("unhealthy", |member| member.endpoint.marks().has(Marks::UNHEALTHY)),
    ("unknown", |member| member.endpoint.marks().has(Marks::UNKNOWN)),
    ("degraded", |member| member.endpoint.marks().has(Marks::DEGRADED)),
    ("healthy", |_| true),
];

impl Collector for Backends {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let table = self.table.load();
        let mut services: Vec<_> = table.iter().flat_map(|table| &table.services).collect();
        services.sort_unstable_by_key(|(name, _)| name.as_str());

        let help = "Backends, each in the first of its states that keeps requests away";
        let mut backends = to.encode_descriptor("backends", help, None, MetricType::Gauge)?;
        for (name, entry) in &services {
            for ((state, _), count) in STATES.iter().zip(count(entry)) {
                backends
                    .encode_family(&[("service", name.as_str()), ("state", *state)])?
                    .encode_gauge(&count)?;
            }
        }
        let help = "1 while too few backends are usable, so that health and ejection are ignored";
        let mut panic = to.encode_descriptor("service_panic", help, None, MetricType::Gauge)?;
        for (name, entry) in &services {
            let now = u64::from(panics(entry));
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
    for member in entry.members.values() {
        if let Some(state) = STATES.iter().position(|(_, is)| is(member)) {
            counts[state] += 1;
        }
    }
    counts
}
