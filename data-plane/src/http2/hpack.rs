//! Header blocks as they pass by on their way to the codec, which is silent about pseudo-fields that it does not expect:
//! which of them a block has, and how large it is when it is unfolded. RFC 7541; no text is kept or made.

mod huffman;
mod table;
#[cfg(test)]
mod tests;

use self::{
    huffman::Decoder,
    table::{Entry, OVERHEAD, Table},
};

/// Pseudo-fields, as a set: RFC 9113 section 8.3 and RFC 8441 section 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Pseudo(u8);

/// What a header block holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Section {
    pub(crate) pseudo: Pseudo,
    /// One of them came after a field of another kind.
    pub(crate) late: bool,
    /// The sum of its fields' sizes: RFC 7541 section 4.1.
    pub(crate) size: u32,
}

/// Follows the header blocks of one direction of a connection, wherever their bytes are cut. What is not valid, the codec
/// refuses together with the connection: from there on every block is taken for malformed.
#[derive(Debug, Default)]
pub(crate) struct Walker {
    table: Table,
    step: Step,
    field: Field,
    section: Section,
    /// Whether the section has a field that is no pseudo-field.
    regular: bool,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy, Default)]
enum Step {
    /// The beginning of a field.
    #[default]
    Field,
    /// The rest of a number: RFC 7541 section 5.1.
    Number {
        of: Number,
        value: u32,
        shift: u8,
    },
    /// The length of a string.
    Length(Part),
    Text {
        part: Part,
        left: u32,
    },
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    Indexed,
    NameOf,
    TableSize,
    Length(Part, Coding),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Name,
    Value,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Coding {
    #[default]
    Plain,
    Huffman,
}

/// The field that is being read.
#[derive(Debug, Default)]
struct Field {
    /// It enters the table.
    remembered: bool,
    pseudo: Pseudo,
    name: u32,
    /// Of the string that is being read.
    coding: Coding,
    text: Decoder,
}

/// A number has so many bits in each byte after its first, and at most four such bytes, as in the codec.
const BITS: u8 = 7;
const LAST_SHIFT: u8 = 3 * BITS;

impl Pseudo {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const AUTHORITY: Self = Self(1);
    pub(crate) const METHOD: Self = Self(1 << 1);
    pub(crate) const PATH: Self = Self(1 << 2);
    pub(crate) const SCHEME: Self = Self(1 << 3);
    pub(crate) const STATUS: Self = Self(1 << 4);
    pub(crate) const PROTOCOL: Self = Self(1 << 5);
    /// One that nobody knows.
    pub(crate) const UNKNOWN: Self = Self(1 << 6);

    pub(crate) fn is_empty(self) -> bool {
        self == Self::NONE
    }

    pub(crate) fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    pub(crate) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The one of this name, if it is one.
    fn named(name: &[u8]) -> Self {
        match name {
            b":authority" => Self::AUTHORITY,
            b":method" => Self::METHOD,
            b":path" => Self::PATH,
            b":scheme" => Self::SCHEME,
            b":status" => Self::STATUS,
            b":protocol" => Self::PROTOCOL,
            [b':', ..] => Self::UNKNOWN,
            _ => Self::NONE,
        }
    }
}

impl Walker {
    /// The next bytes of the block.
    pub(crate) fn read(&mut self, mut bytes: &[u8]) {
        while let [byte, rest @ ..] = bytes {
            bytes = match (self.step, *byte) {
                (Step::Field, 0x81..=0xfe) => {
                    self.indexed(u32::from(byte & 0x7f));
                    rest
                }
                (Step::Field, byte) => {
                    self.begin(byte);
                    rest
                }
                (Step::Number { of, value, shift }, byte) => {
                    self.number_goes_on(of, value, shift, byte);
                    rest
                }
                (Step::Length(part), byte) => {
                    let coding = if byte & 0x80 == 0 { Coding::Plain } else { Coding::Huffman };
                    self.number(Number::Length(part, coding), byte, 0x7f);
                    rest
                }
                (Step::Text { part, left }, _) => self.text(part, left, bytes),
                (Step::Lost, _) => return,
            };
        }
    }

    /// The block is complete.
    pub(crate) fn end(&mut self) -> Section {
        self.regular = false;
        let section = std::mem::take(&mut self.section);
        if matches!(self.step, Step::Field) {
            return section;
        }
        self.step = Step::Lost;
        Section { pseudo: Pseudo::UNKNOWN, ..section }
    }

    /// The first byte of a field, or of a change of the table's size: RFC 7541 section 6.
    fn begin(&mut self, byte: u8) {
        self.field.remembered = byte & 0xc0 == 0x40;
        match byte {
            0x80.. => self.number(Number::Indexed, byte, 0x7f),
            0x40.. => self.number(Number::NameOf, byte, 0x3f),
            0x20.. => self.number(Number::TableSize, byte, 0x1f),
            _ => self.number(Number::NameOf, byte, 0x0f),
        }
    }

    fn number(&mut self, of: Number, byte: u8, mask: u8) {
        match byte & mask {
            value if value < mask => self.complete(of, u32::from(value)),
            value => self.step = Step::Number { of, value: value.into(), shift: 0 },
        }
    }

    fn number_goes_on(&mut self, of: Number, value: u32, shift: u8, byte: u8) {
        let value = value + (u32::from(byte & 0x7f) << shift);
        if byte & 0x80 == 0 {
            self.complete(of, value);
        } else if shift < LAST_SHIFT {
            self.step = Step::Number { of, value, shift: shift + BITS };
        } else {
            self.step = Step::Lost;
        }
    }

    /// A number has come.
    fn complete(&mut self, of: Number, value: u32) {
        match of {
            Number::Indexed => self.indexed(value),
            Number::NameOf if value == 0 => self.step = Step::Length(Part::Name),
            Number::NameOf => match self.table.get(value) {
                Some(entry) => {
                    (self.field.pseudo, self.field.name) = (entry.pseudo, entry.name.into());
                    self.step = Step::Length(Part::Value);
                }
                None => self.step = Step::Lost,
            },
            Number::TableSize => {
                self.step = if self.table.resize(value) { Step::Field } else { Step::Lost };
            }
            Number::Length(part, coding) => {
                self.field.coding = coding;
                self.field.text = Decoder::default();
                self.step = Step::Text { part, left: value };
                if value == 0 {
                    self.text(part, 0, &[]);
                }
            }
        }
    }

    fn indexed(&mut self, index: u32) {
        match self.table.get(index) {
            Some(Entry { pseudo, size, .. }) => self.count(pseudo, size.into()),
            None => self.step = Step::Lost,
        }
    }

    /// Some bytes of a string. What follows it.
    fn text<'b>(&mut self, part: Part, left: u32, bytes: &'b [u8]) -> &'b [u8] {
        let n = bytes.len().min(left as usize);
        let (these, rest) = bytes.split_at(n);
        let text = &mut self.field.text;
        match (self.field.coding, part) {
            (Coding::Plain, _) => text.plain(these),
            (Coding::Huffman, _) => text.huffman(these),
        }
        let left = left - u32::try_from(n).unwrap_or(left);
        if left > 0 {
            self.step = Step::Text { part, left };
            return rest;
        }
        match (part, text.end()) {
            (_, None) | (Part::Name, Some(0)) => self.step = Step::Lost,
            (Part::Name, Some(length)) => {
                (self.field.pseudo, self.field.name) = (Pseudo::named(text.beginning()), length);
                self.step = Step::Length(Part::Value);
            }
            (Part::Value, Some(length)) => self.literal(length),
        }
        rest
    }

    fn literal(&mut self, value: u32) {
        let Field { remembered, pseudo, name, .. } = self.field;
        let size = name + value + u32::from(OVERHEAD);
        if remembered {
            self.table.insert(pseudo, name, size);
        }
        self.count(pseudo, size);
    }

    fn count(&mut self, pseudo: Pseudo, size: u32) {
        self.step = Step::Field;
        self.section.size = self.section.size.saturating_add(size);
        self.section.pseudo.0 |= pseudo.0;
        self.section.late |= self.regular && !pseudo.is_empty();
        self.regular |= pseudo.is_empty();
    }
}
