//! The heads of responses.

use bolero::check;
use http::Method;

use super::{
    super::{
        Most,
        reference::{self, Limits},
        response::parse,
    },
    recipe::{cook, with_known_version},
};
use crate::message::{Name, ResponseHead};

const LIMITS: Limits = Limits { line: usize::MAX, fields: 256 };
const MOST: Most = Most { bytes: 64 * 1024, fields: LIMITS.fields };

const SEEDS: &[&[u8]] = &[
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: x\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"HTTP/1.0 200 OK\r\nServer: x\r\n\r\nhello",
    b"HTTP/1.1 204\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\n\r\n",
    b"HTTP/1.9 200 OK\r\nContent-Length: 0005\r\n\r\nhello",
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
];

#[test]
fn responses() {
    check!(name = "responses").for_each(|input: &[u8]| {
        let text = cook(input, SEEDS);
        for method in [Method::GET, Method::HEAD] {
            is_read_as_the_reference_reads_it(&text, &method);
        }
        is_read_the_same_in_pieces(&text);
    });
}

fn is_read_as_the_reference_reads_it(text: &[u8], method: &Method) {
    let mut head = ResponseHead::default();
    let parsed = parse(text, method, MOST, &mut head).ok().flatten();
    let expected = reference::response(text, method, &LIMITS).filter(|(head, _)| head.len <= MOST.bytes);
    assert_eq!(
        parsed.map(|parsed| (parsed.bytes, parsed.framing)),
        expected.as_ref().map(|(head, framing)| (head.len, *framing))
    );
    let (Some(parsed), Some((expected, _))) = (parsed, expected) else { return };
    let latin1 = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    let has_length = head.fields.has(Name::ContentLength);
    let ours = head.fields.iter().map(|field| (latin1(field.spelling), latin1(field.value)));
    let theirs = expected.fields.into_iter();
    let theirs = theirs.filter(|(name, _)| has_length || !name.eq_ignore_ascii_case("content-length"));
    assert_eq!(ours.collect::<Vec<_>>(), theirs.collect::<Vec<_>>());

    let mut fields = [httparse::EMPTY_HEADER; 512];
    let mut response = httparse::Response::new(&mut fields);
    let text = with_known_version(text, b"HTTP/1.".len());
    assert_eq!(response.parse(&text), Ok(httparse::Status::Complete(parsed.bytes)));
    assert_eq!(response.code, Some(head.status.as_u16()));
}

/// The beginning of what is read asks for more, and what is refused stays refused whatever follows.
fn is_read_the_same_in_pieces(text: &[u8]) {
    let mut head = ResponseHead::default();
    let mut outcome =
        |text: &[u8]| parse(text, &Method::GET, MOST, &mut head).map(|parsed| parsed.map(|p| p.bytes));
    let whole = outcome(text);
    let end = whole.as_ref().ok().copied().flatten().unwrap_or(text.len());
    for len in 0..end {
        match outcome(&text[..len]) {
            Ok(None) => {}
            Err(_) if whole.is_err() => {}
            early => panic!("{early:?} after {len} bytes, then {whole:?}"),
        }
    }
}
