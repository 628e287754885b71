//! Tells of leases that are held although they are due: for each service when it begins and when it is over, not for each
//! lease.

use std::collections::{BTreeMap, btree_map::Entry};

use weir_proto::{ObjectKey, ObjectKind, Revision, ServiceName, v1};

use crate::{
    events::{Events, Happening},
    lease::{Hold, Leases},
};

/// The services of which it was told that leases of theirs are held.
#[derive(Debug, Default)]
pub(super) struct Holds(BTreeMap<ServiceName, Option<Hold>>);

impl Holds {
    /// A lease of that service is held.
    pub(super) fn held(&mut self, service: &ServiceName, why: Hold) {
        if let Entry::Vacant(news) = self.0.entry(service.clone()) {
            news.insert(Some(why));
        }
    }

    /// Tells what is new.
    pub(super) fn tell(&mut self, leases: &Leases, events: &Events, revision: Revision) {
        let kind = v1::EventType::LeasesHeld;
        self.0.retain(|service, news| {
            let overdue = leases.overdue_in(service);
            let message = match (news.take(), overdue) {
                (None, 1..) => return true,
                // It is over before anybody was told.
                (Some(_), 0) => return false,
                (Some(why), 1) => {
                    format!("a lease of service {service} is overdue and held: {}", why.reason())
                }
                (Some(why), _) => {
                    format!("{overdue} leases of service {service} are overdue and held: {}", why.reason())
                }
                (None, 0) => format!("no lease of service {service} is overdue any more"),
            };
            weir_proto::seldom!(warn, "{message}");
            let object = Some(ObjectKey::new(ObjectKind::Service, service.as_str()));
            events.emit(Happening { kind, revision, object, proxy_id: String::new(), message });
            overdue > 0
        });
    }
}

/// Tells that self-preservation began or ended.
pub(super) fn tell_preservation(begins: bool, leases: &Leases, events: &Events, revision: Revision) {
    let (live, late) = (leases.live(), leases.late());
    let message = if begins {
        format!(
            "self-preservation begins: {late} of {live} leases were not renewed in time, so the network is more likely \
             broken than the backends; no more leases expire than the cap allows once, unless every proxy finds the \
             backend unhealthy"
        )
    } else {
        format!("self-preservation ends: {} of {live} leases were renewed in time", live.saturating_sub(late))
    };
    tracing::warn!("{message}");
    let kind = v1::EventType::SelfPreservation;
    events.emit(Happening { kind, revision, object: None, proxy_id: String::new(), message });
}
