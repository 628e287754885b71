//! One batch of commands on its way to the store.

use prometheus_client::metrics::counter::Counter;
use tokio::time::Instant;
use weir_proto::{BackendKey, LeaseId, LeaseTerms, ObjectKey, Revision, v1};

use super::{command::Reply, deed::Deed, default_route, flaps::Flaps};
use crate::{
    address_policy::AddressPolicy,
    error::Error,
    events::{Events, Happening},
    journal::{RevisionRecord, befores},
    lease::{Lapse, Leases},
    metrics::Metrics,
    snapshot::{Draft, Snapshot, Touched},
};

/// What the commands of a batch made of the state so far, and what is to follow once that is durable.
pub(super) struct Work<'a> {
    world: World<'a>,
    next: Snapshot,
    touched: Touched,
    happenings: Vec<Happening>,
    effects: Vec<Effect>,
    answers: Vec<Answer>,
    revisions: Vec<RevisionRecord>,
    audit: Vec<v1::AuditRecord>,
    refusals: Vec<v1::AuditRecord>,
}

/// What commands look at besides the snapshot.
#[derive(Debug, Clone, Copy)]
pub(super) struct World<'a> {
    /// Their slots change by themselves, with every heartbeat.
    pub(super) leases: &'a Leases,
    /// For [`Effect::Count`].
    pub(super) metrics: &'a Metrics,
    /// Who is held back.
    pub(super) flaps: &'a Flaps,
    /// For what is told although nothing changes.
    pub(super) events: &'a Events,
    /// When the batch began.
    pub(super) now: Instant,
    /// How many removed objects are remembered.
    pub(super) tombstones: usize,
    /// Which addresses backends may have.
    pub(super) policy: &'a AddressPolicy,
    /// What an error is called outside: a `google.rpc.Code`.
    pub(super) code: fn(&Error) -> i32,
}

/// What one command does. If it fails, nothing of this remains.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// The state that it changes.
    pub(super) draft: Draft,
    /// What it looks at.
    pub(super) world: World<'a>,
    happenings: Vec<Happening>,
    effects: Vec<Effect>,
}

/// What follows outside the snapshot once a change is durable, or once it is known that it will not be.
#[derive(Debug, Clone)]
pub(super) enum Effect {
    /// A lease begins, or has other terms.
    Grant(LeaseId, BackendKey, LeaseTerms),
    /// An operator takes out the backend of a lease.
    Withdraw(LeaseId),
    /// A lease ends.
    Forget(LeaseId),
    /// A leased backend came for the first time.
    Came(BackendKey),
    /// A backend came back, or changed.
    Flapped(BackendKey),
    /// A leased backend is gone.
    Left(BackendKey),
    /// What was due was done; an expired lease then waits for its removal.
    Lapse(Lapse),
    /// Something is counted.
    Count(Counter),
}

type Answer = Box<dyn FnOnce(Result<(), Error>) + Send>;

/// A batch, ready to be committed and published.
pub(super) struct Done {
    /// The new state.
    pub(super) next: Snapshot,
    /// What is different in it.
    pub(super) touched: Touched,
    /// To be told afterwards.
    pub(super) happenings: Vec<Happening>,
    /// To be done afterwards.
    pub(super) effects: Vec<Effect>,
    /// The callers, who wait.
    pub(super) answers: Vec<Answer>,
    /// The revisions that lead to it.
    pub(super) revisions: Vec<RevisionRecord>,
    /// What was done.
    pub(super) audit: Vec<v1::AuditRecord>,
    /// What was refused.
    pub(super) refusals: Vec<v1::AuditRecord>,
}

impl<'a> Work<'a> {
    /// Nothing done yet.
    pub(super) fn new(base: &Snapshot, world: World<'a>) -> Self {
        Self {
            world,
            next: base.clone(),
            touched: Touched::default(),
            happenings: Vec::new(),
            effects: Vec::new(),
            answers: Vec::new(),
            revisions: Vec::new(),
            audit: Vec::new(),
            refusals: Vec::new(),
        }
    }

    /// Does one command. Its caller is answered at once if the batch holds no change yet, because then the answer
    /// rests on durable state; else together with the others.
    pub(super) fn run<T: Send + 'static>(
        &mut self,
        deed: Deed,
        reply: Reply<T>,
        command: impl FnOnce(&mut Step<'a>) -> Result<T, Error>,
    ) {
        let mut step = Step {
            draft: Draft::new(&self.next, self.world.tombstones),
            world: self.world,
            happenings: Vec::new(),
            effects: Vec::new(),
        };
        let result = command(&mut step);
        if result.is_ok() {
            default_route::settle(&mut step, &self.next);
        }
        if let Err(error) = &result {
            self.refusals.extend(deed.refused((self.world.code)(error), &error.to_string()));
        } else {
            let (next, touched) = step.draft.finish();
            if !touched.is_empty() {
                let befores = befores(&self.next, &next, &touched.keys);
                let (record, audit) =
                    deed.done((next.revision(), next.position().digest), touched.keys.iter(), befores);
                self.revisions.push(record);
                self.audit.push(audit);
            }
            self.next = next;
            self.touched.merge(touched);
            self.happenings.append(&mut step.happenings);
            self.effects.append(&mut step.effects);
        }
        // Whoever does not wait any more does not need the answer.
        if self.touched.is_empty() {
            let _ = reply.send(result);
        } else {
            self.answers.push(Box::new(move |committed| {
                let _ = reply.send(committed.and(result));
            }));
        }
    }

    /// The whole.
    pub(super) fn done(self) -> Done {
        let Self { next, touched, happenings, effects, answers, revisions, audit, refusals, .. } = self;
        Done { next, touched, happenings, effects, answers, revisions, audit, refusals }
    }
}

impl Step<'_> {
    /// The revision that holds what was done so far.
    pub(super) fn revision(&self) -> Revision {
        self.draft.revision()
    }

    /// Fails if the caller means another revision than the current one.
    pub(super) fn expect(&self, revision: Option<Revision>) -> Result<(), Error> {
        let current = self.draft.view().revision();
        match revision {
            Some(expected) if expected != current => Err(Error::RevisionMismatch { expected, current }),
            _ => Ok(()),
        }
    }

    /// Tells of something, once it is durable.
    pub(super) fn tell(&mut self, kind: v1::EventType, key: Option<&ObjectKey>, message: String) {
        let (revision, object, proxy_id) = (self.revision(), key.cloned(), String::new());
        self.happenings.push(Happening { kind, revision, object, proxy_id, message });
    }

    /// Has something done, once the change is durable.
    pub(super) fn then(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Takes back all that was done.
    pub(super) fn undo(&mut self, base: &Snapshot) {
        self.draft = Draft::new(base, self.world.tombstones);
        self.happenings.clear();
        self.effects.clear();
    }
}

impl Effect {
    /// The change is durable.
    pub(super) fn commit(self, leases: &Leases, flaps: &Flaps, now: Instant) {
        match self {
            Self::Grant(id, backend, terms) => leases.grant(id, &backend, terms, now),
            Self::Withdraw(id) => leases.withdraw(id, now),
            Self::Came(key) => flaps.came(&key, now),
            Self::Flapped(key) => flaps.flapped(&key, now),
            Self::Left(key) => flaps.left(&key, now),
            Self::Lapse(Lapse::Expire(id, _)) => leases.file(id),
            Self::Forget(id) | Self::Lapse(Lapse::Remove(id)) => leases.forget(id),
            Self::Count(counter) => _ = counter.inc(),
        }
    }

    /// The change was not made.
    pub(super) fn abort(self, leases: &Leases, now: Instant) {
        match self {
            Self::Lapse(lapse) => leases.postpone(lapse, now),
            Self::Grant(..)
            | Self::Withdraw(_)
            | Self::Forget(_)
            | Self::Came(_)
            | Self::Flapped(_)
            | Self::Left(_)
            | Self::Count(_) => {}
        }
    }
}
