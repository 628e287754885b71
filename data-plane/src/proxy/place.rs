//! Where a request's key or its client's cookie leads, and what the answer gives the client for the next time.

use std::sync::Arc;

use crate::{
    balance::{Keyed, NewCookie},
    downstream::Client,
    endpoint::Endpoint,
    message::RequestHead,
    table::ServiceEntry,
};

/// What decides where the request goes, besides the algorithm.
pub(super) struct Place {
    keyed: Keyed,
    /// What the client's cookie says.
    wanted: Option<u64>,
}

/// As `Set-Cookie` has them: for the key, and for the backend.
pub(super) type Cookies = [Option<String>; 2];

impl Place {
    pub(super) fn of(service: &ServiceEntry, head: &RequestHead, client: &Client) -> Self {
        Self {
            keyed: service.hash_keys.key(head, client.peer.ip()),
            wanted: service.affinity.as_ref().and_then(|affinity| affinity.wanted(head)),
        }
    }

    pub(super) fn key(&self) -> u64 {
        self.keyed.hash
    }

    /// The endpoint that the client has been with, if it is still known.
    pub(super) fn pinned<'s>(&self, service: &'s ServiceEntry) -> Option<&'s Arc<Endpoint>> {
        service.affinity.as_ref()?.find(self.wanted?)
    }

    /// What the answer of this endpoint gives the client, if there is anything that it has not got.
    pub(super) fn cookies(
        &self,
        service: &ServiceEntry,
        endpoint: &Endpoint,
        secure: bool,
    ) -> Option<Cookies> {
        let key = self.keyed.cookie.as_ref().map(|cookie: &NewCookie| cookie.set_cookie(secure));
        let stays = self.pinned(service).is_some_and(|pinned| pinned.id() == endpoint.id());
        let backend = service.affinity.as_ref().filter(|_| !stays);
        let backend = backend.map(|affinity| affinity.set_cookie(endpoint, secure));
        (key.is_some() || backend.is_some()).then_some([key, backend])
    }
}
