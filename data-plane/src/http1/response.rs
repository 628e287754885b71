//! The head of a response, as backends send it.

use http::{Method, StatusCode, Version};
use memchr::memchr;

use super::{
    Framing, Most,
    facts::{Coding, Facts, KeepAlive, Length},
    section::{self, Fault},
    text,
};
use crate::{
    message::{Name, ResponseHead},
    reason::Reason,
};

/// What was read beside the head itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ParsedResponse {
    /// The length of the head as it was received.
    pub(crate) bytes: usize,
    pub(crate) framing: Framing,
    /// Whether the backend lets the connection serve another request.
    pub(crate) persistent: bool,
    /// For how long, and how many, if it says so.
    pub(crate) keep_alive: Option<KeepAlive>,
}

/// Reads the head that `input` begins with, if it is complete; `None` asks for more bytes. What can never become a
/// head is refused as soon as that can be told. `head` is cleared first, and holds no promise but after `Some`.
/// `method` is the request's. An interim response (1xx) is read like any other.
pub(crate) fn parse(
    input: &[u8],
    method: &Method,
    most: Most,
    head: &mut ResponseHead,
) -> Result<Option<ParsedResponse>, Reason> {
    head.fields.clear();
    let Some(len) = text::head_len(input) else {
        return await_rest(input, most).map(|()| None);
    };
    let text = &input[..len];
    if !text::is_clean(text) {
        return Err(Reason::BackendMalformed);
    }
    let line_end = memchr(b'\r', text).unwrap_or(len);
    let (version, status) = status_line(&text[..line_end])?;
    if len > most.bytes {
        return Err(Reason::BackendHeaderTooLarge);
    }
    head.version = version;
    head.status = status;
    head.fields.take_text(text);
    let facts =
        section::read(text, line_end + 2, most.fields, &mut head.fields).map_err(|fault| match fault {
            Fault::Malformed => Reason::BackendMalformed,
            Fault::TooMany => Reason::BackendHeaderTooLarge,
        })?;
    let framing = framing(&facts, version, status, method)?;
    // RFC 9110 section 8.6: these have none.
    if facts.length != Length::None && (status.is_informational() || status == StatusCode::NO_CONTENT) {
        head.fields.remove(Name::ContentLength);
    }
    let keep_alive = facts.connection_ends();
    let persistent = framing != Framing::UntilClose
        && facts.persistent(version)
        && keep_alive.is_none_or(KeepAlive::lets_another_follow);
    Ok(Some(ParsedResponse { bytes: len, framing, persistent, keep_alive }))
}

/// Whether an incomplete head may become one.
fn await_rest(input: &[u8], most: Most) -> Result<(), Reason> {
    let start = b"HTTP/1.";
    let known = input.len().min(start.len());
    if input[..known] != start[..known] {
        return Err(Reason::BackendMalformed);
    }
    if let Some(end) = memchr(b'\r', input) {
        status_line(&input[..end])?;
    }
    if !text::is_clean(input) {
        Err(Reason::BackendMalformed)
    } else if input.len() >= most.bytes {
        Err(Reason::BackendHeaderTooLarge)
    } else {
        Ok(())
    }
}

/// The reason phrase may be missing together with the blank before it, as many servers have it.
fn status_line(line: &[u8]) -> Result<(Version, StatusCode), Reason> {
    let (version, rest) = match line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1'..=b'9', b' ', rest @ ..] => (Version::HTTP_11, rest),
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'0', b' ', rest @ ..] => (Version::HTTP_10, rest),
        _ => return Err(Reason::BackendMalformed),
    };
    let code = match rest {
        [_, _, _] | [_, _, _, b' ', ..] => &rest[..3],
        _ => return Err(Reason::BackendMalformed),
    };
    status(code).map(|status| (version, status)).ok_or(Reason::BackendMalformed)
}

fn status(code: &[u8]) -> Option<StatusCode> {
    StatusCode::from_bytes(code).ok().filter(|status| status.as_u16() < 600)
}

/// RFC 9112 section 6.3.
fn framing(facts: &Facts, version: Version, status: StatusCode, method: &Method) -> Result<Framing, Reason> {
    let framing = match (facts.length, facts.coding) {
        (Length::None, Coding::None) => Framing::UntilClose,
        (Length::Bytes(length), Coding::None) => Framing::Sized(length),
        (Length::None, Coding::Chunked) if version == Version::HTTP_11 => Framing::Chunked,
        _ => return Err(Reason::BackendMalformed),
    };
    let bodiless = status.is_informational()
        || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || *method == Method::HEAD;
    Ok(if bodiless { Framing::Empty } else { framing })
}

#[cfg(test)]
mod tests;
