//! The head of a request, as clients send it.

use std::ops::Range;

use http::{Method, Version};
use memchr::{memchr, memrchr};

use super::{
    Framing, Most,
    facts::{Coding, Facts, Length},
    section::{self, Fault},
    target, text,
};
use crate::{message::RequestHead, reason::Reason};

/// What was read beside the head itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParsedRequest {
    /// The length of the head as it was received.
    pub(crate) bytes: usize,
    pub(crate) framing: Framing,
    /// Whether the client lets the connection serve another request.
    pub(crate) persistent: bool,
}

/// A request line as positions in its text.
struct RequestLine {
    method: Method,
    target: Range<usize>,
    version: Version,
}

/// Reads the head that `input` begins with, if it is complete; `None` asks for more bytes. What can never become a
/// head is refused as soon as that can be told. A line may have `max_line` bytes, without its end. `head` is cleared
/// first, and holds no promise but after `Some`.
pub(crate) fn parse(
    input: &[u8],
    max_line: usize,
    most: Most,
    head: &mut RequestHead,
) -> Result<Option<ParsedRequest>, Reason> {
    head.clear();
    // RFC 9112 section 2.2: some clients end a body with a line end too many.
    let (skipped, input) = match input {
        [b'\r', b'\n', rest @ ..] => (2, rest),
        [] | [b'\r'] => return Ok(None),
        _ => (0, input),
    };
    let Some(len) = text::head_len(input) else {
        return await_rest(input, max_line, most).map(|()| None);
    };
    let text = &input[..len];
    if !text::is_clean(text) {
        return Err(Reason::RequestMalformed);
    }
    let line_end = memchr(b'\r', text).unwrap_or(len);
    let line = request_line(&text[..line_end], max_line)?;
    if len > most.bytes {
        return Err(Reason::HeaderTooLarge);
    }
    head.fields.take_text(text);
    head.method = line.method;
    head.version = line.version;
    target::read(text, line.target, head)?;
    let facts =
        section::read(text, line_end + 2, most.fields, &mut head.fields).map_err(|fault| match fault {
            Fault::Malformed => Reason::RequestMalformed,
            Fault::TooMany => Reason::HeaderTooLarge,
        })?;
    let framing = framing(&facts, line.version)?;
    let persistent = facts.persistent(line.version);
    Ok(Some(ParsedRequest { bytes: skipped + len, framing, persistent }))
}

/// Whether these may be the first bytes of a request, of any version of HTTP: no other protocol begins with a capital.
pub(crate) fn may_begin(input: &[u8]) -> bool {
    let is_method = || method(input, usize::MAX).is_ok();
    input.first().is_some_and(u8::is_ascii_uppercase) && (input.starts_with(b"PRI ") || is_method())
}

/// Whether an incomplete head may become one.
fn await_rest(input: &[u8], max_line: usize, most: Most) -> Result<(), Reason> {
    match memchr(b'\r', input) {
        Some(end) => drop(request_line(&input[..end], max_line)?),
        None => drop(method(input, max_line)?),
    }
    if !text::is_clean(input) {
        Err(Reason::RequestMalformed)
    } else if input.len() >= most.bytes {
        Err(Reason::HeaderTooLarge)
    } else {
        Ok(())
    }
}

fn request_line(line: &[u8], max_line: usize) -> Result<RequestLine, Reason> {
    let method = method(line, max_line)?.ok_or(Reason::RequestMalformed)?;
    let version = match line {
        // RFC 9110 section 2.5: a later one is served as the highest that we know.
        [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9'] => Version::HTTP_11,
        [.., b' ', b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0'] => Version::HTTP_10,
        _ => return Err(other_version(line)),
    };
    let target = method.len() + 1..line.len() - " HTTP/1.1".len();
    if target.start > target.end {
        return Err(Reason::RequestMalformed);
    }
    let method = Method::from_bytes(method).map_err(|_| Reason::RequestMalformed)?;
    Ok(RequestLine { method, target, version })
}

/// The method that a line begins with; `None` while the line ends before it does.
fn method(line: &[u8], max_line: usize) -> Result<Option<&[u8]>, Reason> {
    if line.len() > max_line {
        return Err(Reason::UriTooLong);
    }
    let (method, rest) = line.split_at(text::token_len(line));
    match rest.first() {
        // The one method that is none: HTTP/2's preface begins with it (RFC 9113 section 11.6).
        Some(_) if method == b"PRI" => Err(Reason::RequestMalformed),
        Some(b' ') if !method.is_empty() => Ok(Some(method)),
        None => Ok(None),
        Some(_) => Err(Reason::RequestMalformed),
    }
}

/// Why a line that does not end with a version of HTTP/1 is refused.
fn other_version(line: &[u8]) -> Reason {
    let last = memrchr(b' ', line).map_or(line, |blank| &line[blank + 1..]);
    if matches!(last, [b'H', b'T', b'T', b'P', b'/', b'1'..=b'9', b'.', b'0'..=b'9']) {
        Reason::VersionUnsupported
    } else {
        Reason::RequestMalformed
    }
}

fn framing(facts: &Facts, version: Version) -> Result<Framing, Reason> {
    match (facts.length, facts.coding) {
        (Length::None, Coding::None) => Ok(Framing::Empty),
        (Length::Bytes(length), Coding::None) => Ok(Framing::Sized(length)),
        (Length::None, Coding::Chunked) if version == Version::HTTP_11 => Ok(Framing::Chunked),
        (Length::None, Coding::Unknown) if version == Version::HTTP_11 => Err(Reason::CodingUnknown),
        _ => Err(Reason::RequestMalformed),
    }
}

#[cfg(test)]
mod tests;
