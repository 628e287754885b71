//! The answer of a stream to an offer that it does not take: it says so, and the proxy serves on.

use tokio::time::{Duration, Instant};
use weir_proto::v1::{self, KeptOutReason as Reason, proxy_message::Message as Up};

use super::{
    End, KeptOut,
    judge::{Size, is_contradicted},
    receive::{OtherHistory, Snapshot, Unusable},
    session::Session,
};
use crate::objects::Position;

/// The interval between two requests for a state that was kept out, in case that what the operator said about it was
/// missed.
const ASK_AGAIN: Duration = Duration::from_mins(1);

impl Session<'_> {
    /// Whether it is known that the epoch has another history than the one in force.
    pub(super) fn is_apart(&self, have: Option<Position>) -> bool {
        let link = self.discovery.link.borrow();
        let known = link.kept_out.as_ref().filter(|kept| matches!(kept.reason, Reason::Ahead | Reason::Fork));
        known.is_some_and(|kept| have.is_some_and(|have| have.epoch == kept.offered.epoch))
    }

    /// Keeps a snapshot out.
    pub(super) async fn keep_snapshot_out(
        &mut self,
        snapshot: &Snapshot,
        have: Position,
        size: Size,
        reason: Reason,
    ) -> Result<(), End> {
        let offered = snapshot.state.position;
        self.keep_out(KeptOut { offered, reason, size }).await?;
        if reason == Reason::Ahead {
            self.discovery.metrics.ignored_older.inc();
            // Another control plane may be further, and this one in a while.
            return Err(End::Lost(format!("it offers {offered}, this proxy has {have}")));
        }
        if is_contradicted(have, offered) {
            let (theirs, ours) = (offered.digest, have.digest);
            let text = format!("{offered} with the digest {theirs} is offered, here it has {ours}");
            return self.unusable(Unusable::new(text)).await;
        }
        self.wait_for_an_operator();
        Ok(())
    }

    /// Keeps a delta out that leads on from another history.
    pub(super) async fn keep_delta_out(&mut self, other: OtherHistory) -> Result<(), End> {
        let kept_out = KeptOut { offered: other.offered, reason: Reason::Fork, size: Size::default() };
        self.keep_out(kept_out).await?;
        self.wait_for_an_operator();
        Ok(())
    }

    /// Says that nothing is kept out any more, if anything was.
    pub(super) async fn keep_nothing_out(&mut self) -> Result<(), End> {
        self.ask_again = None;
        self.discovery.link.send_if_modified(|link| link.kept_out.take().is_some());
        if self.told_kept_out.take().is_some() {
            self.send(Up::KeptOut(v1::KeptOut::default())).await?;
        }
        Ok(())
    }

    async fn keep_out(&mut self, kept_out: KeptOut) -> Result<(), End> {
        let is_new =
            self.discovery.link.borrow().kept_out.as_ref().is_none_or(|before| !before.is_as(&kept_out));
        if is_new {
            self.discovery.metrics.kept_out_epochs.inc();
            weir_proto::seldom!(error, "{kept_out}; this proxy serves on from what it has");
        }
        let wire = kept_out.wire();
        self.discovery.link.send_modify(|link| link.kept_out = Some(kept_out));
        if self.told_kept_out.as_ref() != Some(&wire) {
            self.told_kept_out = Some(wire);
            self.send(Up::KeptOut(wire)).await?;
        }
        Ok(())
    }

    /// The control plane is well, and cannot do any more by itself.
    fn wait_for_an_operator(&mut self) {
        self.resyncing = false;
        self.ask_again = Some(Instant::now() + ASK_AGAIN);
    }
}
