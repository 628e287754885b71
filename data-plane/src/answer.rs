//! Our own answers: a status, one line for people, one word for programs.

use bytes::Bytes;
use http::{HeaderValue, Response, header};

use crate::{body::ResponseBody, exchange::Exchange, reason::Reason};

/// For `Allow`: the methods that people ask for. Any other is relayed too, but for CONNECT and TRACE.
const ALLOW: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// The answer for a reason, to a request.
pub(crate) fn response(reason: Reason, mut exchange: Exchange) -> Response<ResponseBody> {
    let status = reason.status();
    exchange.answer(reason, status);
    let text = if reason == Reason::AnsweredHere { String::new() } else { text(reason) };
    let mut response = Response::new(ResponseBody::text(Bytes::from(text), exchange));
    *response.status_mut() = status;
    for (name, value) in fields(reason) {
        // All values are made of our own words.
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The answer for a reason that closes, as bytes, where there was no request.
pub(crate) fn raw(reason: Reason) -> Vec<u8> {
    let (status, text) = (reason.status(), text(reason));
    let words = status.canonical_reason().unwrap_or("Error");
    let mut lines = vec![format!("HTTP/1.1 {} {words}", status.as_str())];
    lines.extend(fields(reason).iter().map(|(name, value)| format!("{name}: {value}")));
    lines.push(format!("content-length: {}\r\n\r\n{text}", text.len()));
    lines.join("\r\n").into_bytes()
}

fn text(reason: Reason) -> String {
    format!("weir: {} ({})\n", reason.sentence(), reason.code())
}

fn fields(reason: Reason) -> Vec<(header::HeaderName, String)> {
    let status = reason.status().as_u16();
    let mut fields = Vec::new();
    if reason == Reason::AnsweredHere {
        fields.push((header::ALLOW, ALLOW.to_owned()));
        return fields;
    }
    fields.push((header::CONTENT_TYPE, "text/plain".to_owned()));
    let proxy_status = format!("weir; error={}; details=\"{}\"", reason.proxy_error(), reason.code());
    fields.push((header::HeaderName::from_static("proxy-status"), proxy_status));
    match status {
        405 => fields.push((header::ALLOW, ALLOW.to_owned())),
        503 => fields.push((header::RETRY_AFTER, "1".to_owned())),
        _ => {}
    }
    if reason.closes() {
        fields.push((header::CONNECTION, "close".to_owned()));
    }
    fields
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
            connection: close\r\n\
            content-length: 61\r\n\r\n\
            weir: the request's header is too large (header_too_large)\n";
        let length = expected.split("\r\n\r\n").nth(1).unwrap().len();
        assert_eq!(text, expected.replace("61", &length.to_string()));
    }
}
