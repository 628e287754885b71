//! A listener: see `config.proto`.

use std::{net::SocketAddr, time::Duration};

use crate::{
    Invalid, ListenerName,
    duration::{from_wire, number, to_wire},
    v1,
};

/// An address that proxies accept traffic on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Unique among listeners.
    pub name: ListenerName,
    /// What to bind; the port is never 0.
    pub address: SocketAddr,
    /// Its bounds.
    pub limits: Limits,
}

/// Bounds that a listener puts on its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time.
    pub max_connections: u32,
    /// Bytes of a request's head.
    pub max_header_bytes: u32,
    /// Fields of a request's head.
    pub max_headers: u32,
    /// To the end of a request's head.
    pub header_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// Between two pieces of a request's body.
    pub body_idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_header_bytes: 32 * 1024,
            max_headers: 100,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_hours(1),
            body_idle_timeout: Duration::from_secs(30),
        }
    }
}

impl TryFrom<v1::Listener> for Listener {
    type Error = Invalid;

    fn try_from(wire: v1::Listener) -> Result<Self, Invalid> {
        let name = ListenerName::try_from(wire.name.as_str()).map_err(|e| e.within("name"))?;
        let address: SocketAddr = wire.address.parse().map_err(|_| {
            let reason = format!("must be IP:port, as 0.0.0.0:8080 or [::]:8080, not {:?}", wire.address);
            Invalid::new("address", reason)
        })?;
        if address.port() == 0 {
            return Err(Invalid::new("address", "port 0 would be another port on every proxy; name one"));
        }
        let limits = Limits::try_from(wire.limits.unwrap_or_default()).map_err(|e| e.within("limits"))?;
        Ok(Self { name, address, limits })
    }
}

impl TryFrom<v1::ListenerLimits> for Limits {
    type Error = Invalid;

    fn try_from(wire: v1::ListenerLimits) -> Result<Self, Invalid> {
        const SECOND: Duration = Duration::from_secs(1);
        const DAY: Duration = Duration::from_hours(24);
        let default = Self::default();
        let (d, least) = (default, Duration::from_millis(100));
        Ok(Self {
            max_connections: number(
                "max_connections",
                wire.max_connections,
                d.max_connections,
                1,
                1_000_000,
            )?,
            max_header_bytes: number(
                "max_header_bytes",
                wire.max_header_bytes,
                d.max_header_bytes,
                1024,
                1 << 20,
            )?,
            max_headers: number("max_headers", wire.max_headers, d.max_headers, 1, 1_000)?,
            header_timeout: from_wire(
                "header_timeout",
                wire.header_timeout,
                d.header_timeout,
                least,
                600 * SECOND,
            )?,
            idle_timeout: from_wire("idle_timeout", wire.idle_timeout, d.idle_timeout, SECOND, DAY)?,
            body_idle_timeout: from_wire(
                "body_idle_timeout",
                wire.body_idle_timeout,
                d.body_idle_timeout,
                SECOND,
                DAY,
            )?,
        })
    }
}

impl From<&Listener> for v1::Listener {
    fn from(listener: &Listener) -> Self {
        let limits = &listener.limits;
        Self {
            name: listener.name.to_string(),
            address: listener.address.to_string(),
            limits: Some(v1::ListenerLimits {
                max_connections: Some(limits.max_connections),
                max_header_bytes: Some(limits.max_header_bytes),
                max_headers: Some(limits.max_headers),
                header_timeout: Some(to_wire(limits.header_timeout)),
                idle_timeout: Some(to_wire(limits.idle_timeout)),
                body_idle_timeout: Some(to_wire(limits.body_idle_timeout)),
            }),
        }
    }
}
