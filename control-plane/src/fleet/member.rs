//! What is known of one proxy.

use std::{collections::HashMap, time::SystemTime};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_proto::{Epoch, ProxyId, Revision, v1};

use crate::snapshot::Position;

/// Backends whose requests in flight are kept of one proxy.
const MOST_DRAINING: usize = 10_000;
/// Bytes of `service/id`: two names of 253 and the slash.
const MOST_NAME: usize = 253 + 1 + 253;

/// One moment: on the clock that only runs forward, and for people.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub instant: Instant,
    pub wall: SystemTime,
}

impl Now {
    /// This moment.
    pub(crate) fn read() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}

/// What a proxy says of itself when it connects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    pub id: ProxyId,
    pub boot_id: u64,
    pub version: String,
    pub zone: String,
    pub advertised_address: String,
    /// Where the stream comes from.
    pub peer_address: String,
}

/// All that is known of one proxy.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub identity: Identity,
    /// The present stream; it ends when the token is cancelled.
    stream: Option<(StreamId, CancellationToken)>,
    pub connected_at: SystemTime,
    pub disconnected_at: Option<Now>,
    /// What this run of the process acknowledged last.
    pub acknowledged: Option<Position>,
    pub behind_since: Option<SystemTime>,
    pub refused: Vec<v1::Refused>,
    pub report: Option<Report>,
}

impl Member {
    /// A proxy of which nothing is known but that it is there.
    pub(crate) fn new(identity: Identity, stream: StreamId, end: CancellationToken, now: Now) -> Self {
        Self {
            identity,
            stream: Some((stream, end)),
            connected_at: now.wall,
            disconnected_at: None,
            acknowledged: None,
            behind_since: Some(now.wall),
            refused: Vec::new(),
            report: None,
        }
    }

    /// Ends the stream of what the same proxy was before. If the process is the same, it still has what it had.
    pub(crate) fn succeed(&mut self, previous: Self) {
        if let Some((_, end)) = previous.stream {
            end.cancel();
        }
        if previous.identity.boot_id == self.identity.boot_id {
            self.acknowledged = previous.acknowledged;
            self.refused = previous.refused;
            self.behind_since = previous.behind_since;
        }
    }

    /// Its stream ended.
    pub(crate) fn leave(&mut self, now: Now) {
        self.stream = None;
        self.disconnected_at = Some(now);
    }

    /// Whether this is its newest stream, and stands.
    pub(crate) fn is_on(&self, stream: StreamId) -> bool {
        self.stream.as_ref().is_some_and(|(current, _)| *current == stream)
    }

    /// Whether its stream stands.
    pub(crate) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Whether it acknowledged this revision or a later one.
    pub(crate) fn has(&self, epoch: Epoch, revision: Revision) -> bool {
        self.acknowledged.is_some_and(|p| p.epoch == epoch && p.revision >= revision)
    }
}

/// What a proxy reported last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    pub state: v1::ProxyState,
    pub in_flight: u64,
    /// Requests in flight by `service/id`, of the backends that drain.
    pub draining: HashMap<String, u64>,
    /// The revision in force when this was counted.
    pub revision: Revision,
}

impl From<v1::Report> for Report {
    fn from(wire: v1::Report) -> Self {
        let state = wire.state();
        let named = wire.draining.into_iter().filter(|b| b.backend.len() <= MOST_NAME);
        let counts = named.take(MOST_DRAINING);
        Self {
            state,
            in_flight: wire.in_flight,
            draining: counts.map(|b| (b.backend, b.in_flight)).collect(),
            revision: Revision(wire.revision),
        }
    }
}

/// Tells one stream from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamId(pub u64);

/// How far the connected proxies are with draining one backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Draining {
    /// Requests still in flight, as far as reported.
    pub in_flight: u64,
    /// Proxies that did not acknowledge the revision.
    pub unacknowledged: Vec<ProxyId>,
    /// Proxies that did, and have not counted since.
    pub uncounted: usize,
}

impl Draining {
    /// Whether every connected proxy stopped using the backend.
    pub(crate) fn is_done(&self) -> bool {
        self.in_flight == 0 && self.uncounted == 0 && self.unacknowledged.is_empty()
    }
}
