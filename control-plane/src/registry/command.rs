//! What can be asked of the registry, and what it answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};
use weir_proto::{Backend, BackendKey, Epoch, LeaseId, LeaseTerms, ObjectKey, OperatorState, Revision, v1};

use crate::{
    caller::Caller,
    error::Error,
    journal::Compacted,
    lease::Lapse,
    snapshot::{Entry, Object, Snapshot},
    store::Store,
};

/// Makes sure that a backend is registered.
#[derive(Debug, Clone)]
pub(crate) struct Registration {
    /// As it is to be; its two states do not count.
    pub(crate) backend: Backend,
    /// None: the backend is static.
    pub(crate) lease: Option<LeaseTerms>,
    /// The owner's name; may be empty.
    pub(crate) owner: String,
}

/// A durable registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Registered {
    /// The lease of a backend that has one.
    pub(crate) lease: Option<LeaseId>,
    /// How long it lasts without a heartbeat; 0 without a lease.
    pub(crate) ttl: Duration,
    /// What became of the backend.
    pub(crate) outcome: Outcome,
    /// As it is now.
    pub(crate) backend: Backend,
    /// The revision that holds the registration.
    pub(crate) revision: Revision,
    /// What is probably not meant.
    pub(crate) warnings: Vec<String>,
}

/// The outcome of a registration for its backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// There was none.
    Created,
    /// It was otherwise, or had another lease, or one that had expired.
    Changed {
        /// As it was.
        before: Backend,
        /// Of the lease that it had.
        ttl: Option<Duration>,
    },
    /// It was as said.
    Unchanged,
}

/// Which backend is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// The one with this lease, live or expired.
    Lease(LeaseId),
    /// The one of this name.
    Backend(BackendKey),
}

/// A backend that is not there, durably.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Deregistered {
    /// Whether it was there before.
    pub(crate) existed: bool,
    /// The revision without it.
    pub(crate) revision: Revision,
}

/// The leases that heartbeats named and that do not live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotRenewed {
    /// They do not exist or have expired.
    pub(crate) unknown: Vec<LeaseId>,
    /// An operator took out their backends.
    pub(crate) withdrawn: Vec<LeaseId>,
}

/// What a file set declares.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of the call, and they come in all combinations"
)]
#[derive(Debug, Clone, Default)]
pub(crate) struct Apply {
    /// Everything that is declared, in the order of the documents.
    pub(crate) declared: Vec<Declared>,
    /// Who owns what names no other owner.
    pub(crate) file_set: String,
    /// The file sets that the documents are of, if not all are of that one.
    pub(crate) file_sets: BTreeSet<String>,
    /// Delete what these file sets own and do not declare any more.
    pub(crate) prune: bool,
    /// Take over what belongs to others.
    pub(crate) force: bool,
    /// Change nothing.
    pub(crate) dry_run: bool,
    /// Only if this is the current revision.
    pub(crate) if_revision: Option<Revision>,
    /// Why, for the events; may be empty.
    pub(crate) message: String,
    /// Delete all that a file set owns, if nothing of it is declared any more.
    pub(crate) allow_empty: bool,
    /// What a first listener closes.
    pub(crate) own_addresses: OwnAddresses,
}

/// One declaration.
#[derive(Debug, Clone)]
pub(crate) struct Declared {
    /// Where it stands: `documents[0].services[2]`.
    pub(crate) path: String,
    /// What it declares. A backend's two states do not count.
    pub(crate) object: Object,
    /// Who owns it, if it is not the file set of the whole.
    pub(crate) owner: Option<v1::Owner>,
}

/// What an [`Apply`] did, or with `dry_run` would do.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    /// The current revision.
    pub(crate) revision: Revision,
    /// Every object that is declared, and every one that is deleted.
    pub(crate) changes: Vec<Change>,
    /// What is probably not meant.
    pub(crate) warnings: Vec<String>,
}

/// What became of one object.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    /// What kind of change.
    pub(crate) kind: v1::ChangeKind,
    /// The object.
    pub(crate) key: ObjectKey,
    /// Before; none if it was created.
    pub(crate) before: Option<Arc<Entry>>,
    /// After; none if it was deleted.
    pub(crate) after: Option<Arc<Entry>>,
}

/// Deletes one object.
#[derive(Debug, Clone)]
pub(crate) struct Delete {
    /// Which.
    pub(crate) key: ObjectKey,
    /// Only if this is the current revision.
    pub(crate) if_revision: Option<Revision>,
    /// With all its backends, if it is a service.
    pub(crate) cascade: bool,
}

/// Turns the implicit route on or off.
#[derive(Debug, Clone)]
pub(crate) struct SetDefaultRoute {
    /// Which of both.
    pub(crate) on: bool,
    /// Only if this is the current revision.
    pub(crate) if_revision: Option<Revision>,
}

/// The standing of the implicit route.
#[derive(Debug, Clone)]
pub(crate) struct DefaultRoute {
    /// The current revision.
    pub(crate) revision: Revision,
    /// The route, on or off, if there is one.
    pub(crate) standing: Option<Arc<Entry>>,
    /// The declared route that takes its place.
    pub(crate) declared: Option<ObjectKey>,
}

/// The addresses of `--listen` that proxies have open, each with the number of proxies.
pub(crate) type OwnAddresses = BTreeMap<String, usize>;

/// Sets what the operator wants of a backend.
#[derive(Debug, Clone)]
pub(crate) struct SetState {
    /// Which.
    pub(crate) key: BackendKey,
    /// What.
    pub(crate) state: OperatorState,
    /// Only if this is the state it is in.
    pub(crate) from: Option<OperatorState>,
    /// Only if this is the current revision.
    pub(crate) if_revision: Option<Revision>,
}

/// Gives a backend another weight than it was declared with.
#[derive(Debug, Clone)]
pub(crate) struct SetWeight {
    /// Which.
    pub(crate) key: BackendKey,
    /// None: its own.
    pub(crate) weight: Option<u32>,
    /// Only if this is the current revision.
    pub(crate) if_revision: Option<Revision>,
}

/// Declares again what was declared at a revision.
#[derive(Debug, Clone)]
pub(crate) struct Rollback {
    /// Which.
    pub(crate) to: Revision,
    /// Change nothing.
    pub(crate) dry_run: bool,
    /// Only if this is the current revision.
    pub(crate) if_revision: Option<Revision>,
    /// Why; may be empty.
    pub(crate) message: String,
    /// What a first listener closes.
    pub(crate) own_addresses: OwnAddresses,
}

/// Says that what the store has is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SettleEpoch {
    /// The present epoch, as the caller believes.
    pub(crate) epoch: Epoch,
    /// In a new epoch, because proxies have other histories of this one.
    pub(crate) anew: bool,
}

/// The outcome of a [`SettleEpoch`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settled {
    /// The revision that carries it to the proxies.
    pub(crate) revision: Revision,
    /// The present epoch now.
    pub(crate) epoch: Epoch,
    /// Whether it is a new one.
    pub(crate) is_new: bool,
}

/// Something that is read from the store, which only the registry's task has. It answers by itself.
pub(crate) struct Read(pub(super) Reading);

/// It gets the newest state too, which is that of the store.
type Reading = Box<dyn FnOnce(&mut dyn Store, &Snapshot) + Send>;

impl fmt::Debug for Read {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Read")
    }
}

/// Removes a backend that was drained: never one that is enabled.
#[derive(Debug, Clone)]
pub(crate) struct Remove {
    /// Which.
    pub(crate) target: Target,
    /// Only if it was not changed after this revision.
    pub(crate) unchanged_since: Option<Revision>,
    /// For an operator: an agent that lives on is told so, and does not register it again.
    pub(crate) withdraws: bool,
}

/// Where an answer goes. It may be that nobody waits for it any more.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Error>>;

/// A command, and who gave it.
#[derive(Debug)]
pub(crate) struct Asked {
    /// For the history and the audit log.
    pub(crate) caller: Caller,
    /// What is to be done.
    pub(crate) command: Command,
}

/// One thing for the registry's task to do.
#[derive(Debug)]
pub(crate) enum Command {
    /// [`super::Registry::register`]
    Register(Registration, Reply<Registered>),
    /// [`super::Registry::deregister`]
    Deregister(Target, Reply<Deregistered>),
    /// [`super::Registry::remove_drained`]
    Remove(Remove, Reply<Deregistered>),
    /// [`super::Registry::apply`]
    Apply(Apply, Reply<Applied>),
    /// [`super::Registry::delete`]
    Delete(Delete, Reply<Revision>),
    /// [`super::Registry::set_operator_state`]
    SetState(SetState, Reply<(Revision, Backend)>),
    /// [`super::Registry::set_default_route`]
    SetDefaultRoute(SetDefaultRoute, Reply<DefaultRoute>),
    /// Makes the implicit route of a store whose version knew none; answers what it is.
    Adopt(Reply<Option<String>>),
    /// [`super::Registry::set_weight`]
    SetWeight(SetWeight, Reply<(Revision, Backend)>),
    /// [`super::Registry::settle_epoch`]
    SettleEpoch(SettleEpoch, Reply<Settled>),
    /// Leases that were due at that time: expire them, or remove their backends.
    Lapse(Vec<Lapse>, Instant, Reply<()>),
    /// [`super::Registry::rollback`]
    Rollback(Rollback, Reply<Applied>),
    /// [`super::Registry::compact`]: how many revisions to keep, if not as many as always.
    Compact(Option<u32>, Reply<Compacted>),
    /// What was: [`super::history`].
    Read(Read),
}
