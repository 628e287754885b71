//! What is known of one object.

use super::*;

impl Known {
    pub(super) fn new(
        kind: ObjectKind,
        now: &v1::Object,
        meta: &v1::ObjectMeta,
        old: Option<&Self>,
        began: Instant,
    ) -> Self {
        let backend = (kind == ObjectKind::Backend).then(|| v1::Backend::decode(now.body.clone()).unwrap());
        let expired = backend.as_ref().is_some_and(|b| b.lease_state() == v1::LeaseState::Expired);
        let expired_since = expired.then(|| old.and_then(|old| old.expired_since).unwrap_or(began));
        Self {
            label: label(kind, &now.body),
            body: now.body.clone(),
            backend,
            owner: meta.owner.clone().unwrap_or_default(),
            lease: meta.lease,
            implicit: meta.implicit,
            created: meta.created_revision,
            modified: meta.modified_revision,
            expired_since,
        }
    }

    pub(super) fn state(&self) -> v1::OperatorState {
        self.backend.as_ref().map_or(v1::OperatorState::Unspecified, v1::Backend::operator_state)
    }

    pub(crate) fn is_live(&self) -> bool {
        self.backend.as_ref().is_some_and(|b| b.lease_state() == v1::LeaseState::Live)
    }

    pub(super) fn is_expired(&self) -> bool {
        self.backend.as_ref().is_some_and(|b| b.lease_state() == v1::LeaseState::Expired)
    }

    pub(super) fn is_routable(&self) -> bool {
        self.backend.is_some() && self.state() == v1::OperatorState::Enabled && !self.is_expired()
    }
}
