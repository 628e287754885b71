//! The registry's task: takes commands, has them made durable in batches, shows the result.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Options, Registry, apply,
    aside::Aside,
    backends,
    command::{Asked, Command, Read},
    consequences,
    deed::Deed,
    default_route,
    flaps::Flaps,
    history,
    lanes::Queue,
    operator, rollback,
    work::{Done, Work, World},
};
use crate::{
    address_policy::AddressPolicy,
    error::Error,
    events::Events,
    journal::{Journal, Retention},
    lease::Leases,
    metrics::Metrics,
    publish::Publisher,
    snapshot::Snapshot,
    store::{Batch, Store, Writer},
};

/// Everything that the task owns or shares with the handles.
pub(super) struct Actor {
    current: Arc<ArcSwap<Snapshot>>,
    leases: Arc<Leases>,
    events: Arc<Events>,
    metrics: Metrics,
    writer: Writer,
    publisher: Publisher,
    tombstones: usize,
    flaps: Arc<Flaps>,
    aside: Arc<Aside>,
    keep: Retention,
    policy: AddressPolicy,
    code: fn(&Error) -> i32,
}

impl Actor {
    /// An actor behind that handle.
    pub(super) fn new(registry: &Registry, writer: Writer, publisher: Publisher, options: &Options) -> Self {
        Self {
            current: Arc::clone(&registry.current),
            leases: Arc::clone(&registry.leases),
            events: Arc::clone(&registry.events),
            metrics: registry.metrics.clone(),
            writer,
            publisher,
            tombstones: options.tombstones,
            flaps: Arc::clone(&registry.flaps),
            aside: Arc::clone(&registry.aside),
            keep: options.keep,
            policy: options.policy.clone(),
            code: options.code,
        }
    }

    /// Runs until it is stopped and the queue is empty, or the store fails for good.
    pub(super) async fn run(mut self, mut queue: Queue, stop: CancellationToken) -> Result<(), Error> {
        let mut asked = Vec::new();
        loop {
            tokio::select! {
                some = queue.next(&mut asked) => if !some { break },
                () = self.aside.due() => self.flush().await?,
                () = stop.cancelled(), if !queue.is_closed() => queue.close(),
            }
            self.all(asked.drain(..)).await?;
        }
        self.flush().await?;
        self.writer.close().await;
        Ok(())
    }

    /// Does all that was asked, in as few transactions as can be. Fails only if the store is lost.
    async fn all(&mut self, asked: impl Iterator<Item = Asked>) -> Result<(), Error> {
        let mut asked = asked.fuse();
        loop {
            let mut alone = None;
            let base = self.current.load_full();
            let mut work = Work::new(&base, self.world());
            for Asked { caller, command } in asked.by_ref() {
                let deed = Deed::of(caller, &command);
                if matches!(command, Command::Rollback(..) | Command::Compact(..) | Command::Read(_)) {
                    alone = Some((deed, command));
                    break;
                }
                perform(&mut work, deed, command);
            }
            self.finish(work.done()).await?;
            let Some((deed, command)) = alone else { return Ok(()) };
            self.alone(deed, command).await?;
        }
    }

    /// Does what needs the store itself, with nothing else under way. Fails only if the store is lost.
    async fn alone(&mut self, deed: Deed, command: Command) -> Result<(), Error> {
        let base = self.current.load_full();
        match command {
            Command::Read(Read(read)) => {
                let work = move |store: &mut dyn Store| {
                    read(store, &base);
                    Ok(())
                };
                self.writer.lend(work).await
            }
            Command::Rollback(wanted, reply) => {
                let (to, now) = (wanted.to, Arc::clone(&base));
                let befores = self.writer.lend(move |store| Ok(history::befores(store, &now, to))).await?;
                let mut work = Work::new(&base, self.world());
                work.run(deed, reply, |s| rollback::rollback(s, &wanted, befores?));
                self.finish(work.done()).await
            }
            Command::Compact(revisions, reply) => {
                let keep = Retention { revisions: revisions.unwrap_or(self.keep.revisions), ..self.keep };
                let done = self.writer.lend(move |store| Ok(store.compact(keep))).await?;
                self.aside.audit(match &done {
                    Ok(_) => Some(deed.done_besides()),
                    Err(error) => deed.refused((self.code)(error), &error.to_string()),
                });
                let lost = done.as_ref().err().filter(|error| error.is_fatal()).cloned();
                // Whoever does not wait any more does not need the answer.
                let _ = reply.send(done);
                lost.map_or(Ok(()), Err)
            }
            _ => Ok(()),
        }
    }

    fn world(&self) -> World<'_> {
        World {
            leases: &self.leases,
            metrics: &self.metrics,
            flaps: &self.flaps,
            events: &self.events,
            now: Instant::now(),
            tombstones: self.tombstones,
            policy: &self.policy,
            code: self.code,
        }
    }

    /// Makes durable what waits aside, if nothing took it along in time. Fails only if the store is lost.
    async fn flush(&mut self) -> Result<(), Error> {
        if self.aside.is_empty() {
            return Ok(());
        }
        let current = self.current.load_full();
        let committed = self.commit(Batch::between(&current, []), 0).await;
        committed.or_else(|error| if error.is_fatal() { Err(error) } else { Ok(()) })
    }

    /// Makes a batch durable, then visible, then known, then answered. Fails only if the store is lost.
    async fn finish(&mut self, done: Done) -> Result<(), Error> {
        let Done { next, touched, happenings, effects, answers, revisions, audit, refusals } = done;
        self.aside.audit(refusals);
        let committed = if touched.is_empty() {
            Ok(())
        } else {
            let mut batch = Batch::between(&next, &touched.keys);
            batch.journal = Journal { revisions, audit, ..Journal::default() };
            self.commit(batch, answers.len()).await
        };
        let now = Instant::now();
        if let Err(error) = &committed {
            weir_proto::seldom!(error, %error, "a change could not be stored");
            for effect in effects {
                effect.abort(&self.leases, now);
            }
        } else {
            for effect in effects {
                effect.commit(&self.leases, &self.flaps, now);
            }
            if !touched.is_empty() {
                let next = Arc::new(next);
                self.current.store(Arc::clone(&next));
                self.publisher.offer(next, touched.urgent);
            }
            for happening in happenings {
                self.events.emit(happening);
            }
        }
        for answer in answers {
            answer(committed.clone());
        }
        committed.or_else(|error| if error.is_fatal() { Err(error) } else { Ok(()) })
    }

    /// Commits a batch, with what waits aside.
    async fn commit(&mut self, mut batch: Batch, commands: usize) -> Result<(), Error> {
        let begin = Instant::now();
        let along = self.aside.take();
        batch.journal.keep = self.keep;
        batch.journal.proxies = along.proxies();
        batch.journal.audit.splice(..0, along.refusals());
        let batch = Arc::new(batch);
        let result = self.writer.commit(Arc::clone(&batch)).await;
        if let Err(error) = &result {
            weir_proto::seldom!(warn, %error, "what is known of proxies and refusals could not be stored");
            self.aside.put_back(along);
            self.aside.undone(&batch.journal, (self.code)(error), error);
        }
        self.metrics.store_commit.observe(begin.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a metric")]
        self.metrics.batch_size.observe(commands as f64);
        result
    }
}

fn perform(work: &mut Work<'_>, deed: Deed, command: Command) {
    match command {
        Command::Register(registration, reply) => {
            work.run(deed, reply, |s| consequences::register(s, registration));
        }
        Command::Deregister(target, reply) => work.run(deed, reply, |s| Ok(backends::deregister(s, &target))),
        Command::Remove(wanted, reply) => work.run(deed, reply, |s| backends::remove_drained(s, &wanted)),
        Command::Apply(wanted, reply) => work.run(deed, reply, |s| apply::apply(s, wanted)),
        Command::Delete(delete, reply) => work.run(deed, reply, |s| operator::delete(s, &delete)),
        Command::SetState(set, reply) => work.run(deed, reply, |s| operator::set_state(s, &set)),
        Command::SetDefaultRoute(set, reply) => work.run(deed, reply, |s| default_route::set(s, &set)),
        Command::Adopt(reply) => work.run(deed, reply, |s| Ok(default_route::adopt(s))),
        Command::SetWeight(set, reply) => work.run(deed, reply, |s| operator::set_weight(s, &set)),
        Command::SettleEpoch(wanted, reply) => {
            work.run(deed, reply, |s| operator::settle_epoch(s, wanted));
        }
        Command::Lapse(lapses, at, reply) => work.run(deed, reply, |s| {
            for lapse in lapses {
                backends::lapse(s, lapse, at);
            }
            Ok(())
        }),
        // These are done alone.
        Command::Rollback(..) | Command::Compact(..) | Command::Read(_) => {}
    }
}
