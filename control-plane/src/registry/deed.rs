//! What the history and the audit log say of a command: who gave it, what it is called, why.

use std::time::SystemTime;

use weir_proto::{Digest, ObjectKey, Revision, v1};

use super::command::{Command, Remove, Target};
use crate::{
    caller::Caller,
    journal::{Before, MOST_NAMED, RevisionRecord},
};

/// Bytes of the reason for a refusal.
const MOST_REASON: usize = 300;

/// A command, as it is remembered.
#[derive(Debug, Clone)]
pub(super) struct Deed {
    caller: Caller,
    call: &'static str,
    cause: v1::RevisionCause,
    /// Whether an agent or a lease is behind it.
    automatic: bool,
    message: String,
    /// What it is about, as far as that is known before it is done.
    objects: Vec<ObjectKey>,
    rolled_back_to: Revision,
    /// Whether a refusal is remembered too: not if nothing was to be changed.
    is_meant: bool,
}

impl Deed {
    /// What the command does, for `caller`.
    pub(super) fn of(caller: Caller, command: &Command) -> Self {
        use v1::RevisionCause as Cause;
        let (call, cause) = match command {
            Command::Register(..) => ("Register", Cause::Register),
            Command::Deregister(..) => ("Deregister", Cause::Deregister),
            Command::Remove(..) => ("Drain", Cause::Deregister),
            Command::Apply(..) => ("Apply", Cause::Apply),
            Command::Delete(..) => ("DeleteObject", Cause::Delete),
            Command::SetState(..) => ("SetOperatorState", Cause::OperatorState),
            Command::SetDefaultRoute(..) => ("SetDefaultRoute", Cause::OperatorState),
            Command::Adopt(..) => ("Adopt", Cause::Unspecified),
            Command::SetWeight(..) => ("SetBackendWeight", Cause::OperatorState),
            Command::SettleEpoch(..) => ("AcceptEpoch", Cause::Epoch),
            Command::Lapse(..) => ("Lease", Cause::Lease),
            Command::Rollback(..) => ("Rollback", Cause::Rollback),
            Command::Compact(..) => ("Compact", Cause::Unspecified),
            Command::Read(_) => ("", Cause::Unspecified),
        };
        let plain = Self {
            caller,
            call,
            cause,
            automatic: false,
            message: String::new(),
            objects: Vec::new(),
            rolled_back_to: Revision(0),
            is_meant: true,
        };
        match command {
            Command::Register(wanted, _) => Self {
                automatic: wanted.lease.is_some(),
                objects: vec![ObjectKey::from(&wanted.backend.key)],
                ..plain
            },
            Command::Deregister(Target::Lease(_), _)
            | Command::Remove(Remove { target: Target::Lease(_), .. }, _)
            | Command::Lapse(..)
            | Command::Adopt(_) => Self { automatic: true, ..plain },
            Command::Deregister(Target::Backend(key), _)
            | Command::Remove(Remove { target: Target::Backend(key), .. }, _) => {
                Self { objects: vec![ObjectKey::from(key)], ..plain }
            }
            Command::Apply(wanted, _) => Self {
                message: wanted.message.clone(),
                objects: wanted.declared.iter().take(MOST_NAMED).map(|d| d.object.key.clone()).collect(),
                is_meant: !wanted.dry_run,
                ..plain
            },
            Command::Delete(wanted, _) => Self { objects: vec![wanted.key.clone()], ..plain },
            Command::SetState(wanted, _) => Self { objects: vec![ObjectKey::from(&wanted.key)], ..plain },
            Command::SetWeight(wanted, _) => Self {
                message: wanted
                    .weight
                    .map_or_else(|| "weight as declared".to_owned(), |weight| format!("weight {weight}")),
                objects: vec![ObjectKey::from(&wanted.key)],
                ..plain
            },
            Command::Rollback(wanted, _) => Self {
                message: wanted.message.clone(),
                rolled_back_to: wanted.to,
                is_meant: !wanted.dry_run,
                ..plain
            },
            Command::SettleEpoch(wanted, _) if wanted.anew => {
                Self { message: format!("a new epoch in place of {}", wanted.epoch), ..plain }
            }
            Command::SetDefaultRoute(wanted, _) => {
                Self { message: if wanted.on { "on" } else { "off" }.to_owned(), ..plain }
            }
            Command::SettleEpoch(..) | Command::Compact(..) | Command::Read(_) => plain,
        }
    }

    /// The records of a revision that came of it and changed `keys`.
    pub(super) fn done<'a>(
        self,
        (revision, digest): (Revision, Digest),
        keys: impl ExactSizeIterator<Item = &'a ObjectKey>,
        befores: Vec<Before>,
    ) -> (RevisionRecord, v1::AuditRecord) {
        let changes = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        let objects: Vec<_> = keys.take(MOST_NAMED).map(ObjectKey::wire).collect();
        let audit = self.audit(objects.clone(), revision, 0, String::new());
        let info = v1::RevisionInfo {
            revision: revision.0,
            time: audit.time,
            author: audit.caller.clone(),
            cause: self.cause as i32,
            message: self.message,
            changes,
            objects,
            rolled_back_to: self.rolled_back_to.0,
            digest: Some(digest.0),
        };
        (RevisionRecord { info, automatic: self.automatic, befores }, audit)
    }

    /// The record of something that makes no revision.
    pub(super) fn done_besides(&self) -> v1::AuditRecord {
        self.audit(Vec::new(), Revision(0), 0, String::new())
    }

    /// The record of its refusal with that `google.rpc.Code`, if there is to be one.
    pub(super) fn refused(&self, code: i32, reason: &str) -> Option<v1::AuditRecord> {
        let objects = self.objects.iter().map(ObjectKey::wire).collect();
        self.is_meant.then(|| self.audit(objects, Revision(0), code, cut(reason, MOST_REASON)))
    }

    fn audit(
        &self,
        objects: Vec<v1::ObjectRef>,
        revision: Revision,
        code: i32,
        reason: String,
    ) -> v1::AuditRecord {
        v1::AuditRecord {
            sequence: 0,
            time: Some(SystemTime::now().into()),
            caller: Some(self.caller.wire()),
            call: self.call.to_owned(),
            objects,
            message: self.message.clone(),
            code,
            reason,
            revision: revision.0,
        }
    }
}

/// The record of a change that was refused before it became a command.
pub(super) fn refused(
    caller: &Caller,
    call: &'static str,
    objects: &[ObjectKey],
    code: i32,
    reason: &str,
) -> v1::AuditRecord {
    let objects = objects.iter().take(MOST_NAMED).map(ObjectKey::wire).collect();
    v1::AuditRecord {
        time: Some(SystemTime::now().into()),
        caller: Some(caller.wire()),
        call: call.to_owned(),
        objects,
        code,
        reason: cut(reason, MOST_REASON),
        ..v1::AuditRecord::default()
    }
}

/// The record of a change that was made but could not be stored.
pub(super) fn undone(done: &v1::AuditRecord, code: i32, reason: &str) -> v1::AuditRecord {
    v1::AuditRecord { code, reason: cut(reason, MOST_REASON), revision: 0, ..done.clone() }
}

/// At most `most` bytes of `text`, whole characters.
fn cut(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}
