//! The registry's task: takes commands, has them made durable in batches, shows the result.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    Registry, apply,
    aside::Aside,
    backends,
    command::{Asked, Command},
    flaps::Flaps,
    lanes::Queue,
    operator,
    work::{Done, Work, World},
};
use crate::{
    error::Error,
    events::Events,
    lease::Leases,
    metrics::Metrics,
    publish::Publisher,
    snapshot::Snapshot,
    store::{Batch, Writer},
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
}

impl Actor {
    /// An actor behind that handle.
    pub(super) fn new(registry: &Registry, writer: Writer, publisher: Publisher, tombstones: usize) -> Self {
        Self {
            current: Arc::clone(&registry.current),
            leases: Arc::clone(&registry.leases),
            events: Arc::clone(&registry.events),
            metrics: registry.metrics.clone(),
            writer,
            publisher,
            tombstones,
            flaps: Arc::clone(&registry.flaps),
            aside: Arc::clone(&registry.aside),
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
            let base = self.current.load_full();
            let world = World {
                leases: &self.leases,
                metrics: &self.metrics,
                flaps: &self.flaps,
                events: &self.events,
                now: Instant::now(),
                tombstones: self.tombstones,
            };
            let mut work = Work::new(&base, world);
            asked.drain(..).for_each(|asked| perform(&mut work, asked));
            self.finish(work.done()).await?;
        }
        self.flush().await?;
        self.writer.close().await;
        Ok(())
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
        let Done { next, touched, happenings, effects, answers } = done;
        let committed = if touched.is_empty() {
            Ok(())
        } else {
            self.commit(Batch::between(&next, &touched.keys), answers.len()).await
        };
        let now = Instant::now();
        if let Err(error) = &committed {
            tracing::error!(%error, "a change could not be stored");
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

    async fn commit(&mut self, mut batch: Batch, commands: usize) -> Result<(), Error> {
        let begin = Instant::now();
        let along = self.aside.take();
        batch.journal.proxies = along.proxies();
        let result = self.writer.commit(batch).await;
        if let Err(error) = &result {
            tracing::warn!(%error, "what is known of proxies could not be stored");
            self.aside.put_back(along);
        }
        self.metrics.store_commit.observe(begin.elapsed().as_secs_f64());
        #[expect(clippy::cast_precision_loss, reason = "a metric")]
        self.metrics.batch_size.observe(commands as f64);
        result
    }
}

fn perform(work: &mut Work<'_>, Asked { caller: _, command }: Asked) {
    match command {
        Command::Register(registration, reply) => work.run(reply, |s| backends::register(s, registration)),
        Command::Deregister(target, reply) => work.run(reply, |s| Ok(backends::deregister(s, &target))),
        Command::Apply(wanted, reply) => work.run(reply, |s| apply::apply(s, wanted)),
        Command::Delete(delete, reply) => work.run(reply, |s| operator::delete(s, &delete)),
        Command::SetState(set, reply) => work.run(reply, |s| operator::set_state(s, &set)),
        Command::AcceptEpoch(epoch, reply) => work.run(reply, |s| operator::accept_epoch(s, epoch)),
        Command::Lapse(lapses, at, reply) => work.run(reply, |s| {
            for lapse in lapses {
                backends::lapse(s, lapse, at);
            }
            Ok(())
        }),
    }
}
