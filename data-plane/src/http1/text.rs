//! What the bytes of a head may be: RFC 9110 section 5.6, RFC 9112 section 2.2.

use std::sync::LazyLock;

use memchr::memmem::Finder;

/// Where a head ends.
static END: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"\r\n\r\n"));

/// The characters of a token.
const TOKEN: [bool; 256] = {
    let marks = b"!#$%&'*+-.^_`|~";
    let mut table = [false; 256];
    let mut byte = b'0';
    while byte <= b'z' {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut mark = 0;
    while mark < marks.len() {
        table[marks[mark] as usize] = true;
        mark += 1;
    }
    table
};

/// The length of the head that `input` begins with, with the empty line at its end.
pub(super) fn head_len(input: &[u8]) -> Option<usize> {
    END.find(input).map(|at| at + 4)
}

/// Whether lines end with CRLF and with nothing else, and nothing but tabs is a control character. The text may end
/// anywhere, even between CR and LF.
pub(super) fn is_clean(text: &[u8]) -> bool {
    let (Some(first), Some(last)) = (text.first(), text.last()) else { return true };
    let mut bad = (*first == b'\n') | is_control(*last);
    // Without a branch, so that many bytes are compared at once.
    for (byte, next) in text.iter().zip(&text[1..]) {
        bad |= ((*byte == b'\r') ^ (*next == b'\n')) | is_control(*byte);
    }
    !bad
}

pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[usize::from(byte)]
}

/// The length of the token that `text` begins with.
pub(super) fn token_len(text: &[u8]) -> usize {
    text.iter().position(|byte| !is_token_byte(*byte)).unwrap_or(text.len())
}

/// But for tabs and what lines end with.
fn is_control(byte: u8) -> bool {
    (byte < b' ' && !matches!(byte, b'\t' | b'\r' | b'\n')) || byte == 0x7f
}
