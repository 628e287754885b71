//! The sockets of the control plane, bound before anything else so that a port in use is the first thing one hears.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener},
};

use socket2::{Domain, Socket, Type};

use crate::{Config, Error};

/// Connections that may wait to be accepted: a whole fleet may come back at one moment.
const BACKLOG: i32 = 1024;

/// The bound sockets of the gRPC and the admin service.
#[derive(Debug)]
pub struct Listeners {
    pub(crate) grpc: TcpListener,
    pub(crate) admin: TcpListener,
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
        Ok(Self { grpc, admin, grpc_addr, admin_addr })
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
}

impl fmt::Display for Listeners {
    /// A line for each, as programs that start this one read it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "grpc listening on {}\nadmin listening on {}", self.grpc_addr, self.admin_addr)
    }
}

fn bind(address: SocketAddr, flag: &'static str) -> Result<(TcpListener, SocketAddr), Error> {
    let bind = || -> io::Result<_> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
        // A restarted control plane takes its port back although old connections linger in TIME_WAIT.
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        let listener = TcpListener::from(socket);
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bind().map_err(|e| Error::Listen { address, reason: e.kind().to_string(), flag })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Config { listen: any, admin: any, store: Some("memory".to_owned()), ..Config::default() }
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
    fn a_setting_that_cannot_be_meant_binds_nothing() {
        let error = Listeners::bind(&Config { store: None, ..config() }).expect_err("no store");
        assert!(matches!(error, Error::Config(_)), "{error}");
    }
}
