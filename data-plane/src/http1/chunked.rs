//! A body in chunks, as it arrives: RFC 9112 section 7.1.

use memchr::memchr;

use super::{Most, extension, section, text};
use crate::message::Fields;

/// Bytes of all extensions of a body.
const MAX_EXTENSIONS: usize = 4 * 1024;

/// Digits of a chunk's size.
const MAX_DIGITS: usize = 16;

/// Bytes of trailers, whatever may be in a head: each of their lines must find room in a buffer for bodies.
const MAX_TRAILERS: usize = 64 * 1024;

/// Reads the framing of a body; the data in it are the caller's to take.
///
/// What a step has told of is consumed, framing and data, before the next step is asked for.
#[derive(Debug)]
pub(crate) struct Decoder {
    at: At,
    /// Bytes of extensions so far.
    extensions: usize,
    /// Bytes of trailers so far.
    trailer_bytes: usize,
    trailers: Fields,
    most: Most,
}

/// What comes next in a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// After `skip` bytes of framing come `data` bytes of data; none may have come yet, then more input is needed.
    Data { skip: usize, data: usize },
    /// More input is needed than this.
    More,
    /// The body ends with the first `skip` bytes.
    End { skip: usize },
}

/// What is no body in chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// The line with the size; before all chunks but the first there is the end of the one before.
    Size {
        first: bool,
    },
    Data {
        left: u64,
    },
    Trailers,
    End,
}

impl Decoder {
    /// `most` is what trailers may have.
    pub(crate) fn new(most: Most) -> Self {
        let most = Most { bytes: most.bytes.min(MAX_TRAILERS), ..most };
        let (at, trailers) = (At::Size { first: true }, Fields::default());
        Self { at, extensions: 0, trailer_bytes: 0, trailers, most }
    }

    pub(crate) fn step(&mut self, input: &[u8]) -> Result<Step, Malformed> {
        match self.at {
            At::Size { first } => self.size(input, first),
            At::Data { .. } if input.is_empty() => Ok(Step::More),
            At::Data { left } => Ok(self.data(left, input, 0)),
            At::Trailers => self.trailer(input, 0),
            At::End => Ok(Step::End { skip: 0 }),
        }
    }

    /// The trailers, if there were any, once.
    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        let trailers = std::mem::take(&mut self.trailers);
        (!trailers.is_empty()).then_some(trailers)
    }

    fn size(&mut self, input: &[u8], first: bool) -> Result<Step, Malformed> {
        let start = match input {
            _ if first => 0,
            [b'\r', b'\n', ..] => 2,
            [] | [b'\r'] => return Ok(Step::More),
            _ => return Err(Malformed),
        };
        let line = &input[start..];
        let (size, digits) = hexadecimal(line)?;
        let extension = match line.get(digits) {
            None => return Ok(Step::More),
            Some(_) if digits == 0 => return Err(Malformed),
            Some(b';' | b'\r') => &line[digits..],
            Some(_) => return Err(Malformed),
        };
        let end = memchr(b'\r', extension);
        let len = end.unwrap_or(extension.len());
        if extension[..len].iter().any(u8::is_ascii_control) || self.extensions + len > MAX_EXTENSIONS {
            return Err(Malformed);
        }
        match end.and_then(|end| extension.get(end + 1)) {
            None => return Ok(Step::More),
            Some(b'\n') if len == 0 || extension::are_extensions(&extension[..len]) => {}
            Some(_) => return Err(Malformed),
        }
        self.extensions += len;
        let skip = start + digits + len + 2;
        if size == 0 {
            self.at = At::Trailers;
            return self.trailer(input, skip);
        }
        Ok(self.data(size, input, skip))
    }

    /// Takes what there is of a chunk's data, from `skip` on.
    fn data(&mut self, left: u64, input: &[u8], skip: usize) -> Step {
        let there = input.len() - skip;
        let data = usize::try_from(left).map_or(there, |left| left.min(there));
        self.at = match left - data as u64 {
            0 => At::Size { first: false },
            left => At::Data { left },
        };
        Step::Data { skip, data }
    }

    /// Takes the trailers line by line, from `skip` on.
    fn trailer(&mut self, input: &[u8], mut skip: usize) -> Result<Step, Malformed> {
        loop {
            let rest = &input[skip..];
            let end = memchr(b'\n', rest);
            let text = &rest[..end.map_or(rest.len(), |end| end + 1)];
            if self.trailer_bytes + text.len() > self.most.bytes || !text::is_clean(text) {
                return Err(Malformed);
            }
            match end {
                None if skip == 0 => return Ok(Step::More),
                None => return Ok(Step::Data { skip, data: 0 }),
                Some(1) => {
                    self.at = At::End;
                    return Ok(Step::End { skip: skip + 2 });
                }
                Some(_) => {}
            }
            let line = section::line(text, 0).ok_or(Malformed)?;
            if self.trailers.len() == self.most.fields {
                return Err(Malformed);
            }
            self.trailers.push_spelled(&text[line.name], &text[line.value]);
            self.trailer_bytes += text.len();
            skip += text.len();
        }
    }
}

/// The number that a line begins with, and how many digits it has.
fn hexadecimal(line: &[u8]) -> Result<(u64, usize), Malformed> {
    let mut size = 0;
    let mut digits = 0;
    for byte in line {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => break,
        };
        digits += 1;
        if digits > MAX_DIGITS {
            return Err(Malformed);
        }
        size = size << 4 | u64::from(digit);
    }
    if size > i64::MAX.unsigned_abs() { Err(Malformed) } else { Ok((size, digits)) }
}

#[cfg(test)]
mod tests;
