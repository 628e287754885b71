//! Whether the parts are there already.

use std::{net::SocketAddr, time::Duration};

use http_body_util::Empty;
use hyper::{Request, StatusCode, body::Bytes, client::conn::http1, header::HOST};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;
use weir_proto::v1;

use crate::{Error, client::Client};

/// How often to look.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// A connection to a control plane that is just starting.
pub(super) async fn client(url: &str, timeout: Duration) -> Result<Client, Error> {
    loop {
        match Client::connect(&[url.to_owned()], timeout).await {
            Err(Error::Unreachable { .. }) => {}
            result => {
                let client = result?;
                let mut admin = client.admin();
                match client.call(admin.get_status(v1::GetStatusRequest {})).await {
                    Err(Error::Unreachable { .. } | Error::Unavailable { .. }) => {}
                    answer => return answer.map(|_| client),
                }
            }
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Waits until so many proxies follow the control plane.
pub(super) async fn connected(client: &Client, count: usize) -> Result<(), Error> {
    let mut admin = client.admin();
    loop {
        let response = client.call(admin.list_proxies(v1::ListProxiesRequest {})).await?;
        if response.proxies.iter().filter(|p| p.connected).count() >= count {
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Waits until a request to the address is answered with 200.
pub(super) async fn answers(address: SocketAddr) {
    while !matches!(status(address).await, Ok(StatusCode::OK)) {
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

async fn status(address: SocketAddr) -> Result<StatusCode, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::get("/").header(HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    Ok(sender.send_request(request).await?.status())
}
