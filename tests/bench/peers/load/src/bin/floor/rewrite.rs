//! Heads as they go on: without the fields that concern one hop, and with X-Forwarded-For in requests.

use httparse::{EMPTY_HEADER, Header, Request, Response, Status};

const FIELDS: usize = 64;

/// Writes the head at the start of `input` to `output` as it goes on. Its length in `input`, and the length of the
/// body that follows; `None` if it is no complete head.
pub(crate) fn request(input: &[u8], client: &str, output: &mut Vec<u8>) -> Option<(usize, u64)> {
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut request = Request::new(&mut fields);
    let Ok(Status::Complete(length)) = request.parse(input) else { return None };
    for part in [request.method?, " ", request.path?, " HTTP/1.1\r\n"] {
        output.extend_from_slice(part.as_bytes());
    }
    let body = fields_onward(request.headers, output);
    for part in ["x-forwarded-for: ", client, "\r\n\r\n"] {
        output.extend_from_slice(part.as_bytes());
    }
    Some((length, body))
}

/// The same for a response.
pub(crate) fn response(input: &[u8], output: &mut Vec<u8>) -> Option<(usize, u64)> {
    let mut fields = [EMPTY_HEADER; FIELDS];
    let mut response = Response::new(&mut fields);
    let Ok(Status::Complete(length)) = response.parse(input) else { return None };
    let code = response.code?;
    let digits = [code / 100, code / 10 % 10, code % 10].map(|digit| b'0' + u8::try_from(digit).unwrap_or(0));
    for part in [b"HTTP/1.1 ", &digits[..], b" ", response.reason.unwrap_or_default().as_bytes(), b"\r\n"] {
        output.extend_from_slice(part);
    }
    let body = fields_onward(response.headers, output);
    output.extend_from_slice(b"\r\n");
    Some((length, body))
}

/// Copies the fields that go on. What Content-Length says, 0 without one.
fn fields_onward(fields: &[Header<'_>], output: &mut Vec<u8>) -> u64 {
    let mut length = 0;
    for field in fields {
        let is = |name: &str| field.name.eq_ignore_ascii_case(name);
        match field.name.len() {
            2 if is("te") => continue,
            7 if is("upgrade") || is("trailer") => continue,
            10 if is("connection") || is("keep-alive") => continue,
            14 if is("content-length") => length = weir_bench_load::number(field.value).unwrap_or(0),
            _ => {}
        }
        for part in [field.name.as_bytes(), b": ", field.value, b"\r\n"] {
            output.extend_from_slice(part);
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_on_with_the_clients_address_and_without_fields_of_the_hop() {
        let input = b"POST /a HTTP/1.1\r\nHost: b\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc";
        let mut output = Vec::new();
        assert_eq!(request(input, "10.0.0.1", &mut output), Some((input.len() - 3, 3)));
        let onward = "POST /a HTTP/1.1\r\nHost: b\r\nContent-Length: 3\r\nx-forwarded-for: 10.0.0.1\r\n\r\n";
        assert_eq!(String::from_utf8(output).unwrap(), onward);
    }

    #[test]
    fn a_response_goes_on_with_its_own_words() {
        let input = b"HTTP/1.1 204 Nothing Here\r\nKeep-Alive: timeout=5\r\nServer: be\r\n\r\n";
        let mut output = Vec::new();
        assert_eq!(response(input, &mut output), Some((input.len(), 0)));
        assert_eq!(output, b"HTTP/1.1 204 Nothing Here\r\nServer: be\r\n\r\n");
    }
}
