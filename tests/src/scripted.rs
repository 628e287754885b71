//! A backend that does nothing by itself: a test takes its connections one by one, and speaks for it.

use std::{io, net::SocketAddr, time::Duration};

use tokio::{net::TcpListener, time::timeout};

use crate::{PATIENCE, Wire};

/// A server on a loopback port, which accepts when it is asked to.
#[derive(Debug)]
pub struct Scripted {
    listener: TcpListener,
    patience: Duration,
}

impl Scripted {
    /// Starts one.
    pub async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        Self { listener, patience: PATIENCE }
    }

    /// Waits this long for the proxy, here and on its connections, instead of [`PATIENCE`].
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound socket has an address")
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<Wire> {
        let (stream, _) = timeout(self.patience, self.listener.accept()).await??;
        Ok(Wire::over(stream).patience(self.patience))
    }
}
