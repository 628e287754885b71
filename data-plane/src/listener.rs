//! Opens the sockets of one address: one for each worker, all on the same port.

use std::{
    io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};

/// Connections that the kernel completes for us before they are accepted; it may cap it (`net.core.somaxconn`).
const BACKLOG: i32 = 4096;

/// `n` sockets on `address`, between which the kernel spreads connections (`SO_REUSEPORT`). Port 0 takes a free port,
/// the same for all. A port that any other socket listens on, of this or another process, is an error.
pub(crate) fn bind(address: SocketAddr, n: usize) -> io::Result<Vec<TcpListener>> {
    // Without SO_REUSEPORT the first bind fails if anybody else has the port, even if they would share it. The option
    // is set after it, so that our own further sockets may join.
    let first = socket(address)?;
    first.bind(&SockAddr::from(address))?;
    first.set_reuse_port(true)?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    for _ in 1..n {
        let next = socket(address)?;
        next.set_reuse_port(true)?;
        next.bind(&bound)?;
        sockets.push(next);
    }
    for socket in &sockets {
        socket.listen(BACKLOG)?;
    }
    Ok(sockets.into_iter().map(TcpListener::from).collect())
}

fn socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a process before us that linger in TIME_WAIT do not keep us from the port.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

    #[test]
    fn all_sockets_share_one_port() {
        let sockets = bind(ANY, 3).unwrap();
        let ports: Vec<u16> = sockets.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        assert_ne!(ports[0], 0);
        assert_eq!(ports, [ports[0]; 3]);
    }

    #[test]
    fn a_port_in_use_is_an_error_even_if_its_owner_would_share_it() {
        let others = bind(ANY, 2).unwrap();
        let address = others[0].local_addr().unwrap();
        assert_eq!(bind(address, 2).map_err(|e| e.kind()).err(), Some(io::ErrorKind::AddrInUse));
        drop(others);
        assert_eq!(bind(address, 2).map(|sockets| sockets.len()).ok(), Some(2));
    }
}
