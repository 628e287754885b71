//! What fields say about their message's end and its connection: RFC 9112 sections 6.1, 6.3 and 9.3.

use http::Version;

use crate::message::{Name, length};

/// Gathered while fields are read.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    pub(super) length: Length,
    pub(super) coding: Coding,
    /// The length is not said as everybody would say it.
    pub(super) padded: bool,
    close: bool,
    keep_alive: bool,
}

/// What `Content-Length` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Length {
    /// There is none.
    #[default]
    None,
    Bytes(u64),
    /// Two, a list, or no number.
    Invalid,
}

/// What `Transfer-Encoding` says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Coding {
    /// There is none.
    #[default]
    None,
    /// The one that belongs to the hop, and ends with it.
    Chunked,
    /// Others before it, which we can neither undo nor pass on.
    Unknown,
    /// What two readers may read in two ways.
    Invalid,
}

impl Facts {
    pub(super) fn note(&mut self, name: Name, value: &[u8]) {
        match name {
            Name::ContentLength => {
                self.length = self.length.and(value);
                self.padded |= length::is_padded(value);
            }
            Name::TransferEncoding => self.coding = self.coding.and(value),
            Name::Connection => self.note_connection(value),
            _ => {}
        }
    }

    /// Whether another message may follow on the connection.
    pub(super) fn persistent(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }

    fn note_connection(&mut self, value: &[u8]) {
        for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

impl Length {
    fn and(self, value: &[u8]) -> Self {
        match (self, length::length(value)) {
            (Self::None, Some(number)) => Self::Bytes(number),
            _ => Self::Invalid,
        }
    }
}

impl Coding {
    fn and(self, value: &[u8]) -> Self {
        if self == Self::None { Self::of(value) } else { Self::Invalid }
    }

    fn of(value: &[u8]) -> Self {
        let is_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
        if is_chunked(value) {
            return Self::Chunked;
        }
        let mut codings = value.rsplit(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        if !codings.next().is_some_and(is_chunked) {
            return Self::Invalid;
        }
        let is_other = |coding: &[u8]| {
            !coding.is_empty()
                && !is_chunked(coding)
                && coding.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
        };
        if codings.all(is_other) { Self::Unknown } else { Self::Invalid }
    }
}
