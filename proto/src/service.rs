//! A service and its policy: see `config.proto`.

use std::time::Duration;

use crate::{
    Invalid, ServiceName, ServiceTls,
    duration::{from_wire, number},
    v1,
};

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
        }
    }

    /// The level of the contract that an object with this service needs: `Object.level` in `object.proto`.
    #[must_use]
    pub fn level(&self) -> u32 {
        if self.tls.is_some() || self.protocol == ServiceProtocol::Http2 { 2 } else { 1 }
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

/// How to choose among backends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LbPolicy {
    /// Each in its turn, by weight.
    #[default]
    RoundRobin,
}

/// How long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For a connection.
    pub connect: Duration,
    /// For the response's head, over all tries.
    pub request: Duration,
    /// For the next piece of the response's body.
    pub body_idle: Duration,
    /// Before an unused connection is closed.
    pub connection_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            request: Duration::from_secs(15),
            body_idle: Duration::from_mins(5),
            connection_idle: Duration::from_mins(1),
        }
    }
}

/// When to try another backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first.
    pub num_retries: u32,
    /// What is worth one; never empty.
    pub retry_on: Vec<RetryOn>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self { num_retries: 1, retry_on: RetryOn::DEFAULT.to_vec() }
    }
}

/// A reason to try another backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RetryOn {
    /// No connection.
    ConnectFailure,
    /// The backend said that it did not look at the request.
    RefusedStream,
    /// The connection ended before the response began.
    ResetBeforeResponse,
}

impl RetryOn {
    const DEFAULT: [Self; 3] = [Self::ConnectFailure, Self::RefusedStream, Self::ResetBeforeResponse];
}

impl TryFrom<v1::Service> for Service {
    type Error = Invalid;

    fn try_from(wire: v1::Service) -> Result<Self, Invalid> {
        Ok(Self {
            name: ServiceName::try_from(wire.name.as_str()).map_err(|e| e.within("name"))?,
            lb_policy: wire.lb_policy.map_or(Ok(LbPolicy::default()), LbPolicy::try_from)?,
            timeouts: Timeouts::try_from(wire.timeouts.unwrap_or_default())
                .map_err(|e| e.within("timeouts"))?,
            retry_policy: RetryPolicy::try_from(wire.retry_policy.unwrap_or_default())
                .map_err(|e| e.within("retry_policy"))?,
            protocol: ServiceProtocol::try_from(wire.protocol).map_err(|e| e.within("protocol"))?,
            tls: wire.tls.map(ServiceTls::try_from).transpose().map_err(|e| e.within("tls"))?,
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

impl TryFrom<v1::LbPolicy> for LbPolicy {
    type Error = Invalid;

    fn try_from(wire: v1::LbPolicy) -> Result<Self, Invalid> {
        match wire.policy {
            Some(v1::lb_policy::Policy::RoundRobin(v1::RoundRobin {})) => Ok(Self::RoundRobin),
            None => {
                Err(Invalid::new("lb_policy", "names no policy that this version knows; known: round_robin"))
            }
        }
    }
}

impl TryFrom<v1::Timeouts> for Timeouts {
    type Error = Invalid;

    fn try_from(wire: v1::Timeouts) -> Result<Self, Invalid> {
        let d = Self::default();
        let bounded = |field, wire, default| {
            from_wire(field, wire, default, Duration::from_millis(1), Duration::from_hours(24))
        };
        Ok(Self {
            connect: bounded("connect", wire.connect, d.connect)?,
            request: bounded("request", wire.request, d.request)?,
            body_idle: bounded("body_idle", wire.body_idle, d.body_idle)?,
            connection_idle: bounded("connection_idle", wire.connection_idle, d.connection_idle)?,
        })
    }
}

impl TryFrom<v1::RetryPolicy> for RetryPolicy {
    type Error = Invalid;

    fn try_from(wire: v1::RetryPolicy) -> Result<Self, Invalid> {
        let num_retries = number("num_retries", wire.num_retries, 1, 0, 10)?;
        let mut retry_on = Vec::new();
        for (i, wire) in wire.retry_on.iter().enumerate() {
            let on = RetryOn::try_from(*wire).map_err(|e| e.within(&format!("retry_on[{i}]")))?;
            if !retry_on.contains(&on) {
                retry_on.push(on);
            }
        }
        if retry_on.is_empty() {
            retry_on.extend(RetryOn::DEFAULT);
        }
        Ok(Self { num_retries, retry_on })
    }
}

impl TryFrom<i32> for RetryOn {
    type Error = Invalid;

    fn try_from(wire: i32) -> Result<Self, Invalid> {
        match v1::RetryOn::try_from(wire) {
            Ok(v1::RetryOn::ConnectFailure) => Ok(Self::ConnectFailure),
            Ok(v1::RetryOn::RefusedStream) => Ok(Self::RefusedStream),
            Ok(v1::RetryOn::ResetBeforeResponse) => Ok(Self::ResetBeforeResponse),
            Ok(v1::RetryOn::Unspecified) | Err(_) => {
                let known = "CONNECT_FAILURE, REFUSED_STREAM or RESET_BEFORE_RESPONSE";
                Err(Invalid::new("", format_args!("must be {known}, not {wire}")))
            }
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
    fn an_older_proxy_must_not_speak_in_the_clear_to_who_speaks_tls() {
        let level = |change: fn(&mut v1::Service)| parse(change).unwrap().level();
        assert_eq!(level(|_| ()), 1);
        assert_eq!(level(|wire| wire.protocol = v1::ServiceProtocol::Http1 as i32), 1);
        assert_eq!(level(|wire| wire.protocol = v1::ServiceProtocol::Http2 as i32), 2);
        assert_eq!(level(|wire| wire.tls = Some(v1::ServiceTls::default())), 2);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let reason = |change: fn(&mut v1::Service)| parse(change).unwrap_err().to_string();
        assert_eq!(reason(|wire| wire.protocol = 9), "protocol: must be HTTP1 or HTTP2, not 9");
        let ca_file = || "clients.pem".to_owned();
        let relative = move |wire: &mut v1::Service| {
            wire.tls = Some(v1::ServiceTls { ca_file: ca_file(), ..Default::default() });
        };
        assert!(
            parse(relative).unwrap_err().to_string().starts_with("tls.ca_file: must be an absolute path")
        );
    }
}
