//! What happens to a request before it may have a backend: it is checked, routed, and made what backends get.

use std::{rc::Rc, sync::Arc};

use tokio::time::Duration;

use super::{
    check::{self, Checked},
    target::{self, Found},
};
use crate::{
    body::{Length, RequestBody},
    downstream::Client,
    exchange::Exchange,
    headers::{self, Host, Origin, Upgrade},
    message::RequestHead,
    moment::Moment,
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

/// When a client that has its share may come back: sooner or later one of its requests ends.
const SHARE_RETRY: Duration = Duration::from_secs(1);

pub(super) fn prepare(
    client: &Client,
    exchange: &mut Exchange,
    head: &mut RequestHead,
    body: Option<&RequestBody<'_>>,
) -> Result<Prepared, Reason> {
    let local = &client.local;
    exchange.admitted(local.shed().admit(local.index())?);
    let Checked { upgrade } = check::check(head, local.pseudonym())?;
    let (length, limits) = (body.map_or(Length::Empty, RequestBody::length), client.listener.limits());
    if head.target().len() > limits.max_request_line_bytes as usize {
        return Err(Reason::UriTooLong);
    }
    if let (Length::Sized(n), Some(most)) = (length, limits.max_request_body_bytes)
        && n > most
    {
        return Err(Reason::RequestTooLarge);
    }
    let table = local.table().ok_or(Reason::NothingConfigured)?;
    let host = Host::of(head)?;
    let Found { route, service } = target::of(&table, &host.name, head.path());
    let service = Arc::clone(service?);
    exchange.routed(&service);
    let limits = route.map(|route| route.limits()).into_iter().chain([&service.limits]);
    for limits in limits.filter(|limits| !limits.is_empty()) {
        let checked = limits.check(client.peer.ip(), &head.fields, Moment::of(exchange.started()));
        checked.map_err(|wait| exchange.refuse(Reason::RateLimited, wait))?;
    }
    let breakers = &service.service.circuit_breakers;
    if let Some(shares) = &service.shares {
        let share = shares.take(client.peer.ip(), breakers.max_requests_per_client);
        let share = share.map_err(|_| exchange.refuse(Reason::ClientShare, SHARE_RETRY))?;
        exchange.shared(share);
    }
    if breakers.consecutive_failures > 0 {
        let permit = service.live.breaker().may(breakers, Moment::of(exchange.started()));
        let permit = permit.map_err(|wait| exchange.refuse(Reason::CircuitOpen, wait))?;
        exchange.permitted(permit);
    }
    let host = host.value.to_owned();
    let origin = Origin { peer: &client.peer_text, secure: client.secure, host: &host };
    local.counters().aliases_dropped.add(headers::request(head, upgrade, &origin, local.pseudonym()));
    Ok(Prepared { table, service, upgrade })
}
