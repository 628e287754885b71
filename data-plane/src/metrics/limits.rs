//! How near each service is to its limits, and the proxy to its own: read when somebody asks.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use crate::{
    admission::{Circulation, Pressure, Shed},
    moment::Moment,
    table::{ServiceEntry, SharedTable},
};

/// Reads them where they are kept.
#[derive(Debug)]
pub(crate) struct LimitsInUse {
    pub(crate) table: Arc<SharedTable>,
    pub(crate) shed: Arc<Shed>,
}

/// Name, help, and what to read of a service; nothing where the service has no such limit.
type Gauge = (&'static str, &'static str, fn(&ServiceEntry, Moment) -> Option<f64>);

const GAUGES: [Gauge; 8] = [
    ("service_in_flight", "Requests and tunnels in flight to the service", |entry, _| {
        Some(entry.live.gate().held().into())
    }),
    ("service_max_requests", "How many there may be now", |entry, _| Some(entry.max_requests().into())),
    ("service_pending", "Requests that wait for room", |entry, _| Some(entry.live.gate().waiting().into())),
    ("service_retries_used", "Retries and hedges of the last 10 s", |entry, now| {
        Some(budget(entry, now).0.into())
    }),
    ("service_retries_limit", "How many there may be", |entry, now| Some(budget(entry, now).1.into())),
    (
        "service_circuit",
        "0 while the circuit is closed, 1 while it is open, 0.5 while one request finds out",
        |entry, now| {
            let breakers = &entry.service.circuit_breakers;
            (breakers.consecutive_failures > 0).then(|| {
                match entry.live.breaker().circulation(breakers, now) {
                    Circulation::Closed { .. } => 0.0,
                    Circulation::HalfOpen => 0.5,
                    Circulation::Open { .. } => 1.0,
                }
            })
        },
    ),
    ("service_ideal_latency_seconds", "As adaptive concurrency found it", |entry, _| {
        Some(entry.adaptive.as_ref()?.ideal()?.as_secs_f64())
    }),
    ("service_rate_limited_keys", "Keys of rate limits that have used something", |entry, now| {
        let keys: usize = entry.limits.iter().map(|limiter| limiter.nearness(now).keys).sum();
        (!entry.limits.is_empty()).then(|| f64::from(u32::try_from(keys).unwrap_or(u32::MAX)))
    }),
];

impl Collector for LimitsInUse {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let (table, now) = (self.table.load(), Moment::now());
        let mut services: Vec<_> = table.iter().flat_map(|table| &table.services).collect();
        services.sort_unstable_by_key(|(name, _)| name.as_str());
        for (name, help, read) in GAUGES {
            let mut gauge = to.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (service, entry) in &services {
                if let Some(value) = read(entry, now) {
                    gauge.encode_family(&[("service", service.as_str())])?.encode_gauge(&value)?;
                }
            }
        }
        let help = "How often the service's circuit was opened";
        let mut opened = to.encode_descriptor("circuit_opened", help, None, MetricType::Counter)?;
        for (service, entry) in
            services.iter().filter(|(_, e)| e.service.circuit_breakers.consecutive_failures > 0)
        {
            opened
                .encode_family(&[("service", service.as_str())])?
                .encode_counter::<NoLabelSet, _, u64>(&entry.live.breaker().opened(), None)?;
        }
        let help = "How often so few backends were usable that all were used";
        let mut panics = to.encode_descriptor("service_panics", help, None, MetricType::Counter)?;
        for (service, entry) in &services {
            panics
                .encode_family(&[("service", service.as_str())])?
                .encode_counter::<NoLabelSet, _, u64>(&entry.live.panics(), None)?;
        }
        pressure(&mut to, &self.shed.pressure())
    }
}

fn budget(entry: &ServiceEntry, now: Moment) -> (u32, u32) {
    entry.live.budget().used(&entry.service.retry_policy, now, entry.counters.started())
}

fn pressure(to: &mut DescriptorEncoder<'_>, pressure: &Pressure) -> fmt::Result {
    let help = "Part of the requests that are refused because there is too much to do: 0 to 1";
    to.encode_descriptor("shed_ratio", help, None, MetricType::Gauge)?.encode_gauge(&pressure.refused)?;
    let help = "How late the latest worker comes to what it does from time to time";
    to.encode_descriptor("worker_lateness", help, Some(&Unit::Seconds), MetricType::Gauge)?
        .encode_gauge(&pressure.late.as_secs_f64())?;
    let Some(memory) = pressure.memory else { return Ok(()) };
    for (name, help, bytes) in [
        ("memory_used", "Memory in use, without what can be had back at once", memory.used),
        ("memory_limit", "Where the kernel or --max-memory draws the line", memory.limit),
    ] {
        to.encode_descriptor(name, help, Some(&Unit::Bytes), MetricType::Gauge)?.encode_gauge(&bytes)?;
    }
    Ok(())
}
