//! A probe by gRPC: `grpc.health.v1.Health/Check`, as gRPC's "Health Checking Protocol" has it.

use std::net::SocketAddr;

use ::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use bytes::{BufMut, Bytes, BytesMut};
use h2::RecvStream;
use prost::Message;

use super::{
    Fault, Outcome, Question,
    http2::{exchange, fault, release, request},
};
use crate::stream::Stream;

const PATH: &str = "/grpc.health.v1.Health/Check";

/// Bytes of the answer. It is one number.
const MAX_MESSAGE: usize = 4096;

/// What comes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

const STATUS: &str = "grpc-status";

/// The names of `grpc-status`, from 0 on.
const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[derive(Clone, PartialEq, Message)]
pub(super) struct HealthCheckRequest {
    #[prost(string, tag = "1")]
    pub(super) service: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HealthCheckResponse {
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub(super) status: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum ServingStatus {
    Unknown = 0,
    Serving = 1,
    NotServing = 2,
    ServiceUnknown = 3,
}

pub(super) async fn ask(
    question: &Question,
    service: &str,
    backend: SocketAddr,
    stream: Stream,
) -> Result<Outcome, Fault> {
    let mut request = request(&stream, Method::POST, &backend.to_string(), PATH)?;
    let fields = request.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    fields.insert(header::TE, HeaderValue::from_static("trailers"));
    // At most eight digits: a check takes ten minutes at most.
    if let Ok(timeout) = HeaderValue::try_from(format!("{}m", question.check.timeout.as_millis())) {
        fields.insert("grpc-timeout", timeout);
    }
    let asked = HealthCheckRequest { service: service.to_owned() };
    exchange(stream, request, Some(framed(&asked)), read).await
}

/// A message as gRPC sends it.
pub(super) fn framed(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_u8(0);
    // Both are short.
    bytes.put_u32(u32::try_from(message.encoded_len()).unwrap_or(u32::MAX));
    bytes.extend_from_slice(&message.encode_to_vec());
    bytes.freeze()
}

async fn read(response: Response<RecvStream>) -> Result<Outcome, Fault> {
    if response.status() != StatusCode::OK {
        return Err(Fault::backend(format_args!("status {}", response.status().as_u16())));
    }
    let (head, mut body) = response.into_parts();
    // An answer of trailers alone is one that failed.
    if head.headers.contains_key(STATUS) {
        check_status(&head.headers)?;
    }
    let mut message = BytesMut::new();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(fault)?;
        if message.len() + piece.len() > MAX_MESSAGE {
            return Err(malformed());
        }
        message.extend_from_slice(&piece);
        release(&mut body, piece.len());
    }
    let trailers = body.trailers().await.map_err(fault)?.unwrap_or_default();
    check_status(&trailers)?;
    judge(&message)
}

fn check_status(fields: &HeaderMap) -> Result<(), Fault> {
    let code = fields.get(STATUS).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    match code {
        Some(0) => Ok(()),
        None => Err(malformed()),
        Some(code) => {
            let name = STATUSES.get(code).map(|name| format!(" {name}")).unwrap_or_default();
            Err(Fault::backend(format_args!("gRPC status {code}{name}")))
        }
    }
}

fn judge(bytes: &[u8]) -> Result<Outcome, Fault> {
    let (prefix, message) = bytes.split_at_checked(PREFIX).ok_or_else(malformed)?;
    let whole = u32::try_from(message.len()).is_ok_and(|len| prefix[1..] == len.to_be_bytes());
    if prefix[0] != 0 || !whole {
        return Err(malformed());
    }
    let answer = HealthCheckResponse::decode(message).map_err(|_| malformed())?;
    match ServingStatus::try_from(answer.status) {
        Ok(ServingStatus::Serving) => Ok(Outcome::Passed),
        Ok(ServingStatus::NotServing) => Err(Fault::backend("NOT_SERVING")),
        Ok(ServingStatus::ServiceUnknown) => Err(Fault::backend("SERVICE_UNKNOWN")),
        Ok(ServingStatus::Unknown) | Err(_) => Err(Fault::backend("UNKNOWN")),
    }
}

fn malformed() -> Fault {
    Fault::backend("the answer is not valid gRPC")
}
