//! `weir backend register`: says what became of the backend.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use weir_proto::{Backend as Valid, duration_read, duration_to_wire, v1};

use super::invalid;
use crate::{
    Error,
    commands::{Global, wait},
    output, units,
};

/// A registration.
#[derive(Debug, Args)]
pub(in crate::commands) struct Register {
    /// The service that it belongs to; it is made if there is none of this name
    service: String,
    /// Where it listens: IP:port
    address: String,
    /// Its name within the service [default: the address]
    #[arg(long, default_value = "", hide_default_value = true)]
    id: String,
    #[command(flatten)]
    traits: Traits,
    /// Give it a lease: it goes unless a program renews it in this time
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    ttl: Option<Duration>,
    /// Return when every live proxy has acknowledged it
    #[arg(long)]
    wait: bool,
}

/// Traits of a backend; also of `weir run`.
#[derive(Debug, Args)]
pub(in crate::commands) struct Traits {
    /// Its share in relation to the service's other backends, 1 to 256
    #[arg(long, value_name = "N")]
    weight: Option<u32>,
    /// Where it runs
    #[arg(long, default_value = "", hide_default_value = true)]
    zone: String,
    /// Those of the lowest number get the traffic, the next ones are their backup: 0 to 15 [default: 0]
    #[arg(long, value_name = "N")]
    priority: Option<u32>,
    /// For people and tools; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    meta: Vec<(String, String)>,
}

impl Traits {
    /// The backend of these traits, valid by the rules of the contract.
    pub(in crate::commands) fn backend(
        self,
        service: String,
        address: String,
        id: String,
    ) -> Result<v1::Backend, Error> {
        let backend = v1::Backend {
            service,
            id,
            address,
            weight: self.weight,
            zone: self.zone,
            metadata: self.meta.into_iter().collect(),
            priority: self.priority,
            ..Default::default()
        };
        Valid::try_from(backend.clone()).map_err(invalid)?;
        Ok(backend)
    }
}

/// Registers it.
pub(super) async fn run(global: &Global, register: Register) -> Result<(), Error> {
    let Register { service, address, id, traits, ttl, wait } = register;
    let backend = traits.backend(service, address, id)?;
    let lease = ttl.map(|ttl| v1::LeaseTerms { ttl: Some(duration_to_wire(ttl)), deregister_after: None });
    if let Some(terms) = &lease {
        weir_proto::LeaseTerms::try_from(*terms).map_err(invalid)?;
    }
    let key = Valid::try_from(backend.clone()).map_err(invalid)?.key;
    let client = global.connect_to(wait).await?;
    let request = v1::RegisterRequest { backend: Some(backend), lease, owner: String::new() };
    let mut registry = client.registry();
    let response = client.call(registry.register(request)).await?;
    let (kind, changes) = (kind(&response), changes(&response));
    let revision = response.revision;
    let value = json!({
        "backend": key.to_string(),
        "created": response.created,
        "change": output::word(kind.as_str_name(), "CHANGE_KIND_"),
        "changes": changes,
        "revision": revision,
        "lease_id": (response.lease_id != 0).then(|| weir_proto::LeaseId(response.lease_id).to_string()),
        "warnings": response.warnings,
    });
    for warning in &response.warnings {
        output::note(&format!("warning: {warning}"));
    }
    let line = || {
        let became = output::became(kind, &format!("backend {key}"), &changes);
        let since = if kind == v1::ChangeKind::Unchanged { ", as of" } else { " in" };
        format!("{became}{since} revision {revision}")
    };
    wait::show(&client, global.output(), wait, revision, value, line).await
}

/// The outcome in the words of `apply`. An older control plane does not tell a change from none.
fn kind(response: &v1::RegisterResponse) -> v1::ChangeKind {
    match response.outcome() {
        v1::RegisterOutcome::Created => v1::ChangeKind::Created,
        v1::RegisterOutcome::Unspecified if response.created => v1::ChangeKind::Created,
        v1::RegisterOutcome::Changed | v1::RegisterOutcome::Unspecified => v1::ChangeKind::Updated,
        v1::RegisterOutcome::Unchanged => v1::ChangeKind::Unchanged,
    }
}

/// The differences, if it was changed: fields of the backend, and how long its lease lasts.
fn changes(response: &v1::RegisterResponse) -> Vec<String> {
    if response.outcome() != v1::RegisterOutcome::Changed {
        return Vec::new();
    }
    let backend = |backend: &Option<v1::Backend>| {
        backend.clone().map(|b| v1::Resource { resource: Some(v1::resource::Resource::Backend(b)) })
    };
    let (before, after) = (backend(&response.before), backend(&response.after));
    let mut changes: Vec<_> = output::differences(before.as_ref(), after.as_ref())
        .into_iter()
        .map(|line| line.trim_start().to_owned())
        .collect();
    let ttl = |ttl: Option<prost_types::Duration>| ttl.and_then(duration_read).map(units::duration_text);
    if let (Some(before), Some(after)) = (ttl(response.previous_ttl), ttl(response.ttl))
        && before != after
    {
        changes.push(format!("ttl: {before} -> {after}"));
    }
    changes
}

fn pair(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .ok_or_else(|| format!("must be KEY=VALUE, not {text:?}"))
}
