//! One proxy's stream after its Hello: see `discovery.proto`.

mod admission;
mod histories;
#[cfg(test)]
mod tests;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{Stream, StreamExt};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval_at, sleep_until},
};
use tonic::Status;
use weir_proto::{
    BackendKey, Invalid, Revision, duration_to_wire,
    v1::{self, control_message, proxy_message::Message},
};

use self::{admission::Admission, histories::Histories};
use super::{
    outbox::Outbox,
    update::{Update, delta},
};
use crate::{
    Error,
    fleet::{Membership, Refusal, filed},
    publish::Published,
    rpc::{Api, refused, status},
    snapshot::{Position, Snapshot},
};

/// Between two pings.
const PING_EVERY: Duration = Duration::from_secs(15);
/// Pings in a row without an answer that end the stream.
const MOST_UNANSWERED: u64 = 2;
/// From one snapshot to the next, when a proxy says again and again that it needs one.
const RESYNC_PAUSE: Duration = Duration::from_secs(1);
/// From one snapshot to the next, while a proxy keeps them out and so acknowledges nothing.
const KEPT_OUT_PAUSE: Duration = Duration::from_secs(10);
/// States that were sent and may still be acknowledged: more than one only for a proxy that keeps them out.
const MOST_SENT: usize = 4;
/// How long a proxy may take to take a `GoAway`.
const GO_AWAY_TIMEOUT: Duration = Duration::from_secs(1);
/// Proxies come back after 100 ms up to this, each after another time.
const MOST_RETRY_AFTER: Duration = Duration::from_secs(1);
/// Characters of a reason that a proxy gives.
const MOST_REASON: usize = 200;

/// What is known of one stream.
pub(super) struct Session {
    api: Api,
    membership: Membership,
    /// The state that the proxy has. None: it must get everything.
    has: Option<Position>,
    /// The same, with all that is in it, if it came over this stream.
    shown: Option<Arc<Snapshot>>,
    /// Whether it may keep out what it is sent, and so acknowledge nothing.
    may_keep_out: bool,
    histories: Histories,
    /// What was sent and not acknowledged, the newest last.
    sent: VecDeque<Arc<Snapshot>>,
    /// The revision at which an operator accepted the epoch, by what was sent last.
    sent_accepted: Revision,
    sent_at: Instant,
    /// Of this epoch, the newest that the proxy may have.
    newest: Revision,
    /// Whether it has nothing at all, and cannot serve.
    is_bare: bool,
    /// Whether it may be sent everything.
    admission: Admission,
    /// Whether any state was sent: a proxy that is up to date is told so.
    greeted: bool,
    outbox: Outbox,
    pings: u64,
    unanswered: u64,
}

impl Session {
    /// The session of a proxy that says it has this.
    pub(super) fn new(api: &Api, membership: Membership, has: Option<Position>) -> Self {
        let published = api.registry.published().borrow().clone();
        let epoch = published.snapshot().position().epoch;
        membership.starts(has.is_some());
        Self {
            api: api.clone(),
            membership,
            has,
            shown: None,
            may_keep_out: has.is_some_and(|has| has.epoch != epoch),
            histories: Histories::new(has),
            sent: VecDeque::new(),
            sent_accepted: Revision(0),
            sent_at: Instant::now(),
            newest: has.filter(|has| has.epoch == epoch).map_or(Revision(0), |has| has.revision),
            is_bare: has.is_none(),
            admission: Admission::default(),
            greeted: false,
            outbox: Outbox::new(&api.metrics),
            pings: 0,
            unanswered: 0,
        }
    }

    /// Runs until the proxy, another stream of it, or the control plane ends it.
    pub(super) async fn run(
        mut self,
        mut messages: impl Stream<Item = Result<v1::ProxyMessage, Status>> + Unpin,
        outgoing: &mpsc::Sender<Result<v1::ControlMessage, Status>>,
    ) -> Result<(), Status> {
        let stopping = self.api.stopping.clone();
        let replaced = self.membership.replaced().clone();
        let questions = Arc::clone(self.membership.questions());
        let closes = Arc::clone(self.membership.closes());
        let mut published = self.api.registry.published();
        let mut ticks = interval_at(Instant::now() + PING_EVERY, PING_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let newest = published.borrow_and_update().clone();
            self.compare(&newest);
            let mut due = self.due(&newest);
            if due.is_some_and(|at| at <= Instant::now()) {
                if let Err(PutOff(retry_after)) = self.offer(&newest) {
                    let reason = "many proxies need everything anew";
                    let _ = outgoing.send_timeout(Ok(go_away(retry_after, reason)), GO_AWAY_TIMEOUT).await;
                    return Ok(());
                }
                due = None;
            }
            if !self.outbox.has_question()
                && let Some(question) = questions.next()
            {
                self.outbox.question(question);
            }
            if !self.outbox.has_close()
                && let Some(close) = closes.next()
            {
                self.outbox.close(close);
            }
            tokio::select! {
                () = stopping.cancelled() => {
                    let _ = outgoing.send_timeout(Ok(stopping_now()), GO_AWAY_TIMEOUT).await;
                    return Ok(());
                }
                () = replaced.cancelled() => {
                    return Err(Status::aborted("another stream with the same proxy_id took over"));
                }
                message = messages.next() => match message {
                    Some(message) => self.receive(message?)?,
                    None => return Ok(()),
                },
                permit = outgoing.reserve(), if !self.outbox.is_empty() => match permit {
                    Ok(permit) => self.send(permit),
                    Err(_) => return Ok(()),
                },
                () = self.admission.changed() => {}
                () = closes.told(), if !self.outbox.has_close() => {}
                () = questions.asked(), if !self.outbox.has_question() => {}
                _ = ticks.tick() => self.ping()?,
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
                changed = published.changed() => changed.map_err(|_| status(Error::Stopping))?,
            }
        }
    }

    /// When the published state is to be sent; None while there is nothing to send.
    fn due(&self, published: &Published) -> Option<Instant> {
        let newest = published.snapshot().position();
        if self.outbox.has_state() || self.admission.is_waiting() || self.histories.are_apart() {
            return None;
        }
        let Some(last) = self.sent.back() else {
            return match self.has {
                _ if !self.greeted => Some(self.sent_at),
                Some(has) => (has != newest).then_some(self.sent_at),
                None => Some(self.sent_at + RESYNC_PAUSE),
            };
        };
        // A proxy that keeps out what it was sent acknowledges nothing, but must hear when there is more of it, or when an
        // operator settles it. Any other proxy gets nothing while it has something to acknowledge.
        if !self.may_keep_out || last.position() == newest {
            return None;
        }
        let is_settled =
            published.snapshot().accepted() > self.sent_accepted || last.position().epoch != newest.epoch;
        Some(if is_settled { self.sent_at } else { self.sent_at + KEPT_OUT_PAUSE })
    }

    /// Has the newest state sent, if the proxy needs no more than a delta, or it may be sent everything. One that has
    /// nothing waits until it may; any other one serves on from what it has, and comes back later.
    fn offer(&mut self, published: &Published) -> Result<(), PutOff> {
        if let Some(delta) = self.has.and_then(|has| delta(published, has)) {
            self.offered(Arc::clone(published.snapshot()), Update::Delta(delta));
            return Ok(());
        }
        let resyncs = Arc::clone(self.api.fleet.resyncs());
        if !self.admission.is_admitted() {
            let Some(place) = resyncs.begin() else {
                let turn = if self.is_bare { resyncs.wait() } else { None };
                let turn = turn.ok_or_else(|| PutOff(self.membership.put_off()))?;
                self.admission = Admission::waiting(turn);
                return Ok(());
            };
            self.admission = Admission::admitted(place);
        }
        // What it has is to be left behind, however far the pages that others get lead.
        let leads_on = self.has.is_some_and(|has| has.epoch == published.snapshot().position().epoch);
        let least = if leads_on { self.newest.next() } else { self.newest };
        let pages = resyncs.pages(published.snapshot(), least);
        let snapshot = Arc::clone(pages.snapshot());
        let removals_from = self.histories.removals_from(&snapshot);
        self.may_keep_out |= self.histories.may_keep_out(&snapshot);
        self.offered(snapshot, Update::Snapshot(pages, removals_from));
        Ok(())
    }

    fn offered(&mut self, snapshot: Arc<Snapshot>, update: Update) {
        self.outbox.state(update);
        if self.sent.len() == MOST_SENT {
            self.sent.pop_front();
        }
        let is_same_epoch =
            self.sent.back().is_none_or(|last| last.position().epoch == snapshot.position().epoch);
        self.newest = if is_same_epoch { self.newest.max(snapshot.revision()) } else { snapshot.revision() };
        self.sent_accepted = snapshot.accepted();
        self.sent.push_back(snapshot);
        self.sent_at = Instant::now();
        self.greeted = true;
    }

    fn send(&mut self, permit: mpsc::Permit<'_, Result<v1::ControlMessage, Status>>) {
        if let Some(message) = self.outbox.next() {
            permit.send(Ok(message));
        }
        if !self.outbox.has_state() {
            self.admission.leave();
        }
    }

    fn receive(&mut self, message: v1::ProxyMessage) -> Result<(), Status> {
        match message.message {
            Some(Message::Hello(_)) => return Err(Status::failed_precondition("Hello may come only once")),
            Some(Message::Ack(ack)) => self.acknowledged(ack)?,
            Some(Message::Resync(resync)) => {
                let reason: String = resync.reason.chars().take(MOST_REASON).collect();
                self.resync("requested", &reason);
            }
            Some(Message::Report(report)) => {
                let snapshot = self.api.registry.current();
                self.membership.report(report, |backend| {
                    BackendKey::try_from(backend).is_ok_and(|key| snapshot.backend(&key).is_some())
                });
            }
            Some(Message::KeptOut(said)) => self.kept_out(&said),
            Some(Message::Answer(answer)) => self.membership.questions().answer(answer),
            // One that was asked for, not one that was made up.
            Some(Message::Pong(pong)) if pong.sequence <= self.pings => {
                self.unanswered = self.unanswered.min(self.pings - pong.sequence);
            }
            // A newer proxy may say more than this version knows.
            Some(Message::Pong(_)) | None => {}
        }
        Ok(())
    }

    fn acknowledged(&mut self, ack: v1::Ack) -> Result<(), Status> {
        let missing = || refused(vec![Invalid::new("ack.position", "is missing")]);
        let claimed = Position::from(ack.position.ok_or_else(missing)?);
        let sent = self.sent.iter().map(|sent| sent.position());
        let known = sent.chain(self.has).find(|known| is_same_revision(known, &claimed));
        match known {
            Some(known) if known.digest == claimed.digest => {
                let taken = self.sent.iter().position(|sent| sent.position() == known);
                if let Some(i) = taken {
                    self.shown = self.sent.drain(..=i).next_back();
                    self.has = Some(known);
                    self.histories.joined(known);
                    self.may_keep_out = false;
                    self.is_bare = false;
                }
                let refused = self.filed(ack.refused);
                match taken {
                    Some(_) => self.membership.acknowledge(known, refused),
                    None => self.membership.acknowledge_again(known, refused),
                }
            }
            Some(known) => {
                let reason = format!(
                    "at revision {} it has the digest {}, not {}",
                    known.revision, claimed.digest, known.digest
                );
                self.resync("digest", &reason);
            }
            // From before a resync: there is a newer state on its way already.
            None => tracing::debug!(revision = %claimed.revision, "an acknowledgement of what was not sent"),
        }
        Ok(())
    }

    /// What the proxy refused of the state that it has, each with the revision that it refuses.
    fn filed(&self, refused: Vec<v1::Refused>) -> Vec<Refusal> {
        // A state that came over an earlier stream: the newest one knows of all that has not changed since.
        let snapshot = self.shown.clone().unwrap_or_else(|| self.api.registry.current());
        filed(refused, |key| {
            snapshot.get(key).map_or_else(|| snapshot.removed_at(key), |entry| entry.modified())
        })
    }

    fn resync(&mut self, label: &'static str, reason: &str) {
        self.has = None;
        self.shown = None;
        self.sent.clear();
        self.outbox.drop_state();
        self.admission.leave();
        self.membership.resynced(label, reason);
    }

    fn ping(&mut self) -> Result<(), Status> {
        if self.unanswered >= MOST_UNANSWERED {
            return Err(Status::unavailable("the last two pings were not answered; connect again"));
        }
        // One that could not be sent in all this time counts too: a proxy that reads nothing answers nothing, and must not
        // hold on to an old state for ever.
        self.presume();
        self.pings += 1;
        self.unanswered += 1;
        self.outbox.ping(self.pings);
        Ok(())
    }
}

fn is_same_revision(a: &Position, b: &Position) -> bool {
    (a.epoch, a.revision) == (b.epoch, b.revision)
}

/// The proxy is to come back after this time.
struct PutOff(Duration);

/// A fleet comes back spread out, not at one moment.
fn stopping_now() -> v1::ControlMessage {
    let most = u64::try_from(MOST_RETRY_AFTER.as_millis()).unwrap_or(u64::MAX);
    go_away(Duration::from_millis(fastrand::u64(100..=most)), "the control plane is stopping")
}

fn go_away(retry_after: Duration, reason: &str) -> v1::ControlMessage {
    let go_away = v1::GoAway { retry_after: Some(duration_to_wire(retry_after)), reason: reason.to_owned() };
    v1::ControlMessage { message: Some(control_message::Message::GoAway(go_away)) }
}
