//! How large answers of backends may be, apart from their bodies: `ResponseLimits` in `config.proto`.

use crate::{Invalid, bounds::bounded, v1};

/// Bounds on the head of a response, and on its trailers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseLimits {
    /// Bytes.
    pub max_header_bytes: u32,
    /// Fields.
    pub max_headers: u32,
}

impl Default for ResponseLimits {
    fn default() -> Self {
        Self { max_header_bytes: 64 * 1024, max_headers: 256 }
    }
}

impl TryFrom<v1::ResponseLimits> for ResponseLimits {
    type Error = Invalid;

    fn try_from(wire: v1::ResponseLimits) -> Result<Self, Invalid> {
        let d = Self::default();
        Ok(Self {
            max_header_bytes: bounded!(wire.max_header_bytes, d, 1024..=1 << 20)?,
            max_headers: bounded!(wire.max_headers, d, 1..=1_000)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(max_header_bytes: u32, max_headers: u32) -> Result<ResponseLimits, String> {
        let wire =
            v1::ResponseLimits { max_header_bytes: Some(max_header_bytes), max_headers: Some(max_headers) };
        ResponseLimits::try_from(wire).map_err(|e| e.to_string())
    }

    #[test]
    fn both_are_bounded_and_have_a_default() {
        assert_eq!(ResponseLimits::try_from(v1::ResponseLimits::default()), Ok(ResponseLimits::default()));
        assert_eq!(
            parse(1 << 20, 1_000),
            Ok(ResponseLimits { max_header_bytes: 1 << 20, max_headers: 1_000 })
        );
        assert_eq!(parse(1023, 1), Err("max_header_bytes: must be 1024 to 1048576, is 1023".to_owned()));
        assert_eq!(parse(1024, 0), Err("max_headers: must be 1 to 1000, is 0".to_owned()));
    }
}
