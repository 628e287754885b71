//! Whether a proxy's history and the store's are one: see the head of `discovery.proto`.

use tokio::time::{Duration, Instant};
use weir_proto::v1;

use super::Session;
use crate::{
    fleet::KeptOut,
    publish::Published,
    snapshot::{Position, Relation, Snapshot},
};

/// After this time a proxy of an older version, which had another epoch and acknowledges nothing, is taken to keep what
/// it was sent out.
const PRESUMED_AFTER: Duration = Duration::from_secs(30);

/// A session's knowledge of it.
#[derive(Debug, Default)]
pub(super) struct Histories {
    /// The state that the proxy is known to have, by its Hello or its last acknowledgement.
    known: Option<Position>,
    /// Why it cannot be sent that state, nor any other one of its epoch.
    apart: Option<(v1::KeptOutReason, Position)>,
    /// Whether it says by itself what it keeps out, or that was concluded.
    told: bool,
}

impl Histories {
    pub(super) fn new(has: Option<Position>) -> Self {
        Self { known: has, ..Self::default() }
    }

    /// The proxy has this state of the store's history.
    pub(super) fn joined(&mut self, position: Position) {
        self.known = Some(position);
    }

    /// Whether the proxy has another history, so that no state of this epoch may be sent to it.
    pub(super) fn are_apart(&self) -> bool {
        self.apart.is_some()
    }

    /// Whether it serves something of which a snapshot may lack too much for it.
    pub(super) fn may_keep_out(&self, snapshot: &Snapshot) -> bool {
        self.known.is_some_and(|known| !snapshot.knows_removals_since(known))
    }

    /// The digest from which all removals are known, if it is the proxy's own; else 0.
    pub(super) fn removals_from(&self, snapshot: &Snapshot) -> u64 {
        let vouched = self.known.filter(|known| snapshot.knows_removals_since(*known));
        vouched.map_or(0, |known| known.digest.0)
    }
}

impl Session {
    /// Compares the histories, and makes known if they are two.
    pub(super) fn compare(&mut self, published: &Published) {
        let snapshot = published.snapshot();
        let Some(known) = self.histories.known else { return };
        let reason = match snapshot.relation(known) {
            Relation::Ahead => v1::KeptOutReason::Ahead,
            Relation::Fork => v1::KeptOutReason::Fork,
            Relation::OtherEpoch | Relation::Earlier | Relation::Forgotten => {
                self.histories.apart = None;
                return;
            }
        };
        let apart = Some((reason, snapshot.position()));
        if self.histories.apart != apart {
            self.histories.apart = apart;
            let kept_out = KeptOut::concluded(reason, snapshot.position(), known);
            self.membership.keeps_out(Some(kept_out));
        }
    }

    /// The proxy says what it keeps out.
    pub(super) fn kept_out(&mut self, said: &v1::KeptOut) {
        let kept_out = KeptOut::said(said, self.histories.known);
        self.histories.told = true;
        self.may_keep_out |= kept_out.is_some();
        // That the histories are two is not over because a proxy has nothing in hand.
        if kept_out.is_some() || !self.histories.are_apart() {
            self.membership.keeps_out(kept_out);
        }
    }

    /// Concludes that a proxy which does not know how to say so keeps out what it was sent.
    pub(super) fn presume(&mut self) {
        let (Some(sent), Some(known)) = (self.sent.back(), self.histories.known) else { return };
        let sent = sent.position();
        let is_due = Instant::now().saturating_duration_since(self.sent_at) >= PRESUMED_AFTER;
        if is_due && !self.histories.told && !self.outbox.has_state() && known.epoch != sent.epoch {
            self.histories.told = true;
            let kept_out = KeptOut::concluded(v1::KeptOutReason::OtherEpoch, sent, known);
            self.membership.keeps_out(Some(kept_out));
        }
    }
}
