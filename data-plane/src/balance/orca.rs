//! What a backend says of its load in an answer: ORCA, the Open Request Cost Aggregation of Envoy and gRPC.
//!
//! The field `endpoint-load-metrics`, as `TEXT cpu_utilization=0.3, rps_fractional=1000`, without the first word, or as
//! `JSON {"cpu_utilization": 0.3}`. The names are those of `xds.data.orca.v3.OrcaLoadReport`; others are passed over.

use std::ops::RangeInclusive;

use serde::Deserialize;

use crate::message::{Fields, Name};

const FIELD: &[u8] = b"endpoint-load-metrics";
/// More is no report but an attempt to keep us busy.
const LONGEST: usize = 4096;
/// What is believed. Beyond, somebody divides by nothing.
const UTILIZATION: RangeInclusive<f64> = 1e-6..=1e6;
const PER_SECOND: RangeInclusive<f64> = 1e-3..=1e9;

/// The load of a backend, such that a weight can be made of it: nothing in it is nothing.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct LoadReport {
    /// What part of what it has is in use; above 1 it has too much to do.
    pub(crate) utilization: f64,
    /// Requests and errors in a second.
    pub(crate) rps: f64,
    pub(crate) eps: f64,
}

/// As it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Metrics {
    #[serde(alias = "cpuUtilization")]
    cpu_utilization: f64,
    #[serde(alias = "applicationUtilization")]
    application_utilization: f64,
    #[serde(alias = "rpsFractional")]
    rps_fractional: f64,
    eps: f64,
}

impl LoadReport {
    /// Out of an answer. None if there is none, or it cannot be read or makes no sense: that harms nobody.
    pub(crate) fn of(fields: &Fields) -> Option<Self> {
        let is_it = |spelling: &[u8]| spelling.len() == FIELD.len() && spelling.eq_ignore_ascii_case(FIELD);
        let field = fields.iter().find(|field| field.name == Name::Other && is_it(field.spelling))?;
        Self::parse(field.value)
    }

    fn parse(value: &[u8]) -> Option<Self> {
        if value.len() > LONGEST {
            return None;
        }
        let text = std::str::from_utf8(value).ok()?.trim_ascii();
        let metrics = match text.split_once(' ') {
            Some(("JSON", json)) => serde_json::from_str(json).ok()?,
            Some(("TEXT", pairs)) => Metrics::parse(pairs)?,
            _ => Metrics::parse(text)?,
        };
        let application = Some(metrics.application_utilization).filter(|utilization| *utilization > 0.0);
        let report = Self {
            utilization: application.unwrap_or(metrics.cpu_utilization),
            rps: metrics.rps_fractional,
            eps: metrics.eps.max(0.0),
        };
        let makes_sense = UTILIZATION.contains(&report.utilization)
            && PER_SECOND.contains(&report.rps)
            && report.eps <= *PER_SECOND.end();
        makes_sense.then_some(report)
    }
}

impl Metrics {
    fn parse(pairs: &str) -> Option<Self> {
        let mut metrics = Self::default();
        for pair in pairs.split(',') {
            let (name, value) = pair.split_once('=')?;
            let place = match name.trim_ascii() {
                "cpu_utilization" => &mut metrics.cpu_utilization,
                "application_utilization" => &mut metrics.application_utilization,
                "rps_fractional" => &mut metrics.rps_fractional,
                "eps" => &mut metrics.eps,
                _ => continue,
            };
            *place = value.trim_ascii().parse().ok()?;
        }
        Some(metrics)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Option<(f64, f64, f64)> {
        LoadReport::parse(text.as_bytes()).map(|report| (report.utilization, report.rps, report.eps))
    }

    #[test]
    fn all_ways_to_write_it_are_read() {
        let expected = Some((0.3, 1000.0, 2.0));
        assert_eq!(parse("TEXT cpu_utilization=0.3, rps_fractional=1000, eps=2"), expected);
        assert_eq!(parse("cpu_utilization=0.3,mem_utilization=x,eps = 2.0,rps_fractional=1e3"), expected);
        assert_eq!(parse(r#"JSON {"cpu_utilization": 0.3, "rps_fractional": 1000.0, "eps": 2}"#), expected);
        let named = r#"JSON {"cpuUtilization":0.3,"named_metrics":{"a":1},"rpsFractional":1000,"eps":2}"#;
        assert_eq!(parse(named), expected);
        assert_eq!(
            parse("application_utilization=0.8,cpu_utilization=0.3,rps_fractional=1"),
            Some((0.8, 1.0, 0.0))
        );
    }

    #[test]
    fn it_is_found_among_the_fields_of_an_answer() {
        let mut fields = Fields::default();
        assert_eq!(LoadReport::of(&fields), None);
        fields.push_spelled(b"endpoint-load-metricz", b"x");
        fields.push_spelled(b"Endpoint-Load-Metrics", b"TEXT cpu_utilization=1,rps_fractional=2");
        assert_eq!(LoadReport::of(&fields), Some(LoadReport { utilization: 1.0, rps: 2.0, eps: 0.0 }));
    }

    #[test]
    fn what_makes_no_sense_is_no_report() {
        let long = format!("cpu_utilization=1,rps_fractional=2,{}=1", "x".repeat(LONGEST));
        for bad in [
            "",
            "TEXT",
            "JSON",
            "JSON {",
            "JSON []",
            r#"JSON {"cpu_utilization": "much", "rps_fractional": 1}"#,
            "BIN AAAA",
            "cpu_utilization",
            "cpu_utilization=,rps_fractional=1",
            "cpu_utilization=0.3",
            "cpu_utilization=0,rps_fractional=1",
            "cpu_utilization=nan,rps_fractional=1",
            "cpu_utilization=1,rps_fractional=inf",
            "cpu_utilization=-1,rps_fractional=1",
            "cpu_utilization=1,rps_fractional=1,eps=nan1",
            "cpu_utilization=1e-300,rps_fractional=1e300",
            long.as_str(),
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn bytes_of_a_backend_never_panic_and_never_make_nonsense(
            value in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..60),
                "(TEXT |JSON )?[{\"]?(cpu_utilization|eps|rps_fractional|[a-z])[\":=][0-9eE.+-]{0,8}(,rps_fractional=[0-9]+)?}?"
                    .prop_map(String::into_bytes),
            ],
        ) {
            if let Some(report) = LoadReport::parse(&value) {
                prop_assert!(report.utilization > 0.0 && report.rps > 0.0 && report.eps >= 0.0);
                prop_assert!((report.utilization + report.rps + report.eps).is_finite());
            }
        }
    }
}
