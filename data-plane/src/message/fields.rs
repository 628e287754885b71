//! The fields of a head or of trailers, in their order and spelling.

use std::fmt;

use super::Name;

/// Names and values side by side in one text. Whoever adds to them has checked that a name is a token and that a value
/// has no control characters but tabs.
#[derive(Default, Clone)]
pub(crate) struct Fields {
    text: Vec<u8>,
    lines: Vec<Line>,
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Field<'a> {
    pub(crate) name: Name,
    /// As it was spelled.
    pub(crate) spelling: &'a [u8],
    pub(crate) value: &'a [u8],
}

/// A part of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    name: Name,
    /// Empty where it is the name's own text.
    spelling: Span,
    value: Span,
}

impl Fields {
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.lines.clear();
    }

    /// Bytes of its text.
    pub(crate) fn size(&self) -> usize {
        self.text.len()
    }

    /// Bytes of its text that it has room for.
    pub(crate) fn room(&self) -> usize {
        self.text.capacity()
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.lines.iter().map(|line| self.field(line))
    }

    /// The values of one name, in their order.
    pub(crate) fn all(&self, name: Name) -> impl Iterator<Item = &[u8]> {
        self.lines.iter().filter(move |line| line.name == name).map(|line| self.bytes(line.value))
    }

    /// The first value of a name.
    pub(crate) fn get(&self, name: Name) -> Option<&[u8]> {
        self.all(name).next()
    }

    pub(crate) fn has(&self, name: Name) -> bool {
        self.lines.iter().any(|line| line.name == name)
    }

    /// Adds a field that we speak of ourselves.
    pub(crate) fn push(&mut self, name: Name, value: &[u8]) {
        debug_assert_ne!(name, Name::Other);
        let value = self.note(value);
        self.lines.push(Line { name, spelling: Span::default(), value });
    }

    /// Adds a field as it was received.
    pub(crate) fn push_spelled(&mut self, spelling: &[u8], value: &[u8]) {
        let name = Name::of(spelling);
        let (spelling, value) = (self.note(spelling), self.note(value));
        self.lines.push(Line { name, spelling, value });
    }

    /// Makes this the only field of its name; where there was one, in its place.
    pub(crate) fn set(&mut self, name: Name, value: &[u8]) {
        debug_assert_ne!(name, Name::Other);
        let line = Line { name, spelling: Span::default(), value: self.note(value) };
        let mut at = None;
        let mut n = 0;
        self.lines.retain(|line| {
            let keep = line.name != name || at.is_none();
            if line.name == name && at.is_none() {
                at = Some(n);
            }
            n += usize::from(keep);
            keep
        });
        match at {
            Some(at) => self.lines[at] = line,
            None => self.lines.push(line),
        }
    }

    /// Gives the first field of a name another value; it keeps its place and its spelling.
    pub(crate) fn rewrite(&mut self, name: Name, value: &[u8]) {
        let value = self.note(value);
        if let Some(line) = self.lines.iter_mut().find(|line| line.name == name) {
            line.value = value;
        }
    }

    /// As `set`, by a name in lower case that we may know only from the configuration.
    pub(crate) fn set_spelled(&mut self, spelling: &[u8], value: &[u8]) {
        self.retain(|field| !field.spelling.eq_ignore_ascii_case(spelling));
        self.push_spelled(spelling, value);
    }

    pub(crate) fn remove(&mut self, name: Name) {
        self.lines.retain(|line| line.name != name);
    }

    /// Keeps the fields that pass, in their order.
    pub(crate) fn retain(&mut self, keep: impl Fn(Field<'_>) -> bool) {
        let Self { text, lines } = self;
        lines.retain(|line| keep(field(text, line)));
    }

    /// Takes in a whole head as it was received, in which `push_at` then says where the fields are.
    pub(crate) fn take_text(&mut self, head: &[u8]) {
        self.clear();
        self.text.extend_from_slice(head);
    }

    /// Adds a field that stands in the text already: `spelling` and `value` are ranges of it. Says which it is.
    pub(crate) fn push_at(
        &mut self,
        spelling: std::ops::Range<usize>,
        value: std::ops::Range<usize>,
    ) -> Name {
        let name = Name::of(&self.text[spelling.clone()]);
        self.lines.push(Line { name, spelling: spelling.into(), value: value.into() });
        name
    }

    /// Adds to the text what is no field.
    pub(super) fn note(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        (start..self.text.len()).into()
    }

    pub(super) fn text(&self, span: Span) -> &str {
        std::str::from_utf8(self.bytes(span)).unwrap_or_default()
    }

    fn bytes(&self, span: Span) -> &[u8] {
        bytes(&self.text, span)
    }

    fn field(&self, line: &Line) -> Field<'_> {
        field(&self.text, line)
    }
}

fn bytes(text: &[u8], span: Span) -> &[u8] {
    text.get(span.start as usize..span.end as usize).unwrap_or_default()
}

fn field<'a>(text: &'a [u8], line: &Line) -> Field<'a> {
    let spelling = if line.spelling == Span::default() {
        line.name.text().as_bytes()
    } else {
        bytes(text, line.spelling)
    };
    Field { name: line.name, spelling, value: bytes(text, line.value) }
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        // No head has four gigabytes; one that did would lose the field, not the proxy.
        let position = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: position(range.start), end: position(range.end) }
    }
}

impl fmt::Debug for Fields {
    /// Without values: secrets travel in them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|field| String::from_utf8_lossy(field.spelling))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(fields: &Fields) -> Vec<String> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        fields.iter().map(|field| format!("{}: {}", text(field.spelling), text(field.value))).collect()
    }

    #[test]
    fn fields_keep_their_order_and_spelling() {
        let mut fields = Fields::default();
        for (name, value) in [("X-A", "1"), ("HOST", "a"), ("x-b", ""), ("X-A", "2")] {
            fields.push_spelled(name.as_bytes(), value.as_bytes());
        }
        fields.push(Name::Via, b"1.1 us");
        assert_eq!(lines(&fields), ["X-A: 1", "HOST: a", "x-b: ", "X-A: 2", "via: 1.1 us"]);
        assert_eq!(fields.get(Name::Host), Some(&b"a"[..]));
        fields.retain(|field| field.spelling != b"X-A");
        assert_eq!(lines(&fields), ["HOST: a", "x-b: ", "via: 1.1 us"]);
    }

    #[test]
    fn setting_leaves_one_in_the_place_of_the_first() {
        let mut fields = Fields::default();
        for (name, value) in [("x-a", "1"), ("Host", "a"), ("x-b", "2"), ("host", "b")] {
            fields.push_spelled(name.as_bytes(), value.as_bytes());
        }
        fields.set(Name::Host, b"c");
        fields.set(Name::Via, b"d");
        assert_eq!(lines(&fields), ["x-a: 1", "host: c", "x-b: 2", "via: d"]);
    }

    #[test]
    fn a_value_that_is_said_anew_keeps_the_place_and_the_spelling() {
        let mut fields = Fields::default();
        for (name, value) in [("HOST", "a"), ("x-b", "2")] {
            fields.push_spelled(name.as_bytes(), value.as_bytes());
        }
        fields.rewrite(Name::Host, b"c");
        fields.rewrite(Name::Via, b"d");
        assert_eq!(lines(&fields), ["HOST: c", "x-b: 2"]);
    }

    #[test]
    fn a_head_taken_in_whole_is_not_copied_again() {
        let mut fields = Fields::default();
        fields.push(Name::Via, b"old");
        fields.take_text(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        fields.push_at(16..20, 22..23);
        assert_eq!(lines(&fields), ["Host: a"]);
    }
}
