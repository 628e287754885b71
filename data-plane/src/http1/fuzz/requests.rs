//! The heads of requests.

use bolero::check;
use http::Method;

use super::{
    super::{
        reference::{self, Limits},
        request::parse,
        write,
    },
    recipe::{cook, with_known_version},
};
use crate::{
    headers::{self, Host, Origin, Pseudonym, Upgrade},
    http1::{Framing, Most},
    message::{Name, RequestHead},
};

const LIMITS: Limits = Limits { line: 2048, fields: 100 };
const MOST: Most = Most { bytes: 4096, fields: LIMITS.fields };

pub(super) const SEEDS: &[&[u8]] = &[
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /a/b?c=d&e=%20 HTTP/1.1\r\nHost: shop.example:8080\r\nUser-Agent: x/1.0\r\nAccept: */*\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"\r\nPUT http://a:1/b HTTP/1.1\r\nHost: b\r\nConnection: close\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 0\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: te, x-a, close\r\nTE: trailers\r\nX-A: b\r\nKeep-Alive: 1\r\nX-Forwarded-For: b\r\nUpgrade: c\r\nVia: 1.0 d\r\n\r\n",
    b"POST /a HTTP/1.2\r\nHost: a\r\nContent-Length: 0005\r\nContent_Length: 6\r\n\r\nhello",
    b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
];

#[test]
fn requests() {
    check!(name = "requests").for_each(|input: &[u8]| {
        let text = cook(input, SEEDS);
        is_read_as_the_reference_reads_it(&text);
        is_read_the_same_in_pieces(&text);
    });
}

fn is_read_as_the_reference_reads_it(text: &[u8]) {
    let mut head = RequestHead::default();
    let parsed = parse(text, LIMITS.line, MOST, &mut head).ok().flatten();
    let expected = reference::request(text, &LIMITS).filter(|(head, _)| head.len <= MOST.bytes);
    assert_eq!(
        parsed.map(|parsed| (parsed.bytes, parsed.framing)),
        expected.as_ref().map(|(head, framing)| (head.len, *framing))
    );
    let (Some(parsed), Some((expected, _))) = (parsed, expected) else { return };
    let latin1 = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect::<String>();
    let fields: Vec<_> =
        head.fields.iter().map(|field| (latin1(field.spelling), latin1(field.value))).collect();
    assert_eq!(fields, expected.fields);
    is_known_to_httparse(text, &head, parsed.bytes);
    is_written_as_it_was_read(&head, parsed.framing);
    is_relayed_as_one_request(&mut head, parsed.framing);
}

fn is_known_to_httparse(text: &[u8], head: &RequestHead, bytes: usize) {
    let text = &for_peers(text)[..];
    let mut fields = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(request.parse(text), Ok(httparse::Status::Complete(bytes)));
    assert_eq!(request.method, Some(head.method.as_str()));
    let theirs = request.headers.iter().map(|field| (field.name.as_bytes(), for_us(field.name, field.value)));
    assert!(theirs.eq(head.fields.iter().map(|field| (field.spelling, field.value))));
}

/// A head as those read it who know no version but 1.0 and 1.1.
pub(super) fn for_peers(text: &[u8]) -> Vec<u8> {
    let skipped = if text.starts_with(b"\r\n") { 2 } else { 0 };
    let end = text[skipped..].windows(2).position(|pair| pair == b"\r\n");
    with_known_version(text, end.map_or(text.len(), |end| skipped + end - 1))
}

/// A value of theirs as we say it.
pub(super) fn for_us<'v>(name: &str, value: &'v [u8]) -> &'v [u8] {
    str::from_utf8(value).map_or(value, |text| reference::plain(name, text).as_bytes())
}

fn is_written_as_it_was_read(head: &RequestHead, framing: Framing) {
    if head.target().is_empty() {
        return;
    }
    let mut out = Vec::new();
    write::request_line(&mut out, &head.method, head.target());
    write::fields(&mut out, &head.fields);
    out.extend_from_slice(b"\r\n");
    let mut again = RequestHead::default();
    let parsed =
        parse(&out, 2 * LIMITS.line, Most { bytes: 2 * MOST.bytes, ..MOST }, &mut again).unwrap().unwrap();
    assert_eq!((parsed.bytes, parsed.framing), (out.len(), framing));
    assert_eq!((again.method, again.fields.len()), (head.method.clone(), head.fields.len()));
    assert!(again.fields.iter().eq(head.fields.iter()));
}

/// What the backend gets is as long as what we got, and says nothing but what we say of the hop and the client.
fn is_relayed_as_one_request(head: &mut RequestHead, framing: Framing) {
    let Ok(host) = Host::of(head) else { return };
    let host = host.value.to_owned();
    let us = Pseudonym::of(&weir_proto::ProxyId::try_from("edge-1").unwrap());
    headers::request(head, Upgrade::Strip, &Origin { peer: "192.0.2.1", secure: true, host: &host }, &us);
    let mut out = Vec::new();
    write::request_line(&mut out, &Method::POST, "/");
    write::fields(&mut out, &head.fields);
    out.extend_from_slice(b"\r\n");
    let mut relayed = RequestHead::default();
    let parsed =
        parse(&out, LIMITS.line, Most { bytes: 2 * MOST.bytes, fields: 2 * MOST.fields }, &mut relayed)
            .unwrap()
            .unwrap();
    let expected = if framing == Framing::Chunked { Framing::Empty } else { framing };
    assert_eq!((parsed.bytes, parsed.framing, parsed.persistent), (out.len(), expected, true));
    let all = |name| relayed.fields.all(name).collect::<Vec<_>>();
    assert_eq!(all(Name::Host), [host.as_bytes()]);
    assert_eq!(all(Name::XForwardedFor), [b"192.0.2.1"]);
    assert_eq!((all(Name::KeepAlive).len(), all(Name::Upgrade).len()), (0, 0));
}

/// The beginning of what is read asks for more, and what is refused stays refused whatever follows.
fn is_read_the_same_in_pieces(text: &[u8]) {
    let mut head = RequestHead::default();
    let mut outcome =
        |text: &[u8]| parse(text, LIMITS.line, MOST, &mut head).map(|parsed| parsed.map(|p| p.bytes));
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
