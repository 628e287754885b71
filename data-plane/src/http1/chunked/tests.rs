//! Every rule for bodies in chunks, by its examples, and pieces of any size.

use proptest::prelude::*;

use super::*;

const MOST: Most = Most { bytes: 32 * 1024, fields: 100 };

/// What a body holds.
#[derive(Debug, PartialEq)]
struct Read {
    data: Vec<u8>,
    trailers: Vec<(String, String)>,
    /// Bytes after it.
    left: usize,
}

/// Reads a body that arrives in pieces; `None` if it has not ended.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Option<Read>, Malformed> {
    let mut decoder = Decoder::new(MOST);
    let (mut unread, mut data, mut left) = (Vec::new(), Vec::new(), None);
    for piece in pieces {
        unread.extend_from_slice(piece);
        while left.is_none() {
            match decoder.step(&unread)? {
                Step::More => break,
                Step::Data { skip, data: n } => {
                    assert!(skip + n > 0);
                    data.extend_from_slice(&unread[skip..skip + n]);
                    unread.drain(..skip + n);
                }
                Step::End { skip } => {
                    unread.drain(..skip);
                    left = Some(());
                }
            }
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let trailers = decoder.take_trailers().unwrap_or_default();
    let trailers = trailers.iter().map(|field| (text(field.spelling), text(field.value))).collect();
    Ok(left.map(|()| Read { data, trailers, left: unread.len() }))
}

fn whole(text: &str) -> Result<Option<Read>, Malformed> {
    let read_whole = read(std::iter::once(text.as_bytes()));
    assert_eq!(read(text.as_bytes().chunks(1)), read_whole, "{text:?}");
    read_whole
}

fn data(text: &str) -> String {
    String::from_utf8(whole(text).unwrap().unwrap().data).unwrap()
}

#[test]
fn data_are_taken_out_of_their_chunks() {
    for (text, expected) in [
        ("0\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("1\r\na\r\n0002\r\nbc\r\n000\r\n\r\n", "abc"),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", "01234567890123456789"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ("1;a\r\nx\r\n1;a=b;c=\"d e\"\r\ny\r\n0;z\r\n\r\n", "xy"),
        ("1; a = b ; c = \"\" ;d\r\nx\r\n1;a=\"\\\"\\;\u{e9}\";b\r\ny\r\n0;z=1\r\n\r\n", "xy"),
        ("0000000000000001\r\nx\r\n0\r\n\r\n", "x"),
    ] {
        assert_eq!(data(text), expected, "{text:?}");
    }
}

#[test]
fn a_body_ends_where_it_says() {
    assert_eq!(whole("1\r\na\r\n0\r\n\r\nGET /").unwrap().unwrap().left, 5);
    assert_eq!(whole("0\r\na: b\r\n\r\n\r\n").unwrap().unwrap().left, 2);
    let body = "1\r\na\r\n0\r\nx: y\r\n\r\n";
    for len in 0..body.len() {
        assert_eq!(whole(&body[..len]), Ok(None), "{len}");
    }
}

#[test]
fn an_ended_decoder_takes_nothing_more() {
    let mut decoder = Decoder::new(MOST);
    assert_eq!(decoder.step(b"0\r\n\r\n"), Ok(Step::End { skip: 5 }));
    assert_eq!(decoder.step(b"1\r\na"), Ok(Step::End { skip: 0 }));
    assert!(decoder.take_trailers().is_none());
}

#[test]
fn trailers_are_kept() {
    let read = whole("1\r\na\r\n0\r\nX-Sum:  1 \r\ny:\r\n\r\n").unwrap().unwrap();
    let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(read.trailers, [field("X-Sum", "1"), field("y", "")]);
}

#[test]
fn what_is_no_chunk_is_refused() {
    for text in [
        "\r\n",
        "\n",
        ";\r\n",
        "g\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\n",
        " 1\r\n",
        "1 \r\n",
        "1\t\r\n",
        "1 ;a\r\n",
        "1_0\r\n",
        "1\n",
        "1\rx",
        "1,\r\n",
        "00000000000000001\r\n",
        "11111111111111111\r\n",
        "8000000000000000\r\n",
        "ffffffffffffffff\r\n",
        "1;\u{0}",
        "1;\t",
        "1;a\nb",
        "1;a\rb",
        "1;\u{7f}",
        "1\r\nab",
        "1\r\na\n",
        "1\r\na\rb",
        "1\r\na0\r\n",
        "1\r\na \r\n",
    ] {
        assert_eq!(whole(text), Err(Malformed), "{text:?}");
    }
}

/// RFC 9112 section 7.1.1.
#[test]
fn what_is_no_extension_is_refused() {
    for extension in [
        ";",
        "; ",
        ";;a",
        ";a;",
        ";=b",
        ";a=",
        ";a= ",
        ";a b",
        ";a ",
        ";bad[=x",
        ";a=[",
        ";a=b c",
        ";a=\"x",
        ";a=\"x\"y",
        ";a=\"x\\\"",
        ";a=x\"y\"",
        ";a=b=c",
        ";\"a\"",
        ";\u{e9}",
        ";a=\u{e9}",
        ";a,b",
        ";a=\"x\" ",
    ] {
        for size in ["5", "0"] {
            let text = format!("{size}{extension}\r\n");
            assert_eq!(whole(&text), Err(Malformed), "{text:?}");
        }
    }
}

#[test]
fn what_is_no_trailer_is_refused() {
    for text in [
        "0\r\n\n",
        "0\r\na\r\n\r\n",
        "0\r\n: a\r\n\r\n",
        "0\r\na : b\r\n\r\n",
        "0\r\na: b\r\n c\r\n\r\n",
        "0\r\na: b\n\r\n",
        "0\r\na: b\rc\r\n\r\n",
        "0\r\na: \u{0}\r\n\r\n",
        "0\r\n\rx",
    ] {
        assert_eq!(whole(text), Err(Malformed), "{text:?}");
    }
}

#[test]
fn extensions_and_trailers_have_their_bounds() {
    let extension = |n: usize| format!("1;{}\r\na\r\n", "x".repeat(n - 1));
    let end = "0\r\n\r\n";
    assert_eq!(data(&(extension(4096) + end)), "a");
    for text in [
        extension(4097),
        format!("1;{}", "x".repeat(4096)),
        extension(2048) + &extension(2049),
        format!("0\r\n{}", "a: b\r\n".repeat(101)),
        format!("0\r\na: {}", "b".repeat(MOST.bytes)),
    ] {
        assert_eq!(read(std::iter::once(text.as_bytes())), Err(Malformed));
    }
    let trailers = format!("0\r\n{}\r\n", "a: b\r\n".repeat(100));
    assert_eq!(whole(&trailers).unwrap().unwrap().trailers.len(), 100);
}

#[test]
fn trailers_are_bounded_by_a_buffer_too() {
    let end = |len: usize| {
        let text = format!("0\r\na: {}\r\n\r\n", "b".repeat(len - "a: \r\n\r\n".len()));
        Decoder::new(Most { bytes: usize::MAX, fields: 1 }).step(text.as_bytes())
    };
    assert!(end(MAX_TRAILERS).is_ok());
    assert_eq!(end(MAX_TRAILERS + 3), Err(Malformed));
}

/// A body in chunks, and what is in it.
fn bodies() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let chunk = (prop::collection::vec(any::<u8>(), 1..40), "(;[a-z]{1,4}(=[a-z]{1,4})?)?", any::<bool>());
    prop::collection::vec(chunk, 0..8).prop_map(|chunks| {
        let (mut body, mut data) = (Vec::new(), Vec::new());
        for (chunk, extension, upper) in chunks {
            let size = if upper { format!("{:X}", chunk.len()) } else { format!("{:02x}", chunk.len()) };
            body.extend_from_slice(format!("{size}{extension}\r\n").as_bytes());
            body.extend_from_slice(&chunk);
            body.extend_from_slice(b"\r\n");
            data.extend_from_slice(&chunk);
        }
        body.extend_from_slice(b"0\r\nx: y\r\n\r\n");
        (body, data)
    })
}

proptest! {
    #[test]
    fn pieces_of_any_size_give_the_same((body, expected) in bodies(), piece in 1_usize..60) {
        let read = read(body.chunks(piece)).unwrap().unwrap();
        prop_assert_eq!((read.data, read.left), (expected, 0));
        prop_assert_eq!(read.trailers.len(), 1);
    }
}
