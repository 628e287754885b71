//! The implicit route: where requests go that no declared route takes.
//!
//! While there is a service and nobody declares a route for every host and path, such a route stands under the name
//! `default`. It leads to the service that the Host names, else to the oldest one, and stays with that as long as it
//! exists. So nothing that is added changes where other requests go.

use std::sync::Arc;

use weir_proto::{ObjectKey, ObjectKind, Route, RouteName, ServiceName, v1};

use super::{DefaultRoute, SetDefaultRoute, work::Step};
use crate::{
    error::Error,
    snapshot::{Entry, Object, Snapshot},
};

/// Its name, unless somebody declared another route of that name.
const NAME: &str = "default";

/// Makes the implicit route what it is to be after what was done since `base`; answers its keys that changed.
pub(super) fn settle(step: &mut Step<'_>, base: &Snapshot) -> Vec<ObjectKey> {
    if is_missing(base) {
        adopt(step);
    }
    let view = step.draft.view();
    let now = view.implicit_route().cloned();
    let wanted = wanted(view, now.as_ref().or_else(|| taken_over(base, view)));
    put(step, now.as_ref(), wanted)
}

/// Adds what a store of an older version lacks; answers what it is, for people. Where it has routes, other hosts were
/// answered 404 so far, and are until an operator says otherwise.
pub(super) fn adopt(step: &mut Step<'_>) -> Option<String> {
    let view = step.draft.view();
    if !is_missing(view) {
        return None;
    }
    let off = view.count(ObjectKind::Route) > 0;
    let object = Object::implicit_route(free_name(view)?, view.oldest_service(), off);
    let what = format!("{} {}", object.key, leads(&object));
    put(step, None, Some(object));
    Some(what)
}

/// Whether the implicit route should be there and is not: the store is of an older version.
pub(super) fn is_missing(view: &Snapshot) -> bool {
    view.implicit_route().is_none() && view.declared_catch_all().is_none() && view.oldest_service().is_some()
}

/// See `Admin.SetDefaultRoute` in `admin.proto`.
pub(super) fn set(step: &mut Step<'_>, wanted: &SetDefaultRoute) -> Result<DefaultRoute, Error> {
    step.expect(wanted.if_revision)?;
    let view = step.draft.view();
    let now = view.implicit_route().cloned();
    let is_off = now.as_ref().and_then(route_of).is_some_and(|route| route.off);
    if wanted.on == is_off {
        turn(step, now.as_ref(), wanted.on);
    }
    let view = step.draft.view();
    Ok(DefaultRoute {
        revision: step.revision(),
        standing: view.implicit_route().cloned(),
        declared: view.declared_catch_all().cloned(),
    })
}

/// Turns the implicit route `key` off, as somebody wants to delete it.
pub(super) fn delete(step: &mut Step<'_>, key: &ObjectKey) -> Result<(), Error> {
    let now = step.draft.view().get(key).cloned();
    if now.as_ref().and_then(route_of).is_some_and(|route| route.off) {
        let reason = "is off already; `weir route default on` turns it on".to_owned();
        return Err(Error::Precondition { key: key.clone(), reason });
    }
    turn(step, now.as_ref(), false);
    Ok(())
}

fn turn(step: &mut Step<'_>, now: Option<&Arc<Entry>>, on: bool) {
    let view = step.draft.view();
    let service = service(view, now.and_then(route_of));
    let stands = !on || (service.is_some() && view.declared_catch_all().is_none());
    let name = free_name(view).filter(|_| stands);
    let object = name.map(|name| Object::implicit_route(name, service, !on));
    put(step, now, object);
}

/// The form that it is to have, where it was `before`. None if there is to be none.
fn wanted(view: &Snapshot, before: Option<&Arc<Entry>>) -> Option<Object> {
    let before_route = before.and_then(route_of);
    let name = free_name(view)?;
    if let Some(off) = before_route.filter(|route| route.off) {
        let service = off.services.first().map(|service| service.name.clone());
        return Some(Object::implicit_route(name, service, true));
    }
    if view.declared_catch_all().is_some() {
        return None;
    }
    Some(Object::implicit_route(name, Some(service(view, before_route)?), false))
}

/// The service that it leads to: the same as before, as long as that exists.
fn service(view: &Snapshot, before: Option<&Route>) -> Option<ServiceName> {
    let exists =
        |name: &&ServiceName| view.get(&ObjectKey::new(ObjectKind::Service, name.as_str())).is_some();
    let before = before.and_then(|route| route.services.first()).map(|service| &service.name);
    before.filter(exists).cloned().or_else(|| view.oldest_service())
}

/// The implicit route of `base`, if a declared one has its name since.
fn taken_over<'a>(base: &'a Snapshot, view: &Snapshot) -> Option<&'a Arc<Entry>> {
    base.implicit_route().filter(|before| view.get(&before.object.key).is_some())
}

/// `default`, or the first name like it that nobody declared.
fn free_name(view: &Snapshot) -> Option<RouteName> {
    let is_free = |name: &RouteName| {
        let entry = view.get(&ObjectKey::new(ObjectKind::Route, name.as_str()));
        entry.is_none_or(|entry| entry.meta.implicit)
    };
    let names = std::iter::once(NAME.to_owned()).chain((2_u64..).map(|n| format!("{NAME}-{n}")));
    names.filter_map(|name| RouteName::try_from(name.as_str()).ok()).find(is_free)
}

fn put(step: &mut Step<'_>, now: Option<&Arc<Entry>>, wanted: Option<Object>) -> Vec<ObjectKey> {
    let mut changed = Vec::new();
    if let (Some(now), Some(wanted)) = (now, &wanted)
        && now.object.key == wanted.key
        && now.object.body == wanted.body
    {
        return changed;
    }
    if let Some(now) = now.filter(|now| wanted.as_ref().is_none_or(|wanted| wanted.key != now.object.key)) {
        let key = &now.object.key;
        step.draft.remove(key);
        let why = match step.draft.view().declared_catch_all() {
            Some(other) => format!("{other} takes every host and path"),
            None => "there is no service any more".to_owned(),
        };
        if wanted.is_none() {
            step.tell(v1::EventType::ObjectDeleted, Some(key), format!("{key} went: {why}"));
        }
        changed.push(key.clone());
    }
    if let Some(wanted) = wanted {
        let (key, what) = (wanted.key.clone(), leads(&wanted));
        let kind = match now {
            Some(_) => v1::EventType::ObjectUpdated,
            None => v1::EventType::ObjectCreated,
        };
        step.draft.put(wanted, v1::ObjectMeta { implicit: true, ..v1::ObjectMeta::default() });
        step.tell(kind, Some(&key), format!("{key} {what}"));
        changed.push(key);
    }
    changed
}

/// For people.
fn leads(object: &Object) -> String {
    let Some(route) = object.value.as_route().filter(|route| !route.off) else {
        return "is off: it takes no request".to_owned();
    };
    let service = route.services.first().map(|service| service.name.to_string()).unwrap_or_default();
    format!("takes what no other route does: to the service that the Host names, else to {service}")
}

fn route_of(entry: &Arc<Entry>) -> Option<&Route> {
    entry.object.value.as_route()
}
