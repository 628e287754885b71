//! Every rule for requests, by its examples.

use super::*;
use crate::message::{Name, Scheme};

const MAX_LINE: usize = 8 * 1024;
const MOST: Most = Most { bytes: 32 * 1024, fields: 100 };

fn read(input: &[u8]) -> Result<Option<(ParsedRequest, RequestHead)>, Reason> {
    let mut head = RequestHead::default();
    let parsed = parse(input, MAX_LINE, MOST, &mut head)?;
    Ok(parsed.map(|parsed| (parsed, head)))
}

fn whole(input: &str) -> Result<(ParsedRequest, RequestHead), Reason> {
    read(input.as_bytes()).map(|parsed| parsed.unwrap())
}

fn framing_of(fields: &str) -> Result<Framing, Reason> {
    whole(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\n")).map(|(parsed, _)| parsed.framing)
}

fn persistent(version: &str, fields: &str) -> bool {
    whole(&format!("GET / HTTP/{version}\r\nHost: a\r\n{fields}\r\n")).unwrap().0.persistent
}

#[test]
fn a_head_is_read_and_what_follows_it_left() {
    let text = "POST /a?b=%20 HTTP/1.1\r\nHost: a\r\nX-Any:\t one two\t \r\nempty:\r\nContent-Length: 3\r\n\r\nabcGET";
    let (parsed, head) = whole(text).unwrap();
    let bytes = text.len() - "abcGET".len();
    assert_eq!(parsed, ParsedRequest { bytes, framing: Framing::Sized(3), persistent: true });
    assert_eq!((head.method.as_str(), head.version), ("POST", Version::HTTP_11));
    assert_eq!((head.target(), head.path()), ("/a?b=%20", "/a"));
    assert_eq!((head.scheme, head.authority()), (None, None));
    let lines: Vec<_> = head.fields.iter().map(|field| (field.spelling, field.value)).collect();
    let expected =
        [(&b"Host"[..], &b"a"[..]), (b"X-Any", b"one two"), (b"empty", b""), (b"Content-Length", b"3")];
    assert_eq!(lines, expected);
}

#[test]
fn a_head_that_was_used_before_keeps_nothing_of_it() {
    let mut head = RequestHead::default();
    for (text, authority, fields) in [
        ("OPTIONS http://b HTTP/1.0\r\nHost: a\r\nx: y\r\n\r\n", Some("b"), 2),
        ("GET / HTTP/1.1\r\n\r\n", None, 0),
    ] {
        assert!(parse(text.as_bytes(), MAX_LINE, MOST, &mut head).unwrap().is_some());
        assert_eq!((head.authority(), head.fields.len()), (authority, fields));
    }
    assert_eq!((head.method, head.scheme), (Method::GET, None));
}

#[test]
fn a_beginning_asks_for_more() {
    let text = b"\r\nGET /a HTTP/1.1\r\nHost: a\r\nX: \xff\r\n\r\n";
    for len in 0..text.len() {
        assert!(read(&text[..len]).unwrap().is_none(), "{len}");
    }
    assert_eq!(read(text).unwrap().unwrap().0.bytes, text.len());
}

#[test]
fn one_empty_line_may_come_first() {
    assert_eq!(whole("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap().0.bytes, 29);
    for text in
        ["\r\n\r\nGET / HTTP/1.1\r\n\r\n", "\nGET / HTTP/1.1\r\n\r\n", "\rGET / HTTP/1.1\r\n\r\n", "\r\n\r\n"]
    {
        assert_eq!(whole(text).unwrap_err(), Reason::RequestMalformed, "{text:?}");
    }
}

#[test]
fn what_is_no_request_is_refused_before_its_end() {
    for text in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"PRI ",
        b"PRI / HTTP/1.1\r\n\r\n",
        b"PRI * HTTP/2.0\r",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /\r\n",
        b"GET / HTTP/0.9\r\n",
        b"GET / FTP/1.1\r\n",
        b"GET / http/1.1\r\n",
        b"GET / HTTP/2\r\n",
        b"GET / HTTP/1.1 \r\n",
        b"GET / HTTP/11.1\r\n",
        b"GET HTTP/1.1\r\n",
        b"SSH-2.0-client\r\n",
        b"\x00",
        b" GET",
        b"G\xc3\xa4T",
        b"GET\t/",
        b"{\"a\"",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.1\r\nHost: a\n",
        b"GET / HTTP/1.1\r\nHost: a\rb",
        b"GET / HTTP/1.1\r\nHost: \x00",
    ] {
        assert_eq!(read(text).unwrap_err(), Reason::RequestMalformed, "{:?}", String::from_utf8_lossy(text));
    }
}

#[test]
fn other_versions_are_told_from_garbage() {
    for version in ["HTTP/2.0", "HTTP/3.0", "HTTP/2.1", "HTTP/9.9"] {
        let text = format!("GET / {version}\r\n");
        assert_eq!(read(text.as_bytes()).unwrap_err(), Reason::VersionUnsupported, "{version}");
    }
}

/// RFC 9110 section 2.5: what is known of a version holds for all later ones of the same major number.
#[test]
fn a_later_minor_version_is_served_as_1_1() {
    for version in ["1.2", "1.5", "1.9"] {
        let text = format!("POST / HTTP/{version}\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
        let (parsed, head) = whole(&text).unwrap();
        let expected = (Framing::Chunked, true, Version::HTTP_11);
        assert_eq!((parsed.framing, parsed.persistent, head.version), expected, "{version}");
    }
}

#[test]
fn field_lines_have_one_form() {
    for line in [
        "Host : a",
        "Host\t: a",
        " Host: a",
        "\tHost: a",
        ": a",
        "Host",
        "Ho st: a",
        "H\u{f6}st: a",
        "Host: a\r\n b",
        "Host: a\r\n\tb",
        "Host: a\nX: b",
        "\nHost: a",
        "Host: a\rX: b",
        "Host: a\r",
        "Host: \u{0}",
        "Host: \u{1}",
        "Host: a\u{b}",
        "Host: \u{7f}",
        "Ho\u{0}st: a",
        "Host(: a",
        "\"Host\": a",
        "Host: a\r\nx",
        "Host\r\n: a",
    ] {
        let text = format!("GET / HTTP/1.1\r\nA: b\r\n{line}\r\nC: d\r\n\r\n");
        assert_eq!(read(text.as_bytes()).map(|_| ()), Err(Reason::RequestMalformed), "{line:?}");
        let text = format!("GET / HTTP/1.1\r\n{line}\r\n\r\n");
        assert_eq!(read(text.as_bytes()).map(|_| ()), Err(Reason::RequestMalformed), "{line:?}");
    }
    let odd = b"GET / HTTP/1.1\r\n!#$%&'*+-.^_`|~09aZ: \x80\xff\t\"\\(\r\n\r\n";
    let (_, head) = read(odd).unwrap().unwrap();
    let field = head.fields.iter().next().unwrap();
    assert_eq!((field.spelling, field.value), (&b"!#$%&'*+-.^_`|~09aZ"[..], &b"\x80\xff\t\"\\("[..]));
}

#[test]
fn targets_have_the_form_of_their_method() {
    for (line, scheme, authority, target) in [
        ("GET /a//b?c?d|{}\"<>\\^` HTTP/1.1", None, None, "/a//b?c?d|{}\"<>\\^`"),
        ("GET http://a HTTP/1.1", Some(Scheme::Http), Some("a"), "/"),
        ("GET HTTPS://A:1/b?c HTTP/1.1", Some(Scheme::Https), Some("A:1"), "/b?c"),
        ("GET http://a?b/c HTTP/1.1", Some(Scheme::Http), Some("a"), "/?b/c"),
        ("GET http://u@a/ HTTP/1.1", Some(Scheme::Http), Some("u@a"), "/"),
        ("OPTIONS * HTTP/1.1", None, None, "*"),
        ("OPTIONS http://a HTTP/1.1", Some(Scheme::Http), Some("a"), "*"),
        ("OPTIONS http://a/ HTTP/1.1", Some(Scheme::Http), Some("a"), "/"),
        ("CONNECT a:443 HTTP/1.1", None, Some("a:443"), ""),
        ("X-ANY!METHOD / HTTP/1.1", None, None, "/"),
    ] {
        let (_, head) = whole(&format!("{line}\r\nHost: a\r\n\r\n")).unwrap();
        assert_eq!((head.scheme, head.authority(), head.target()), (scheme, authority, target), "{line}");
    }
}

#[test]
fn targets_of_no_form_are_refused() {
    for (target, reason) in [
        ("*", Reason::TargetInvalid),
        ("a", Reason::TargetInvalid),
        ("a:80", Reason::TargetInvalid),
        ("*a", Reason::TargetInvalid),
        ("", Reason::TargetInvalid),
        ("/#a", Reason::TargetInvalid),
        ("http://a/#b", Reason::TargetInvalid),
        ("/a b", Reason::TargetInvalid),
        (" /", Reason::TargetInvalid),
        ("/ ", Reason::TargetInvalid),
        ("/\t", Reason::TargetInvalid),
        ("/\u{e4}", Reason::TargetInvalid),
        ("http:/a", Reason::TargetInvalid),
        ("http://", Reason::TargetInvalid),
        ("http:///a", Reason::TargetInvalid),
        ("http://?a", Reason::TargetInvalid),
        ("?a", Reason::TargetInvalid),
        ("ftp://a/", Reason::SchemeUnsupported),
        ("ws://a/", Reason::SchemeUnsupported),
        ("/\u{7f}", Reason::RequestMalformed),
        ("/\u{0}", Reason::RequestMalformed),
    ] {
        let text = format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n");
        assert_eq!(read(text.as_bytes()).map(|_| ()), Err(reason), "{target:?}");
    }
    assert_eq!(whole("POST * HTTP/1.1\r\n\r\n").unwrap_err(), Reason::TargetInvalid);
}

#[test]
fn a_length_is_said_once_in_digits() {
    assert_eq!(framing_of("X: y"), Ok(Framing::Empty));
    for (value, length) in
        [("0", 0), ("5", 5), ("\t 007 ", 7), ("9223372036854775807", i64::MAX.unsigned_abs())]
    {
        assert_eq!(framing_of(&format!("content-length: {value}")), Ok(Framing::Sized(length)), "{value}");
    }
    for value in [
        "",
        "+5",
        "-1",
        "0x5",
        "1_0",
        "5, 5",
        "5,",
        "5 5",
        "5;",
        "\"5\"",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999",
        "\u{665}",
        "1e3",
        "5.0",
    ] {
        let field = format!("Content-Length: {value}");
        assert_eq!(framing_of(&field), Err(Reason::RequestMalformed), "{value}");
    }
    for fields in ["Content-Length: 5\r\ncontent-length: 5", "Content-Length: 5\r\nX: y\r\nContent-Length: 6"]
    {
        assert_eq!(framing_of(fields), Err(Reason::RequestMalformed), "{fields}");
    }
}

/// A backend that takes a leading 0 for the mark of an octal number would read another length.
#[test]
fn a_length_goes_on_as_the_number_that_was_understood() {
    for (value, expected) in [("0200", "200"), ("00", "0"), ("0", "0"), ("10", "10"), (" 007\t", "7")] {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\nX: y\r\n\r\n");
        let (_, head) = whole(&text).unwrap();
        let lengths: Vec<_> = head.fields.all(Name::ContentLength).collect();
        assert_eq!(lengths, [expected.as_bytes()], "{value}");
        assert_eq!(head.fields.len(), 3, "{value}");
    }
}

#[test]
fn chunked_is_said_once_and_alone() {
    assert_eq!(framing_of("transfer-encoding: Chunked"), Ok(Framing::Chunked));
    for value in [
        "",
        ",chunked",
        "chunked,",
        "chunked, chunked",
        "xchunked",
        "chunked, gzip",
        "gzip",
        "identity",
        "chunked;q=1",
        "chunked x",
        "\"chunked\"",
        "gz ip, chunked",
        "gzip;a, chunked",
        "chunked, gzip, chunked",
        ", gzip, chunked",
        "chunked ",
        "chunked\t",
        "\tchunked",
        "chunk\u{e9}d",
    ] {
        let field = format!("Transfer-Encoding: {value}");
        assert_eq!(framing_of(&field), Err(Reason::RequestMalformed), "{value}");
    }
    for value in ["gzip, chunked", "a,b ,CHUNKED"] {
        let field = format!("Transfer-Encoding: {value}");
        assert_eq!(framing_of(&field), Err(Reason::CodingUnknown), "{value}");
    }
    for fields in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nTransfer-Encoding: gzip, chunked",
        "Content-Length: 5\r\nTransfer-Encoding: x",
    ] {
        assert_eq!(framing_of(fields), Err(Reason::RequestMalformed), "{fields}");
    }
    for value in ["chunked", "gzip, chunked", "x"] {
        let text = format!("POST / HTTP/1.0\r\nTransfer-Encoding: {value}\r\n\r\n");
        assert_eq!(whole(&text).unwrap_err(), Reason::RequestMalformed, "{value}");
    }
}

#[test]
fn the_version_and_connection_say_whether_it_persists() {
    for (version, fields, expected) in [
        ("1.1", "", true),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: x, close ,y\r\n", false),
        ("1.1", "Connection: x\r\nconnection: close\r\n", false),
        ("1.1", "Connection: closed\r\n", true),
        ("1.1", "Connection: keep-alive, close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        assert_eq!(persistent(version, fields), expected, "{version} {fields}");
    }
}

#[test]
fn what_is_too_large_is_told_as_soon_as_it_is() {
    let long = |len: usize| format!("GET /{} HTTP/1.1", "a".repeat(len - "GET / HTTP/1.1".len()));
    assert!(whole(&format!("{}\r\n\r\n", long(8192))).is_ok());
    for text in [format!("{}\r\n\r\n", long(8193)), "GET /".repeat(1639), "A".repeat(8193)] {
        assert_eq!(read(text.as_bytes()).unwrap_err(), Reason::UriTooLong);
    }

    let mut head = RequestHead::default();
    let mut limited =
        |text: &str, line| parse(text.as_bytes(), line, MOST, &mut head).map(|parsed| parsed.is_some());
    let line = "GET /12345 HTTP/1.1";
    assert_eq!(limited(&format!("{line}\r\n\r\n"), line.len()), Ok(true));
    assert_eq!(limited(&format!("{line}\r\n\r\n"), line.len() - 1), Err(Reason::UriTooLong));
    assert_eq!(limited(line, line.len()), Ok(false));
    assert_eq!(limited(line, line.len() - 1), Err(Reason::UriTooLong));

    let fields = |n: usize| format!("GET / HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(n));
    assert!(whole(&fields(100)).is_ok());
    assert_eq!(whole(&fields(101)).unwrap_err(), Reason::HeaderTooLarge);

    let mut head = RequestHead::default();
    let text = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut limited =
        |text: &str, max| parse(text.as_bytes(), MAX_LINE, Most { bytes: max, ..MOST }, &mut head);
    assert!(limited(text, text.len()).unwrap().is_some());
    assert!(limited(&format!("{text}body that is none of the head"), text.len()).unwrap().is_some());
    assert_eq!(limited(text, text.len() - 1), Err(Reason::HeaderTooLarge));
    assert_eq!(limited(&text[..text.len() - 1], text.len()), Ok(None));
    assert_eq!(limited(&text[..text.len() - 1], text.len() - 1), Err(Reason::HeaderTooLarge));
}

#[test]
fn names_that_mean_something_are_found() {
    let (_, head) = whole("GET / HTTP/1.1\r\nHOST: a\r\nvia: b\r\nvIA: c\r\n\r\n").unwrap();
    assert_eq!(head.fields.get(Name::Host), Some(&b"a"[..]));
    assert_eq!(head.fields.all(Name::Via).collect::<Vec<_>>(), [b"b", b"c"]);
}
