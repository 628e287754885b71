//! A client whose body is awaited while its request holds a place: whoever waits for that place is heard when the client
//! has sent nothing for too long.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use tokio::time::Duration;

use super::{Attempt, Clock};
use crate::{
    admission::Stalls,
    body::RequestBody,
    downstream::{Blocked, Holds},
    grpc::Call,
    message::Name,
    reason::Reason,
    retry::Progress,
};

/// How long a client may be silent is for its body to say: here it is only who is in the way.
const NO_BOUND: Duration = Duration::from_hours(24);

/// A call by gRPC may be silent, and so may a client that waits to be asked for its body: they have so many graces.
const EXCUSED: u32 = 10;

/// Belongs to one attempt. Costs nothing while the client sends.
#[derive(Debug, Default)]
pub(super) struct Awaited(Option<Box<Silence>>);

#[derive(Debug)]
struct Silence {
    blocked: Blocked,
    /// Bytes that had come.
    bytes: u64,
    /// How many graces it has.
    graces: u32,
}

impl Silence {
    fn of(attempt: &Attempt<'_>) -> Self {
        let fields = &attempt.head.fields;
        let excused = Call::of(fields).is_some() || fields.has(Name::Expect);
        Self { blocked: Blocked::default(), bytes: 0, graces: if excused { EXCUSED } else { 1 } }
    }
}

impl Awaited {
    /// Ready when the client must go: others wait for its place in the service, or in `way`, and it has sent nothing for
    /// its grace.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        attempt: &Attempt<'_>,
        clock: &mut Clock<'_>,
        body: &RequestBody<'_>,
        way: &Arc<Stalls>,
    ) -> Poll<(Reason, Progress)> {
        let silence = self.0.get_or_insert_with(|| Box::new(Silence::of(attempt)));
        let bytes = body.bytes();
        let more = bytes - std::mem::replace(&mut silence.bytes, bytes);
        silence.blocked.moved(usize::try_from(more).unwrap_or(usize::MAX));
        let grace = attempt.service.service.circuit_breakers.stall_grace * silence.graces;
        let stalls = [Some(attempt.endpoint.live().gate().stalls()), Some(way), None];
        let ended = silence.blocked.poll(cx, clock.alarm(), NO_BOUND, Holds { grace, stalls });
        ended.map(|_| (Reason::RequestBodyTimeout, Progress::Over))
    }
}
