//! `weir backend weight`: an operator's weight, which no heartbeat, registration or file changes.

use clap::Args;
use serde_json::json;
use weir_proto::{BackendKey, v1};

use super::key;
use crate::{
    Error,
    commands::{Global, wait},
};

/// A change of the weight.
#[derive(Debug, Args)]
#[command(after_help = "\
The weight holds beside what the backend was registered with, until --reset: neither heartbeats nor registrations, files \
    or rollbacks change it. `weir backend list` shows both where they differ.")]
pub(in crate::commands) struct Weight {
    /// As `weir backend list` shows it
    #[arg(value_name = "SERVICE/ID", value_parser = key)]
    backend: BackendKey,
    /// Its share in relation to the service's other backends, 1 to 256
    #[arg(value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256), required_unless_present = "reset")]
    new: Option<u32>,
    /// Give it back the weight that it was registered with
    #[arg(long, conflicts_with = "new")]
    reset: bool,
    /// Change it only if this is the current revision
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
    /// Return when every live proxy has acknowledged it
    #[arg(long)]
    wait: bool,
}

/// Sets it.
pub(super) async fn run(global: &Global, wanted: &Weight) -> Result<(), Error> {
    let client = global.connect_to(wanted.wait).await?;
    let request = v1::SetBackendWeightRequest {
        backend: wanted.backend.to_string(),
        weight: wanted.new,
        if_revision: wanted.if_revision,
    };
    let mut admin = client.admin();
    let response = client.call(admin.set_backend_weight(request)).await?;
    let own = response.backend.and_then(|backend| backend.weight).unwrap_or(1);
    let (key, revision) = (&wanted.backend, response.revision);
    let value = json!({
        "backend": key.to_string(),
        "weight": wanted.new.unwrap_or(own),
        "own_weight": own,
        "revision": revision,
    });
    let line = || match wanted.new {
        Some(weight) => {
            format!("{key} has the weight {weight} in place of its own {own}, as of revision {revision}")
        }
        None => format!("{key} has its own weight {own}, as of revision {revision}"),
    };
    wait::show(&client, global.output(), wanted.wait, revision, value, line).await
}
