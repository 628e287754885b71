//! Inputs that are wrong in a few places only: bytes at random are refused at their first.

/// What parsers have been seen to stumble over.
const PIECES: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\n\n",
    b"\r\r\n",
    b"\r\n ",
    b"\r\n\t",
    b" ",
    b"  ",
    b"\t",
    b"\0",
    b"\x01",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xc3\xa4",
    b"\xc2\xa0",
    b":",
    b" :",
    b": ",
    b";",
    b",",
    b", ",
    b"\"",
    b"\\",
    b"(",
    b"/",
    b"//",
    b"*",
    b"#",
    b"?",
    b"%",
    b"@",
    b"[",
    b"{",
    b"-",
    b"+",
    b"_",
    b"=",
    b"0",
    b"1",
    b"5",
    b"00",
    b"0x",
    b"-1",
    b"a",
    b"A",
    b"g",
    b"x",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b" HTTP/1.2",
    b"http/1.1",
    b" HTTP/1.1",
    b"GET",
    b"GET / HTTP/1.1\r\n",
    b"POST",
    b"HEAD",
    b"OPTIONS",
    b"CONNECT",
    b"PRI",
    b"http://",
    b"https://a",
    b"ftp://a/",
    b"\r\nContent-Length: 5",
    b"\r\nContent-Length: 0",
    b"\r\ncontent-length:6",
    b"Content-Length",
    b"\r\nContent-Length : 5",
    b"\r\nContent-Length: 5, 5",
    b"9223372036854775807",
    b"9223372036854775808",
    b"18446744073709551616",
    b"\r\nTransfer-Encoding: chunked",
    b"\r\ntransfer-encoding:chunked",
    b"Transfer-Encoding",
    b"\r\nTransfer-Encoding : chunked",
    b"\r\nTransfer-Encoding: gzip, chunked",
    b"\r\nTransfer-Encoding: identity",
    b"chunked",
    b"gzip",
    b"\r\nConnection: close",
    b"\r\nConnection: keep-alive, x",
    b"\r\nHost: b",
    b"\r\nHost:",
    b"Host",
    b"\r\nX: y",
    b"\r\n: y",
    b"\r\nX",
    b"\r\n\x20X: y",
    b"\r\n0\r\n\r\n",
    b"\r\n5\r\nhello",
    b"0\r\n",
    b";a=b",
    b";\"",
    b"=\"\\\"",
    b"ffffffffffffffff",
    b"0000000000000001",
    b"00000000000000001",
    b"200",
    b"204",
    b"304",
    b"100",
    b"999",
    b"20",
    b"0200",
];

/// The most changes to one seed.
const MAX_CHANGES: u8 = 6;

/// An input that begins with ASCII stands for itself. Any other says which seed to change, and in which places.
pub(super) fn cook(input: &[u8], seeds: &[&[u8]]) -> Vec<u8> {
    let [seed @ 0x80..=0xff, changes, recipe @ ..] = input else { return input.to_vec() };
    let mut text = seeds[usize::from(*seed) % seeds.len()].to_vec();
    let (steps, _) = recipe.as_chunks::<5>();
    for [how, high, low, len, piece] in steps.iter().take(usize::from(changes % MAX_CHANGES)) {
        let at = usize::from(u16::from_be_bytes([*high, *low])) % (text.len() + 1);
        let end = (at + usize::from(len % 8)).min(text.len());
        let piece = PIECES[usize::from(*piece) % PIECES.len()];
        match how % 4 {
            0 => drop(text.splice(at..at, piece.iter().copied())),
            1 => drop(text.splice(at..end, piece.iter().copied())),
            2 => drop(text.drain(at..end)),
            _ => drop(text.splice(at..at, text[at..end].to_vec())),
        }
    }
    text
}

/// What programs read that know no version but 1.0 and 1.1: the digit at `at` is that of another one.
pub(super) fn with_known_version(text: &[u8], at: usize) -> Vec<u8> {
    let mut text = text.to_vec();
    if let Some(digit @ b'2'..=b'9') = text.get_mut(at) {
        *digit = b'1';
    }
    text
}
