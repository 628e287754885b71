//! Until when certificates are valid, and whether the files say something else than what is in force.

use std::{fmt, sync::Arc};

use prometheus_client::{
    collector::Collector, encoding::DescriptorEncoder, metrics::MetricType, registry::Unit,
};
use tokio::sync::watch;

use crate::{
    table::{Applied, SharedTable},
    tls::in_use,
};

/// Asks what is in use when somebody asks for it.
#[derive(Debug)]
pub(crate) struct Tls {
    pub(crate) table: Arc<SharedTable>,
    pub(crate) applied: watch::Receiver<Applied>,
}

impl Collector for Tls {
    fn encode(&self, mut to: DescriptorEncoder<'_>) -> fmt::Result {
        let mut all = in_use(&self.applied.borrow(), self.table.load().as_deref());
        all.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        if all.is_empty() {
            return Ok(());
        }
        let help =
            "1 while changed files of certificates and keys cannot be used, and what they said before stays";
        let mut failed = to.encode_descriptor("tls_reload_failed", help, None, MetricType::Gauge)?;
        for (object, tls) in &all {
            let labels = [("object", object.to_string())];
            failed.encode_family(&labels)?.encode_gauge(&i64::from(tls.failure().is_some()))?;
        }
        let help = "When a certificate expires, in seconds since 1970";
        let unit = Some(&Unit::Seconds);
        let mut ends = to.encode_descriptor("tls_certificate_not_after", help, unit, MetricType::Gauge)?;
        for (object, tls) in &all {
            for certificate in tls.certificates().iter() {
                let file = certificate.file.display().to_string();
                let labels = [("object", object.to_string()), ("file", file)];
                ends.encode_family(&labels)?.encode_gauge(&certificate.not_after.as_second())?;
            }
        }
        Ok(())
    }
}
