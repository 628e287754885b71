//! Field lines: RFC 9112 section 5, without line folding.

use std::ops::Range;

use memchr::memchr;

use super::{
    facts::{Facts, Length},
    text,
};
use crate::message::{Fields, Name, length};

/// Why a section was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Malformed,
    TooMany,
}

/// Where a field stands in its text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
    /// Where the next line begins.
    pub(super) next: usize,
}

/// Reads the field lines of a whole head, which begin at `at` and end with the empty line that ends the head. `fields`
/// has taken in the head, and gets them, with the length as the number that was understood. The head is clean.
pub(super) fn read(head: &[u8], mut at: usize, max: usize, fields: &mut Fields) -> Result<Facts, Fault> {
    let mut facts = Facts::default();
    let end = head.len() - 2;
    let mut count = 0;
    while at < end {
        let line = line(head, at).ok_or(Fault::Malformed)?;
        count += 1;
        if count > max {
            return Err(Fault::TooMany);
        }
        let name = fields.push_at(line.name.clone(), line.value.clone());
        if name == Name::TransferEncoding && has_odd_blanks(head, &line) {
            return Err(Fault::Malformed);
        }
        facts.note(name, &head[line.value]);
        at = line.next;
    }
    if let (true, Length::Bytes(n)) = (facts.padded, facts.length) {
        length::write(fields, n);
    }
    Ok(facts)
}

/// The line that begins at `at`: a token, a colon, and a value with blanks around it. `text` is clean.
pub(super) fn line(text: &[u8], at: usize) -> Option<Line> {
    let colon = at + text::token_len(&text[at..]);
    if colon == at || text.get(colon) != Some(&b':') {
        return None;
    }
    let end = colon + memchr(b'\r', &text[colon..])?;
    let next = end + 2;
    let is_blank = |at: usize| matches!(text[at], b' ' | b'\t');
    let (mut start, mut end) = (colon + 1, end);
    while start < end && is_blank(start) {
        start += 1;
    }
    while start < end && is_blank(end - 1) {
        end -= 1;
    }
    Some(Line { name: at..colon, value: start..end, next })
}

/// Whether there is more around the value than spaces before it: not every reader takes the rest for blanks.
fn has_odd_blanks(head: &[u8], line: &Line) -> bool {
    let before = &head[line.name.end + 1..line.value.start];
    before.contains(&b'\t') || line.value.end + 2 != line.next
}
