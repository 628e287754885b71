//! What an answer says, as far as it matters here.

use weir_bench_load::{end_of_head, field, number};

const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// An answer that is all there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u64,
    /// Which backend it came from, if it says so.
    pub(crate) backend: Option<String>,
    /// Whether nothing more comes on its connection.
    pub(crate) last: bool,
}

/// Why there is no answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Not {
    Yet,
    Http,
}

impl Answer {
    /// Reads `input`, all that came on a connection for one request; `ended` if nothing more comes.
    pub(crate) fn of(input: &[u8], ended: bool) -> Result<Self, Not> {
        let Some(end) = end_of_head(input) else { return Err(Not::Yet) };
        let (head, body) = input.split_at(end);
        let version = head.strip_prefix(b"HTTP/1.").ok_or(Not::Http)?;
        let status = version.get(2..).and_then(number).ok_or(Not::Http)?;
        let is = |name: &[u8], value: &[u8]| {
            field(head, name).is_some_and(|said| said.eq_ignore_ascii_case(value))
        };
        let length = field(head, b"content-length").and_then(number);
        let whole = match length {
            _ if is(b"transfer-encoding", b"chunked") => body.ends_with(LAST_CHUNK),
            Some(length) => body.len() as u64 >= length,
            None => ended,
        };
        if !whole {
            return Err(Not::Yet);
        }
        let backend = field(head, b"x-backend").map(|name| String::from_utf8_lossy(name).into_owned());
        let last = ended || is(b"connection", b"close") || version.starts_with(b"0");
        Ok(Self { status, backend, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_declared_body_is_there() {
        let input = b"HTTP/1.1 200 OK\r\nX-Backend: 2\r\nContent-Length: 3\r\n\r\nabc";
        assert_eq!(Answer::of(&input[..input.len() - 1], false), Err(Not::Yet));
        let answer = Answer { status: 200, backend: Some("2".to_owned()), last: false };
        assert_eq!(Answer::of(input, false), Ok(answer));
    }

    #[test]
    fn one_without_a_length_is_whole_when_the_connection_ends() {
        let input = b"HTTP/1.0 503 No\r\n\r\nsorry";
        assert_eq!(Answer::of(input, false), Err(Not::Yet));
        assert_eq!(Answer::of(input, true), Ok(Answer { status: 503, backend: None, last: true }));
    }

    #[test]
    fn chunks_are_whole_with_the_last_one() {
        let input = b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
        assert_eq!(Answer::of(&input[..input.len() - 5], true), Err(Not::Yet));
        assert_eq!(Answer::of(input, false).map(|answer| answer.status), Ok(503));
    }

    #[test]
    fn what_is_not_http_is_no_answer() {
        assert_eq!(Answer::of(b"SSH-2.0\r\n\r\n", false), Err(Not::Http));
    }
}
