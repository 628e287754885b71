//! One light proxy: says Hello, checks the digest of each state, acknowledges, reports, answers pings, and connects again
//! as a real one does; but keeps only what it has.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use prost::Message as _;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval_at, sleep, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use weir_proto::v1::{
    self, control_message::Message as Said, discovery_client::DiscoveryClient, proxy_message::Message,
};

use crate::{
    crowd::{Claim, Shared, Told},
    ledger::{Have, Ledger},
    plane::channel,
};

/// As a real proxy does.
const REPORT_EVERY: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(30);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const MOST_BACKOFF: Duration = Duration::from_secs(10);
/// Messages that wait to be sent.
const OUTGOING: usize = 8;

/// Follows the control plane for ever. Tells `first` what it has when it has something for the first time.
pub(crate) async fn run(
    shared: Arc<Shared>,
    index: usize,
    have: Option<Have>,
    first: Option<oneshot::Sender<Have>>,
) {
    let mut light = Light { index, have, first, pages: None, after: None, boot: fastrand::u64(..), shared };
    let mut failures = 0;
    loop {
        let outcome = light.follow(&mut failures).await;
        light.shared.seats[index].up_at.never();
        let ceiling = FIRST_BACKOFF.saturating_mul(2_u32.saturating_pow(failures)).min(MOST_BACKOFF);
        if outcome.is_err() {
            count(&light.shared.counts.lost_streams, 1);
            failures += 1;
        }
        let asked = light.after.take().unwrap_or_default();
        sleep(asked + ceiling.mul_f64(fastrand::f64())).await;
    }
}

struct Light {
    shared: Arc<Shared>,
    index: usize,
    boot: u64,
    have: Option<Have>,
    first: Option<oneshot::Sender<Have>>,
    /// The next page of a snapshot, and the digest of those before it.
    pages: Option<(u32, u64)>,
    /// How long the control plane asked it to stay away.
    after: Option<Duration>,
}

impl Light {
    /// One stream, until it ends.
    async fn follow(&mut self, failures: &mut u32) -> Result<(), Status> {
        let (sender, requests) = mpsc::channel(OUTGOING);
        let mut client = DiscoveryClient::new(channel(self.shared.address));
        let mut answers = {
            let _ = sender.try_send(message(Message::Hello(self.hello())));
            client.stream(ReceiverStream::new(requests)).await?.into_inner()
        };
        self.pages = None;
        let mut greeted = false;
        let mut heard = Instant::now();
        let first = Instant::now() + REPORT_EVERY.mul_f64(fastrand::f64());
        let mut reports = interval_at(first, REPORT_EVERY);
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let said = tokio::select! {
                said = answers.message() => said?,
                _ = reports.tick() => {
                    let _ = sender.try_send(message(Message::Report(self.report())));
                    continue;
                }
                () = sleep_until(heard + SILENCE) => return Err(Status::deadline_exceeded("silence")),
            };
            heard = Instant::now();
            let Some(said) = said else { return Err(Status::unavailable("the stream ended")) };
            let bytes = said.encoded_len() as u64;
            let outcome = match said.message {
                Some(Said::Ping(v1::Ping { sequence })) => {
                    let _ = sender.try_send(message(Message::Pong(v1::Pong { sequence })));
                    continue;
                }
                Some(Said::GoAway(away)) => {
                    count(&self.shared.counts.put_off, 1);
                    self.after = away.retry_after.and_then(weir_proto::duration_read);
                    return Ok(());
                }
                Some(Said::Delta(delta)) => {
                    count(&self.shared.counts.deltas, 1);
                    count(&self.shared.counts.delta_bytes, bytes);
                    self.delta(delta).map(Some)
                }
                Some(Said::SnapshotPage(page)) => {
                    count(&self.shared.counts.pages, 1);
                    count(&self.shared.counts.snapshot_bytes, bytes);
                    self.page(&page)
                }
                _ => continue,
            };
            match outcome {
                Some(None) => {}
                Some(Some(have)) => {
                    self.take(have, &mut greeted);
                    *failures = 0;
                    let ack = v1::Ack { position: Some(have.wire()), refused: Vec::new() };
                    let _ = sender.send(message(Message::Ack(ack))).await;
                    let seat = &self.shared.seats[self.index];
                    seat.acked_at.now();
                    seat.acked.store(have.revision, Relaxed);
                }
                None => {
                    count(&self.shared.counts.wrong_digests, 1);
                    self.have = None;
                    self.pages = None;
                    let reason = "the digest is another one".to_owned();
                    let _ = sender.send(message(Message::Resync(v1::Resync { reason }))).await;
                }
            }
        }
    }

    fn hello(&self) -> v1::Hello {
        let claim = *self.shared.claim.lock().expect("not poisoned");
        let position = self.have.filter(|_| claim != Claim::Nothing).map(|have| {
            let other = u64::from(claim == Claim::OtherEpoch);
            v1::Position { epoch: have.epoch.wrapping_add(other), ..have.wire() }
        });
        v1::Hello {
            proxy_id: format!("light-{:04}", self.index),
            boot_id: self.boot,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            level: weir_proto::LEVEL,
            position,
            ..v1::Hello::default()
        }
    }

    fn report(&self) -> v1::Report {
        let revision = self.have.map_or(0, |have| have.revision);
        v1::Report { state: v1::ProxyState::Serving.into(), revision, ..v1::Report::default() }
    }

    /// What it has with the delta; None if that is wrong.
    fn delta(&mut self, delta: v1::Delta) -> Option<Have> {
        let after = self.ledger().after(self.have?, &delta)?;
        if self.index == 0
            && let Some(told) = &self.shared.told
        {
            let _ = told.send(Told { at: Instant::now(), body: delta.body });
        }
        Some(after)
    }

    /// What it has with the last page, nothing with the others; None if that is wrong.
    #[expect(clippy::option_option, reason = "wrong, not complete, and complete")]
    fn page(&mut self, page: &v1::SnapshotPage) -> Option<Option<Have>> {
        let position = page.position?;
        let (next, sum) = if page.index == 0 { (0, 0) } else { self.pages? };
        if next != page.index {
            return None;
        }
        let name = Ledger::name_of(&page.body);
        let sum = sum.wrapping_add(self.ledger().page(position, &page.body, name)?);
        self.pages = Some((next + 1, sum));
        if page.last { Ledger::whole(position, sum).map(Some) } else { Some(None) }
    }

    fn take(&mut self, have: Have, greeted: &mut bool) {
        if !*greeted {
            *greeted = true;
            let counts = &self.shared.counts;
            let by_snapshot = self.pages.is_some();
            count(if by_snapshot { &counts.resumed_by_snapshot } else { &counts.resumed_by_delta }, 1);
            self.shared.seats[self.index].up_at.now();
        }
        self.pages = None;
        self.have = Some(have);
        if let Some(first) = self.first.take() {
            let _ = first.send(have);
        }
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.shared.ledger.lock().expect("not poisoned")
    }
}

fn message(message: Message) -> v1::ProxyMessage {
    v1::ProxyMessage { message: Some(message) }
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Relaxed);
}
