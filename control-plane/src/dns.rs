//! DNS: who can serve a service, and which proxies there are, for clients that ask for names.
//!
//! One zone, answered from the newest snapshot and the list of proxies, over UDP and TCP. Nothing is resolved for
//! anybody, and no answer waits for the registry. The messages are hickory's; the sockets are ours, because every
//! datagram is answered before the next one is read, so that nothing queues up.

mod answer;
mod domain;
mod fit;
mod health;
mod node;
mod records;
mod server;
mod view;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod testing;

use std::{
    fmt,
    net::{SocketAddr, TcpListener, UdpSocket},
    str::FromStr,
};

pub use domain::DnsDomain;
pub(crate) use {
    answer::Settings,
    server::{MOST_CONNECTIONS, serve},
    view::Source,
};

/// Where DNS is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dns {
    /// Here, over UDP and TCP. Port 0 takes one that is free for both.
    Address(SocketAddr),
    /// Nowhere.
    Off,
}

/// The bound sockets, of one address, and what is answered there.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub udp: UdpSocket,
    pub tcp: TcpListener,
    pub address: SocketAddr,
    pub settings: Settings,
}

impl FromStr for Dns {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        let wrong = |_| format!("must be IP:port, as 127.0.0.1:7453 or [::1]:7453, or `off`, not {text:?}");
        text.parse().map(Self::Address).map_err(wrong)
    }
}

impl fmt::Display for Dns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Off => f.write_str("off"),
        }
    }
}

impl From<SocketAddr> for Dns {
    fn from(address: SocketAddr) -> Self {
        Self::Address(address)
    }
}
