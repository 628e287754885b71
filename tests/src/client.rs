//! A client that does just what it is told.

use std::{io, net::SocketAddr};

use crate::{Head, Wire};

/// One connection to a proxy.
#[derive(Debug)]
pub struct Client {
    /// For everything that the convenient calls don't do.
    pub wire: Wire,
}

/// A whole response.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// Status line and fields.
    pub head: Head,
    /// Without the framing.
    pub body: Vec<u8>,
    /// What came after a chunked body.
    pub trailers: Vec<(String, String)>,
}

impl Response {
    /// The status code.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.start().split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_default()
    }

    /// The body as text, without the white space around it.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).trim().to_owned()
    }
}

/// One `GET` on a connection of its own.
pub async fn get(address: SocketAddr, path: &str) -> io::Result<Response> {
    Client::open(address).await?.get(path).await
}

impl Client {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self { wire: Wire::open(address).await? })
    }

    /// A `GET` for the host `test`.
    pub async fn get(&mut self, path: &str) -> io::Result<Response> {
        self.send("GET", format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n")).await
    }

    /// Sends a whole request as it stands and reads the final response to it.
    pub async fn send(&mut self, method: &str, request: impl AsRef<[u8]>) -> io::Result<Response> {
        self.wire.send(request).await?;
        self.response(method).await
    }

    /// Reads the final response to a request with this method; interim ones are passed over.
    pub async fn response(&mut self, method: &str) -> io::Result<Response> {
        let mut response = Response { head: self.wire.head().await?, ..Response::default() };
        while response.status() < 200 && response.status() != 101 {
            response.head = self.wire.head().await?;
        }
        if method == "HEAD" || matches!(response.status(), 101 | 204 | 304) {
            return Ok(response);
        }
        if response.head.chunked() {
            loop {
                let chunk = self.wire.chunk().await?;
                if chunk.is_empty() {
                    break;
                }
                response.body.extend(chunk);
            }
            response.trailers = self.wire.trailers().await?;
        } else if let Some(length) = response.head.length() {
            response.body = self.wire.exactly(length).await?;
        } else {
            response.body = self.wire.rest().await?;
        }
        Ok(response)
    }

    /// Whether the server ends the connection without another byte.
    pub async fn ends(&mut self) -> bool {
        match self.wire.some().await {
            Ok(bytes) => bytes.is_empty(),
            Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
        }
    }
}
