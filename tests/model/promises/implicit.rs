//! The route that nobody declares: it is there while a service is, and stays with its service. No route of the model takes
//! every path.

use super::*;

/// Which object it is.
pub(super) fn is(object: &Key) -> bool {
    object.0 == ObjectKind::Route && object.1 == "default"
}

impl Promises {
    /// Whether the change is what follows from `after`, the rest of its commit.
    pub(super) fn follows(&self, changed: &Changed, after: &BTreeMap<Key, bool>) -> Result<(), &'static str> {
        let Some((now, meta)) = &changed.now else { return Ok(()) };
        let route = v1::Route::decode(now.body.clone()).map_err(|_| "it cannot be read")?;
        if !meta.implicit || !route.implicit || !route.by_host || route.off {
            return Err("the implicit route is none");
        }
        let to = service_of(&route);
        let exists = |key: &Key| after.get(key).copied().unwrap_or_else(|| self.known.contains_key(key));
        if !to.as_ref().is_some_and(exists) {
            return Err("the implicit route leads to no service");
        }
        let known = self.known.get(&key(&changed.key)).and_then(|k| v1::Route::decode(k.body.clone()).ok());
        let before = known.as_ref().and_then(service_of);
        let stays = |key: &Key| self.known.contains_key(key) && !after.contains_key(key);
        match before.filter(stays) {
            Some(before) if to != Some(before.clone()) => {
                Err("the implicit route left a service that is there")
            }
            _ => Ok(()),
        }
    }

    /// Whether it is there if a service is, and only then.
    pub(super) fn stands(&self) -> Result<(), String> {
        let services = self.known.keys().any(|key| key.0 == ObjectKind::Service);
        let stands = self.known.keys().any(is);
        if services == stands {
            Ok(())
        } else {
            Err(format!("services: {services}, the implicit route: {stands}; {:?}", self.known.keys()))
        }
    }
}

fn service_of(route: &v1::Route) -> Option<Key> {
    route.services.first().map(|to| (ObjectKind::Service, to.name.clone()))
}
