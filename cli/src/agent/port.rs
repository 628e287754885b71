//! Whether something listens.

use std::{net::SocketAddr, time::Duration};

use tokio::{net::TcpStream, time::timeout};

/// How long one try may take.
const TRY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long to wait between two tries.
const INTERVAL: Duration = Duration::from_millis(50);

/// Waits until a connection to the address can be made.
pub(crate) async fn accepts(address: SocketAddr) {
    while !matches!(timeout(TRY_TIMEOUT, TcpStream::connect(address)).await, Ok(Ok(_))) {
        tokio::time::sleep(INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpSocket;

    use super::*;

    #[tokio::test]
    async fn it_waits_for_the_listener() {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind("127.0.0.1:0".parse().expect("an address")).expect("a free port");
        let address = socket.local_addr().expect("an address");
        assert!(timeout(4 * INTERVAL, accepts(address)).await.is_err(), "it is bound and does not listen");
        let _listener = socket.listen(1).expect("a port of its own");
        timeout(Duration::from_secs(20), accepts(address)).await.expect("it accepts");
    }
}
