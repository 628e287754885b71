//! `weir backend heartbeat`: renews the lease of a registration with --ttl, for sidecars and cron.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use tokio::time::Instant;
use tokio_stream::iter;
use weir_proto::{BackendKey, Backoff, LeaseId, ObjectKind, v1};

use super::key;
use crate::{
    Error,
    agent::{End, renew},
    client::Client,
    commands::Global,
    output, units,
};

/// A lease, and how often it is renewed.
#[derive(Debug, Args)]
#[command(after_help = "\
Without --every it renews the lease once, for cron. With it, it stays in the foreground and renews for ever, also after the \
    control plane was away.

7: there is no such backend, or it has no lease that lives: register it again with `weir backend register --ttl`. \
    8: an operator took it out.")]
pub(in crate::commands) struct Heartbeat {
    /// As `weir backend list` shows it
    #[arg(value_name = "SERVICE/ID", value_parser = key)]
    backend: BackendKey,
    /// Go on, and renew so often; a third of the ttl is usual
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    every: Option<Duration>,
    /// The lease that its registration gave (`lease_id` of --output json) [default: the one that the backend has]
    #[arg(long, value_name = "ID", value_parser = lease)]
    lease: Option<LeaseId>,
}

/// Renews it, once or for as long as it can be renewed.
pub(super) async fn run(global: &Global, wanted: &Heartbeat) -> Result<(), Error> {
    let client = global.connect().await?;
    let lease = match wanted.lease {
        Some(lease) => lease,
        None => lease_of(&client, &wanted.backend).await?,
    };
    match wanted.every {
        None => once(global, &client, &wanted.backend, lease).await,
        Some(interval) => for_ever(&client, &wanted.backend, lease, interval).await,
    }
}

async fn lease_of(client: &Client, backend: &BackendKey) -> Result<LeaseId, Error> {
    let name = backend.to_string();
    let object = Some(v1::ObjectRef { kind: ObjectKind::Backend.wire() as i32, name });
    let mut admin = client.admin();
    let info = client.call(admin.get_object(v1::GetObjectRequest { object })).await?;
    let lease = info.meta.and_then(|meta| meta.lease);
    lease.map(|lease| LeaseId(lease.id)).ok_or_else(|| {
        Error::NotFound(format!(
            "{backend} has no lease: it stays until it is removed, and there is nothing to renew; give it one with `weir \
             backend register --ttl DURATION`, after `weir backend deregister {backend}`"
        ))
    })
}

async fn once(global: &Global, client: &Client, backend: &BackendKey, lease: LeaseId) -> Result<(), Error> {
    let request = v1::HeartbeatRequest { lease_ids: vec![lease.0], sequence: 1 };
    let mut registry = client.registry();
    let mut answers = client.call(registry.heartbeat(iter([request]))).await?;
    let answer = client.next(&mut answers).await?;
    let Some(answer) = answer else {
        let reason = "it ended the heartbeats without an answer; try again".to_owned();
        return Err(Error::Unavailable { url: client.url().to_owned(), reason });
    };
    if answer.unknown_lease_ids.contains(&lease.0) {
        return Err(unknown(backend));
    }
    if answer.withdrawn_lease_ids.contains(&lease.0) {
        return Err(withdrawn(backend));
    }
    let value = json!({ "backend": backend.to_string(), "lease_id": lease.to_string(), "renewed": true });
    global.output().show(&value, || format!("renewed the lease of {backend}"))
}

async fn for_ever(
    client: &Client,
    backend: &BackendKey,
    lease: LeaseId,
    interval: Duration,
) -> Result<(), Error> {
    let mut backoff = Backoff::new(interval);
    let registry = client.registry();
    output::note(&format!("renewing the lease of {backend} every {}", units::duration_text(interval)));
    loop {
        let begun = Instant::now();
        match renew(&registry, client.url(), lease.0, interval).await {
            End::Unknown => return Err(unknown(backend)),
            End::Withdrawn => return Err(withdrawn(backend)),
            End::Lost(reason) => output::note(&format!("{reason}; trying again")),
        }
        backoff.lasted(begun.elapsed());
        tokio::time::sleep(backoff.next_wait()).await;
    }
}

fn unknown(backend: &BackendKey) -> Error {
    Error::NotFound(format!(
        "the lease of {backend} does not live any more: it expired, or was registered anew; register it again with `weir \
         backend register --ttl DURATION`"
    ))
}

fn withdrawn(backend: &BackendKey) -> Error {
    Error::Conflict(format!(
        "an operator took out {backend}; register it again with `weir backend register --ttl DURATION` if it is to come back"
    ))
}

/// 16 hexadecimal digits.
fn lease(text: &str) -> Result<LeaseId, String> {
    let id = u64::from_str_radix(text, 16).ok().filter(|id| *id != 0);
    id.map(LeaseId).ok_or_else(|| format!("must be a lease id as 00c0ffee00c0ffee, not {text:?}"))
}
