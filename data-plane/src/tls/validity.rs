//! From when until when a certificate is valid, read from its DER (RFC 5280 section 4.1).

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
/// `[0]`, explicit: the version, absent in version 1.
const VERSION: u8 = 0xa0;

/// `notBefore` and `notAfter`; None if this is not a certificate.
pub(super) fn validity(certificate: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (certificate, _) = element(SEQUENCE, certificate)?;
    let (to_be_signed, _) = element(SEQUENCE, certificate)?;
    let rest = element(VERSION, to_be_signed).map_or(to_be_signed, |(_, rest)| rest);
    let (_serial, rest) = element(INTEGER, rest)?;
    let (_signature, rest) = element(SEQUENCE, rest)?;
    let (_issuer, rest) = element(SEQUENCE, rest)?;
    let (validity, _) = element(SEQUENCE, rest)?;
    let (not_before, rest) = time(validity)?;
    let (not_after, _) = time(rest)?;
    Some((not_before, not_after))
}

/// The content of the first element, if it has this tag, and what follows it.
fn element(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&first, rest) = input.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        // Up to four bytes of length follow; more would be no certificate of this world.
        0x81..=0x84 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (bytes.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length).filter(|_| first == tag)
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ`, as RFC 5280 section 4.1.2.5 wants it.
fn time(input: &[u8]) -> Option<(Timestamp, &[u8])> {
    let utc = element(UTC_TIME, input);
    let (text, rest) = utc.or_else(|| element(GENERALIZED_TIME, input))?;
    let text = str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, text) = match utc {
        Some(_) => {
            let (year, text) = (number(text.get(..2)?)?, text.get(2..)?);
            (if year < 50 { 2000 + year } else { 1900 + year }, text)
        }
        None => (number(text.get(..4)?)?, text.get(4..)?),
    };
    if text.len() != 10 {
        return None;
    }
    let at = |i: usize| i8::try_from(number(text.get(i..i + 2)?)?).ok();
    let time = DateTime::new(year, at(0)?, at(2)?, at(4)?, at(6)?, at(8)?, 0).ok()?;
    Some((time.to_zoned(TimeZone::UTC).ok()?.timestamp(), rest))
}

fn number(digits: &str) -> Option<i16> {
    digits.bytes().all(|c| c.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rustls_pki_types::{CertificateDer, pem::PemObject};

    use super::*;
    use crate::tls::testing::Authority;

    fn der() -> CertificateDer<'static> {
        let issued = Authority::new("root").valid(&["a.example"], (1999, 2, 3), (2060, 12, 31));
        CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let (from, until) = validity(&der()).unwrap();
        assert_eq!(from.to_string(), "1999-02-03T00:00:00Z");
        assert_eq!(until.to_string(), "2060-12-31T00:00:00Z");
    }

    #[test]
    fn a_torn_certificate_has_none() {
        let der = der();
        let whole = validity(&der);
        assert!(
            (0..der.len()).all(|n| validity(&der[..n]).is_none()),
            "the outer length says how much there is"
        );
        assert!(whole.is_some());
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>, at in 0_usize..100, flip: u8) {
            validity(&bytes);
            let mut der = der().to_vec();
            der[at] ^= flip;
            validity(&der);
        }
    }
}
