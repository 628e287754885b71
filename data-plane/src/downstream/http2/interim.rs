//! Responses before the last one: RFC 9110 section 15.2.

use std::cell::RefCell;

use bytes::Bytes;
use h2::server::SendResponse;
use http::StatusCode;

use super::stream;
use crate::message::ResponseHead;

/// The way for them to the client of an HTTP/2 request.
#[derive(Debug)]
pub(crate) struct Interim<'a>(&'a RefCell<SendResponse<Bytes>>);

impl<'a> Interim<'a> {
    pub(super) fn new(respond: &'a RefCell<SendResponse<Bytes>>) -> Self {
        Self(respond)
    }

    pub(crate) fn send(&mut self, head: &ResponseHead) {
        // HTTP/2 has no other protocol to go on with.
        if head.status != StatusCode::SWITCHING_PROTOCOLS {
            // It fails only where the client has gone.
            let _ = self.0.borrow_mut().send_informational(stream::response(head));
        }
    }
}
