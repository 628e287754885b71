//! The first bytes of a client: HTTP/2, or something that belongs to another port. Pure.

/// The preface of HTTP/2 (RFC 9113 section 3.4).
const PREFACE: &[u8; PREFACE_BYTES] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub(super) const PREFACE_BYTES: usize = 24;
/// The first byte of TLS: a handshake record (RFC 8446 section 5.1).
const HANDSHAKE: u8 = 0x16;

/// A beginning of which more is to come.
#[derive(Debug, Default)]
pub(super) struct Opening {
    /// Bytes of the preface that are there.
    got: usize,
}

/// What it turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spoken {
    Http2,
    /// A line in capital letters, as of HTTP/1.
    Http1,
    Tls,
    Other,
}

impl Opening {
    /// Takes the next bytes. None while it cannot be told.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Option<Spoken> {
        let due = PREFACE.get(self.got..).unwrap_or_default();
        let as_expected = due.iter().zip(bytes).take_while(|(due, byte)| due == byte).count();
        let before = self.got;
        self.got += as_expected;
        if self.got == PREFACE_BYTES {
            return Some(Spoken::Http2);
        }
        let other = *bytes.get(as_expected)?;
        Some(match other {
            HANDSHAKE if before + as_expected == 0 => Spoken::Tls,
            b'A'..=b'Z' | b' ' if self.got < 4 => Spoken::Http1,
            _ => Spoken::Other,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn heard(bytes: &[u8], piece: usize) -> Option<Spoken> {
        let mut opening = Opening::default();
        bytes.chunks(piece).find_map(|piece| opening.hear(piece))
    }

    proptest! {
        #[test]
        fn however_the_bytes_come_the_same_is_recognised(piece in 1_usize..40) {
            let with_more = [&PREFACE[..], &[0; 20]].concat();
            prop_assert_eq!(heard(&with_more, piece), Some(Spoken::Http2));
            prop_assert_eq!(heard(&PREFACE[..23], piece), None);
            for method in ["GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n", "PROPFIND /", "PRIX /", "PUT / "] {
                prop_assert_eq!(heard(method.as_bytes(), piece), Some(Spoken::Http1), "{}", method);
            }
            prop_assert_eq!(heard(&[0x16, 3, 1, 2, 0], piece), Some(Spoken::Tls));
            for other in [&b"\x00\x05"[..], b"hello", b"PRI * HTTP/2.0\r\n\r\nXX", b"P\x16"] {
                prop_assert_eq!(heard(other, piece), Some(Spoken::Other), "{:?}", other);
            }
        }
    }
}
