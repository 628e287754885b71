//! HTTP/1.1 as the backend speaks it: requests one after the other, and the answers that their paths ask for.

use weir_bench_load::{chunked, end_of_head, field, find, number};

use crate::{
    connection::{Answer, Then},
    websocket,
};

const SMALL: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 13\r\nserver: be\r\n\r\nHello, World!";
const CHUNKED: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\nserver: be\r\n\r\n";
/// Where the path must stand in a head.
const START_LINE: usize = 256;
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Where a client is in what it sends.
pub(crate) struct Http1 {
    body: Body,
    request: Request,
}

/// What comes next from the client.
enum Body {
    /// A head: no body is awaited.
    None,
    Sized(u64),
    Chunked,
}

/// What a head said that matters for the answer.
#[derive(Default)]
struct Request {
    wanted: Wanted,
    close: bool,
}

#[derive(Default)]
enum Wanted {
    #[default]
    Small,
    Sized(u64),
    Chunked(usize),
    WebSocket,
}

impl Http1 {
    pub(crate) fn new() -> Self {
        Self { body: Body::None, request: Request::default() }
    }

    /// Whether a head is what comes next.
    pub(crate) fn between_requests(&self) -> bool {
        matches!(self.body, Body::None)
    }

    /// The answer to the first request in the input, which it uses up; none while that is not complete.
    pub(crate) fn answer(&mut self, input: &mut Vec<u8>) -> Option<Answer> {
        self.request_complete(input).then(|| self.request.answer())
    }

    /// Uses up the input, at most to the end of one request. Whether it reached that.
    fn request_complete(&mut self, input: &mut Vec<u8>) -> bool {
        if matches!(self.body, Body::None) {
            let Some(end) = end_of_head(input) else { return false };
            let head = &input[..end];
            (self.request, self.body) = (Request::of(head), Body::of(head));
            input.drain(..end);
        }
        let ended = match &mut self.body {
            Body::None => true,
            Body::Sized(left) => {
                let here = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                input.drain(..here);
                *left -= here as u64;
                *left == 0
            }
            Body::Chunked => {
                let last = find(input, LAST_CHUNK);
                // Without it, what may be its beginning stays.
                let start = input.len().saturating_sub(LAST_CHUNK.len() - 1);
                input.drain(..last.map_or(start, |at| at + LAST_CHUNK.len()));
                last.is_some()
            }
        };
        if ended {
            self.body = Body::None;
        }
        ended
    }
}

impl Request {
    fn of(head: &[u8]) -> Self {
        let start = &head[..head.len().min(START_LINE)];
        let asked = |path: &[u8]| find(start, path).and_then(|at| number(&head[at + path.len()..]));
        let wanted = if let Some(size) = asked(b" /b/") {
            Wanted::Sized(size)
        } else if let Some(size) = asked(b" /c/") {
            Wanted::Chunked(usize::try_from(size).unwrap_or(usize::MAX))
        } else if field(head, b"upgrade").is_some_and(|value| value.eq_ignore_ascii_case(b"websocket")) {
            Wanted::WebSocket
        } else {
            Wanted::Small
        };
        let close = field(head, b"connection").is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        Self { wanted, close }
    }

    fn answer(&self) -> Answer {
        let then = if self.close { Then::Close } else { Then::More };
        match self.wanted {
            Wanted::Small => Answer::new(SMALL, 0, then),
            Wanted::Sized(size) => Answer::new(sized_head(size), size, then),
            Wanted::Chunked(size) => Answer::new([CHUNKED, &chunked(size)].concat(), 0, then),
            Wanted::WebSocket => Answer::new(websocket::ACCEPTED, 0, Then::WebSocket),
        }
    }
}

impl Body {
    fn of(head: &[u8]) -> Self {
        if field(head, b"transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case(b"chunked")) {
            return Self::Chunked;
        }
        match field(head, b"content-length").and_then(number) {
            None | Some(0) => Self::None,
            Some(bytes) => Self::Sized(bytes),
        }
    }
}

fn sized_head(size: u64) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: {size}\r\nserver: be\r\n\r\n"
    )
    .into_bytes()
}
