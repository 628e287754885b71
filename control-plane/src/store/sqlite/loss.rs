//! Whether a store has all that was acknowledged, and what to do if it has not.

use std::{fs, path::Path, time::SystemTime};

use rusqlite::Connection;
use weir_proto::{Revision, v1};

use super::{
    Failure,
    acknowledged::Found,
    fresh,
    journal::Kept,
    lock::{ACKNOWLEDGED, beside},
};
use crate::{
    journal::{Journal, Retention, RevisionRecord},
    snapshot::Position,
    store::Batch,
};

/// What is missing of what was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loss {
    /// The first revision that the store has not, or not as it was acknowledged.
    from: Revision,
    /// Where the store ends.
    store: Position,
    /// What was acknowledged.
    acknowledged: Position,
}

/// Refuses a file that is missing or empty although there was a store once: SQLite would make a new one, and remove the
/// log beside it, which alone may hold everything. Nothing is touched.
pub(super) fn is_there(path: &Path, found: &Found, accepted: Option<Revision>) -> Result<(), Failure> {
    let bytes = |path: &Path| fs::metadata(path).map(|file| file.len()).ok();
    let what = match bytes(path) {
        None => "missing",
        Some(0) => "empty",
        Some(_) => return Ok(()),
    };
    let (log, file) = (beside(path, "-wal"), beside(path, ACKNOWLEDGED));
    if let Some(bytes) = bytes(&log).filter(|bytes| *bytes > 0) {
        return Err(Failure::Incomplete(format!(
            "{} is {what}, and its log {} has {bytes} bytes: both together are a store; put {} back beside it, restore \
             a backup with `weir-control-plane restore FILE --data-dir DIR --force`, or move {} and {} away to start \
             anew",
            path.display(),
            log.display(),
            path.display(),
            log.display(),
            file.display(),
        )));
    }
    // A restore that was cut off has moved the store aside and not put the new one in its place.
    let half = beside(path, ".restoring");
    if half.exists() {
        return Err(Failure::Incomplete(format!(
            "{} is {what}, and {} is there: a restore was cut off; run it again, or move {} away to start anew",
            path.display(),
            half.display(),
            half.display(),
        )));
    }
    match judge(found, fresh().position) {
        Some(loss) if accepted != Some(loss.from) => Err(loss.refusal(&file)),
        _ => Ok(()),
    }
}

/// What a store that ends at `store` has lost.
pub(super) fn judge(found: &Found, store: Position) -> Option<Loss> {
    let Found::Record(acknowledged) = *found else { return None };
    let is_whole = if acknowledged.revision == Revision(0) {
        // Nobody was promised anything.
        true
    } else if acknowledged.epoch != store.epoch {
        false
    } else if acknowledged.revision == store.revision {
        acknowledged.digest == store.digest
    } else {
        acknowledged.revision < store.revision
    };
    let same = acknowledged.epoch == store.epoch && acknowledged.revision == store.revision;
    let from = if same { store.revision } else { store.revision.next() };
    (!is_whole).then_some(Loss { from, store, acknowledged })
}

impl Loss {
    /// From which revision on.
    pub(super) fn from(&self) -> Revision {
        self.from
    }

    /// Why the store is not taken, and the ways out.
    pub(super) fn refusal(&self, file: &Path) -> Failure {
        Failure::Incomplete(format!(
            "{}, as {} says; restore a backup with `weir-control-plane restore FILE --data-dir DIR --force`, or put the \
             whole store back; or start without what is lost by --accept-loss-from {}, which begins a new epoch",
            self.text(),
            file.display(),
            self.from
        ))
    }

    /// What is lost, in numbers.
    pub(super) fn text(&self) -> String {
        let Self { from, store, acknowledged } = self;
        let (to, count) = (acknowledged.revision, acknowledged.revision.0.saturating_sub(from.0) + 1);
        let s = if count == 1 { "" } else { "s" };
        if acknowledged.epoch != store.epoch && store.revision > Revision(0) {
            format!(
                "it is at revision {} of epoch {}, but revision {to} of epoch {} was acknowledged: it is another store, \
                 or has lost the step to that epoch",
                store.revision, store.epoch, acknowledged.epoch
            )
        } else if *from == store.revision {
            format!(
                "its revision {from} has the digest {}, but was acknowledged with {}",
                store.digest, acknowledged.digest
            )
        } else if from == &to {
            format!(
                "it ends at revision {}, and revision {to}, which was acknowledged, is missing",
                store.revision
            )
        } else {
            format!(
                "it ends at revision {}, and {count} acknowledged revision{s}, {from} to {to}, are missing",
                store.revision
            )
        }
    }

    /// Goes on without it, in a new epoch, and says so in the history.
    pub(super) fn accept(
        &self,
        connection: &mut Connection,
        kept: Kept,
    ) -> Result<(Kept, Position), Failure> {
        let floor = connection.query_row("SELECT floor FROM head", [], |row| super::u64_at(row, 0))?;
        let epoch = fresh().position.epoch;
        let position = Position { epoch, revision: self.store.revision.next(), digest: self.store.digest };
        let (time, caller) = (Some(SystemTime::now().into()), Some(v1::Caller::default()));
        let message = format!("started with --accept-loss-from {}: {}", self.from, self.text());
        let info = v1::RevisionInfo {
            revision: position.revision.0,
            time,
            author: caller.clone(),
            cause: v1::RevisionCause::Epoch as i32,
            message: message.clone(),
            ..v1::RevisionInfo::default()
        };
        let audit = v1::AuditRecord {
            time,
            caller,
            call: "AcceptLoss".to_owned(),
            message,
            revision: position.revision.0,
            ..v1::AuditRecord::default()
        };
        let revisions = vec![RevisionRecord { info, automatic: false, befores: Vec::new() }];
        let journal = Journal { revisions, audit: vec![audit], keep: Retention::ALL, ..Journal::default() };
        let floor = Revision(floor);
        let batch = Batch { position, accepted: Revision(0), floor, writes: Vec::new(), journal };
        Ok((super::commit(connection, kept, &batch)?, position))
    }
}
