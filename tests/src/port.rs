//! A port that stays a test's own, whether anybody listens on it or not.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

/// A port of the loopback that the system gives to nobody else until this is dropped. Programs may listen on it, one
/// after the other; in between, connections are refused.
///
/// It is a socket that is bound and never listens. Others may have the same address meanwhile if both allow that by
/// `SO_REUSEADDR`, as whoever listens does nearly everywhere.
#[derive(Debug)]
pub struct Port {
    address: SocketAddr,
    _bound: TcpSocket,
}

impl Port {
    /// One that is free.
    #[must_use]
    pub fn free() -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)))
    }

    /// This very one, or any for port 0.
    #[must_use]
    pub fn at(address: SocketAddr) -> Self {
        let bound = TcpSocket::new_v4().expect("a socket");
        bound.set_reuseaddr(true).expect("an option of every socket");
        bound.bind(address).expect("a free port");
        let address = bound.local_addr().expect("a bound socket has an address");
        Self { address, _bound: bound }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

#[cfg(test)]
mod tests {
    use std::{io, net::TcpListener};

    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn listeners_come_and_go_and_between_them_connections_are_refused() {
        let port = Port::free();
        for _ in 0..3 {
            let refused = TcpStream::connect(port.address()).await.map_err(|e| e.kind());
            assert_eq!(refused.err(), Some(io::ErrorKind::ConnectionRefused));
            let listener = TcpListener::bind(port.address()).expect("a port of our own");
            TcpStream::connect(port.address()).await.expect("somebody listens");
            let second = TcpListener::bind(port.address()).map_err(|e| e.kind());
            assert_eq!(second.err(), Some(io::ErrorKind::AddrInUse), "one at a time");
            drop(listener);
        }
    }
}
