//! Clients stay with their backend, by a cookie that names it.
//!
//! The cookie's value is a hash of the backend's service, id and address: the same at each proxy and after a restart, and
//! another one when the backend moves. A client that made one up gets no further than to a backend of the service.

use std::{collections::HashMap, sync::Arc};

use foldhash::fast::RandomState;
use weir_proto::SessionAffinity;
use xxhash_rust::xxh3::xxh3_64;

use super::cookie::{self, Given};
use crate::{endpoint::Endpoint, message::RequestHead};

/// The cookies of a service, and the backends that they name.
#[derive(Debug)]
pub(crate) struct Affinity {
    settings: SessionAffinity,
    by_value: HashMap<u64, Arc<Endpoint>, RandomState>,
}

impl Affinity {
    /// Over all backends that may have clients: those that are draining too.
    pub(crate) fn new<'a>(
        settings: &SessionAffinity,
        endpoints: impl Iterator<Item = &'a Arc<Endpoint>>,
    ) -> Self {
        let by_value = endpoints.map(|endpoint| (value(endpoint), Arc::clone(endpoint))).collect();
        Self { settings: settings.clone(), by_value }
    }

    /// What the request's cookie says, if it has one of ours: of several the first that names a backend.
    pub(crate) fn wanted(&self, head: &RequestHead) -> Option<u64> {
        let ours = || cookie::values(&head.fields, &self.settings.cookie_name).filter_map(cookie::number);
        ours().find(|wanted| self.by_value.contains_key(wanted)).or_else(|| ours().next())
    }

    /// The backend that it names, if there is one.
    pub(crate) fn find(&self, wanted: u64) -> Option<&Arc<Endpoint>> {
        self.by_value.get(&wanted)
    }

    /// What the answer of this backend must say, as `Set-Cookie` has it, unless the client came with it.
    pub(crate) fn set_cookie(&self, endpoint: &Endpoint, secure: bool) -> String {
        let SessionAffinity { cookie_name, ttl, path } = &self.settings;
        Given { name: cookie_name, value: value(endpoint), path, ttl: *ttl }.set_cookie(secure)
    }
}

/// What names a backend. Neither a service nor an address has a slash.
fn value(endpoint: &Endpoint) -> u64 {
    xxh3_64(format!("{}/{}", endpoint.key(), endpoint.address()).as_bytes())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{balance::testing::members, message::Name};

    fn settings() -> SessionAffinity {
        SessionAffinity { cookie_name: "weir_affinity".into(), ttl: None, path: "/".into() }
    }

    fn affinity(settings: &SessionAffinity, n: usize) -> (Affinity, Vec<Arc<Endpoint>>) {
        let endpoints: Vec<_> = members(&vec![1; n]).iter().map(|m| Arc::clone(&m.endpoint)).collect();
        (Affinity::new(settings, endpoints.iter()), endpoints)
    }

    fn head(cookies: &[&str]) -> RequestHead {
        let mut head = RequestHead::default();
        for cookie in cookies {
            head.fields.push(Name::Cookie, cookie.as_bytes());
        }
        head
    }

    #[test]
    fn a_client_comes_back_to_its_backend_by_any_proxy() {
        let (at_home, endpoints) = affinity(&settings(), 3);
        let (elsewhere, others) = affinity(&settings(), 3);
        for (here, there) in endpoints.iter().zip(&others) {
            let given = at_home.set_cookie(here, false);
            let (pair, attributes) = given.split_once("; ").unwrap();
            assert_eq!(attributes, "Path=/; HttpOnly; SameSite=Lax");
            assert!(!given.contains("10.0.0"), "{given}");
            let request = head(&["theme=dark", &format!("a=b; {pair}; c=d")]);
            let found = elsewhere.find(elsewhere.wanted(&request).unwrap());
            assert_eq!(found.map(|endpoint| endpoint.id()), Some(there.id()));
        }
    }

    #[test]
    fn a_cookie_of_nobody_finds_nobody() {
        let (affinity, _) = affinity(&settings(), 2);
        let wanted = |cookie: &str| affinity.wanted(&head(&[cookie]));
        assert_eq!(wanted("weir_affinity=10.0.0.1:80"), None);
        assert_eq!(wanted("other=0123456789abcdef"), None);
        let forged = wanted("weir_affinity=0123456789abcdef").unwrap();
        assert!(affinity.find(forged).is_none());
    }

    /// Of other paths and domains, or of an older life of the service.
    #[test]
    fn of_several_cookies_of_the_name_the_first_that_names_a_backend_counts() {
        let (affinity, endpoints) = affinity(&settings(), 2);
        let of =
            |endpoint: &Endpoint| affinity.set_cookie(endpoint, false).split(';').next().unwrap().to_owned();
        let (first, second) = (of(&endpoints[0]), of(&endpoints[1]));
        let gone = "weir_affinity=0123456789abcdef";
        for cookies in [
            &[&*format!("{gone}; {first}")][..],
            &[gone, &first],
            &["weir_affinity=no", gone, &first, &second],
            &[&*format!("a=b; weir_affinity=\"\"; {first}; {second}")],
        ] {
            let found = affinity.wanted(&head(cookies)).and_then(|wanted| affinity.find(wanted));
            assert_eq!(found.map(|e| e.id()), Some(endpoints[0].id()), "{cookies:?}");
        }
    }

    #[test]
    fn the_cookie_has_what_the_service_wants() {
        let ttl = Some(Duration::from_hours(1));
        let (affinity, endpoints) =
            affinity(&SessionAffinity { cookie_name: "sid".into(), ttl, path: "/shop".into() }, 1);
        let given = affinity.set_cookie(&endpoints[0], true);
        assert!(given.starts_with("sid=") && given.contains("; Path=/shop; "), "{given}");
        assert!(given.ends_with("; Secure; Max-Age=3600"), "{given}");
    }
}
