//! HTTP/1 on a socket, without any cleverness: heads, bodies and trailers as the bytes that they are.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::PATIENCE;

/// One end of a connection.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    buffer: BytesMut,
    patience: Duration,
}

/// The head of a message: everything up to and with the empty line.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// As received.
    pub raw: String,
}

/// How the other end left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It said that no more comes.
    Clean,
    /// By a reset.
    Reset,
    /// It is still there.
    Never,
}

impl Head {
    /// The request line or the status line.
    #[must_use]
    pub fn start(&self) -> &str {
        self.raw.split("\r\n").next().unwrap_or_default()
    }

    /// All fields in their order, names as received.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.raw.split("\r\n").skip(1).filter_map(|line| line.split_once(':')).map(|(n, v)| (n, v.trim()))
    }

    /// The values of every field with this name, whatever its case.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields().filter(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v).collect()
    }

    /// The value of the first field with this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }

    /// Whether the body is chunked.
    #[must_use]
    pub fn chunked(&self) -> bool {
        self.get("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked"))
    }

    /// The declared length of the body.
    #[must_use]
    pub fn length(&self) -> Option<usize> {
        self.get("content-length").and_then(|v| v.parse().ok())
    }
}

impl Wire {
    /// Connects.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Ok(Self::over(timeout(PATIENCE, TcpStream::connect(address)).await??))
    }

    /// Speaks over a connection that stands.
    #[must_use]
    pub fn over(stream: TcpStream) -> Self {
        // A socket that is gone already says so at the first read.
        let _ = stream.set_nodelay(true);
        Self { stream, buffer: BytesMut::new(), patience: PATIENCE }
    }

    /// Waits this long for anything from the other end, instead of [`PATIENCE`].
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Writes all of it.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        timeout(self.patience, self.stream.write_all(bytes.as_ref())).await?
    }

    /// Writes one chunk of a chunked body; an empty one ends the body, without trailers.
    pub async fn send_chunk(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.send(chunk).await
    }

    /// Says that nothing more will be written.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.stream.shutdown().await
    }

    /// Makes the drop of this wire a reset instead of a clean end.
    pub fn reset_on_drop(&self) -> io::Result<()> {
        self.stream.set_zero_linger()
    }

    /// Reads one head. `UnexpectedEof` if the peer ends first.
    pub async fn head(&mut self) -> io::Result<Head> {
        let end = self.find(b"\r\n\r\n").await? + 4;
        let raw = String::from_utf8_lossy(&self.buffer.split_to(end)).into_owned();
        Ok(Head { raw })
    }

    /// Reads exactly this many bytes.
    pub async fn exactly(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.split_to(length).to_vec())
    }

    /// Reads one chunk of a chunked body; empty at the body's end, of which the trailers are still to be read.
    pub async fn chunk(&mut self) -> io::Result<Vec<u8>> {
        let line = self.line().await?;
        let digits = line.split(';').next().unwrap_or_default();
        let length = usize::from_str_radix(digits, 16).map_err(io::Error::other)?;
        let data = self.exactly(length).await?;
        if length > 0 {
            self.line().await?;
        }
        Ok(data)
    }

    /// Reads the trailers of a chunked body and the line that ends it.
    pub async fn trailers(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut trailers = Vec::new();
        loop {
            let line = self.line().await?;
            let Some((name, value)) = line.split_once(':') else { return Ok(trailers) };
            trailers.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Reads whatever comes next, at least one byte; empty at the end.
    pub async fn some(&mut self) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() {
            match self.fill().await {
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(Vec::new()),
                other => other?,
            }
        }
        Ok(self.buffer.split().to_vec())
    }

    /// Reads to the end of the stream.
    pub async fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut all = Vec::new();
        loop {
            let some = self.some().await?;
            if some.is_empty() {
                return Ok(all);
            }
            all.extend(some);
        }
    }

    /// Reads to the end of the stream, however that comes, or until nothing more comes. What came, and how it ended.
    pub async fn to_end(&mut self) -> (Vec<u8>, End) {
        let mut all = Vec::new();
        loop {
            match self.some().await {
                Ok(some) if some.is_empty() => return (all, End::Clean),
                Ok(some) => all.extend(some),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => return (all, End::Never),
                Err(_) => return (all, End::Reset),
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        let end = self.find(b"\r\n").await?;
        let line = String::from_utf8_lossy(&self.buffer[..end]).into_owned();
        self.buffer.advance(end + 2);
        Ok(line)
    }

    async fn find(&mut self, pattern: &[u8]) -> io::Result<usize> {
        loop {
            if let Some(at) = self.buffer.windows(pattern.len()).position(|window| window == pattern) {
                return Ok(at);
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> io::Result<()> {
        match timeout(self.patience, self.stream.read_buf(&mut self.buffer)).await?? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}
