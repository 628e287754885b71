//! Our own answers: a status, one line for people, one word for programs.

use bytes::Bytes;
use http::StatusCode;

use crate::{
    exchange::Exchange,
    grpc::{self, Call},
    http1::write,
    message::{Name, ResponseHead},
    reason::Reason,
    reply::Reply,
};

/// For `Allow`: the methods that people ask for. Any other is relayed too, but for CONNECT and TRACE.
const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The answer for a reason, to a request, or to a `call` in the words of gRPC. With `closes`, the client's connection
/// cannot be used again.
pub(crate) fn reply<'a>(
    reason: Reason,
    mut exchange: Exchange,
    call: Option<Call>,
    closes: bool,
) -> Reply<'a> {
    let closes = closes || reason.closes();
    if let Some(call) = call {
        exchange.answer(reason, StatusCode::OK);
        return Reply::own(for_grpc(reason, call), Bytes::new(), exchange, closes);
    }
    let qualified = exchange.qualified();
    let mut head = head(reason);
    if let Some(status) = qualified.status {
        head.status = status;
    }
    if let Some(after) = qualified.retry_after {
        // Whole seconds, and never earlier than is meant.
        head.fields.set(Name::RetryAfter, after.as_secs_f64().ceil().max(1.0).to_string().as_bytes());
    }
    exchange.answer(reason, head.status);
    let text = if reason == Reason::AnsweredHere { Bytes::new() } else { Bytes::from(text(reason)) };
    Reply::own(head, text, exchange, closes)
}

/// The answer for a reason that closes, as bytes, where there was no request.
pub(crate) fn raw(reason: Reason) -> Vec<u8> {
    let (mut out, text) = (Vec::new(), text(reason));
    let head = head(reason);
    write::status_line(&mut out, head.status);
    write::fields(&mut out, &head.fields);
    write::number_field(&mut out, b"content-length", text.len() as u64);
    write::field(&mut out, b"connection", b"close");
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(text.as_bytes());
    out
}

fn text(reason: Reason) -> String {
    format!("weir: {} ({})\n", reason.sentence(), reason.code())
}

fn head(reason: Reason) -> ResponseHead {
    let mut head = ResponseHead::new(reason.status());
    let fields = &mut head.fields;
    if reason == Reason::AnsweredHere {
        fields.push(Name::Allow, ALLOW.as_bytes());
        return head;
    }
    fields.push(Name::ContentType, b"text/plain");
    fields.push(Name::ProxyStatus, proxy_status(reason).as_bytes());
    match reason.status().as_u16() {
        405 => fields.push(Name::Allow, ALLOW.as_bytes()),
        429 | 503 => fields.push(Name::RetryAfter, b"1"),
        _ => {}
    }
    head
}

/// A response that is nothing but its trailers, which stand in its head.
fn for_grpc(reason: Reason, call: Call) -> ResponseHead {
    let mut head = ResponseHead::new(StatusCode::OK);
    let status = grpc::status(reason, call.timeout.is_some());
    head.fields.push(Name::ContentType, b"application/grpc");
    head.fields.push(Name::GrpcStatus, status.to_string().as_bytes());
    head.fields.push(Name::GrpcMessage, grpc::message(text(reason).trim_end()).as_bytes());
    head.fields.push(Name::ProxyStatus, proxy_status(reason).as_bytes());
    head
}

/// RFC 9209.
fn proxy_status(reason: Reason) -> String {
    format!("weir; error={}; details=\"{}\"", reason.proxy_error(), reason.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_why_twice() {
        let text = String::from_utf8(raw(Reason::HeaderTooLarge)).unwrap();
        let expected = "HTTP/1.1 431 Request Header Fields Too Large\r\n\
            content-type: text/plain\r\n\
            proxy-status: weir; error=http_request_error; details=\"header_too_large\"\r\n\
            content-length: 61\r\n\
            connection: close\r\n\r\n\
            weir: the request's header is too large (header_too_large)\n";
        let length = expected.split("\r\n\r\n").nth(1).unwrap().len();
        assert_eq!(text, expected.replace("61", &length.to_string()));
    }

    #[test]
    fn a_caller_by_grpc_is_answered_in_its_words() {
        let head = for_grpc(Reason::NoRoute, Call { timeout: None });
        assert_eq!(head.status, StatusCode::OK);
        assert_eq!(head.fields.get(Name::GrpcStatus), Some(&b"12"[..]));
        assert!(head.fields.get(Name::GrpcMessage).unwrap().starts_with(b"weir: no route"));
    }
}
