//! Heads and chunks as bytes, added to what is to be sent. What is written was checked when it was made.

use http::{Method, StatusCode};

use crate::message::Fields;

/// After the data of each chunk.
pub(crate) const CHUNK_END: &[u8] = b"\r\n";

pub(crate) fn request_line(out: &mut Vec<u8>, method: &Method, target: &str) {
    out.extend_from_slice(method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
}

/// With the reason phrase that the status is known by, if it is known.
pub(crate) fn status_line(out: &mut Vec<u8>, status: StatusCode) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The fields alone: the empty line after them is the caller's.
pub(crate) fn fields(out: &mut Vec<u8>, fields: &Fields) {
    for line in fields.iter() {
        field(out, line.spelling, line.value);
    }
}

pub(crate) fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

pub(crate) fn number_field(out: &mut Vec<u8>, name: &[u8], number: u64) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    digits::<10>(out, number);
    out.extend_from_slice(b"\r\n");
}

/// One chunk, of at least one byte.
pub(crate) fn chunk(out: &mut Vec<u8>, data: &[u8]) {
    chunk_start(out, data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(CHUNK_END);
}

/// What comes before a chunk's data. `len` is not 0: that would be the end.
pub(crate) fn chunk_start(out: &mut Vec<u8>, len: usize) {
    debug_assert_ne!(len, 0);
    digits::<16>(out, len as u64);
    out.extend_from_slice(b"\r\n");
}

/// The end of a body in chunks.
pub(crate) fn last_chunk(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    if let Some(trailers) = trailers {
        fields(out, trailers);
    }
    out.extend_from_slice(b"\r\n");
}

fn digits<const BASE: u64>(out: &mut Vec<u8>, mut number: u64) {
    // 2^64 has twenty digits.
    let mut text = [0; 20];
    let mut at = text.len();
    loop {
        at -= 1;
        text[at] = b"0123456789abcdef"[usize::try_from(number % BASE).unwrap_or_default()];
        number /= BASE;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
}
