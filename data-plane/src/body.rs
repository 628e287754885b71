//! Bodies on their way through: streamed frame by frame, never gathered.

mod request;
mod response;

pub(crate) use self::{
    request::{ClientBody, Flow, RequestBody},
    response::{Idle, Relayed, ResponseBody},
};
use crate::reason::Reason;

/// A body that will not come to its end; the message that it belongs to is cut short.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.sentence())]
pub(crate) struct BodyError(pub(crate) Reason);
