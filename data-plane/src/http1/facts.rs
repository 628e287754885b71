//! What fields say about their message's end and its connection: RFC 9112 sections 6.1, 6.3 and 9.3.

use http::Version;
use tokio::time::Duration;

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
    /// What `Keep-Alive` says; of several, each.
    ends: Option<KeepAlive>,
}

/// How long the sender keeps the connection, and for how many more messages (RFC 2068 section 19.7.1.1, and
/// draft-thomson-hybi-http-timeout).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct KeepAlive {
    /// Seconds without a message after which it is closed.
    timeout: Option<u32>,
    max: Option<u32>,
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
            Name::KeepAlive => self.ends.get_or_insert_default().note(value),
            _ => {}
        }
    }

    /// Whether another message may follow on the connection.
    pub(super) fn persistent(&self, version: Version) -> bool {
        !self.close && (version == Version::HTTP_11 || self.keep_alive)
    }

    /// When the sender closes the connection, if it says so.
    pub(super) fn connection_ends(&self) -> Option<KeepAlive> {
        self.ends
    }

    fn note_connection(&mut self, value: &[u8]) {
        for token in value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii) {
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
        }
    }
}

impl KeepAlive {
    /// What is on its way while the sender closes must not be lost.
    const MARGIN: u32 = 1;

    /// How long the connection may idle: less than the sender says.
    pub(crate) fn idle_limit(self) -> Option<Duration> {
        self.timeout.map(|seconds| Duration::from_secs(seconds.saturating_sub(Self::MARGIN).into()))
    }

    /// Whether it may have another message at all.
    pub(super) fn lets_another_follow(self) -> bool {
        self.max != Some(0) && self.timeout.is_none_or(|seconds| seconds > Self::MARGIN)
    }

    /// What is no number says nothing.
    #[cold]
    fn note(&mut self, value: &[u8]) {
        for parameter in value.split(|byte| *byte == b',') {
            let mut parts = parameter.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
            let (Some(name), Some(value)) = (parts.next(), parts.next()) else { continue };
            let inner = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
            let Some(said) = length::length(inner.unwrap_or(value)) else { continue };
            // What does not fit is longer than anybody waits.
            let said = u32::try_from(said).unwrap_or(u32::MAX);
            let least = |before: Option<u32>| Some(before.map_or(said, |before| before.min(said)));
            if name.eq_ignore_ascii_case(b"timeout") {
                self.timeout = least(self.timeout);
            } else if name.eq_ignore_ascii_case(b"max") {
                self.max = least(self.max);
            }
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
