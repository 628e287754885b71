//! The heads of requests and responses, whatever protocol brought them: what proxies read, change and pass on.
//!
//! A head owns one text in which its parts stand side by side; everything else are positions in it. Reading one is a
//! copy of its bytes, changing one adds to the end or drops a position, and a head that is used again keeps its room.

mod fields;
pub(crate) mod length;
mod name;

use http::{Method, StatusCode, Version};

use self::fields::Span;
pub(crate) use self::{
    fields::{Field, Fields},
    name::Name,
};

/// What a client asks for, or what we ask a backend for.
#[derive(Debug, Clone)]
pub(crate) struct RequestHead {
    pub(crate) method: Method,
    /// As it was received.
    pub(crate) version: Version,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) fields: Fields,
    authority: Option<Span>,
    target: Span,
}

/// What an absolute target begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    Http,
    Https,
}

/// Whether a text may be a target: visible ASCII, and no fragment (RFC 9112 section 3.2). It may be empty.
pub(crate) fn is_target(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'#')
}

/// What a backend answers, or what we answer a client.
#[derive(Debug, Clone)]
pub(crate) struct ResponseHead {
    pub(crate) status: StatusCode,
    /// As it was received.
    pub(crate) version: Version,
    pub(crate) fields: Fields,
}

impl RequestHead {
    /// Forgets everything but the room that it has.
    pub(crate) fn clear(&mut self) {
        self.method = Method::GET;
        self.version = Version::HTTP_11;
        self.scheme = None;
        self.authority = None;
        self.target = Span::default();
        self.fields.clear();
    }

    /// The path and the query: visible ASCII, beginning with `/`, or `*`.
    pub(crate) fn target(&self) -> &str {
        self.fields.text(self.target)
    }

    /// The target without the query.
    pub(crate) fn path(&self) -> &str {
        let target = self.target();
        target.split_once('?').map_or(target, |(path, _)| path)
    }

    /// The authority of an absolute target, or of HTTP/2's `:authority`.
    pub(crate) fn authority(&self) -> Option<&str> {
        self.authority.map(|span| self.fields.text(span))
    }

    /// Whoever sets it has checked it.
    pub(crate) fn set_target(&mut self, target: &str) {
        self.target = self.fields.note(target.as_bytes());
    }

    /// The target stands in the text that the fields have taken in.
    pub(crate) fn set_target_at(&mut self, at: std::ops::Range<usize>) {
        self.target = at.into();
    }

    /// The authority stands in the text that the fields have taken in.
    pub(crate) fn set_authority_at(&mut self, at: std::ops::Range<usize>) {
        self.authority = Some(at.into());
    }

    pub(crate) fn set_authority(&mut self, authority: &str) {
        self.authority = Some(self.fields.note(authority.as_bytes()));
    }
}

impl Default for RequestHead {
    fn default() -> Self {
        Self {
            method: Method::GET,
            version: Version::HTTP_11,
            scheme: None,
            fields: Fields::default(),
            authority: None,
            target: Span::default(),
        }
    }
}

impl ResponseHead {
    pub(crate) fn new(status: StatusCode) -> Self {
        Self { status, version: Version::HTTP_11, fields: Fields::default() }
    }
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self::new(StatusCode::OK)
    }
}
