//! Bodies in chunks.

use bolero::check;

use super::{
    super::{Decoder, Malformed, Most, Step, reference},
    recipe::cook,
};

const MOST: Most = Most { bytes: 32 * 1024, fields: 100 };

const SEEDS: &[&[u8]] = &[
    b"0\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n",
    b"1\r\na\r\n10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\ny:\r\n\r\n",
    b"3;a=b;c=\"d\"\r\n\r\n0\r\n000;z\r\na: b\r\n\r\n",
    b"1; a = b ;c=\"\\\"\"\r\nx\r\n0;z=\"\"\r\n\r\n",
];

#[test]
fn bodies() {
    check!(name = "bodies").for_each(|input: &[u8]| {
        let text = cook(input, SEEDS);
        let whole = read(text.chunks(text.len().max(1)));
        assert_eq!(
            whole.clone().ok().flatten(),
            reference::chunked(&text),
            "{:?}",
            text.escape_ascii().to_string()
        );
        for size in [1, 2, 3, 7] {
            assert_eq!(read(text.chunks(size)), whole, "pieces of {size}");
        }
    });
}

/// The data, and the length with all the framing, of a body that arrives in pieces; `None` if it has not ended.
fn read<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Option<(Vec<u8>, usize)>, Malformed> {
    let mut decoder = Decoder::new(MOST);
    let (mut unread, mut data, mut consumed) = (Vec::new(), Vec::new(), 0);
    for piece in pieces {
        unread.extend_from_slice(piece);
        loop {
            match decoder.step(&unread)? {
                Step::More => break,
                Step::Data { skip, data: n } => {
                    assert!(skip + n > 0, "a step goes on");
                    data.extend_from_slice(&unread[skip..skip + n]);
                    unread.drain(..skip + n);
                    consumed += skip + n;
                }
                Step::End { skip } => return Ok(Some((data, consumed + skip))),
            }
        }
    }
    Ok(None)
}
