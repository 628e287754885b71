//! Whether a store has all that was acknowledged, and what to do if it has not.

use std::{fs, path::Path, time::SystemTime};

use rusqlite::Connection;
use weir_proto::{Digest, Revision, v1};

use super::{
    Failure,
    acknowledged::Found,
    fresh,
    journal::{self, Kept},
    lock::{ACKNOWLEDGED, beside},
};
use crate::{
    journal::{Journal, Query, Retention, RevisionRecord},
    snapshot::Position,
    store::Batch,
};

/// Records among which the beginning of an epoch is looked for that could not be noted: no batch has more.
const MOST_SINCE: usize = 1_000;

/// Revisions that were acknowledged and are missing.
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
    if let Found::Unreadable(reason) = found {
        return Err(Failure::Incomplete(format!(
            "{} is {what}, and {}, which says that there was a store, cannot be read: {reason}; put the store back, restore \
             a backup with `weir-control-plane restore FILE --data-dir DIR --force`, or move {} away to start anew",
            path.display(),
            file.display(),
            file.display(),
        )));
    }
    match judge(found, fresh().position) {
        Some(loss) if accepted != Some(loss.from) => Err(loss.refusal(&file)),
        _ => Ok(()),
    }
}

/// The loss of a store that ends at `store`, if it has one.
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

/// Whether a store of another epoch than the noted one is whole all the same: it began its epoch by itself, and ended
/// before it could note that.
pub(super) fn began_its_epoch(
    connection: &Connection,
    found: &Found,
    store: Position,
) -> Result<bool, Failure> {
    let Found::Record(noted) = *found else { return Ok(false) };
    if noted.epoch == store.epoch {
        return Ok(false);
    }
    let records = |before, most, automatic| {
        journal::revisions(connection, &Query { before, most, automatic, object: None, befores: false })
    };
    let newest = records(None, MOST_SINCE, false)?;
    let Some(began) = newest.iter().find(|record| record.info.cause() == v1::RevisionCause::Epoch) else {
        return Ok(false);
    };
    // By an operator, from what was noted.
    let before = records(Some(noted.revision.next()), 1, true)?;
    let follows = before
        .iter()
        .any(|record| record.revision() == noted.revision && record.info.digest == Some(noted.digest.0));
    if follows && began.revision() > noted.revision {
        return Ok(true);
    }
    // Without what was noted, as an operator accepted.
    let ended =
        Position { epoch: noted.epoch, revision: Revision(began.info.revision.saturating_sub(1)), ..store };
    let ended = Position { digest: began.info.digest.map_or(store.digest, Digest), ..ended };
    Ok(judge(found, ended).is_some_and(|loss| loss.message() == began.info.message))
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

    /// What the history says of it when it is accepted.
    fn message(&self) -> String {
        format!("started with --accept-loss-from {}: {}", self.from, self.text())
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
        let message = self.message();
        let info = v1::RevisionInfo {
            revision: position.revision.0,
            time,
            author: caller.clone(),
            cause: v1::RevisionCause::Epoch as i32,
            message: message.clone(),
            digest: Some(position.digest.0),
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
