//! The proxies: who is connected, what each acknowledged, refused and reported, and what it answers.

mod acknowledged;
mod ask;
mod bounds;
mod closes;
mod conditions;
mod draining;
mod flow;
mod kept_out;
mod member;
mod outcomes;
mod questions;
mod reached;
mod resyncs;
mod roster;
mod routable;
#[cfg(test)]
mod tests;
mod views;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use weir_proto::{Epoch, ObjectKey, ObjectKind, ProxyId, Revision, duration_to_wire, v1};

pub(crate) use self::{
    acknowledged::{Refusal, filed},
    outcomes::{Outcomes, Told},
};
pub(crate) use self::{
    closes::Closes,
    draining::Draining,
    kept_out::KeptOut,
    member::{Identity, Member, Report},
    questions::Questions,
    resyncs::{Place, Resyncs},
    roster::MOST_PROXIES,
    routable::Routable,
    views::Views,
};
use self::{
    conditions::News,
    flow::Flow,
    member::{Now, Stream, StreamId},
    roster::Roster,
};
use crate::{
    Error,
    events::{Events, Happening},
    journal::ProxyWrite,
    metrics::Metrics,
    snapshot::Position,
};

/// How often it is looked after what time brings about.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// The list of proxies, shared by all streams.
#[derive(Debug, Clone)]
pub(crate) struct Fleet {
    roster: Arc<Mutex<Roster>>,
    routable: Arc<ArcSwap<Vec<Arc<Routable>>>>,
    /// Wakes those who wait for an acknowledgement or a report.
    changed: watch::Sender<()>,
    /// Wakes those who wait for acknowledgements only: reports come all the time.
    acknowledged: watch::Sender<u64>,
    /// Wakes whoever has the store remember proxies.
    unwritten: Arc<Notify>,
    /// Of the changes of backends' conditions.
    flow: Arc<Mutex<Flow>>,
    resyncs: Arc<Resyncs>,
    events: Arc<Events>,
    metrics: Metrics,
}

impl Fleet {
    /// Nobody yet; `current` is what proxies should have.
    pub(crate) fn new(current: Position, events: Arc<Events>, metrics: Metrics) -> Self {
        let roster = Arc::new(Mutex::new(Roster::new(current)));
        Self {
            roster,
            routable: Arc::default(),
            changed: watch::Sender::new(()),
            acknowledged: watch::Sender::new(0),
            unwritten: Arc::default(),
            flow: Arc::default(),
            resyncs: Arc::new(Resyncs::new(metrics.clone())),
            events,
            metrics,
        }
    }

    /// Enters those who belonged to the fleet before the control plane started.
    pub(crate) fn remember(&self, remembered: &[v1::ProxyInfo]) {
        self.change(|roster, now| roster.remember(remembered, now));
    }

    /// Does what time brings about, for as long as it is polled, and has `store` remember who belongs to the fleet.
    pub(crate) async fn keep(self, store: impl Fn(Vec<ProxyWrite>)) {
        let mut ticks = interval(UPKEEP_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.change(|roster, now| {
                    roster.elapsed();
                    roster.forget(now);
                    self.resyncs.tidy();
                }),
                () = self.unwritten.notified() => {}
            }
            self.tell_put_off();
            let writes = self.lock().writes();
            if !writes.is_empty() {
                store(writes);
            }
        }
    }

    /// Enters a proxy whose stream began. It leaves when the answer is dropped. An older stream of the same proxy is
    /// told to end.
    pub(crate) fn join(&self, identity: Identity) -> Result<Membership, Error> {
        let (id, peer) = (identity.id.clone(), identity.peer_address.clone());
        let (end, questions) = (CancellationToken::new(), Arc::<Questions>::default());
        let closes = Arc::<Closes>::default();
        let stream = |id| {
            let (questions, closes) = (Arc::clone(&questions), Arc::clone(&closes));
            Stream { id, end: end.clone(), questions, closes }
        };
        let Some(stream) = self.change(|roster, now| roster.connect(identity, stream, now)) else {
            return Err(Error::TooMany { what: "proxies", most: MOST_PROXIES });
        };
        self.tell(v1::EventType::ProxyConnected, &id, None, format!("proxy {id} connected from {peer}"));
        self.changed.send_replace(());
        Ok(Membership { fleet: self.clone(), id, stream, replaced: end, questions, closes })
    }

    /// Who may be sent everything anew.
    pub(crate) fn resyncs(&self) -> &Arc<Resyncs> {
        &self.resyncs
    }

    /// Notes that there is a newer state, and the newest revision at which an operator said that it is meant.
    pub(crate) fn published(&self, position: Position, accepted: Revision) {
        self.change(|roster, now| roster.published(position, accepted, now));
    }

    /// Everybody who is connected or was within the last hour, in the order of their ids.
    pub(crate) fn list(&self) -> Vec<v1::ProxyInfo> {
        self.lock().members(Instant::now()).map(Member::info).collect()
    }

    /// How many proxies are connected, and how many of them are behind.
    pub(crate) fn count(&self) -> (usize, usize) {
        let roster = self.lock();
        roster
            .connected()
            .fold((0, 0), |(all, behind), m| (all + 1, behind + usize::from(m.behind_since.is_some())))
    }

    /// Those that clients are sent to, in the order of their ids: never waits for anybody.
    pub(crate) fn routable(&self) -> Arc<Vec<Arc<Routable>>> {
        self.routable.load_full()
    }

    /// The addresses of `--listen` that connected proxies have open, each with the number of proxies.
    pub(crate) fn own_addresses(&self) -> BTreeMap<String, usize> {
        let mut addresses = BTreeMap::new();
        for address in self.lock().connected().flat_map(Member::own_addresses) {
            *addresses.entry(address).or_default() += 1;
        }
        addresses
    }

    /// How far the proxies are with draining `backend` since `revision`.
    pub(crate) fn draining(&self, epoch: Epoch, revision: Revision, backend: &str) -> Draining {
        self.lock().draining(Instant::now(), epoch, revision, backend)
    }

    /// Has every connected proxy end what is in flight to `backend`; see `Close` in `discovery.proto`.
    pub(crate) fn close(&self, backend: &str, over: Duration) {
        let close = v1::Close { backend: backend.to_owned(), over: Some(duration_to_wire(over)) };
        self.lock().connected().filter_map(Member::closes).for_each(|closes| closes.tell(close.clone()));
    }

    /// Changes whenever a proxy comes, goes, acknowledges or reports.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Changes the roster, and what follows from it.
    fn change<T>(&self, change: impl FnOnce(&mut Roster, Now) -> T) -> T {
        let (mut roster, now) = (self.lock(), Now::read());
        let answer = change(&mut roster, now);
        // Still under the lock, so that no older list replaces a newer one.
        if let Some(list) = roster.relisted(now.instant)
            && **self.routable.load() != list
        {
            self.routable.store(Arc::new(list));
        }
        let last = roster.changes();
        let has_unwritten = roster.has_unwritten();
        drop(roster);
        if has_unwritten {
            self.unwritten.notify_one();
        }
        self.acknowledged.send_if_modified(|newest| {
            let is_newer = *newest < last;
            *newest = last.max(*newest);
            is_newer
        });
        answer
    }

    /// Every call on the roster is complete in itself, so that one which panicked leaves nothing half done.
    fn lock(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes changes of backends' conditions known, as many as the flow admits.
    fn tell_conditions(&self, id: &ProxyId, news: Vec<News>) {
        let kind = v1::EventType::BackendConditionChanged;
        let (now, mut flow) = (Instant::now(), self.flow.lock().unwrap_or_else(PoisonError::into_inner));
        let told: Vec<_> = news.into_iter().filter(|_| flow.admits(now)).collect();
        let untold = flow.sum_up(now);
        drop(flow);
        for News { backend, text } in told {
            let object = ObjectKey::new(ObjectKind::Backend, &backend);
            self.tell(kind, id, Some(object), format!("proxy {id} {text}"));
        }
        if let Some(untold) = untold {
            self.metrics.untold_conditions.inc_by(untold);
            let revision = self.lock().current().revision;
            let message = format!(
                "{untold} more changes of backends' health and ejection came too fast to be told one by one; see \
                 `weir backend list`"
            );
            tracing::warn!("{message}");
            self.events.emit(Happening { kind, revision, object: None, proxy_id: String::new(), message });
        }
    }

    /// Makes known how many proxies were put off, from time to time.
    fn tell_put_off(&self) {
        let Some(count) = self.resyncs.untold() else { return };
        let (kind, revision) = (v1::EventType::ProxiesPutOff, self.lock().current().revision);
        let message = format!(
            "{count} times a proxy needed everything anew, and was told to come back: so many need it at the same time"
        );
        tracing::warn!("{message}");
        self.events.emit(Happening { kind, revision, object: None, proxy_id: String::new(), message });
    }

    fn tell(&self, kind: v1::EventType, id: &ProxyId, object: Option<ObjectKey>, message: String) {
        weir_proto::seldom!(info, proxy = %id, "{message}");
        let revision = self.lock().current().revision;
        self.events.emit(Happening { kind, revision, object, proxy_id: id.to_string(), message });
    }
}

/// A proxy's place in the fleet, for as long as its stream lives.
#[derive(Debug)]
pub(crate) struct Membership {
    fleet: Fleet,
    id: ProxyId,
    stream: StreamId,
    replaced: CancellationToken,
    questions: Arc<Questions>,
    closes: Arc<Closes>,
}

impl Membership {
    /// Cancelled when the same proxy opened another stream.
    pub(crate) fn replaced(&self) -> &CancellationToken {
        &self.replaced
    }

    /// What it is to be asked.
    pub(crate) fn questions(&self) -> &Arc<Questions> {
        &self.questions
    }

    /// What it is to be told.
    pub(crate) fn closes(&self) -> &Arc<Closes> {
        &self.closes
    }

    /// Says whether the proxy has a configuration already, from which it serves.
    pub(crate) fn starts(&self, has_something: bool) {
        self.fleet.change(|roster, _| roster.starts(&self.id, self.stream, has_something));
    }

    /// The proxy is told to come back, after the time that is answered: until then it serves, and is not lost.
    pub(crate) fn put_off(&self) -> Duration {
        let retry_after = self.fleet.resyncs.put_off();
        self.fleet.change(|roster, now| roster.put_off(&self.id, self.stream, now.instant + retry_after));
        self.fleet.tell_put_off();
        retry_after
    }

    /// The proxy has this state in force, but for what it refused.
    pub(crate) fn acknowledge(&self, position: Position, refused: Vec<Refusal>) {
        self.acknowledged(position, refused, true);
    }

    /// The same of what it had before, of which only the refusals may be others.
    pub(crate) fn acknowledge_again(&self, position: Position, refused: Vec<Refusal>) {
        self.acknowledged(position, refused, false);
    }

    fn acknowledged(&self, position: Position, refused: Vec<Refusal>, took: bool) {
        let (id, stream) = (&self.id, self.stream);
        let (is_over, fresh) = self.fleet.change(|roster, now| {
            // Who takes what there is, keeps nothing out.
            let is_over = took && roster.keep_out(id, stream, None, now);
            (is_over, roster.acknowledge(id, stream, position, refused, now))
        });
        if is_over {
            self.tell_kept_out(None);
        }
        self.fleet.metrics.refused_objects.inc_by(fresh.len() as u64);
        for refusal in fresh {
            let object = refusal.object.and_then(|object| ObjectKey::try_from(object).ok());
            let what = object.as_ref().map_or_else(|| "an object".to_owned(), ToString::to_string);
            let reason = match refusal.field.as_str() {
                "" => refusal.reason,
                field => format!("{field}: {}", refusal.reason),
            };
            let message = format!("proxy {} refused {what}: {reason}", self.id);
            self.fleet.tell(v1::EventType::ProxyRefused, &self.id, object, message);
        }
        self.fleet.changed.send_replace(());
    }

    /// The proxy said how things stand, which counts for those backends that exist.
    pub(crate) fn report(&self, report: v1::Report, exists: impl Fn(&str) -> bool) {
        let report = Report::of(report, &exists);
        let news = self.fleet.change(|roster, _| roster.report(&self.id, self.stream, report, exists));
        self.fleet.tell_conditions(&self.id, news);
        self.fleet.changed.send_replace(());
    }

    /// The proxy gets everything anew, because of `reason`.
    pub(crate) fn resynced(&self, label: &'static str, reason: &str) {
        self.fleet.metrics.resyncs.get_or_create_owned(&[("reason", label)]).inc();
        let message = format!("proxy {} gets everything anew: {reason}", self.id);
        self.fleet.tell(v1::EventType::ProxyResynced, &self.id, None, message);
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.questions.close();
        // A stream that another one of the same proxy replaced is no news.
        if self.fleet.change(|roster, now| roster.disconnect(&self.id, self.stream, now)) {
            let message = format!("proxy {} disconnected", self.id);
            self.fleet.tell(v1::EventType::ProxyDisconnected, &self.id, None, message);
            self.fleet.changed.send_replace(());
        }
    }
}
