//! Every rule for responses, by its examples.

use super::*;

const MOST: Most = Most { bytes: 64 * 1024, fields: 256 };

fn read(method: &Method, input: &[u8]) -> Result<Option<(ParsedResponse, ResponseHead)>, Reason> {
    let mut head = ResponseHead::default();
    let parsed = parse(input, method, MOST, &mut head)?;
    Ok(parsed.map(|parsed| (parsed, head)))
}

fn whole(input: &str) -> Result<(ParsedResponse, ResponseHead), Reason> {
    read(&Method::GET, input.as_bytes()).map(|parsed| parsed.unwrap())
}

fn framing_of(method: &Method, status: u16, fields: &str) -> Result<Framing, Reason> {
    let text = format!("HTTP/1.1 {status} X\r\n{fields}\r\n\r\n");
    read(method, text.as_bytes()).map(|parsed| parsed.unwrap().0.framing)
}

#[test]
fn a_head_is_read_and_what_follows_it_left() {
    let text = "HTTP/1.1 200 All right\r\nServer: x\r\nContent-Length: 3\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\nabc";
    let (parsed, head) = whole(text).unwrap();
    let bytes = text.len() - 3;
    assert_eq!(
        parsed,
        ParsedResponse { bytes, framing: Framing::Sized(3), persistent: true, keep_alive: None }
    );
    assert_eq!((head.status.as_u16(), head.version, head.fields.len()), (200, Version::HTTP_11, 4));
    assert_eq!(head.fields.all(Name::SetCookie).collect::<Vec<_>>(), [b"a", b"b"]);
}

#[test]
fn what_the_backend_says_of_the_connection_is_understood() {
    let said = |fields: &str| {
        let (parsed, _) = whole(&format!("HTTP/1.1 200 X\r\ncontent-length: 0\r\n{fields}\r\n")).unwrap();
        (parsed.persistent, parsed.keep_alive.and_then(KeepAlive::idle_limit).map(|limit| limit.as_secs()))
    };
    for (fields, expected) in [
        ("", (true, None)),
        ("keep-alive: timeout=5\r\n", (true, Some(4))),
        ("keep-alive: timeout=5, max=100\r\n", (true, Some(4))),
        ("Keep-Alive: max=1,Timeout = \"72\"\r\n", (true, Some(71))),
        ("keep-alive: timeout=9\r\nkeep-alive: timeout=3\r\n", (true, Some(2))),
        ("keep-alive: timeout=1\r\n", (false, Some(0))),
        ("keep-alive: timeout=0\r\n", (false, Some(0))),
        ("keep-alive: max=0\r\n", (false, None)),
        ("keep-alive: timeout=99999999999\r\n", (true, Some(u64::from(u32::MAX) - 1))),
        ("keep-alive: timeout=-1, timeout, =5, timeout=5s, 300\r\n", (true, None)),
        ("connection: close\r\nkeep-alive: timeout=5\r\n", (false, Some(4))),
    ] {
        assert_eq!(said(fields), expected, "{fields}");
    }
}

#[test]
fn a_beginning_asks_for_more() {
    let text = b"HTTP/1.1 200 \xff\t\r\nX: y\r\n\r\n";
    for len in 0..text.len() {
        assert!(read(&Method::GET, &text[..len]).unwrap().is_none(), "{len}");
    }
    assert!(read(&Method::GET, text).unwrap().is_some());
}

#[test]
fn the_reason_phrase_may_be_missing() {
    for line in ["HTTP/1.1 204", "HTTP/1.1 204 ", "HTTP/1.1 204  ", "HTTP/1.0 204 No: Content"] {
        assert_eq!(whole(&format!("{line}\r\n\r\n")).unwrap().1.status, StatusCode::NO_CONTENT, "{line}");
    }
}

#[test]
fn what_is_no_response_is_refused_before_its_end() {
    for text in [
        "HTTP/2.0 ",
        "HTTP/0.9 ",
        "http/1.1 ",
        "HTTP1.1 ",
        "\r\n",
        " HTTP/1.1",
        "220 smtp",
        "SSH-2.0",
        "\n",
        "\u{0}",
        "HTTP/1.1 20\r",
        "HTTP/1.1 2000\r",
        "HTTP/1.1 099 X\r",
        "HTTP/1.1 600 X\r",
        "HTTP/1.1 999 X\r",
        "HTTP/1.1  200\r",
        "HTTP/1.1 2 0\r",
        "HTTP/1.1 abc\r",
        "HTTP/1.1 -20\r",
        "HTTP/1.1 200OK\r",
        "HTTP/1.1\t200 OK\r",
        "HTTP/1.10 200 OK\r",
        "HTTP/1.x 200 OK\r",
        "HTTP/1.1 200 OK\n",
        "HTTP/1.1 200 O\u{1}K",
        "HTTP/1.1 200 OK\r\nX: y\n",
        "HTTP/1.1 200 OK\r\nX: y\rz",
        "HTTP/1.1 200 OK\r\nX: \u{0}",
    ] {
        let outcome = read(&Method::GET, text.as_bytes()).map(|_| ());
        assert_eq!(outcome, Err(Reason::BackendMalformed), "{text:?}");
    }
}

#[test]
fn field_lines_have_one_form() {
    for line in [
        "A : b",
        " A: b",
        ": b",
        "A",
        "A: b\r\n c",
        "A: b\r\n\tc",
        "A: b\nC: d",
        "A: b\rC: d",
        "A: \u{0}",
        "A: \u{7f}",
    ] {
        let outcome = whole(&format!("HTTP/1.1 200 OK\r\n{line}\r\n\r\n")).map(|_| ());
        assert_eq!(outcome, Err(Reason::BackendMalformed), "{line:?}");
    }
}

#[test]
fn the_end_of_a_body_is_told_in_one_way_only() {
    for (fields, expected) in [
        ("X: y", Framing::UntilClose),
        ("Content-Length: 0", Framing::Sized(0)),
        ("Content-Length: 7", Framing::Sized(7)),
        ("Transfer-Encoding: chunked", Framing::Chunked),
    ] {
        assert_eq!(framing_of(&Method::GET, 200, fields), Ok(expected), "{fields}");
    }
    for fields in [
        "Content-Length: 7\r\nContent-Length: 7",
        "Content-Length: 7, 7",
        "Content-Length: +7",
        "Content-Length:",
        "Content-Length: 7\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
    ] {
        for status in [200, 204, 304] {
            assert_eq!(framing_of(&Method::GET, status, fields), Err(Reason::BackendMalformed), "{fields}");
        }
        assert_eq!(framing_of(&Method::HEAD, 200, fields), Err(Reason::BackendMalformed), "{fields}");
    }
    let old = whole("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(old.unwrap_err(), Reason::BackendMalformed);
}

#[test]
fn some_responses_have_no_body_whatever_they_say() {
    for fields in ["X: y", "Content-Length: 7", "Transfer-Encoding: chunked"] {
        for status in [100, 101, 103, 199, 204, 304] {
            assert_eq!(framing_of(&Method::GET, status, fields), Ok(Framing::Empty), "{status} {fields}");
        }
        assert_eq!(framing_of(&Method::HEAD, 200, fields), Ok(Framing::Empty), "{fields}");
    }
}

#[test]
fn a_length_stays_where_it_may_be_said() {
    for (status, expected) in [(100, false), (204, false), (304, true), (200, true)] {
        let (_, head) = whole(&format!("HTTP/1.1 {status}\r\nContent-Length: 7\r\n\r\n")).unwrap();
        assert_eq!(head.fields.has(Name::ContentLength), expected, "{status}");
    }
}

#[test]
fn a_length_goes_on_as_the_number_that_was_understood() {
    for (status, method) in [(200, Method::GET), (200, Method::HEAD), (304, Method::GET)] {
        let text = format!("HTTP/1.1 {status}\r\nContent-Length: 0200\r\n\r\n");
        let (_, head) = read(&method, text.as_bytes()).unwrap().unwrap();
        assert_eq!(head.fields.get(Name::ContentLength), Some(&b"200"[..]), "{status} to {method}");
    }
}

/// RFC 9110 section 2.5.
#[test]
fn a_later_minor_version_is_read_as_1_1() {
    for version in ["1.2", "1.9"] {
        let (parsed, head) =
            whole(&format!("HTTP/{version} 200\r\nTransfer-Encoding: chunked\r\n\r\n")).unwrap();
        let expected = (Framing::Chunked, true, Version::HTTP_11);
        assert_eq!((parsed.framing, parsed.persistent, head.version), expected, "{version}");
    }
}

#[test]
fn the_version_connection_and_framing_say_whether_it_persists() {
    for (version, fields, expected) in [
        ("1.1", "Content-Length: 0", true),
        ("1.1", "Content-Length: 0\r\nConnection: close", false),
        ("1.1", "Transfer-Encoding: chunked", true),
        ("1.1", "X: y", false),
        ("1.1", "Connection: keep-alive", false),
        ("1.0", "Content-Length: 0", false),
        ("1.0", "Content-Length: 0\r\nConnection: keep-alive", true),
    ] {
        let (parsed, _) = whole(&format!("HTTP/{version} 200 OK\r\n{fields}\r\n\r\n")).unwrap();
        assert_eq!(parsed.persistent, expected, "{version} {fields}");
    }
}

#[test]
fn what_is_too_large_is_told_as_soon_as_it_is() {
    let fields = |n: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(n));
    assert!(whole(&fields(256)).is_ok());
    assert_eq!(whole(&fields(257)).unwrap_err(), Reason::BackendHeaderTooLarge);
    let long = format!("HTTP/1.1 200 OK\r\na: {}", "b".repeat(MOST.bytes));
    assert_eq!(read(&Method::GET, &long.as_bytes()[..MOST.bytes - 1]).map(|_| ()), Ok(()));
    assert_eq!(
        read(&Method::GET, &long.as_bytes()[..MOST.bytes]).map(|_| ()),
        Err(Reason::BackendHeaderTooLarge)
    );
    assert_eq!(whole(&format!("{long}\r\n\r\n")).unwrap_err(), Reason::BackendHeaderTooLarge);
}
