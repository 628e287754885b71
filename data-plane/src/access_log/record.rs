//! One line of the access log. It never has header values or queries, because secrets travel in them.

use std::{io::Write, net::SocketAddr};

use serde::Serialize;
use tokio::time::Duration;

use crate::message::{Name, RequestHead};

/// What is known of a request when it has ended.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) listener: &'a str,
    pub(crate) client: SocketAddr,
    pub(crate) request: Option<&'a Request>,
    pub(crate) status: u16,
    pub(crate) reason: &'static str,
    pub(crate) service: Option<&'a str>,
    pub(crate) backend: Option<&'a str>,
    pub(crate) attempts: u32,
    /// Of the request's body.
    pub(crate) bytes_in: u64,
    /// Of the response's body.
    pub(crate) bytes_out: u64,
    /// From the request's head to the end of the response.
    pub(crate) took: Duration,
    /// From the first attempt to the response's head.
    pub(crate) upstream: Option<Duration>,
}

/// What the request said, kept only where there is a log.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: http::Method,
    pub(crate) host: String,
    /// Without the query.
    pub(crate) path: String,
}

impl Request {
    /// The host as far as it can be told: a log also has bad requests. Never what stands before an `@`: credentials.
    pub(crate) fn of(head: &RequestHead) -> Self {
        let host = head.authority().map(str::as_bytes).or_else(|| head.fields.get(Name::Host));
        Self {
            method: head.method.clone(),
            host: host_of(host.unwrap_or_default()),
            path: head.path().to_owned(),
        }
    }
}

fn host_of(authority: &[u8]) -> String {
    let host = authority.rsplit(|byte| *byte == b'@').next().unwrap_or_default();
    String::from_utf8_lossy(host).into_owned()
}

#[derive(Serialize)]
struct Line<'a> {
    time: &'a str,
    listener: &'a str,
    client: SocketAddr,
    #[serde(skip_serializing_if = "Option::is_none")]
    method: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<&'a str>,
    status: u16,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    service: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'a str>,
    attempts: u32,
    bytes_in: u64,
    bytes_out: u64,
    duration_ms: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_ms: Option<f64>,
}

impl Record<'_> {
    /// As JSON, without the end of the line. The time is that of the writing.
    pub(super) fn write(&self, time: &str, line: &mut Vec<u8>) {
        let request = self.request;
        let json = Line {
            time,
            listener: self.listener,
            client: self.client,
            method: request.map(|r| r.method.as_str()),
            host: request.map(|r| r.host.as_str()),
            path: request.map(|r| r.path.as_str()),
            status: self.status,
            reason: self.reason,
            service: self.service,
            backend: self.backend,
            attempts: self.attempts,
            bytes_in: self.bytes_in,
            bytes_out: self.bytes_out,
            duration_ms: milliseconds(self.took),
            upstream_ms: self.upstream.map(milliseconds),
        };
        let start = line.len();
        if serde_json::to_writer(&mut *line, &json).is_err() {
            // Not possible for these types; a line that says so is better than a torn one.
            line.truncate(start);
            let _ = line.write_all(b"{}");
        }
    }
}

/// To the microsecond.
fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http1::{Most, request};

    #[test]
    fn what_stands_before_an_at_sign_is_not_kept() {
        for request in [
            "GET http://me:secret@web/ HTTP/1.1\r\nHost: web\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: me:secret@web\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: me:sec/ret@secret@web\r\n\r\n",
            "CONNECT me:secret@web HTTP/1.1\r\nHost: web\r\n\r\n",
        ] {
            let mut head = RequestHead::default();
            request::parse(request.as_bytes(), 1024, Most { bytes: 1024, fields: 9 }, &mut head)
                .unwrap()
                .unwrap();
            let kept = Request::of(&head);
            assert_eq!(kept.host, "web", "{request}");
            assert!(!format!("{kept:?} {head:?}").contains("secret"), "{kept:?} {head:?}");
        }
    }
}
