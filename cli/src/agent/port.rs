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
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn it_waits_for_the_listener() {
        let address = {
            let free = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            free.local_addr().expect("an address")
        };
        assert!(timeout(4 * INTERVAL, accepts(address)).await.is_err());
        let _listener = TcpListener::bind(address).await.expect("still free");
        timeout(Duration::from_secs(5), accepts(address)).await.expect("it accepts");
    }
}
