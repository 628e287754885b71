//! What is known of one proxy.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use weir_proto::{Epoch, ProxyId, Revision, v1};

use super::{
    acknowledged::{Acknowledged, Acknowledgement, Refusal},
    bounds::MOST_NAME,
    closes::Closes,
    conditions::{Conditions, Told},
    kept_out::KeptOut,
    questions::Questions,
    reached,
    routable::{GRACE, Presence, Routable},
};
use crate::snapshot::Position;

/// Backends whose requests in flight are kept of one proxy.
pub(super) const MOST_DRAINING: usize = 10_000;

/// How long a proxy is remembered after its stream ended.
pub(crate) const REMEMBERED: Duration = Duration::from_hours(1);

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
#[derive(Debug)]
pub(crate) struct Member {
    pub identity: Identity,
    stream: Option<Stream>,
    pub connected_at: SystemTime,
    pub disconnected_at: Option<Now>,
    /// What this run of the process acknowledged last.
    pub acknowledged: Option<Position>,
    pub behind_since: Option<SystemTime>,
    pub refused: Arc<[Refusal]>,
    /// Before that, too.
    ring: Acknowledged,
    /// The number of the last change of it: a place in the roster's order.
    pub(super) change: u64,
    pub report: Option<Report>,
    /// Its open sockets, as it told last; None if it never did.
    listeners: Option<v1::OpenListeners>,
    /// Where clients are sent to, if it is known and it has an open socket.
    pub(super) address: Option<Arc<Routable>>,
    /// Whether clients were sent to it when that was last decided.
    pub(super) listed: bool,
    /// Whether it has a configuration, from this control plane or from before.
    pub(super) serves: bool,
    /// Whether this run of the process said that it drains, which none takes back.
    drains: bool,
    /// It was told to come back at this time.
    put_off_until: Option<Instant>,
    /// What is known to everybody of its backends; None until this run of the process reported.
    pub told: Option<Told>,
    /// What it keeps out.
    pub kept_out: Option<KeptOut>,
}

/// The present stream of a proxy.
#[derive(Debug, Clone)]
pub(crate) struct Stream {
    pub id: StreamId,
    /// Cancelled, it ends the stream.
    pub end: CancellationToken,
    pub questions: Arc<Questions>,
    pub closes: Arc<Closes>,
}

impl Member {
    /// A proxy of which nothing is known but that it is there.
    pub(crate) fn new(identity: Identity, stream: Stream, now: Now) -> Self {
        Self { stream: Some(stream), ..Self::of(identity, now) }
    }

    fn of(identity: Identity, now: Now) -> Self {
        Self {
            address: Routable::of(&identity, None).map(Arc::new),
            listeners: None,
            listed: false,
            serves: false,
            drains: false,
            put_off_until: None,
            identity,
            stream: None,
            connected_at: now.wall,
            disconnected_at: None,
            acknowledged: None,
            behind_since: Some(now.wall),
            refused: Arc::from([]),
            ring: Acknowledged::default(),
            change: 0,
            report: None,
            told: None,
            kept_out: None,
        }
    }

    /// One that belonged to the fleet before the control plane started: clients are sent to it until it is known whether
    /// it is still there.
    pub(super) fn remembered(id: ProxyId, info: &v1::ProxyInfo, now: Now) -> Self {
        let identity = Identity {
            id,
            boot_id: 0,
            version: info.version.clone(),
            zone: info.zone.clone(),
            advertised_address: info.advertised_address.clone(),
            peer_address: info.peer_address.clone(),
        };
        let listeners = info.listeners.clone();
        let address = Routable::of(&identity, listeners.as_ref()).map(Arc::new);
        let wall = |at: Option<prost_types::Timestamp>| at.and_then(|at| at.try_into().ok());
        let left = Now { wall: wall(info.disconnected_at).unwrap_or(now.wall), ..now };
        Self {
            stream: None,
            connected_at: wall(info.connected_at).unwrap_or(left.wall),
            disconnected_at: Some(left),
            listed: true,
            listeners,
            address,
            ..Self::of(identity, now)
        }
    }

    /// Ends the stream of what the same proxy was before. If the process is the same, it still has what it had.
    pub(crate) fn succeed(&mut self, previous: Self) {
        if let Some(stream) = previous.stream {
            stream.end.cancel();
        }
        // Counts as before until it is known what it has. Elsewhere it has other sockets.
        let is_same = previous.identity.boot_id == self.identity.boot_id;
        if is_same || is_same_host(&previous.identity, &self.identity) {
            self.set_listeners(previous.listeners);
        }
        self.listed = previous.listed;
        self.serves = previous.listed;
        if is_same {
            self.acknowledged = previous.acknowledged;
            self.refused = previous.refused;
            self.ring = previous.ring;
            self.behind_since = previous.behind_since;
            self.told = previous.told;
            self.kept_out = previous.kept_out;
            self.serves |= previous.serves;
            self.drains = previous.drains;
        }
    }

    /// Its stream ended.
    pub(crate) fn leave(&mut self, now: Now) {
        self.stream = None;
        self.disconnected_at = Some(now);
    }

    /// It has this configuration in force, but for what it refuses. Answers the refusals that are new with it.
    pub(super) fn acknowledge(
        &mut self,
        position: Position,
        refused: Vec<Refusal>,
        current: Epoch,
        now: Now,
    ) -> Vec<v1::Refused> {
        let is_new = |refusal: &&Refusal| !self.refused.iter().any(|before| before.said == refusal.said);
        let fresh = refused.iter().filter(is_new).map(|refusal| refusal.said.clone()).collect();
        if *self.refused != *refused {
            self.refused = refused.into();
        }
        if position.epoch == current {
            let (revision, refused) = (position.revision, Arc::clone(&self.refused));
            self.ring.push(Acknowledgement { revision, at: now.wall, refused });
        }
        self.acknowledged = Some(position);
        self.serves = true;
        fresh
    }

    /// What it acknowledged first that has this revision of the present epoch.
    pub(super) fn acknowledgement(&self, revision: Revision) -> Option<&Acknowledgement> {
        self.ring.of(revision)
    }

    /// It said how things stand. Answers whether its sockets are others than before.
    pub(super) fn heard(&mut self, mut report: Report) -> bool {
        self.drains |= report.state == v1::ProxyState::Draining;
        let listeners =
            report.listeners.take().map(|open| reached::resolve(open, &self.identity.peer_address));
        self.report = Some(report);
        let moves = listeners != self.listeners;
        if moves {
            self.set_listeners(listeners);
        }
        moves
    }

    fn set_listeners(&mut self, listeners: Option<v1::OpenListeners>) {
        self.address = Routable::of(&self.identity, listeners.as_ref()).map(Arc::new);
        self.listeners = listeners;
    }

    /// Where it accepts while there is no listener.
    pub(super) fn own_addresses(&self) -> impl Iterator<Item = String> {
        let open = self.listeners.iter().flat_map(|listeners| &listeners.open);
        open.filter(|open| open.name == reached::OWN).map(|open| open.address.clone())
    }

    /// It is told to come back then.
    pub(super) fn put_off(&mut self, until: Instant) {
        self.put_off_until = Some(until);
    }

    /// Whether it left of its own accord: it is not expected back.
    pub(crate) fn is_gone(&self) -> bool {
        self.stream.is_none() && self.drains
    }

    /// Whether it may be at work: its stream stands, or was lost so lately that it is expected back.
    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.is_connected() || matches!(self.presence(now), Presence::Lost { lately: true, .. })
    }

    /// Whether it is to be forgotten.
    pub(super) fn left_long_ago(&self, now: Instant) -> bool {
        self.disconnected_at.is_some_and(|left| now.duration_since(left.instant) >= REMEMBERED)
    }

    /// What counts of it when it is decided where clients are sent.
    pub(super) fn presence(&self, now: Instant) -> Presence {
        match self.disconnected_at {
            _ if self.drains => Presence::Out,
            Some(left) => {
                let since = self.put_off_until.map_or(left.instant, |until| until.max(left.instant));
                Presence::Lost { listed: self.listed, lately: now < since + GRACE }
            }
            // One without an open socket serves nobody.
            None if self.serves && self.accepts() => Presence::Serving,
            None => Presence::Out,
        }
    }

    /// Whether it has an open socket, as far as it tells of them.
    fn accepts(&self) -> bool {
        self.listeners.as_ref().is_none_or(|listeners| !listeners.open.is_empty())
    }

    /// Whether this is its newest stream, and stands.
    pub(crate) fn is_on(&self, stream: StreamId) -> bool {
        self.stream.as_ref().is_some_and(|current| current.id == stream)
    }

    /// Whether its stream stands.
    pub(crate) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Where to ask it, while its stream stands.
    pub(crate) fn questions(&self) -> Option<&Arc<Questions>> {
        self.stream.as_ref().map(|stream| &stream.questions)
    }

    /// What it is to be told, while its stream stands.
    pub(super) fn closes(&self) -> Option<&Arc<Closes>> {
        self.stream.as_ref().map(|stream| &stream.closes)
    }

    /// What it finds of its backends, while its stream stands.
    pub(crate) fn conditions(&self) -> Option<&Arc<Conditions>> {
        self.stream.as_ref()?;
        self.report.as_ref().map(|report| &report.conditions)
    }

    /// Whether anybody who asks now is to hear of it.
    pub(super) fn is_of_interest(&self, now: Instant) -> bool {
        !self.is_gone() && !self.left_long_ago(now)
    }

    /// As it is listed.
    pub(crate) fn info(&self) -> v1::ProxyInfo {
        let (connected, identity) = (self.is_connected(), &self.identity);
        let acknowledged = self.acknowledged.unwrap_or_default();
        let (state, in_flight) =
            self.report.as_ref().map_or_else(Default::default, |report| (report.state, report.in_flight));
        v1::ProxyInfo {
            id: identity.id.to_string(),
            version: identity.version.clone(),
            zone: identity.zone.clone(),
            advertised_address: identity.advertised_address.clone(),
            peer_address: identity.peer_address.clone(),
            connected,
            connected_at: Some(self.connected_at.into()),
            disconnected_at: self.disconnected_at.map(|at| at.wall.into()),
            epoch: acknowledged.epoch.0,
            revision: acknowledged.revision.0,
            digest: acknowledged.digest.0,
            behind_since: self.behind_since.map(Into::into),
            refused: self.refused.iter().map(|refusal| refusal.said.clone()).collect(),
            state: state as i32,
            in_flight,
            kept_out: self.kept_out.as_ref().map(KeptOut::wire),
            listeners: self.listeners.clone(),
        }
    }

    /// Whether it acknowledged this revision or a later one.
    pub(crate) fn has(&self, epoch: Epoch, revision: Revision) -> bool {
        self.acknowledged.is_some_and(|p| p.epoch == epoch && p.revision >= revision)
    }
}

/// Whether both come from one address, by their streams.
fn is_same_host(a: &Identity, b: &Identity) -> bool {
    let host = |identity: &Identity| identity.peer_address.parse::<SocketAddr>().ok().map(|peer| peer.ip());
    host(a) == host(b)
}

/// What a proxy reported last.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Report {
    pub state: v1::ProxyState,
    pub in_flight: u64,
    /// Requests in flight by `service/id`, of the backends that drain.
    pub draining: HashMap<String, u64>,
    /// The revision in force when this was counted.
    pub revision: Revision,
    pub conditions: Arc<Conditions>,
    /// The sockets that are open, until the proxy's list is made of them.
    pub listeners: Option<v1::OpenListeners>,
}

impl Report {
    /// What counts of a report: of conditions those of backends that exist.
    pub(super) fn of(wire: v1::Report, exists: impl Fn(&str) -> bool) -> Self {
        let state = wire.state();
        let named = wire.draining.into_iter().filter(|b| b.backend.len() <= MOST_NAME);
        let counts = named.take(MOST_DRAINING);
        let mut conditions = Conditions::heard(wire.conditions);
        conditions.retain(exists);
        Self {
            state,
            in_flight: wire.in_flight,
            draining: counts.map(|b| (b.backend, b.in_flight)).collect(),
            revision: Revision(wire.revision),
            conditions: Arc::new(conditions),
            listeners: wire.listeners.map(reached::bounded),
        }
    }
}

/// Tells one stream from every other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamId(pub u64);
