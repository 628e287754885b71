//! Header blocks, held against the codec that reads them after us.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response};
use proptest::prelude::*;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

use super::{
    super::frames::{Block, Frames, Seen},
    *,
};

/// What the walker says of one block.
fn section(walker: &mut Walker, bytes: &[u8]) -> Section {
    walker.read(bytes);
    walker.end()
}

fn literal(first: u8, name: &str, value: &str) -> Vec<u8> {
    let text = |text: &str| [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    [vec![first], text(name), text(value)].concat()
}

#[test]
fn examples_of_the_rfc_are_read() {
    // RFC 7541 appendix C.3 and C.4: three requests on one connection, in both codings.
    let plain = [
        &b"\x82\x86\x84\x41\x0fwww.example.com"[..],
        b"\x82\x86\x84\xbe\x58\x08no-cache",
        b"\x82\x87\x85\xbf\x40\x0acustom-key\x0ccustom-value",
    ];
    let huffman = [
        &b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff"[..],
        b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf",
        b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf",
    ];
    let sizes = [42 + 43 + 38 + 57, 42 + 43 + 38 + 57 + 53, 42 + 44 + 48 + 57 + 54];
    for blocks in [plain, huffman] {
        let mut walker = Walker::default();
        for (block, size) in blocks.into_iter().zip(sizes) {
            let section = section(&mut walker, block);
            assert_eq!((section.size, section.late), (size, false));
            let expected = [Pseudo::METHOD, Pseudo::SCHEME, Pseudo::PATH, Pseudo::AUTHORITY];
            assert!(expected.iter().all(|pseudo| section.pseudo.contains(*pseudo)));
            assert!(!section.pseudo.contains(Pseudo::STATUS));
        }
        assert_eq!(section(&mut walker, b"\xbe\xc0").pseudo, Pseudo::AUTHORITY);
    }
}

#[test]
fn every_way_to_write_a_pseudo_field_is_seen() {
    let huffman = [0x40, 0x85, 0xb9, 0x49, 0x53, 0x39, 0xe4, 0x83, 0xc5, 0x83, 0x7f];
    let mut walker = Walker::default();
    for (bytes, expected) in [
        (vec![0x82], Pseudo::METHOD),
        (vec![0x88], Pseudo::STATUS),
        (vec![0x01, 1, b'a'], Pseudo::AUTHORITY),
        (vec![0x14, 1, b'/'], Pseudo::PATH),
        (literal(0x00, ":protocol", "websocket"), Pseudo::PROTOCOL),
        (literal(0x10, ":status", "200"), Pseudo::STATUS),
        (literal(0x40, ":scheme", "http"), Pseudo::SCHEME),
        (vec![0xbe], Pseudo::SCHEME),
        (vec![0x7e, 1, b'x'], Pseudo::SCHEME),
        (huffman.to_vec(), Pseudo::METHOD),
        (literal(0x00, ":other", ""), Pseudo::UNKNOWN),
        (literal(0x00, ":a-very-long-name", ""), Pseudo::UNKNOWN),
        (literal(0x00, "method", "GET"), Pseudo::NONE),
    ] {
        assert_eq!(section(&mut walker, &bytes).pseudo, expected, "{bytes:x?}");
    }
}

#[test]
fn a_pseudo_field_after_another_field_is_late() {
    let mut walker = Walker::default();
    let x = literal(0x00, "x", "y");
    assert!(section(&mut walker, &[&[0x82][..], &x, &[0x84]].concat()).late);
    assert!(!section(&mut walker, &[&[0x82, 0x84][..], &x].concat()).late);
}

#[test]
fn what_was_pushed_out_of_the_table_is_not_there() {
    let mut walker = Walker::default();
    section(&mut walker, &literal(0x40, ":path", "/a"));
    section(&mut walker, &literal(0x40, "x", "y"));
    assert_eq!(section(&mut walker, &[0xbf]).pseudo, Pseudo::PATH);
    // Room for one of them, then for all again.
    assert_eq!(section(&mut walker, &[0x3f, 9, 0x3f, 0xe1, 0x1f, 0xbe]).pseudo, Pseudo::NONE);
    assert_eq!(section(&mut walker, &[0xbf]).pseudo, Pseudo::UNKNOWN);
}

#[test]
fn after_what_is_not_valid_no_block_counts_as_good() {
    for bytes in [
        &[0x80][..],
        &[0xbe],
        &[0x3f, 0xe2, 0x1f],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        &[0x00, 0x00],
        &[0x00, 0x82, 0x64],
        &[0x00, 0x82, 0xff, 0xff, 0x00],
        &[0x00, 0x01],
    ] {
        let mut walker = Walker::default();
        assert_eq!(section(&mut walker, bytes).pseudo, Pseudo::UNKNOWN, "{bytes:x?}");
        assert_eq!(section(&mut walker, &literal(0x00, "x", "y")).pseudo, Pseudo::UNKNOWN);
    }
}

#[test]
fn any_bytes_are_walked_without_a_panic_and_alike_wherever_they_are_cut() {
    bolero::check!().for_each(|bytes: &[u8]| {
        let (mut whole, mut single) = (Walker::default(), Walker::default());
        for block in bytes.split(|byte| *byte == 0x7a) {
            whole.read(block);
            for byte in block {
                single.read(std::slice::from_ref(byte));
            }
            assert_eq!(whole.end(), single.end());
        }
    });
}

/// A stream that keeps what is read from it.
struct Heard(DuplexStream, Arc<Mutex<Vec<u8>>>);

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.0).poll_read(cx, buf);
        self.1.lock().unwrap().extend_from_slice(&buf.filled()[before..]);
        outcome
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

type Lines = Vec<(String, String)>;

fn map(lines: &Lines) -> HeaderMap {
    let line = |(name, value): &(String, String)| {
        (name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap())
    };
    lines.iter().map(line).collect()
}

/// The size of what the codec was given, as it must come out: RFC 7541 section 4.1.
fn size(pseudo: &[(&str, &str)], fields: &HeaderMap) -> u32 {
    let pseudo = pseudo.iter().map(|(name, value)| name.len() + value.len());
    let fields = fields.iter().map(|(name, value)| name.as_str().len() + value.len());
    pseudo.chain(fields).map(|bytes| u32::try_from(bytes).unwrap() + u32::from(OVERHEAD)).sum()
}

/// Requests with trailers through the codec, both ways: the bytes to the server and to the client.
async fn exchanged(requests: Vec<(String, Lines, Lines)>) -> [Vec<u8>; 2] {
    let (near, far) = duplex(1 << 20);
    let (to_server, to_client) = (Arc::<Mutex<Vec<u8>>>::default(), Arc::<Mutex<Vec<u8>>>::default());
    let (near, far) = (Heard(near, Arc::clone(&to_client)), Heard(far, Arc::clone(&to_server)));
    let answers: Vec<_> = requests.iter().map(|(_, head, trailers)| (map(trailers), map(head))).collect();
    let server = tokio::spawn(async move {
        let mut connection = h2::server::handshake(far).await.unwrap();
        for (head, trailers) in answers {
            let (_, mut respond) = connection.accept().await.unwrap().unwrap();
            let mut response = Response::new(());
            *response.headers_mut() = head;
            respond.send_response(response, false).unwrap().send_trailers(trailers).unwrap();
        }
        while connection.accept().await.is_some() {}
    });
    let (mut sender, connection) = h2::client::handshake(near).await.unwrap();
    let driver = tokio::spawn(connection);
    for (path, head, trailers) in requests {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = format!("http://a.example{path}").parse().unwrap();
        *request.headers_mut() = map(&head);
        let (response, mut out) = sender.send_request(request, false).unwrap();
        out.send_trailers(map(&trailers)).unwrap();
        let (head, mut body) = response.await.unwrap().into_parts();
        assert_eq!((head.headers, body.data().await.is_none()), (map(&trailers), true));
        body.trailers().await.unwrap();
        sender = sender.ready().await.unwrap();
    }
    drop(sender);
    driver.await.unwrap().unwrap();
    server.await.unwrap();
    [to_server, to_client].map(|bytes| std::mem::take(&mut *bytes.lock().unwrap()))
}

/// The blocks in what one side heard, whose bytes come in pieces of these sizes.
fn walked(mut frames: Frames, bytes: &[u8], pieces: &[usize]) -> Vec<(Block, Section)> {
    let (mut walker, mut all, mut rest) = (Walker::default(), Vec::new(), bytes);
    for n in pieces.iter().cycle() {
        let (piece, after) = rest.split_at((*n).min(rest.len()));
        frames.read(piece, |seen| match seen {
            Seen::Frame(_) => {}
            Seen::Fragment(bytes) => walker.read(bytes),
            Seen::Block(block) => all.push((block, walker.end())),
        });
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    all
}

/// The names that have numbers of their own, but for one that no message may have.
const NUMBERED: [&str; 46] = [
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
];

#[tokio::test]
async fn every_name_that_has_a_number_is_known() {
    let requests = NUMBERED.map(|name| ("/".to_owned(), vec![(name.to_owned(), "0".to_owned())], Vec::new()));
    let [to_server, _] = exchanged(requests.to_vec()).await;
    let heads = walked(Frames::of_client(), &to_server, &[usize::MAX]).into_iter().step_by(2);
    let of_request = [(":method", "POST"), (":scheme", "http"), (":authority", "a.example"), (":path", "/")];
    for (name, (_, section)) in NUMBERED.into_iter().zip(heads) {
        assert_eq!(
            section.size,
            size(&of_request, &HeaderMap::new()) + 33 + u32::try_from(name.len()).unwrap()
        );
    }
    assert_eq!(section(&mut Walker::default(), &[0x90]).size, 32 + 15 + 13, "accept-encoding: gzip, deflate");
}

fn lines() -> impl Strategy<Value = Lines> {
    let name = prop_oneof!["x-[a-d]", "[a-z][a-z0-9-]{0,40}", Just("cookie".to_owned())];
    let value = prop_oneof!["[a-c]{1,2}", "[ -~]{0,60}", "[!-~]{500,3000}"];
    let name = name.prop_filter("fields of a connection are no fields", |name| {
        !matches!(name.as_str(), "te" | "upgrade" | "connection" | "host")
    });
    prop::collection::vec((name, value.prop_map(|value| value.trim().to_owned())), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_the_codec_writes_is_understood_as_it_was_meant(
        requests in prop::collection::vec(("/[a-z]{0,30}", lines(), lines()), 1..12),
        pieces in prop::collection::vec(1..40usize, 1..20),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let [to_server, to_client] = runtime.block_on(exchanged(requests.clone()));
        let asked = walked(Frames::of_client(), &to_server, &pieces);
        let answered = walked(Frames::of_server(), &to_client, &pieces);
        prop_assert_eq!(&asked, &walked(Frames::of_client(), &to_server, &[usize::MAX]));
        prop_assert_eq!(&answered, &walked(Frames::of_server(), &to_client, &[usize::MAX]));
        prop_assert_eq!((asked.len(), answered.len()), (2 * requests.len(), 2 * requests.len()));
        let both = asked.chunks(2).zip(answered.chunks(2));
        for ((path, head, trailers), (asked, answered)) in requests.iter().zip(both) {
            let of_request = [(":method", "POST"), (":scheme", "http"), (":authority", "a.example"), (":path", path)];
            let ends = [asked[0], asked[1], answered[0], answered[1]].map(|(block, _)| block.ends_stream);
            prop_assert_eq!(ends, [false, true, false, true]);
            prop_assert_eq!(asked[0].1.size, size(&of_request, &map(head)));
            prop_assert_eq!(asked[0].1.pseudo.without(Pseudo::PATH), Pseudo(1 | 1 << 1 | 1 << 3));
            prop_assert_eq!(answered[0].1.size, size(&[(":status", "200")], &map(trailers)));
            prop_assert_eq!(answered[0].1.pseudo, Pseudo::STATUS);
            for (section, fields) in [(asked[1].1, trailers), (answered[1].1, head)] {
                prop_assert_eq!((section.pseudo, section.size), (Pseudo::NONE, size(&[], &map(fields))));
            }
        }
    }
}
