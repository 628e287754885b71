//! One stream, from the answer to Hello to its end.

use std::{collections::VecDeque, time::Duration};

use http::Uri;
use tokio::{
    sync::{MutexGuard, mpsc, watch},
    time::{Instant, sleep_until, timeout},
};
use weir_proto::{
    duration_read,
    v1::{
        Ack, ControlMessage, Delta, KeptOut, Pong, ProxyMessage, Question, Resync, SnapshotPage,
        control_message::Message as Down, proxy_message::Message as Up,
    },
};

use super::{
    Discovery, End,
    bounds::{Beyond, Gathering},
    close,
    connect::{Stream, told},
    judge::{Size, Verdict},
    open,
    receive::{self, NoStep, Pages, Snapshot, Step, Unusable},
    report,
};
use crate::{
    explain,
    headers::Pseudonym,
    lifecycle::Phase,
    objects::Position,
    table::{Applied, Applier},
};

/// A stream on which nothing arrives for so long is dead: the control plane pings every 15 s.
const SILENCE: Duration = Duration::from_secs(30);
/// Questions that wait for an answer: no control plane has more of them open.
const MOST_QUESTIONS: usize = 64;
/// No control plane keeps a proxy away for longer.
const MOST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// What this end of a stream remembers of it.
#[derive(Debug)]
pub(super) struct Session<'a> {
    pub(super) discovery: &'a Discovery,
    stream: Stream,
    /// The control plane that the stream goes to, until it has said its first word.
    unheard: Option<&'a Uri>,
    phase: watch::Receiver<Phase>,
    applied: watch::Receiver<Applied>,
    pages: Pages,
    gathering: Gathering,
    /// The position that was acknowledged last.
    acknowledged: Option<Position>,
    /// A whole snapshot was asked for and has not been taken yet.
    pub(super) resyncing: bool,
    pub(super) ask_again: Option<Instant>,
    /// What was last said to be kept out.
    pub(super) told_kept_out: Option<KeptOut>,
    next_report: Instant,
    found: report::Found,
    /// Not answered yet, because that must hold nothing else up.
    questions: VecDeque<Question>,
    /// As which requests would be taken for ours.
    pseudonym: Pseudonym,
}

impl<'a> Session<'a> {
    pub(super) async fn new(discovery: &'a Discovery, stream: Stream, plane: Option<&'a Uri>) -> Self {
        let applied = discovery.applier.lock().await.watch();
        let mut session = Self {
            discovery,
            stream,
            unheard: plane,
            phase: discovery.phase.clone(),
            applied,
            pages: Pages::default(),
            gathering: Gathering::new(discovery.bounds),
            acknowledged: None,
            resyncing: false,
            ask_again: None,
            told_kept_out: None,
            next_report: Instant::now(),
            found: report::Found::default(),
            questions: VecDeque::new(),
            pseudonym: Pseudonym::of(&discovery.identity.id),
        };
        session.expect_if_bare().await;
        session
    }

    /// Takes what comes until the stream ends, or is `max_age` old.
    pub(super) async fn run(mut self, max_age: Duration) -> End {
        let aged = Instant::now() + max_age;
        let mut heard = Instant::now();
        let outbound = self.stream.outbound.clone();
        loop {
            let ask_again = self.ask_again.unwrap_or(aged);
            let due = self.gathering.due();
            let done = tokio::select! {
                message = self.stream.inbound.message() => {
                    heard = Instant::now();
                    match message {
                        Ok(Some(message)) => self.take(message).await,
                        Ok(None) => Err(End::Lost("it ended the stream".to_owned())),
                        Err(status) => Err(End::Lost(told(&status))),
                    }
                }
                () = sleep_until(heard + SILENCE) => {
                    Err(End::Lost(format!("nothing was heard for {SILENCE:?}")))
                }
                () = sleep_until(aged) => Err(End::Aged),
                () = sleep_until(due.unwrap_or(aged)), if due.is_some() => self.beyond(self.gathering.late()).await,
                () = sleep_until(ask_again) => self.resync("asking again for what was kept out").await,
                Ok(permit) = outbound.reserve(), if !self.questions.is_empty() => {
                    self.answer(permit);
                    Ok(())
                }
                () = sleep_until(self.next_report) => self.report().await,
                Ok(()) = self.phase.changed() => self.report().await,
                // Listeners that could not be bound are tried again between two states.
                Ok(()) = self.applied.changed() => self.tell_again().await,
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn take(&mut self, message: ControlMessage) -> Result<(), End> {
        match self.unheard.take() {
            Some(plane) => self.discovery.tell_connected(plane),
            None => self.discovery.link.send_modify(|link| link.last_word = Some(Instant::now())),
        }
        match message.message {
            Some(Down::SnapshotPage(page)) => self.page(page).await,
            Some(Down::Delta(delta)) => self.delta(delta).await,
            Some(Down::Ping(ping)) => self.send(Up::Pong(Pong { sequence: ping.sequence })).await,
            Some(Down::GoAway(go_away)) => {
                let after = go_away.retry_after.and_then(duration_read).unwrap_or_default();
                Err(End::GoAway(after.min(MOST_RETRY_AFTER)))
            }
            Some(Down::Question(question)) => {
                // More than anybody asks are not worth an answer.
                if self.questions.len() < MOST_QUESTIONS {
                    self.questions.push_back(question);
                }
                Ok(())
            }
            Some(Down::Close(order)) => {
                close::obey(self.discovery, &order).await;
                Ok(())
            }
            // Of a newer version: "one that receives a message that it does not know ignores it".
            None => Ok(()),
        }
    }

    /// Answers the oldest question.
    fn answer(&mut self, permit: mpsc::Permit<'_, ProxyMessage>) {
        let Some(question) = self.questions.pop_front() else { return };
        let table = self.discovery.table.load();
        let answer = explain::answer(table.as_deref(), &self.pseudonym, question);
        permit.send(ProxyMessage { message: Some(Up::Answer(answer)) });
    }

    async fn page(&mut self, page: SnapshotPage) -> Result<(), End> {
        // It was under way when a whole snapshot was asked for.
        let is_old = self.resyncing && !self.gathering.has_begun() && page.index != 0;
        let admitted = if is_old {
            self.gathering.drop_page(&page)
        } else {
            self.gathering.admit(&page, Instant::now())
        };
        if let Err(beyond) = admitted {
            return self.beyond(beyond).await;
        }
        if is_old {
            return Ok(());
        }
        // What would be asked for is coming.
        self.ask_again = None;
        match self.pages.add(page) {
            Ok(None) => Ok(()),
            Ok(Some(snapshot)) => self.snapshot(snapshot).await,
            Err(unusable) => self.unusable(unusable).await,
        }
    }

    async fn snapshot(&mut self, snapshot: Snapshot) -> Result<(), End> {
        self.let_go();
        let discovery = self.discovery;
        let applier = discovery.applier.lock().await;
        let have = applier.state().map(|state| state.position);
        let verdict = snapshot.judge(applier.state(), self.is_apart(have));
        if let (Verdict::KeepOut(reason), Some(have)) = (verdict, have) {
            let size = Size::of(&snapshot.state.objects, applier.state().map(|state| &state.objects));
            drop(applier);
            return self.keep_snapshot_out(&snapshot, have, size, reason).await;
        }
        let step = snapshot.step(applier.state());
        self.apply(step, applier).await
    }

    async fn delta(&mut self, delta: Delta) -> Result<(), End> {
        let bounds = &self.discovery.bounds;
        if let Err(beyond) = bounds.admit(&delta) {
            return self.beyond(beyond).await;
        }
        let applier = self.discovery.applier.lock().await;
        let apart = self.is_apart(applier.state().map(|state| state.position));
        match receive::delta(applier.state(), delta, apart) {
            Ok(step) => match bounds.admit_all(&step.state.objects) {
                Ok(()) => self.apply(step, applier).await,
                Err(beyond) => {
                    drop(applier);
                    self.beyond(beyond).await
                }
            },
            Err(NoStep::Unusable(unusable)) => {
                drop(applier);
                self.unusable(unusable).await
            }
            Err(NoStep::OtherHistory(other)) => {
                drop(applier);
                self.let_go();
                self.keep_delta_out(other).await
            }
        }
    }

    /// Brings a state into force, and says so.
    async fn apply(&mut self, step: Step, mut applier: MutexGuard<'_, Applier>) -> Result<(), End> {
        let position = step.state.position;
        applier.apply(step).await;
        drop(applier);
        self.let_go();
        self.resyncing = false;
        self.keep_nothing_out().await?;
        self.acknowledged = Some(position);
        self.acknowledge_again().await?;
        self.report().await
    }

    /// What is refused, or which sockets are open, changed between two states.
    async fn tell_again(&mut self) -> Result<(), End> {
        self.acknowledge_again().await?;
        self.report().await
    }

    /// Acknowledges the state in force, if it came over this stream.
    async fn acknowledge_again(&mut self) -> Result<(), End> {
        let (position, refused) = {
            let applied = self.applied.borrow_and_update();
            (applied.position, applied.refused_wire())
        };
        let Some(position) = position.filter(|_| position == self.acknowledged) else { return Ok(()) };
        self.send(Up::Ack(Ack { position: Some(position.into()), refused })).await
    }

    /// Begins the pages and their account anew: neither goes on without the other.
    fn let_go(&mut self) {
        self.pages = Pages::default();
        self.gathering.end();
    }

    /// Awaits a snapshot where there is no configuration: every control plane has one for that. A proxy that has one may be
    /// sent nothing, if it is ahead of the store.
    async fn expect_if_bare(&mut self) {
        if self.discovery.applier.lock().await.state().is_none() {
            self.gathering.expect(Instant::now());
        }
    }

    /// Lets go of what was gathered: what is in force serves on.
    async fn beyond(&mut self, beyond: Beyond) -> Result<(), End> {
        self.discovery.metrics.beyond_bounds.inc();
        self.unusable(beyond.into()).await
    }

    pub(super) async fn unusable(&mut self, unusable: Unusable) -> Result<(), End> {
        // Twice in a row: asking once more would only keep both sides busy.
        if self.resyncing {
            return Err(End::Unusable(unusable.to_string()));
        }
        weir_proto::seldom!(warn, "asking the control plane for a whole snapshot: {unusable}");
        self.resync(&unusable.to_string()).await
    }

    async fn resync(&mut self, reason: &str) -> Result<(), End> {
        self.discovery.metrics.resyncs.inc();
        self.let_go();
        self.expect_if_bare().await;
        self.acknowledged = None;
        self.resyncing = true;
        self.ask_again = None;
        self.send(Up::Resync(Resync { reason: reason.to_owned() })).await
    }

    async fn report(&mut self) -> Result<(), End> {
        let phase = *self.phase.borrow_and_update();
        let report = report::report(
            self.discovery.table.load().as_deref(),
            &mut self.found,
            self.discovery.workers.in_flight(),
            phase.wire(),
            open::listeners(&self.applied.borrow().open, &self.discovery.identity),
        );
        self.next_report = Instant::now() + report::interval(&report);
        self.send(Up::Report(report)).await
    }

    pub(super) async fn send(&mut self, message: Up) -> Result<(), End> {
        match timeout(SILENCE, self.stream.outbound.send(ProxyMessage { message: Some(message) })).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Lost("it ended the stream".to_owned())),
            Err(_) => Err(End::Lost(format!("it took nothing for {SILENCE:?}"))),
        }
    }
}
