//! What services and routes may take of the proxy's memory for tables whose size their settings choose: what does not fit
//! beside the others is refused.

use std::{collections::HashMap, sync::Arc};

use weir_proto::{
    DEFAULT_LOOKUP_TABLE_MEMORY, Invalid, LbPolicy, ObjectKey, ObjectKind, Route, Service, ServiceName,
    rate_limit_bytes,
};

use super::{
    Table,
    forms::{Forms, Touched},
};
use crate::{
    objects::{Objects, Received, ReceivedKey},
    tls,
};

/// The sizes that a service falls back to that has no previous form, or one that does not fit either: of what the ring
/// and the table have by default.
const SMALL_RING: (u32, u32) = (1024, 65_536);
const SMALL_TABLE: u32 = 65_537;

/// How much tables may take, and take. In bytes, by the objects that ask for them.
#[derive(Debug)]
pub(crate) struct Room {
    most: u64,
    used: u64,
    by_object: HashMap<ReceivedKey, u64>,
}

/// An object as it was.
#[derive(Debug)]
pub(super) struct Before {
    form: FormBefore,
    /// Whether its newest form was refused.
    refused: bool,
    /// If so, the bytes of the one in force, where there is one.
    previous: Option<Received>,
}

#[derive(Debug)]
enum FormBefore {
    Service(Option<Arc<Service>>, Option<Arc<tls::Client>>),
    Route(Option<Arc<Route>>),
}

impl Default for Room {
    fn default() -> Self {
        Self { most: DEFAULT_LOOKUP_TABLE_MEMORY, used: 0, by_object: HashMap::new() }
    }
}

impl Room {
    /// So many bytes from now on; what is in force stays.
    pub(crate) fn limit(&mut self, most: u64) {
        self.most = most;
    }

    pub(crate) fn most(&self) -> u64 {
        self.most
    }

    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    pub(super) fn give_back(&mut self, key: &ReceivedKey) {
        self.used -= self.by_object.remove(key).unwrap_or_default();
    }

    fn of(&self, key: &ReceivedKey) -> u64 {
        self.by_object.get(key).copied().unwrap_or_default()
    }

    /// Takes so much instead of what the object has, if it fits or is no more.
    fn take(&mut self, key: &ReceivedKey, bytes: u64) -> bool {
        let before = self.of(key);
        let fits = bytes <= before || self.used - before + bytes <= self.most;
        if fits {
            self.force(key, bytes);
        }
        fits
    }

    fn force(&mut self, key: &ReceivedKey, bytes: u64) {
        self.give_back(key);
        self.used += bytes;
        if bytes > 0 {
            self.by_object.insert(key.clone(), bytes);
        }
    }
}

impl Forms {
    /// What the object is now, if it may ask for tables.
    pub(super) fn before(&self, key: &ReceivedKey) -> Option<Before> {
        let name = &*key.name;
        let form = match key.known().ok()?.kind {
            ObjectKind::Service => {
                FormBefore::Service(self.services.get(name).cloned(), self.clients.get(name).cloned())
            }
            ObjectKind::Route => FormBefore::Route(self.routes.get(name).cloned()),
            ObjectKind::Listener | ObjectKind::Backend => return None,
        };
        let (refused, previous) = (self.refused.contains_key(key), self.previous.get(key).cloned());
        Some(Before { form, refused, previous })
    }

    /// Refuses what does not fit of what was touched, for a proxy in this zone. What asks for no more than it has always
    /// fits, and of the others those come first whose names do. `old` is what was received before; what is as it is in the
    /// table in force need not be compiled again.
    pub(crate) fn fit(&mut self, touched: &mut Touched, old: &Objects, in_force: Option<&Table>, zone: &str) {
        let mut before = std::mem::take(&mut touched.before);
        let routes = before.keys().filter(|key| key.kind == ObjectKind::Route as u8).cloned();
        let services = touched.services.iter().map(|name| ReceivedKey::from(&key_of(name)));
        let mut keys: Vec<_> = services.chain(routes).map(|key| (self.bytes(&key, zone), key)).collect();
        keys.sort_by_cached_key(|(bytes, key)| (*bytes > self.room.of(key), key.clone()));
        for (bytes, key) in keys {
            if self.room.take(&key, bytes) {
                continue;
            }
            let invalid = self.too_much(&key, bytes);
            self.put_back(&key, before.remove(&key), invalid, old);
            let bytes = self.bytes(&key, zone);
            if !self.room.take(&key, bytes) {
                self.shrink(&key);
                let bytes = self.bytes(&key, zone);
                self.room.force(&key, bytes);
            }
            if let Some(name) = touched.services.get(&*key.name).cloned()
                && key.kind == ObjectKind::Service as u8
                && self.is_in_force(&name, in_force)
            {
                touched.services.remove(&name);
            }
        }
    }

    /// Of all tables of the object in its form here.
    fn bytes(&self, key: &ReceivedKey, zone: &str) -> u64 {
        let name = &*key.name;
        if key.kind == ObjectKind::Route as u8 {
            return self.routes.get(name).map_or(0, |route| rate_limit_bytes(&route.rate_limits));
        }
        let backends = self.backends.get(name).into_iter().flat_map(|backends| backends.values());
        let backends = backends.map(|backend| &**backend);
        self.services.get(name).map_or(0, |service| service.table_bytes(backends, zone))
    }

    fn too_much(&self, key: &ReceivedKey, bytes: u64) -> Invalid {
        let field = match self.services.get(&*key.name).map(|service| &service.lb_policy) {
            Some(LbPolicy::RingHash(_)) if key.kind == ObjectKind::Service as u8 => {
                "lb_policy.ring_hash.minimum_ring_size"
            }
            Some(LbPolicy::Maglev(_)) if key.kind == ObjectKind::Service as u8 => {
                "lb_policy.maglev.table_size"
            }
            _ => "rate_limits",
        };
        let mib = |bytes: u64| bytes.div_ceil(1 << 20);
        let left = self.room.most.saturating_sub(self.room.used - self.room.of(key)) >> 20;
        let reason = format!(
            "asks for tables of {} MiB, where of the {} MiB that this proxy gives all of them {left} MiB are left; ask \
             for less, or set --max-lookup-table-memory",
            mib(bytes),
            mib(self.room.most),
        );
        Invalid::new(field, reason)
    }

    /// The form that the object had is in force again, and its newest refused. Without `before`, the object is the same,
    /// and what has changed is its backends.
    fn put_back(&mut self, key: &ReceivedKey, before: Option<Before>, invalid: Invalid, old: &Objects) {
        let Some(Before { form, refused, previous }) = before else {
            self.refuse(key, invalid, old);
            return;
        };
        self.refused.insert(key.clone(), invalid);
        let bytes = if refused { previous } else { old.get(key).cloned() };
        if let Some(bytes) = bytes {
            self.previous.insert(key.clone(), bytes);
        }
        let name = &*key.name;
        match form {
            FormBefore::Service(service, client) => {
                self.clients.remove(name);
                let declared = self.services.remove_entry(name).map(|(name, _)| name);
                if let (Some(name), Some(service)) = (declared, service) {
                    self.clients.extend(client.map(|client| (name.clone(), client)));
                    self.services.insert(name, service);
                }
            }
            FormBefore::Route(route) => {
                let declared = self.routes.remove_entry(name).map(|(name, _)| name);
                if let (Some(name), Some(route)) = (declared, route) {
                    self.routes.insert(name, route);
                }
            }
        }
    }

    /// Neither fits: it has more backends than before, or the bound has become smaller. A service goes on with a coarser
    /// table. A route would go on without its limits, which must not be: it is not there.
    fn shrink(&mut self, key: &ReceivedKey) {
        if key.kind == ObjectKind::Route as u8 {
            self.routes.remove(&*key.name);
            return;
        }
        let Some(service) = self.services.get_mut(&*key.name) else { return };
        let service = Arc::make_mut(service);
        match &mut service.lb_policy {
            LbPolicy::RingHash(ring) => {
                ring.minimum_ring_size = ring.minimum_ring_size.min(SMALL_RING.0);
                ring.maximum_ring_size = ring.maximum_ring_size.min(SMALL_RING.1);
            }
            LbPolicy::Maglev(maglev) => maglev.table_size = maglev.table_size.min(SMALL_TABLE),
            _ => {}
        }
    }

    /// Whether the service is in the table as it is here.
    fn is_in_force(&self, name: &ServiceName, in_force: Option<&Table>) -> bool {
        let entry = in_force.and_then(|table| table.services.get(name));
        let (Some(entry), Some(service)) = (entry, self.services.get(name)) else {
            return entry.is_none() && !self.services.contains_key(name);
        };
        let backends = self.backends.get(name).into_iter().flatten();
        let members = entry.members.iter().map(|(id, member)| (id, &member.backend));
        *entry.service == **service
            && backends.clone().count() == entry.members.len()
            && backends.zip(members).all(|(a, b)| a.0 == b.0 && Arc::ptr_eq(a.1, b.1))
    }
}

fn key_of(name: &ServiceName) -> ObjectKey {
    ObjectKey::new(ObjectKind::Service, name.as_str())
}
