//! How long a string is, and how it begins, whether it is written plainly or by Huffman's code: RFC 7541 section 5.2 and
//! appendix B.

/// Bytes of the longest name of a pseudo-field.
const BEGINNING: usize = 10;

/// Bits of the longest code.
const LONGEST: u8 = 30;

/// The code is canonical: with its bits at the left of a word, the codes of each length are those below this bound and
/// not below the one before.
const BOUNDS: [(u32, u8); 21] = [
    (0x5000_0000, 5),
    (0xb800_0000, 6),
    (0xf800_0000, 7),
    (0xfe00_0000, 8),
    (0xff40_0000, 10),
    (0xffa0_0000, 11),
    (0xffc0_0000, 12),
    (0xfff0_0000, 13),
    (0xfff8_0000, 14),
    (0xfffe_0000, 15),
    (0xfffe_6000, 19),
    (0xfffe_e000, 20),
    (0xffff_4800, 21),
    (0xffff_b000, 22),
    (0xffff_ea00, 23),
    (0xffff_f600, 24),
    (0xffff_f800, 25),
    (0xffff_fbc0, 26),
    (0xffff_fe20, 27),
    (0xffff_fff0, 28),
    // The last one of this length is the end of a string, which no string may have.
    (0xffff_fffc, LONGEST),
];

/// The characters with codes of up to eight bits, in the order of their codes. Names have no others.
const COMMON: &[u8; 74] = b"012aceiost %-./3456789=A_bdfghlmnpru:BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz&*,;XZ";

/// Where those of each length begin.
const COMMON_BEGINS: [u8; 4] = [0, 10, 36, 68];

/// Stands for a character that no name has.
const OTHER: u8 = b'?';

/// Reads one string, in pieces.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    bits: u64,
    /// How many of them are not read.
    unread: u8,
    length: u32,
    beginning: [u8; BEGINNING],
    invalid: bool,
}

impl Decoder {
    pub(super) fn plain(&mut self, bytes: &[u8]) {
        for (place, byte) in self.beginning.iter_mut().skip(self.length as usize).zip(bytes) {
            *place = *byte;
        }
        self.length += u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    }

    pub(super) fn huffman(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.bits = self.bits << 8 | u64::from(*byte);
            self.unread += 8;
            while self.unread >= LONGEST && self.take(0) {}
            if self.invalid {
                return;
            }
        }
    }

    /// All has come. The length; None if it was not written as it must be.
    pub(super) fn end(&mut self) -> Option<u32> {
        while self.unread > 0 && !self.invalid {
            // What is missing in the last byte is made up by ones.
            let missing = u32::MAX >> self.unread;
            if !self.take(missing) {
                let is_padding = self.unread < 8 && self.window() | missing == u32::MAX;
                self.invalid |= !is_padding;
                break;
            }
        }
        (!self.invalid).then_some(self.length)
    }

    /// The first bytes, and as many more as make up the longest name of a pseudo-field.
    pub(super) fn beginning(&self) -> &[u8] {
        let n = self.length as usize;
        // A longer one is none of those.
        if n > BEGINNING { &self.beginning[..1] } else { &self.beginning[..n] }
    }

    /// Takes the next character, if all of its code is there.
    fn take(&mut self, missing: u32) -> bool {
        let window = self.window() | missing;
        let Some(n) = BOUNDS.iter().position(|(bound, _)| window < *bound) else {
            self.invalid |= self.unread >= LONGEST;
            return false;
        };
        let bits = BOUNDS[n].1;
        if bits > self.unread {
            return false;
        }
        if let Some(place) = self.beginning.get_mut(self.length as usize) {
            *place = character(window, n);
        }
        self.unread -= bits;
        self.length += 1;
        true
    }

    /// The unread bits, at the left.
    fn window(&self) -> u32 {
        u32::try_from((self.bits << (u64::BITS - u32::from(self.unread))) >> 32).unwrap_or(u32::MAX)
    }
}

/// What begins a window, if its code is one of those of the n-th length.
fn character(window: u32, n: usize) -> u8 {
    let Some(begins) = COMMON_BEGINS.get(n) else { return OTHER };
    let before = if n == 0 { 0 } else { BOUNDS[n - 1].0 };
    let place = (window - before) >> (u32::BITS - u32::from(BOUNDS[n].1));
    COMMON.get(usize::from(*begins) + place as usize).copied().unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Option<(u32, String)> {
        let mut decoder = Decoder::default();
        decoder.huffman(bytes);
        let length = decoder.end()?;
        Some((length, String::from_utf8_lossy(decoder.beginning()).into_owned()))
    }

    #[test]
    fn strings_of_the_rfc_are_read() {
        // RFC 7541 appendix C.4 and C.6.
        for (bytes, text) in [
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf][..], "no-cache"),
            (&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f], "custom-key"),
            (&[0xae, 0xc3, 0x77, 0x1a, 0x4b], "private"),
            (&[0x64, 0x02], "302"),
            (&[], ""),
        ] {
            assert_eq!(decoded(bytes), Some((u32::try_from(text.len()).unwrap(), text.to_owned())));
        }
        let url = [0x9d, 0x29, 0xad, 0x17, 0x18, 0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82, 0xae];
        let url = [&url[..], &[0x43, 0xd3]].concat();
        assert_eq!(decoded(&url), Some((23, "h".to_owned())));
    }

    #[test]
    fn what_is_no_string_is_found() {
        // A byte of padding; padding that is not ones; the end of a string within it.
        for bytes in [&[0x64, 0x02, 0xff][..], &[0b0000_0111, 0b0000_0000], &[0xff; 4], &[0xff; 100]] {
            assert_eq!(decoded(bytes), None, "{bytes:x?}");
        }
    }
}
