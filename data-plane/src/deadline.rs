//! Tells backends how much time is left, so that none works for somebody who no longer waits.

use weir_proto::Timeouts;

use crate::{
    grpc::{self, Call},
    message::{Name, RequestHead},
    upstream::Clock,
};

/// Writes what is left for an attempt into the head: into the service's own field, and into that of a call by gRPC that
/// has one. `again` if there was an attempt before. Whether the head has changed since that.
pub(crate) fn set(
    head: &mut RequestHead,
    call: Option<Call>,
    timeouts: &Timeouts,
    clock: &Clock<'_>,
    again: bool,
) -> bool {
    let limited = call.is_some_and(|call| call.timeout.is_some());
    if limited && again {
        head.fields.set(Name::GrpcTimeout, grpc::timeout_text(clock.left()).as_bytes());
    }
    if let Some(name) = &timeouts.deadline_header {
        let left = clock.left_for_try().as_millis().to_string();
        head.fields.set_spelled(name.as_bytes(), left.as_bytes());
    }
    again && (limited || timeouts.deadline_header.is_some())
}
