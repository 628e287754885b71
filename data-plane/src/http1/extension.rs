//! Extensions of chunks: RFC 9112 section 7.1.1. Nothing reads them; but what is none may hide the end of its line from
//! another reader.

use super::text;

/// Whether a text without control characters is extensions and nothing else: `;name`, `;name=token`, `;name="text"`.
pub(super) fn are_extensions(text: &[u8]) -> bool {
    let mut rest = text;
    while !rest.is_empty() {
        let Some(after) = extension(rest) else { return false };
        rest = after;
    }
    true
}

/// What follows the extension that `text` begins with. The grammar allows blanks before and after `;` and `=`.
fn extension(text: &[u8]) -> Option<&[u8]> {
    let name = without_blanks(text).strip_prefix(b";")?;
    let rest = token(without_blanks(name))?;
    match without_blanks(rest).strip_prefix(b"=").map(without_blanks) {
        None => Some(rest),
        Some([b'"', quoted @ ..]) => quoted_string(quoted),
        Some(value) => token(value),
    }
}

fn without_blanks(text: &[u8]) -> &[u8] {
    &text[text.iter().take_while(|byte| **byte == b' ').count()..]
}

/// What follows a token of at least one character.
fn token(text: &[u8]) -> Option<&[u8]> {
    let len = text::token_len(text);
    (len > 0).then(|| &text[len..])
}

/// What follows a text in quotes, whose first one was read.
fn quoted_string(mut text: &[u8]) -> Option<&[u8]> {
    loop {
        match text {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', _, rest @ ..] | [_, rest @ ..] => text = rest,
            [] => return None,
        }
    }
}
