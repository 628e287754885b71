//! What this proxy makes of the objects that it received: their forms in force, and which newer forms it refuses.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use prost::Message;
use weir_proto::{
    Backend, BackendId, Invalid, LEVEL, Listener, ListenerName, ObjectKey, ObjectKind, Route, RouteName,
    Service, ServiceName, v1,
};

use super::fit::{Before, Room};
use crate::{
    objects::{Objects, Received, ReceivedKey},
    tls,
};

/// The forms in force, by kind. An object that is refused has its previous form here, or none if it never had one.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    pub(crate) listeners: BTreeMap<ListenerName, Listener>,
    pub(crate) services: HashMap<ServiceName, Arc<Service>>,
    /// What services that speak TLS speak it by.
    pub(crate) clients: HashMap<ServiceName, Arc<tls::Client>>,
    pub(crate) backends: HashMap<ServiceName, BTreeMap<BackendId, Arc<Backend>>>,
    pub(crate) routes: BTreeMap<RouteName, Arc<Route>>,
    /// What is wrong with the newest form of these.
    pub(crate) refused: BTreeMap<ReceivedKey, Invalid>,
    /// The bytes of the previous forms of refused objects, so that they survive a restart.
    pub(crate) previous: Objects,
    /// For what must fit beside each other.
    pub(crate) room: Room,
}

/// What an update touched, for those who must be compiled again.
#[derive(Debug, Default)]
pub(crate) struct Touched {
    pub(crate) services: HashSet<ServiceName>,
    pub(crate) routes: bool,
    /// Listeners that are new or changed. Their forms are not yet in force: somebody has to bind them first.
    pub(crate) listeners: BTreeMap<ListenerName, Listener>,
    /// What services and routes were that have a new form, which must fit.
    pub(super) before: BTreeMap<ReceivedKey, Before>,
}

impl Touched {
    /// As if what touched `later` had come at once.
    pub(crate) fn extend(&mut self, later: Self) {
        self.services.extend(later.services);
        self.routes |= later.routes;
        self.listeners = later.listeners;
        self.before.extend(later.before);
    }
}

enum Form {
    Listener(Listener),
    Service(Box<Service>),
    Backend(Backend),
    Route(Route),
}

impl Forms {
    /// Takes the newest forms of the objects named by `keys`, which lead from `old` to `new`.
    pub(crate) fn update(&mut self, old: &Objects, new: &Objects, keys: &[ReceivedKey]) -> Touched {
        let mut touched = Touched::default();
        for key in keys {
            match new.get(key) {
                None => self.remove(key, &mut touched),
                Some(received) => self.take(key, received, &mut touched, old),
            }
        }
        touched
    }

    /// Tries again to bring objects of this kind into force that are valid and refused: services whose files could not be
    /// used, and services and routes whose tables did not fit.
    pub(crate) fn retry_refused(&mut self, kind: ObjectKind, objects: &Objects, touched: &mut Touched) {
        let keys = self.refused.keys().filter(|key| key.kind == kind as u8);
        for key in keys.cloned().collect::<Vec<_>>() {
            if let Some(received) = objects.get(&key) {
                self.take(&key, received, touched, objects);
            }
        }
    }

    /// The newest form of the object is not to be had: it keeps the one in force, whose bytes `old` has unless they
    /// were refused as well.
    pub(crate) fn refuse(&mut self, key: &ReceivedKey, invalid: Invalid, old: &Objects) {
        let again = self.refused.insert(key.clone(), invalid).is_some();
        if let Some(received) = old.get(key).filter(|_| !again) {
            self.previous.insert(key.clone(), received.clone());
        }
    }

    /// The newest form of the object is in force.
    pub(crate) fn accept(&mut self, key: &ReceivedKey) {
        self.refused.remove(key);
        self.previous.remove(key);
    }

    pub(crate) fn refuses_service(&self, name: &ServiceName) -> bool {
        let key = ObjectKey::new(ObjectKind::Service, name.as_str());
        self.refused.contains_key(&ReceivedKey::from(&key))
    }

    fn take(&mut self, key: &ReceivedKey, received: &Received, touched: &mut Touched, old: &Objects) {
        let before = self.before(key);
        match form(key, received).and_then(|form| self.set(key, form, touched)) {
            Ok(()) => touched.before.extend(before.map(|before| (key.clone(), before))),
            Err(invalid) => self.refuse(key, invalid, old),
        }
    }

    fn set(&mut self, key: &ReceivedKey, form: Form, touched: &mut Touched) -> Result<(), Invalid> {
        match form {
            Form::Listener(listener) => {
                touched.listeners.insert(listener.name.clone(), listener);
                return Ok(());
            }
            Form::Service(service) => {
                self.set_client(&service)?;
                touched.services.insert(service.name.clone());
                self.services.insert(service.name.clone(), Arc::from(service));
            }
            Form::Backend(backend) => {
                touched.services.insert(backend.key.service.clone());
                let of_service = self.backends.entry(backend.key.service.clone()).or_default();
                of_service.insert(backend.key.id.clone(), Arc::new(backend));
            }
            Form::Route(route) => {
                touched.routes = true;
                self.routes.insert(route.name.clone(), Arc::new(route));
            }
        }
        self.accept(key);
        Ok(())
    }

    /// Has the service's files read, unless they belong to settings that have not changed.
    fn set_client(&mut self, service: &Service) -> Result<(), Invalid> {
        let Some(settings) = &service.tls else {
            self.clients.remove(&service.name);
            return Ok(());
        };
        let known = self.clients.get(&service.name);
        if known.is_none_or(|client| !client.is_of(settings, service.protocol)) {
            let client = tls::Client::load(settings, service.protocol)?;
            self.clients.insert(service.name.clone(), client);
        }
        Ok(())
    }

    fn remove(&mut self, key: &ReceivedKey, touched: &mut Touched) {
        self.accept(key);
        let name = &*key.name;
        match key.known().map(|k| k.kind) {
            Ok(ObjectKind::Listener) => {
                self.listeners.remove(name);
            }
            Ok(ObjectKind::Service) => {
                self.clients.remove(name);
                if let Some((service, _)) = self.services.remove_entry(name) {
                    touched.services.insert(service);
                }
            }
            Ok(ObjectKind::Backend) => {
                let Some((service, id)) = name.split_once('/') else { return };
                let Some((service, mut of_service)) = self.backends.remove_entry(service) else { return };
                of_service.remove(id);
                touched.services.insert(service.clone());
                if !of_service.is_empty() {
                    self.backends.insert(service, of_service);
                }
            }
            Ok(ObjectKind::Route) => {
                touched.routes |= self.routes.remove(name).is_some();
                self.room.give_back(key);
            }
            Err(_) => {}
        }
    }
}

/// The listener that these bytes declare, if they do.
pub(crate) fn listener(key: &ReceivedKey, received: &Received) -> Option<Listener> {
    match form(key, received) {
        Ok(Form::Listener(listener)) => Some(listener),
        _ => None,
    }
}

fn form(key: &ReceivedKey, received: &Received) -> Result<Form, Invalid> {
    if received.level > LEVEL {
        let reason = format!(
            "needs level {} of the contract, this proxy knows level {LEVEL}; use a newer version of it",
            received.level
        );
        return Err(Invalid::new("", reason));
    }
    let body = &received.body;
    let (form, named) = match key.known()?.kind {
        ObjectKind::Listener => {
            let listener = Listener::try_from(read::<v1::Listener>(body)?)?;
            let name = listener.name.to_string();
            (Form::Listener(listener), name)
        }
        ObjectKind::Service => {
            let service = Service::try_from(read::<v1::Service>(body)?)?;
            let name = service.name.to_string();
            (Form::Service(Box::new(service)), name)
        }
        ObjectKind::Backend => {
            let backend = Backend::try_from(read::<v1::Backend>(body)?)?;
            let name = backend.key.to_string();
            (Form::Backend(backend), name)
        }
        ObjectKind::Route => {
            let route = Route::try_from(read::<v1::Route>(body)?)?;
            let name = route.name.to_string();
            (Form::Route(route), name)
        }
    };
    if *named != *key.name {
        return Err(Invalid::new("name", format_args!("is {named}, the object is called {}", key.name)));
    }
    Ok(form)
}

fn read<M: Message + Default>(body: &Bytes) -> Result<M, Invalid> {
    M::decode(body.clone()).map_err(|e| Invalid::new("", format_args!("cannot be read: {e}")))
}

/// The key under which a listener of this name is received.
pub(crate) fn listener_key(name: &ListenerName) -> ReceivedKey {
    (&ObjectKey::new(ObjectKind::Listener, name.as_str())).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{backend, insert, raw, route, service};

    fn update(forms: &mut Forms, old: &Objects, new: &Objects) -> Touched {
        forms.update(old, new, &old.changed(new))
    }

    fn refusals(forms: &Forms) -> Vec<String> {
        forms.refused.iter().map(|(key, invalid)| format!("{key}: {invalid}")).collect()
    }

    #[test]
    fn a_malformed_object_keeps_its_previous_form_and_the_rest_applies() {
        let mut forms = Forms::default();
        let mut first = Objects::default();
        insert(&mut first, service("web"));
        insert(&mut first, backend("web", "10.0.0.1:80"));
        update(&mut forms, &Objects::default(), &first);

        let mut second = first.clone();
        insert(&mut second, raw(ObjectKind::Backend, "web/10.0.0.1:80", b"\xff", 0));
        insert(&mut second, backend("web", "10.0.0.2:80"));
        let touched = update(&mut forms, &first, &second);
        assert_eq!(touched.services.len(), 1);
        assert_eq!(forms.backends["web"].len(), 2);
        assert!(refusals(&forms)[0].starts_with("backend web/10.0.0.1:80: : cannot be read"));
        assert_eq!(forms.previous.len(), 1);

        let mut third = second.clone();
        insert(&mut third, backend("web", "10.0.0.1:80"));
        update(&mut forms, &second, &third);
        assert_eq!((forms.refused.len(), forms.previous.len()), (0, 0));
    }

    #[test]
    fn refused_twice_it_still_has_the_form_that_was_in_force() {
        let mut forms = Forms::default();
        let mut first = Objects::default();
        insert(&mut first, service("web"));
        update(&mut forms, &Objects::default(), &first);
        let (key, good) = first.iter().next().map(|(k, r)| (k.clone(), r.clone())).unwrap();
        let mut old = first;
        for bad in [b"\xff", b"\xfe"] {
            let mut new = old.clone();
            insert(&mut new, raw(ObjectKind::Service, "web", bad, 0));
            update(&mut forms, &old, &new);
            old = new;
        }
        assert_eq!(forms.previous.get(&key), Some(&good));
        assert!(forms.services.contains_key("web"));
    }

    #[test]
    fn a_restart_brings_back_the_previous_forms() {
        let mut previous = Objects::default();
        insert(&mut previous, service("web"));
        let mut state = Objects::default();
        insert(&mut state, raw(ObjectKind::Service, "web", b"\xff", 0));
        let mut forms = Forms::default();
        update(&mut forms, &Objects::default(), &previous);
        update(&mut forms, &previous, &state);
        assert!(forms.services.contains_key("web"));
        assert_eq!((forms.refused.len(), forms.previous.len()), (1, 1));
    }

    #[test]
    fn what_this_version_cannot_do_justice_is_refused_by_name() {
        let mut forms = Forms::default();
        let mut new = Objects::default();
        insert(&mut new, raw(ObjectKind::Service, "new", b"", LEVEL + 1));
        insert(&mut new, raw(ObjectKind::Service, "other", &service("web").1.body, 0));
        new.insert(ReceivedKey { kind: 9, name: "x".into() }, Received { body: Bytes::new(), level: 0 });
        update(&mut forms, &Objects::default(), &new);
        let texts = refusals(&forms);
        let needs = format!("service new: : needs level {} of the contract", LEVEL + 1);
        assert!(texts[0].contains(&needs), "{texts:?}");
        assert!(texts[1].contains("service other: name: is web"), "{texts:?}");
        assert!(texts[2].contains("object x of kind 9: kind: must be"), "{texts:?}");
    }

    #[test]
    fn removal_forgets_forms_and_refusals() {
        let mut forms = Forms::default();
        let mut first = Objects::default();
        insert(&mut first, service("web"));
        insert(&mut first, backend("web", "10.0.0.1:80"));
        insert(&mut first, route("shop.example", "/", "web"));
        insert(&mut first, raw(ObjectKind::Route, "bad", b"\xff", 0));
        update(&mut forms, &Objects::default(), &first);
        let touched = update(&mut forms, &first, &Objects::default());
        assert!(touched.routes && touched.services.contains("web"));
        assert!(forms.services.is_empty() && forms.backends.is_empty() && forms.routes.is_empty());
        assert!(forms.refused.is_empty());
    }
}
