//! The sockets that are opened at the start, and the plan for those that the configuration asks for later.

mod plan;

use std::{
    io::{self, Write},
    net::{SocketAddr, TcpListener as StdListener},
};

use tokio::net::TcpListener;

pub(crate) use self::plan::{Plan, plan};
use crate::{AccessLogTarget, Config, Error, Listen, listener};

/// Bound sockets, on which nothing is accepted yet: whoever starts a proxy learns at once that an address is in use,
/// and which ports the system chose.
#[derive(Debug)]
pub struct Listeners {
    /// The address of `--listen`, and a socket for each worker.
    pub(crate) traffic: Option<(SocketAddr, Vec<StdListener>)>,
    pub(crate) admin: TcpListener,
    admin_addr: SocketAddr,
    /// How many workers the sockets are for.
    pub(crate) workers: usize,
}

impl Listeners {
    /// Binds `--listen` and `--admin`. Must be called within a tokio runtime. Fails with an error that names the
    /// address, the reason and what to do.
    pub fn bind(config: &Config) -> Result<Self, Error> {
        let workers = config.worker_count();
        let traffic = match config.listen {
            Listen::Off => None,
            Listen::Address(address) => {
                let bound = listener::bind(address, workers).and_then(|sockets| {
                    let first = sockets.first().ok_or(io::ErrorKind::AddrNotAvailable)?;
                    Ok((first.local_addr()?, sockets))
                });
                Some(bound.map_err(|source| Error::Listen { address, flag: "--listen", source })?)
            }
        };
        let failed = |source| Error::Listen { address: config.admin, flag: "--admin", source };
        // Without SO_REUSEPORT, so that a second proxy on the same address is an error.
        let admin = StdListener::bind(config.admin).map_err(failed)?;
        admin.set_nonblocking(true).map_err(failed)?;
        let admin_addr = admin.local_addr().map_err(failed)?;
        let admin = TcpListener::from_std(admin).map_err(failed)?;
        Ok(Self { traffic, admin, admin_addr, workers })
    }

    /// Where traffic is accepted while no listener is configured; None with `--listen off`. The port is the real one.
    #[must_use]
    pub fn traffic_addr(&self) -> Option<SocketAddr> {
        self.traffic.as_ref().map(|(address, _)| *address)
    }

    /// One line for each address, for whoever started the process: on the standard output, unless the access log has
    /// that for itself.
    pub fn announce(&self, config: &Config) -> io::Result<()> {
        let traffic = self.traffic_addr().map(|address| format!("traffic listening on {address}\n"));
        let lines = format!("{}admin listening on {}\n", traffic.unwrap_or_default(), self.admin_addr);
        match config.access_log {
            AccessLogTarget::Stdout => io::stderr().write_all(lines.as_bytes()),
            _ => io::stdout().write_all(lines.as_bytes()),
        }
    }

    /// Where the operator's questions are answered. The port is the real one.
    #[must_use]
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Config { listen: any.into(), admin: any, ..Config::default() }
    }

    #[tokio::test]
    async fn port_0_becomes_a_real_one_and_off_none() {
        let listeners = Listeners::bind(&config()).unwrap();
        assert_ne!(listeners.traffic_addr().unwrap().port(), 0);
        assert_ne!(listeners.admin_addr().port(), 0);
        let off = Listeners::bind(&Config { listen: Listen::Off, ..config() }).unwrap();
        assert_eq!(off.traffic_addr(), None);
    }

    #[tokio::test]
    async fn a_port_in_use_is_told_with_what_to_do() {
        let first = Listeners::bind(&config()).unwrap();
        let traffic = first.traffic_addr().unwrap();
        let again = Config { listen: traffic.into(), ..config() };
        let text = Listeners::bind(&again).unwrap_err().to_string();
        let what_to_do = "address in use; stop the other process or choose another with";
        assert_eq!(text, format!("cannot listen on {traffic}: {what_to_do} --listen"));
        let again = Config { admin: first.admin_addr(), ..config() };
        let text = Listeners::bind(&again).unwrap_err().to_string();
        assert_eq!(text, format!("cannot listen on {}: {what_to_do} --admin", first.admin_addr()));
    }
}
