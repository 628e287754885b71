//! HTTP/1 as bytes, without sockets or time: RFC 9112, on the strict side wherever it leaves a choice.

mod chunked;
mod content;
mod extension;
mod facts;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod reference;
pub(crate) mod request;
pub(crate) mod response;
mod section;
mod target;
mod text;
pub(crate) mod write;

use weir_proto::{Limits, ResponseLimits};

pub(crate) use self::{
    chunked::{Decoder, Malformed, Step},
    content::Content,
    facts::KeepAlive,
    request::ParsedRequest,
    response::ParsedResponse,
};

/// What a head may have, and trailers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Most {
    pub(crate) bytes: usize,
    pub(crate) fields: usize,
}

impl From<&Limits> for Most {
    fn from(limits: &Limits) -> Self {
        Self { bytes: limits.max_header_bytes as usize, fields: limits.max_headers as usize }
    }
}

impl From<&ResponseLimits> for Most {
    fn from(limits: &ResponseLimits) -> Self {
        Self { bytes: limits.max_header_bytes as usize, fields: limits.max_headers as usize }
    }
}

/// How a message's body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Framing {
    /// There is none, and nothing says how long it is.
    Empty,
    /// After so many bytes; 0 where the message itself says so.
    Sized(u64),
    /// Where the chunks say.
    Chunked,
    /// With the connection: responses only.
    UntilClose,
}
