//! A probe by HTTP/1.1: one request, and as much of the answer as is needed.

use std::io;

use ::http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use weir_proto::HttpProbe;

use super::{
    Fault, Outcome, USER_AGENT,
    http::{Search, judge},
};
use crate::{
    buffer::{Buffer, Buffers},
    http1::{Content, Most, ParsedResponse, response, write},
    message::ResponseHead,
    reason::Reason,
    stream::Stream,
};

/// What the head of an answer to a probe may have, whatever the service lets others have.
const MOST: Most = Most { bytes: 64 * 1024, fields: 256 };

/// Interim responses before the one that counts.
const MAX_INTERIM: usize = 10;

pub(super) async fn ask(probe: &HttpProbe, host: &str, stream: Stream) -> Result<Outcome, Fault> {
    let mut connection = Connection { stream, buffer: Buffer::none() };
    Buffers::default().lend(&mut connection.buffer);
    connection.stream.write_all(&request(probe, host)).await?;
    connection.stream.flush().await?;
    let (status, mut content) = connection.head().await?;
    let outcome = judge(status, probe);
    let mut search = Search::new(&probe.expected_body);
    if outcome != Outcome::Passed {
        return Ok(outcome);
    }
    while !search.is_over() {
        let Some(piece) = connection.piece(&mut content).await? else { break };
        search.take(&connection.buffer.unread()[..piece]);
        content.consume(&mut connection.buffer, piece);
    }
    Ok(search.outcome())
}

fn request(probe: &HttpProbe, host: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write::request_line(&mut out, &Method::GET, &probe.path);
    write::field(&mut out, b"host", host.as_bytes());
    if !probe.headers.iter().any(|(name, _)| name == "user-agent") {
        write::field(&mut out, b"user-agent", USER_AGENT.as_bytes());
    }
    for (name, value) in &probe.headers {
        write::field(&mut out, name.as_bytes(), value.as_bytes());
    }
    out.extend_from_slice(b"connection: close\r\n\r\n");
    out
}

struct Connection {
    stream: Stream,
    buffer: Buffer,
}

impl Connection {
    /// Of the first response that is not an interim one.
    async fn head(&mut self) -> Result<(StatusCode, Content), Fault> {
        let mut head = ResponseHead::default();
        for _ in 0..=MAX_INTERIM {
            let ParsedResponse { bytes, framing, .. } = self.next_head(&mut head).await?;
            self.buffer.consume(bytes);
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                break;
            }
            if !head.status.is_informational() {
                return Ok((head.status, Content::new(&framing, MOST)));
            }
        }
        Err(malformed())
    }

    async fn next_head(&mut self, head: &mut ResponseHead) -> Result<ParsedResponse, Fault> {
        loop {
            match response::parse(self.buffer.unread(), &Method::GET, MOST, head) {
                Ok(Some(parsed)) => return Ok(parsed),
                Ok(None) => {}
                Err(Reason::BackendHeaderTooLarge) => {
                    return Err(Fault::backend("the head of the answer is too large"));
                }
                Err(_) => return Err(malformed()),
            }
            if self.read().await? == 0 {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
        }
    }

    /// How many bytes of the body are there next. None at its end, whole or not.
    async fn piece(&mut self, content: &mut Content) -> Result<Option<usize>, Fault> {
        loop {
            let n = content.available(&mut self.buffer).map_err(|_| malformed())?;
            if n > 0 {
                return Ok(Some(n));
            }
            // How a connection ends is all the same: what is missing in the body is missing.
            if content.is_ended() || self.read().await.unwrap_or(0) == 0 {
                return Ok(None);
            }
        }
    }

    /// 0 at the end of the connection.
    async fn read(&mut self) -> io::Result<usize> {
        if !self.buffer.has_room() {
            // More than the largest head that is allowed.
            Buffers::default().enlarge(&mut self.buffer, 0);
        }
        let n = self.stream.read(self.buffer.room()).await?;
        self.buffer.filled(n);
        Ok(n)
    }
}

fn malformed() -> Fault {
    Fault::backend("the answer is not valid HTTP/1")
}
