//! The sockets of the control plane, bound before anything else so that a port in use is the first thing one hears.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener, UdpSocket},
};

use socket2::{Domain, Socket, Type};

use crate::{Config, Dns, Error, dns};

/// Connections that may wait to be accepted: a whole fleet may come back at one moment.
const BACKLOG: i32 = 1024;

/// How often another port is tried that is to be free for UDP and TCP.
const PORT_ATTEMPTS: usize = 16;

/// The bound sockets of gRPC, the admin pages and DNS.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) grpc: TcpListener,
    pub(crate) admin: TcpListener,
    pub(crate) dns: Option<dns::Sockets>,
    grpc_addr: SocketAddr,
    admin_addr: SocketAddr,
}

impl Listeners {
    /// Binds what `config` names, after checking that it makes sense. The error names the address, the reason and
    /// the flag to change.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        config.check()?;
        let (grpc, grpc_addr) = bind(config.listen, "--listen")?;
        let (admin, admin_addr) = bind(config.admin, "--admin")?;
        let dns = match config.dns {
            Dns::Address(address) => Some(bind_dns(address, config)?),
            Dns::Off => None,
        };
        Ok(Self { grpc, admin, dns, grpc_addr, admin_addr })
    }

    /// Where gRPC is served, with the real port.
    #[must_use]
    pub fn grpc_addr(&self) -> SocketAddr {
        self.grpc_addr
    }

    /// Where the admin pages are served, with the real port.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }

    /// Where DNS is answered, with the real port; None if it is not.
    #[must_use]
    pub fn dns_addr(&self) -> Option<SocketAddr> {
        self.dns.as_ref().map(|sockets| sockets.address)
    }
}

impl fmt::Display for Listeners {
    /// A line for each, as programs that start this one read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grpc listening on {}\nadmin listening on {}", self.grpc_addr, self.admin_addr)?;
        self.dns_addr().map_or(Ok(()), |address| write!(f, "\ndns listening on {address}"))
    }
}

fn bind(address: SocketAddr, flag: &'static str) -> Result<(TcpListener, SocketAddr), Error> {
    tcp(address).map_err(|e| Error::Listen { address, reason: e.kind().to_string(), flag })
}

/// TCP and UDP on the same port. Port 0 is one that is free for both.
fn bind_dns(address: SocketAddr, config: &Config) -> Result<dns::Sockets, Error> {
    let both = || -> io::Result<_> {
        let (tcp, address) = tcp(address)?;
        let udp = UdpSocket::bind(address)?;
        udp.set_nonblocking(true)?;
        let settings = dns::Settings::new(config.dns_domain.clone(), config.dns_ttl, address.ip());
        Ok(dns::Sockets { udp, tcp, address, settings })
    };
    let is_final = |bound: &io::Result<_>| match bound {
        Ok(_) => true,
        Err(e) => address.port() != 0 || e.kind() != io::ErrorKind::AddrInUse,
    };
    let mut attempts = std::iter::repeat_with(both).take(PORT_ATTEMPTS);
    let bound = attempts.find(is_final).unwrap_or_else(|| Err(io::ErrorKind::AddrInUse.into()));
    bound.map_err(|e| Error::Listen { address, reason: e.kind().to_string(), flag: "--dns" })
}

fn tcp(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    // A restarted control plane takes its port back although old connections linger in TIME_WAIT.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    let listener = TcpListener::from(socket);
    let bound = listener.local_addr()?;
    Ok((listener, bound))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let store = Some("memory".to_owned());
        Config { listen: any, admin: any, dns: any.into(), store, ..Config::default() }
    }

    #[test]
    fn port_0_is_told_as_it_became() {
        let listeners = Listeners::bind(&config()).expect("free ports");
        assert_ne!(listeners.grpc_addr().port(), 0);
        assert_ne!(listeners.admin_addr(), listeners.grpc_addr());
    }

    #[test]
    fn a_port_in_use_is_named_with_the_flag_that_changes_it() {
        let first = Listeners::bind(&config()).expect("free ports");
        let taken = first.admin_addr();
        let error = Listeners::bind(&Config { admin: taken, ..config() }).expect_err("in use");
        assert_eq!(
            error.to_string(),
            format!(
                "cannot listen on {taken}: address in use; stop the other process or choose another with --admin"
            )
        );
    }

    #[test]
    fn dns_takes_udp_and_tcp_of_one_port_and_none_if_it_is_off() {
        let first = Listeners::bind(&config()).expect("free ports");
        let taken = first.dns_addr().expect("it is on");
        let sockets = first.dns.as_ref().expect("it is on");
        assert_eq!(sockets.udp.local_addr().ok(), Some(taken));
        assert_eq!(sockets.tcp.local_addr().ok(), Some(taken));
        assert!(first.to_string().ends_with(&format!("\ndns listening on {taken}")), "{first}");

        let error = Listeners::bind(&Config { dns: taken.into(), ..config() }).expect_err("in use");
        let expected = "address in use; stop the other process or choose another with --dns";
        assert!(error.to_string().ends_with(expected), "{error}");
        let without = Listeners::bind(&Config { dns: Dns::Off, ..config() }).expect("free ports");
        assert_eq!(without.dns_addr(), None);
    }

    #[test]
    fn a_setting_that_cannot_be_meant_binds_nothing() {
        let error = Listeners::bind(&Config { store: None, ..config() }).expect_err("no store");
        assert!(matches!(error, Error::Config(_)), "{error}");
    }
}
