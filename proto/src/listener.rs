//! A listener: see `config.proto`.

use std::{net::SocketAddr, time::Duration};

use crate::{
    Invalid, ListenerName, ListenerTls,
    address::canonical,
    bounds::{bounded, number},
    duration::{from_wire, to_wire},
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
    /// What is spoken there.
    pub protocol: ListenerProtocol,
    /// How TLS is spoken there; in the clear without it.
    pub tls: Option<ListenerTls>,
}

/// Which versions of HTTP a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum ListenerProtocol {
    /// HTTP/1 and HTTP/2: by ALPN under TLS, by the preface in the clear.
    #[default]
    Auto,
    /// HTTP/1 alone.
    Http1,
    /// HTTP/2 alone.
    Http2,
}

/// Bounds that a listener puts on its clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections at one time.
    pub max_connections: u32,
    /// Bytes of a request's head; of its trailers too.
    pub max_header_bytes: u32,
    /// Fields of a request's head; of its trailers too.
    pub max_headers: u32,
    /// To the end of a request's head.
    pub header_timeout: Duration,
    /// Between two requests.
    pub idle_timeout: Duration,
    /// Between two pieces of a request's body.
    pub body_idle_timeout: Duration,
    /// HTTP/2: requests in progress on one connection.
    pub max_concurrent_streams: u32,
    /// Bytes of a request's body; no bound without it.
    pub max_request_body_bytes: Option<u64>,
    /// Bytes per second that a request's body must keep up; 0 means any rate.
    pub min_request_body_rate: u32,
    /// While the client takes nothing.
    pub send_timeout: Duration,
    /// Bytes of a request line, or of a target of HTTP/2.
    pub max_request_line_bytes: u32,
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
            max_concurrent_streams: 100,
            max_request_body_bytes: None,
            min_request_body_rate: 240,
            send_timeout: Duration::from_mins(1),
            max_request_line_bytes: 8 * 1024,
        }
    }
}

impl Listener {
    /// The level of the contract that an object with this listener needs: `Object.level` in `object.proto`.
    #[must_use]
    pub fn level(&self) -> u32 {
        if self.tls.is_some() || self.protocol == ListenerProtocol::Http2 { 2 } else { 1 }
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
        let address = canonical(address);
        if address.port() == 0 {
            return Err(Invalid::new("address", "port 0 would be another port on every proxy; name one"));
        }
        let limits = Limits::try_from(wire.limits.unwrap_or_default()).map_err(|e| e.within("limits"))?;
        let protocol = ListenerProtocol::try_from(wire.protocol).map_err(|e| e.within("protocol"))?;
        let tls = wire.tls.map(ListenerTls::try_from).transpose().map_err(|e| e.within("tls"))?;
        Ok(Self { name, address, limits, protocol, tls })
    }
}

impl TryFrom<i32> for ListenerProtocol {
    type Error = Invalid;

    fn try_from(wire: i32) -> Result<Self, Invalid> {
        match v1::ListenerProtocol::try_from(wire) {
            Ok(v1::ListenerProtocol::Unspecified) => Ok(Self::default()),
            Ok(v1::ListenerProtocol::Auto) => Ok(Self::Auto),
            Ok(v1::ListenerProtocol::Http1) => Ok(Self::Http1),
            Ok(v1::ListenerProtocol::Http2) => Ok(Self::Http2),
            Err(_) => Err(Invalid::new("", format_args!("must be AUTO, HTTP1 or HTTP2, not {wire}"))),
        }
    }
}

impl TryFrom<v1::ListenerLimits> for Limits {
    type Error = Invalid;

    fn try_from(wire: v1::ListenerLimits) -> Result<Self, Invalid> {
        const SECOND: Duration = Duration::from_secs(1);
        const DAY: Duration = Duration::from_hours(24);
        let d = Self::default();
        if let Some(most) = wire.max_request_body_bytes
            && i64::try_from(most).is_err()
        {
            let reason = format!("must be 0 to {}, is {most}", i64::MAX);
            return Err(Invalid::new("max_request_body_bytes", reason));
        }
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
                Duration::from_millis(100),
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
            max_concurrent_streams: number(
                "max_concurrent_streams",
                wire.max_concurrent_streams,
                d.max_concurrent_streams,
                1,
                10_000,
            )?,
            max_request_body_bytes: wire.max_request_body_bytes,
            min_request_body_rate: number(
                "min_request_body_rate",
                wire.min_request_body_rate,
                d.min_request_body_rate,
                0,
                1 << 30,
            )?,
            send_timeout: from_wire("send_timeout", wire.send_timeout, d.send_timeout, SECOND, DAY)?,
            max_request_line_bytes: bounded!(wire.max_request_line_bytes, d, 256..=1 << 20)?,
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
                max_concurrent_streams: Some(limits.max_concurrent_streams),
                max_request_body_bytes: limits.max_request_body_bytes,
                min_request_body_rate: Some(limits.min_request_body_rate),
                send_timeout: Some(to_wire(limits.send_timeout)),
                max_request_line_bytes: Some(limits.max_request_line_bytes),
            }),
            protocol: v1::ListenerProtocol::from(listener.protocol) as i32,
            tls: listener.tls.as_ref().map(v1::ListenerTls::from),
        }
    }
}

impl From<ListenerProtocol> for v1::ListenerProtocol {
    fn from(protocol: ListenerProtocol) -> Self {
        match protocol {
            ListenerProtocol::Auto => Self::Auto,
            ListenerProtocol::Http1 => Self::Http1,
            ListenerProtocol::Http2 => Self::Http2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(change: impl FnOnce(&mut v1::Listener)) -> Result<Listener, Invalid> {
        let mut wire =
            v1::Listener { name: "web".into(), address: "0.0.0.0:8080".into(), ..Default::default() };
        change(&mut wire);
        Listener::try_from(wire)
    }

    fn limited(limits: v1::ListenerLimits) -> Result<Listener, Invalid> {
        parse(|wire| wire.limits = Some(limits))
    }

    #[test]
    fn what_is_absent_has_its_default_and_reads_back() {
        let listener = parse(|_| ()).unwrap();
        assert_eq!((listener.limits, listener.protocol), (Limits::default(), ListenerProtocol::Auto));
        assert_eq!(Listener::try_from(v1::Listener::from(&listener)), Ok(listener));
    }

    #[test]
    fn everything_reads_back() {
        let listener = parse(|wire| {
            wire.protocol = v1::ListenerProtocol::Http2 as i32;
            wire.limits = Some(v1::ListenerLimits {
                max_concurrent_streams: Some(1),
                max_request_body_bytes: Some(0),
                min_request_body_rate: Some(0),
                send_timeout: Some(to_wire(Duration::from_secs(1))),
                max_request_line_bytes: Some(256),
                ..Default::default()
            });
            wire.tls = Some(crate::tls::tests::listener_tls());
        })
        .unwrap();
        assert_eq!(listener.limits.max_request_body_bytes, Some(0));
        assert_eq!(Listener::try_from(v1::Listener::from(&listener)), Ok(listener));
    }

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let reason = |result: Result<Listener, Invalid>| result.unwrap_err().to_string();
        assert_eq!(
            reason(limited(v1::ListenerLimits {
                max_request_body_bytes: Some(u64::MAX),
                ..Default::default()
            })),
            "limits.max_request_body_bytes: must be 0 to 9223372036854775807, is 18446744073709551615"
        );
        assert_eq!(
            reason(limited(v1::ListenerLimits { max_concurrent_streams: Some(0), ..Default::default() })),
            "limits.max_concurrent_streams: must be 1 to 10000, is 0"
        );
        assert_eq!(
            reason(limited(v1::ListenerLimits {
                send_timeout: Some(to_wire(Duration::from_millis(10))),
                ..Default::default()
            })),
            "limits.send_timeout: must be 1s to 86400s, is 10ms"
        );
        assert_eq!(
            reason(limited(v1::ListenerLimits { max_request_line_bytes: Some(255), ..Default::default() })),
            "limits.max_request_line_bytes: must be 256 to 1048576, is 255"
        );
        assert_eq!(reason(parse(|wire| wire.protocol = 9)), "protocol: must be AUTO, HTTP1 or HTTP2, not 9");
        assert_eq!(
            reason(parse(|wire| wire.tls = Some(v1::ListenerTls::default()))),
            "tls.certificates: must be 1 to 64, are 0"
        );
    }

    #[test]
    fn an_older_proxy_must_not_serve_what_it_would_serve_wrongly() {
        let http = |protocol: v1::ListenerProtocol| parse(|wire| wire.protocol = protocol as i32).unwrap();
        assert_eq!(parse(|_| ()).unwrap().level(), 1);
        assert_eq!(http(v1::ListenerProtocol::Http1).level(), 1);
        assert_eq!(http(v1::ListenerProtocol::Http2).level(), 2);
        let tls = parse(|wire| wire.tls = Some(crate::tls::tests::listener_tls())).unwrap();
        assert_eq!(tls.level(), 2);
    }
}
