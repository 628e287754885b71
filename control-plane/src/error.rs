//! What can go wrong, whose fault it is, and whether trying again helps.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use weir_proto::{Epoch, Invalid, ObjectKey, ProxyId, Revision};

/// Every error of the control plane. `rpc.rs` turns it into a status, `main.rs` into an exit code.
///
/// The texts say what to do next. They are cheap to clone: one failed commit answers many callers.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A field that cannot be accepted.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A well-formed field that may not have this value, whoever asks.
    #[error("{0}")]
    Forbidden(Invalid),
    /// There is no such object.
    #[error("there is no {key}; list what there is, or create it first")]
    NotFound {
        /// What was asked for.
        key: ObjectKey,
    },
    /// The object belongs to somebody else and has other content.
    #[error("{field}: {key} exists already with other content and belongs to {owner}; {remedy}")]
    AlreadyExists {
        /// The object.
        key: ObjectKey,
        /// Its owner, for people: `file set shop`.
        owner: String,
        /// The path of the field in the request that names the object.
        field: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The configuration has changed since the caller looked.
    #[error(
        "the current revision is {current}, not {expected}; see `weir history`, then try again with --if-revision {current}"
    )]
    RevisionMismatch {
        /// What the caller asked for.
        expected: Revision,
        /// What is.
        current: Revision,
    },
    /// A revision that is not made yet, or forgotten.
    #[error(
        "revision {revision} is not known: the history reaches from {floor} to {current}; see `weir history`"
    )]
    OutOfRange {
        /// What the caller asked for.
        revision: Revision,
        /// The earliest that is known.
        floor: Revision,
        /// The newest.
        current: Revision,
    },
    /// The caller means another epoch than the present one.
    #[error("the present epoch is {current}, not {expected}; see `weir status`")]
    EpochMismatch {
        /// What the caller asked for.
        expected: Epoch,
        /// What is.
        current: Epoch,
    },
    /// The object is in a state that does not allow this.
    #[error("{key}: {reason}")]
    Precondition {
        /// The object.
        key: ObjectKey,
        /// What is in the way, and how to get it out of the way.
        reason: String,
    },
    /// There is no room for the change. Nothing was changed; it can be tried again once there is room.
    #[error("the store {store} is full: {reason}; free some space, then try again")]
    StoreFull {
        /// Which store.
        store: String,
        /// What the system said.
        reason: String,
    },
    /// The store cannot be written at present. Nothing was changed.
    #[error("the store {store} is read-only: {reason}; make it writable, then try again")]
    StoreReadOnly {
        /// Which store.
        store: String,
        /// What the system said.
        reason: String,
    },
    /// Another process has the store.
    #[error(
        "the store {store} is in use by another control plane (it holds {lock}); stop that one, or choose another store"
    )]
    StoreInUse {
        /// Which store.
        store: String,
        /// The locked file.
        lock: PathBuf,
    },
    /// The store's content is not what was written.
    #[error(
        "the store {store} is damaged: {reason}; restore a backup with `weir-control-plane restore FILE --data-dir DIR --force`, or move the file away to start anew"
    )]
    StoreCorrupt {
        /// Which store.
        store: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// The store has not all that was acknowledged.
    #[error("the store {store} is incomplete: {reason}")]
    StoreIncomplete {
        /// Which store.
        store: String,
        /// What is missing, and the ways out.
        reason: String,
    },
    /// A backup was not restored. All is as it was.
    #[error("nothing was restored: {reason}")]
    Restore {
        /// What is in the way, and how to get it out of the way.
        reason: String,
    },
    /// The store was written by another version, or by another program.
    #[error("the store {store} cannot be read by this version: {reason}")]
    StoreFormat {
        /// Which store.
        store: String,
        /// What was found, and what would be right.
        reason: String,
    },
    /// The store cannot be opened.
    #[error("cannot open the store {store}: {reason}")]
    StoreUnusable {
        /// Which store.
        store: String,
        /// What the system said, and what to do.
        reason: String,
    },
    /// A write failed in a way that leaves unknown what is on the disk. The process must end and load again.
    #[error("the store {store} failed: {reason}; the control plane stops, check the disk and start it again")]
    StoreFailed {
        /// Which store.
        store: String,
        /// What the system said.
        reason: String,
    },
    /// A bound is reached.
    #[error("there are {most} {what} already, and no room for more; try again when some have gone")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The bound.
        most: usize,
    },
    /// The time for a drain was up before every proxy had left the backend, which stays as it is.
    #[error(
        "{key} is not removed: when the time was up, {waited_for}; see to the proxies, then drain it again"
    )]
    NotDrained {
        /// The backend.
        key: ObjectKey,
        /// Which proxies did not do what.
        waited_for: String,
    },
    /// A backend comes, goes or changes so often that it has to wait before it may again.
    #[error(
        "{key} came or changed {flaps} times lately and is held back for another {} s; see to it that it stays",
        .retry_after.as_secs() + 1
    )]
    HeldBack {
        /// The backend.
        key: ObjectKey,
        /// How often it did.
        flaps: u32,
        /// When it may come.
        retry_after: Duration,
    },
    /// So many agents want something at the same time that this one has to come back.
    #[error("so many registrations come at once that this one has to wait; try again in a moment")]
    Busy,
    /// There is nobody to ask.
    #[error("{}; see `weir proxy list`", no_proxy(.asked.as_ref()))]
    NoProxy {
        /// The one that was to be asked, if it mattered which.
        asked: Option<ProxyId>,
    },
    /// The proxy that was asked did not answer.
    #[error("proxy {id} did not answer within {after:?}; ask again, or another one")]
    ProxySilent {
        /// Which.
        id: ProxyId,
        /// How long it had.
        after: Duration,
    },
    /// The proxy that was asked went away before it answered.
    #[error("proxy {id} went away before it answered; ask again when it is back, or ask another one")]
    ProxyGone {
        /// Which.
        id: ProxyId,
    },
    /// The proxy that was asked answered that it does not know such questions.
    #[error("proxy {id} does not know this question; use a newer version of it")]
    ProxyUnable {
        /// Which.
        id: ProxyId,
    },
    /// An answer that nobody could take.
    #[error("there are more than {most} to list; name a service")]
    TooLong {
        /// The bound.
        most: usize,
    },
    /// The settings contradict each other, or one is missing.
    #[error("{0}")]
    Config(String),
    /// A socket cannot be bound.
    #[error("cannot listen on {address}: {reason}; stop the other process or choose another with {flag}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        reason: String,
        /// The setting that chooses another.
        flag: &'static str,
    },
    /// A server ended by itself.
    #[error("the {server} server failed: {reason}")]
    Serve {
        /// Which server.
        server: &'static str,
        /// What it said.
        reason: String,
    },
    /// The control plane is going down.
    #[error("the control plane is stopping; try again when it is back")]
    Stopping,
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The caller's: the same request will fail again.
    Caller,
    /// The state of things: the same request may succeed once that has changed.
    State,
    /// Ours, or of the machine we run on.
    Server,
}

impl Error {
    /// Whose fault it is.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Invalid(_) | Self::Forbidden(_) | Self::Config(_) | Self::TooLong { .. } => Fault::Caller,
            Self::NotFound { .. }
            | Self::AlreadyExists { .. }
            | Self::RevisionMismatch { .. }
            | Self::EpochMismatch { .. }
            | Self::OutOfRange { .. }
            | Self::Precondition { .. }
            | Self::TooMany { .. }
            | Self::HeldBack { .. }
            | Self::NotDrained { .. }
            | Self::Busy
            | Self::NoProxy { .. }
            | Self::ProxySilent { .. }
            | Self::ProxyGone { .. }
            | Self::ProxyUnable { .. } => Fault::State,
            Self::StoreFull { .. }
            | Self::StoreReadOnly { .. }
            | Self::StoreInUse { .. }
            | Self::StoreCorrupt { .. }
            | Self::StoreIncomplete { .. }
            | Self::Restore { .. }
            | Self::StoreFormat { .. }
            | Self::StoreUnusable { .. }
            | Self::StoreFailed { .. }
            | Self::Listen { .. }
            | Self::Serve { .. }
            | Self::Stopping => Fault::Server,
        }
    }

    /// Whether the same request may succeed later, without anybody changing the request.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::StoreFull { .. }
                | Self::StoreReadOnly { .. }
                | Self::TooMany { .. }
                | Self::HeldBack { .. }
                | Self::NotDrained { .. }
                | Self::Busy
                | Self::ProxySilent { .. }
                | Self::ProxyGone { .. }
                | Self::Stopping
        )
    }

    /// Whether the process must end, because it no longer knows what is durable.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(self, Self::StoreFailed { .. })
    }
}

fn no_proxy(asked: Option<&ProxyId>) -> String {
    asked.map_or_else(|| "no proxy is connected".to_owned(), |id| format!("no proxy {id} is connected"))
}
