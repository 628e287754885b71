//! The request that a question is about.

use std::net::{IpAddr, Ipv4Addr};

use http::Method;
use weir_proto::{Service, v1::ExplainQuestion};

use crate::{
    http1::{self, Most},
    message::RequestHead,
    reason::Reason,
    retry,
};

/// What a head of a question may have; listeners have limits of their own.
const MOST: Most = Most { bytes: 1 << 20, fields: 256 };

/// A request as it would come, and from whom.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) head: RequestHead,
    pub(super) client: IpAddr,
}

impl Asked {
    /// Refuses what no listener would take either.
    pub(super) fn of(question: &ExplainQuestion) -> Result<Self, Reason> {
        let or =
            |text: &'_ str, default: &'static str| if text.is_empty() { default } else { text }.to_owned();
        let (method, target) = (or(&question.method, Method::GET.as_str()), or(&question.target, "/"));
        let mut text = format!("{method} {target} HTTP/1.1\r\nHost: {}\r\n", question.host);
        for field in &question.fields {
            text.extend([&field.name, ": ", &field.value, "\r\n"]);
        }
        text.push_str("\r\n");
        let mut head = RequestHead::default();
        let parsed = http1::request::parse(text.as_bytes(), MOST.bytes, MOST, &mut head)?;
        // A value with the end of a head in it is more than one request.
        if parsed.is_none_or(|parsed| parsed.bytes != text.len()) {
            return Err(Reason::RequestMalformed);
        }
        let client = question.client_address.parse().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        Ok(Self { head, client })
    }

    /// Whether a second attempt would do no harm by the rules of this service.
    pub(super) fn may_be_repeated(&self, service: &Service) -> bool {
        retry::is_idempotent(&self.head.method) || service.retry_policy.retry_non_idempotent
    }
}
