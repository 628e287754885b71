//! Reading objects: one, or pages of a listing.

use std::{sync::Arc, time::SystemTime};

use prost::Message;
use tonic::Status;
use weir_proto::{Invalid, ObjectKey, ObjectKind, ServiceName, duration_to_wire, v1};

use super::{Api, refused, status};
use crate::{
    Error,
    fleet::Views,
    snapshot::{Entry, Snapshot},
};

/// Objects on a page, if the caller does not say.
const PAGE: usize = 1_000;
/// Objects on a page at most.
const MOST_ON_PAGE: usize = 10_000;
/// Encoded bytes after which a page ends, well below the 4 MiB that receivers take by default.
const PAGE_BYTES: usize = 2 << 20;

impl Api {
    pub(super) fn one_object(&self, object: Option<v1::ObjectRef>) -> Result<v1::ObjectInfo, Status> {
        let key = key(object).map_err(|e| refused(vec![e]))?;
        match self.registry.current().get(&key) {
            Some(entry) => Ok(self.info(entry, &self.fleet.views())),
            None => Err(status(Error::NotFound { key })),
        }
    }

    pub(super) fn page(&self, request: &v1::ListObjectsRequest) -> Result<v1::ListObjectsResponse, Status> {
        let query = Query::try_from(request).map_err(|e| refused(vec![e]))?;
        let snapshot = self.registry.current();
        let mut page = v1::ListObjectsResponse { revision: snapshot.revision().0, ..Default::default() };
        let mut bytes = 0;
        let mut last = "";
        let views = self.fleet.views();
        for entry in query.entries(&snapshot) {
            if page.objects.len() == query.size || bytes >= PAGE_BYTES {
                last.clone_into(&mut page.next_page_token);
                break;
            }
            let info = self.info(entry, &views);
            bytes += info.encoded_len();
            last = &entry.object.key.name;
            page.objects.push(info);
        }
        Ok(page)
    }

    fn info(&self, entry: &Entry, views: &Views) -> v1::ObjectInfo {
        let remaining = entry.lease_id().and_then(|id| self.registry.lease_remaining(id));
        let key = &entry.object.key;
        let (conditions, connected_proxies) = match key.kind {
            ObjectKind::Backend => (views.of(&key.name), views.connected()),
            _ => Default::default(),
        };
        let (overdue_since, hold_reason) = self.hold(entry);
        v1::ObjectInfo {
            resource: Some(entry.object.resource()),
            meta: Some(entry.meta.clone()),
            lease_remaining: remaining.map(duration_to_wire),
            conditions,
            connected_proxies,
            overdue_since: overdue_since.map(Into::into),
            hold_reason,
        }
    }

    /// Why a backend is not what its agent or its silence would make of it.
    fn hold(&self, entry: &Entry) -> (Option<SystemTime>, String) {
        if let Some((since, why)) = entry.lease_id().and_then(|id| self.registry.lease_held(id)) {
            return (SystemTime::now().checked_sub(since), why.to_owned());
        }
        let held_back = entry.object.value.as_backend().and_then(|b| self.registry.held_back(&b.key));
        let reason = held_back.map(|left| {
            format!("it comes and goes too often: held back for another {} s", left.as_secs() + 1)
        });
        (None, reason.unwrap_or_default())
    }
}

/// The object that a request names.
pub(super) fn key(object: Option<v1::ObjectRef>) -> Result<ObjectKey, Invalid> {
    let object = object.ok_or_else(|| Invalid::new("object", "is missing"))?;
    ObjectKey::try_from(object).map_err(|e| e.within("object"))
}

struct Query {
    kind: ObjectKind,
    service: Option<ServiceName>,
    size: usize,
    /// The name of the last object on the page before.
    after: Option<String>,
}

impl Query {
    fn entries<'a>(&'a self, snapshot: &'a Snapshot) -> Box<dyn Iterator<Item = &'a Arc<Entry>> + 'a> {
        let after = self.after.as_deref();
        match &self.service {
            Some(service) => Box::new(snapshot.backends_of(service, after)),
            None => Box::new(snapshot.list(self.kind, after)),
        }
    }
}

impl TryFrom<&v1::ListObjectsRequest> for Query {
    type Error = Invalid;

    fn try_from(wire: &v1::ListObjectsRequest) -> Result<Self, Invalid> {
        let kind = ObjectKind::try_from(wire.kind)?;
        let service = match wire.service.as_str() {
            "" => None,
            _ if kind != ObjectKind::Backend => {
                return Err(Invalid::new("service", "chooses among backends only; leave it out"));
            }
            name => Some(ServiceName::try_from(name).map_err(|e| e.within("service"))?),
        };
        let size = match wire.page_size as usize {
            0 => PAGE,
            n if n <= MOST_ON_PAGE => n,
            n => {
                return Err(Invalid::new("page_size", format_args!("must be 0 to {MOST_ON_PAGE}, is {n}")));
            }
        };
        let after = (!wire.page_token.is_empty()).then(|| wire.page_token.clone());
        Ok(Self { kind, service, size, after })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut v1::ListObjectsRequest)) -> Option<String> {
        let mut wire =
            v1::ListObjectsRequest { kind: ObjectKind::Backend.wire() as i32, ..Default::default() };
        change(&mut wire);
        Query::try_from(&wire).err().map(|e| e.field)
    }

    #[test]
    fn a_query_that_makes_no_sense_names_its_field() {
        assert_eq!(refusal(|_| {}), None);
        assert_eq!(refusal(|q| q.kind = 0).as_deref(), Some("kind"));
        assert_eq!(refusal(|q| q.page_size = 10_001).as_deref(), Some("page_size"));
        assert_eq!(refusal(|q| q.service = "Web".into()).as_deref(), Some("service"));
        let routes_of_a_service = refusal(|q| {
            q.kind = ObjectKind::Route.wire() as i32;
            q.service = "web".into();
        });
        assert_eq!(routes_of_a_service.as_deref(), Some("service"));
    }
}
