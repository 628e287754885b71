//! How backends are probed: `HealthCheck` in `config.proto`.

use std::time::Duration;

use crate::{
    Invalid,
    bounds::{at_most, bounded, list, status, within},
    field, v1,
};

/// The most further fields of a probe.
const MAX_HEADERS: usize = 32;
/// The most ranges of statuses.
const MAX_RANGES: usize = 64;
/// The longest text that a body must contain, and the longest name that a call asks for.
const MAX_TEXT: usize = 1024;

/// How backends are probed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is sent, and what must come back.
    pub probe: Probe,
    /// From the end of a probe to the next.
    pub interval: Duration,
    /// For one probe, its connection included.
    pub timeout: Duration,
    /// Failures in a row that make a healthy backend unhealthy.
    pub unhealthy_threshold: u32,
    /// Successes in a row that make an unhealthy backend healthy.
    pub healthy_threshold: u32,
    /// Percent by which an interval may be longer.
    pub interval_jitter_percent: u32,
    /// The interval while a backend is unhealthy.
    pub unhealthy_interval: Duration,
    /// In place of the backend's own.
    pub port: Option<u16>,
}

/// What a probe is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// A request.
    Http(HttpProbe),
    /// A connection.
    Tcp,
    /// A call of `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service that is asked for; may be empty.
        service: String,
    },
}

/// A request that probes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpProbe {
    /// With its query; starts with `/`.
    pub path: String,
    /// None: the backend's address.
    pub host: Option<String>,
    /// Further fields: names in lower case.
    pub headers: Vec<(String, String)>,
    /// Both ends included; never empty.
    pub expected_statuses: Vec<(u16, u16)>,
    /// What the body must contain; may be empty.
    pub expected_body: String,
}

impl Default for HttpProbe {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            host: None,
            headers: Vec::new(),
            expected_statuses: vec![(200, 399)],
            expected_body: String::new(),
        }
    }
}

impl HealthCheck {
    /// Everything by default but for the probe.
    #[must_use]
    pub fn with_defaults(probe: Probe) -> Self {
        Self {
            probe,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            unhealthy_threshold: 3,
            healthy_threshold: 2,
            interval_jitter_percent: 10,
            unhealthy_interval: Duration::from_secs(5),
            port: None,
        }
    }
}

impl TryFrom<v1::HealthCheck> for HealthCheck {
    type Error = Invalid;

    fn try_from(wire: v1::HealthCheck) -> Result<Self, Invalid> {
        use v1::health_check::Probe as Wire;
        let intervals = || Duration::from_millis(100)..=Duration::from_hours(1);
        let mut d = Self::with_defaults(match wire.probe {
            None => {
                return Err(Invalid::new(
                    "",
                    "names no probe that this version knows; known: http, tcp and grpc",
                ));
            }
            Some(Wire::Http(probe)) => Probe::Http(within("http", probe)?),
            Some(Wire::Tcp(v1::TcpProbe {})) => Probe::Tcp,
            Some(Wire::Grpc(v1::GrpcProbe { service })) => {
                at_most(&service, MAX_TEXT).map_err(|e| e.within("grpc.service"))?;
                Probe::Grpc { service }
            }
        });
        d.interval = bounded!(wire.interval, d, intervals())?;
        d.unhealthy_interval = d.interval;
        Ok(Self {
            timeout: bounded!(wire.timeout, d, Duration::from_millis(10)..=Duration::from_mins(10))?,
            unhealthy_threshold: bounded!(wire.unhealthy_threshold, d, 1..=100)?,
            healthy_threshold: bounded!(wire.healthy_threshold, d, 1..=100)?,
            interval_jitter_percent: bounded!(wire.interval_jitter_percent, d, 0..=100)?,
            unhealthy_interval: bounded!(wire.unhealthy_interval, d, intervals())?,
            port: wire.port.map(port).transpose()?,
            ..d
        })
    }
}

impl TryFrom<v1::HttpProbe> for HttpProbe {
    type Error = Invalid;

    fn try_from(wire: v1::HttpProbe) -> Result<Self, Invalid> {
        let d = Self::default();
        let path = match &*wire.path {
            "" => d.path,
            path => field::target(path).map_err(|e| e.within("path"))?,
        };
        let host = match &*wire.host {
            "" => None,
            host => Some(field::authority(host).map_err(|e| e.within("host"))?),
        };
        let mut expected_statuses = list("expected_statuses", wire.expected_statuses, MAX_RANGES, range)?;
        if expected_statuses.is_empty() {
            expected_statuses = d.expected_statuses;
        }
        let headers = list("headers", wire.headers, MAX_HEADERS, header)?;
        for (i, (name, _)) in headers.iter().enumerate() {
            if headers[..i].iter().any(|(before, _)| before == name) {
                let reason = format!("{name} is named twice; one field can hold several values");
                return Err(Invalid::new(format!("headers[{i}].name"), reason));
            }
        }
        at_most(&wire.expected_body, MAX_TEXT).map_err(|e| e.within("expected_body"))?;
        Ok(Self { path, host, headers, expected_statuses, expected_body: wire.expected_body })
    }
}

fn port(wire: u32) -> Result<u16, Invalid> {
    match u16::try_from(wire) {
        Ok(port @ 1..) => Ok(port),
        _ => Err(Invalid::new("port", format_args!("must be 1 to 65535, is {wire}"))),
    }
}

fn header(wire: v1::HeaderValue) -> Result<(String, String), Invalid> {
    if wire.name.eq_ignore_ascii_case("host") {
        return Err(Invalid::new("name", "host is a setting of the probe's own, beside its headers"));
    }
    let name = field::own_name(&wire.name).map_err(|e| e.within("name"))?;
    let value = field::value(wire.value).map_err(|e| e.within("value"))?;
    Ok((name.to_string(), value))
}

fn range(wire: v1::StatusRange) -> Result<(u16, u16), Invalid> {
    let start = status("start", wire.start, 100..=599)?;
    Ok((start, status("end", wire.end, start.into()..=599)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::duration_to_wire;

    fn parse(change: impl FnOnce(&mut v1::HealthCheck)) -> Result<HealthCheck, String> {
        let probe = Some(v1::health_check::Probe::Tcp(v1::TcpProbe {}));
        let mut wire = v1::HealthCheck { probe, ..Default::default() };
        change(&mut wire);
        HealthCheck::try_from(wire).map_err(|e| e.to_string())
    }

    fn http(change: impl FnOnce(&mut v1::HttpProbe)) -> Result<HttpProbe, String> {
        let mut wire = v1::HttpProbe::default();
        change(&mut wire);
        within("http", wire).map_err(|e: Invalid| e.to_string())
    }

    #[test]
    fn what_is_absent_has_its_default_but_for_the_probe() {
        assert_eq!(parse(|_| ()), Ok(HealthCheck::with_defaults(Probe::Tcp)));
        assert_eq!(http(|_| ()), Ok(HttpProbe::default()));
        assert!(parse(|wire| wire.probe = None).unwrap_err().contains("names no probe"));
    }

    #[test]
    fn an_unhealthy_backend_is_probed_as_often_unless_said_otherwise() {
        let second = || Some(duration_to_wire(Duration::from_secs(1)));
        let check = parse(|wire| wire.interval = second()).unwrap();
        assert_eq!(
            (check.interval, check.unhealthy_interval),
            (Duration::from_secs(1), Duration::from_secs(1))
        );
        let check = parse(|wire| wire.unhealthy_interval = second()).unwrap();
        assert_eq!(
            (check.interval, check.unhealthy_interval),
            (Duration::from_secs(5), Duration::from_secs(1))
        );
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let reason = |change: fn(&mut v1::HealthCheck)| parse(change).unwrap_err();
        assert_eq!(
            reason(|wire| wire.healthy_threshold = Some(0)),
            "healthy_threshold: must be 1 to 100, is 0"
        );
        assert_eq!(
            reason(|wire| wire.unhealthy_threshold = Some(101)),
            "unhealthy_threshold: must be 1 to 100, is 101"
        );
        assert_eq!(reason(|wire| wire.port = Some(0)), "port: must be 1 to 65535, is 0");
        assert_eq!(reason(|wire| wire.port = Some(65_536)), "port: must be 1 to 65535, is 65536");
        assert_eq!(
            reason(|wire| wire.timeout = Some(duration_to_wire(Duration::from_millis(9)))),
            "timeout: must be 10ms to 600s, is 9ms"
        );
    }

    #[test]
    fn statuses_are_ranges_of_http() {
        let ranges = |list: &[(u32, u32)]| {
            let list = list.iter().map(|(start, end)| v1::StatusRange { start: *start, end: *end });
            http(|wire| wire.expected_statuses = list.collect()).map(|probe| probe.expected_statuses)
        };
        assert_eq!(ranges(&[]), Ok(vec![(200, 399)]));
        assert_eq!(ranges(&[(200, 200), (404, 410)]), Ok(vec![(200, 200), (404, 410)]));
        let refused = |reason: &str| Err(reason.to_owned());
        assert_eq!(
            ranges(&[(200, 299), (404, 400)]),
            refused("http.expected_statuses[1].end: must be 404 to 599, is 400")
        );
        assert_eq!(
            ranges(&[(99, 200)]),
            refused("http.expected_statuses[0].start: must be 100 to 599, is 99")
        );
        assert_eq!(
            ranges(&[(200, 600)]),
            refused("http.expected_statuses[0].end: must be 200 to 599, is 600")
        );
    }

    #[test]
    fn a_probe_is_one_well_formed_request() {
        let header = |name: &str, value: &str| {
            let header = v1::HeaderValue { name: name.into(), value: value.into() };
            http(|wire| wire.headers = vec![header]).map(|probe| probe.headers)
        };
        assert_eq!(header("X-Probe", "1"), Ok(vec![("x-probe".to_owned(), "1".to_owned())]));
        for name in ["Host", "content-length", "Transfer-Encoding", "connection", "a b", ""] {
            assert!(header(name, "1").unwrap_err().starts_with("http.headers[0].name: "), "{name}");
        }
        for value in ["a\r\nb: c", "\0", "a\nb"] {
            assert!(
                header("x-probe", value).unwrap_err().starts_with("http.headers[0].value: "),
                "{value:?}"
            );
        }
        let twice =
            ["x-probe", "X-Probe"].map(|name| v1::HeaderValue { name: name.into(), value: "1".into() });
        let refusal = http(|wire| wire.headers = twice.to_vec()).unwrap_err();
        assert!(refusal.starts_with("http.headers[1].name: x-probe is named twice"), "{refusal}");
        for path in ["healthz", "/a b", "/#a"] {
            assert!(http(|wire| wire.path = path.into()).unwrap_err().starts_with("http.path: "), "{path}");
        }
        assert!(http(|wire| wire.host = "a b".into()).unwrap_err().starts_with("http.host: "));
        let long = http(|wire| wire.expected_body = "a".repeat(1025));
        assert_eq!(long, Err("http.expected_body: must have at most 1024 bytes, has 1025".to_owned()));
    }
}
