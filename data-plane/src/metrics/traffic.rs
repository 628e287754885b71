//! What the workers counted, summed when somebody asks.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};
use tokio::sync::watch;

use crate::{
    counters::{DURATION_BUCKETS, OutcomeSums},
    discovery::Link,
    reason::Reason,
    table::SharedTable,
    worker::Workers,
};

/// Reads the counters where they are kept.
#[derive(Debug)]
pub(crate) struct Traffic {
    pub(crate) table: Arc<SharedTable>,
    pub(crate) workers: Weak<Workers>,
    pub(crate) link: watch::Receiver<Link>,
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

impl Collector for Traffic {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let Some(sums) = self.workers.upgrade().map(|workers| workers.counters()) else { return Ok(()) };
        for (name, help, value) in [
            ("connections", "Connections accepted from clients", sums.connections_opened),
            ("connections_refused", "Connections over a listener's limit", sums.connections_refused),
            ("upstream_connections", "Connections made to backends", sums.upstream_opened),
            ("floods", "Connections of clients that made work without asking for any", sums.floods),
            (
                "upstream_floods",
                "Connections to backends that made work without answering",
                sums.upstream_floods,
            ),
            ("upstream_reused", "Requests on a connection that had served before", sums.upstream_reused),
            (
                "upstream_stale",
                "Requests that went to another connection, for theirs had ended",
                sums.upstream_stale,
            ),
            ("retries", "Attempts after the first", sums.retries),
            ("mirrored", "Copies of requests that were sent to other services", sums.mirrored),
            ("received_bytes", "Bytes read from clients", sums.bytes_received),
            ("sent_bytes", "Bytes written to clients", sums.bytes_sent),
            ("aliases_dropped", "Fields dropped that posed as others by _ for -", sums.aliases_dropped),
            ("tls_failures", "Handshakes of clients that failed", sums.tls_failures),
            ("panics", "Requests that ended in a fault of the proxy", sums.panics),
            ("access_log_dropped", "Lines of the access log that found no room", sums.access_log_dropped),
        ] {
            let mut metric = to.encode_descriptor(name, help, None, MetricType::Counter)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        for (name, help, value) in [
            ("connections_open", "Connections from clients that are open", sums.connections_open),
            ("upstream_connections_open", "Connections to backends that are open", sums.upstream_open),
            ("requests_in_flight", "Requests and tunnels that have not ended", sums.in_flight),
        ] {
            to.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
        }
        self.config_age(&mut to)?;
        self.outcomes(&mut to, &sums.unrouted)
    }
}

impl Traffic {
    /// Absent until a control plane has said anything.
    fn config_age(&self, to: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let Some(heard) = self.link.borrow().last_word else { return Ok(()) };
        let help = "Since the control plane was last heard";
        to.encode_descriptor("config_age", help, Some(&Unit::Seconds), MetricType::Gauge)?
            .encode_gauge(&heard.elapsed().as_secs_f64())
    }

    fn outcomes(&self, to: &mut DescriptorEncoder<'_>, unrouted: &OutcomeSums) -> fmt::Result {
        let table = self.table.load();
        let services = table.iter().flat_map(|table| &table.services);
        let mut all: Vec<_> = services.map(|(name, entry)| (name.as_str(), entry.counters.sum())).collect();
        all.sort_unstable_by_key(|(name, _)| *name);
        // Requests that never got as far as a service.
        all.push(("", unrouted.clone()));

        let mut requests =
            to.encode_descriptor("requests", "Requests that ended", None, MetricType::Counter)?;
        for (service, sums) in &all {
            requests_of(&mut requests, service, sums)?;
        }
        let help = "From the request's head to the end of the answer";
        let unit = Some(&Unit::Seconds);
        let mut durations = to.encode_descriptor("request_duration", help, unit, MetricType::Histogram)?;
        for (service, sums) in &all {
            durations_of(&mut durations, service, sums)?;
        }
        Ok(())
    }
}

fn requests_of(metric: &mut MetricEncoder<'_>, service: &str, sums: &OutcomeSums) -> fmt::Result {
    let relayed = CLASSES.iter().zip(sums.relayed).map(|(class, count)| (*class, Reason::Ok, count));
    let own = Reason::ALL.iter().zip(&sums.reasons).map(|(reason, count)| {
        let class = usize::from(reason.status().as_u16() / 100).clamp(1, CLASSES.len()) - 1;
        (CLASSES[class], *reason, *count)
    });
    for (class, reason, count) in relayed.chain(own).filter(|(_, _, count)| *count > 0) {
        metric
            .encode_family(&[("service", service), ("class", class), ("reason", reason.code())])?
            .encode_counter::<NoLabelSet, _, u64>(&count, None)?;
    }
    Ok(())
}

fn durations_of(metric: &mut MetricEncoder<'_>, service: &str, sums: &OutcomeSums) -> fmt::Result {
    let bounds = DURATION_BUCKETS.iter().map(Duration::as_secs_f64).chain([f64::INFINITY]);
    let buckets: Vec<_> = bounds.zip(sums.durations).collect();
    let total = Duration::from_micros(sums.duration_micros).as_secs_f64();
    metric.encode_family(&[("service", service)])?.encode_histogram::<NoLabelSet>(
        total,
        sums.durations.iter().sum(),
        &buckets,
        None,
    )
}
