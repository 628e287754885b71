//! What happens to a request before it may have a backend: it is checked, routed, and made what backends get.

use std::{rc::Rc, sync::Arc};

use super::{
    check::{self, Checked},
    target,
};
use crate::{
    body::{Length, RequestBody},
    downstream::Client,
    exchange::Exchange,
    headers::{self, Host, Origin, Upgrade},
    message::RequestHead,
    reason::Reason,
    table::ServiceEntry,
    worker::InForce,
};

/// What was found out on the way.
pub(super) struct Prepared {
    /// One table from here to the end, unless all that it offers is retired before anything was sent.
    pub(super) table: Rc<InForce>,
    pub(super) service: Arc<ServiceEntry>,
    /// Whether the request asks for one that we relay.
    pub(super) upgrade: Upgrade,
}

pub(super) fn prepare(
    client: &Client,
    exchange: &mut Exchange,
    head: &mut RequestHead,
    body: &Option<RequestBody<'_>>,
) -> Result<Prepared, Reason> {
    let local = &client.local;
    let Checked { upgrade } = check::check(head, local.pseudonym())?;
    let length = body.as_ref().map_or(Length::Empty, RequestBody::length);
    if let (Length::Sized(n), Some(most)) = (length, client.listener.limits().max_request_body_bytes)
        && n > most
    {
        return Err(Reason::RequestTooLarge);
    }
    let table = local.table().ok_or(Reason::NothingConfigured)?;
    let host = Host::of(head)?;
    let service = Arc::clone(target::service(&table, &host.name, head.path())?);
    exchange.routed(&service);
    let host = host.value.to_owned();
    let origin = Origin { peer: &client.peer_text, secure: client.secure, host: &host };
    headers::request(head, upgrade, &origin, local.pseudonym());
    Ok(Prepared { table, service, upgrade })
}
