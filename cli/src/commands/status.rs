//! `weir status`: how the control plane is, and what became of a revision.

use clap::Args;
use serde_json::{Value, json};
use weir_proto::{Digest, Epoch, v1};

use crate::{
    Error, Exit,
    client::Client,
    commands::{Global, wait},
    output::{self, Lines, Output, State, Table},
};

/// What only is worth a row while there is any of it.
const ONLY_IF_ANY: [&str; 5] =
    ["overdue_leases", "self_preservation", "held_back_backends", "kept_out_proxies", "dns_address"];
/// What stands below the table.
const ALARMS: &str = "alarms";

/// Of what.
#[derive(Debug, Args)]
pub(super) struct Status {
    /// Show what became of this revision on each proxy [default: how the control plane is]
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    revision: Option<u64>,
}

pub(super) async fn run(global: &Global, status: &Status) -> Result<Exit, Error> {
    let client = global.connect().await?;
    match status.revision {
        Some(revision) => of_revision(&client, global.output(), revision).await?,
        None => of_control_plane(&client, global.output()).await?,
    }
    Ok(Exit::Ok)
}

async fn of_control_plane(client: &Client, output: Output) -> Result<(), Error> {
    let mut admin = client.admin();
    let s = client.call(admin.get_status(v1::GetStatusRequest {})).await?;
    let value = json!({
        "control_plane": client.url(),
        "version": s.version,
        "started_at": output::timestamp(s.started_at.as_ref()),
        "store": s.store,
        "epoch": Epoch(s.epoch).to_string(),
        "epoch_accepted": s.epoch_accepted,
        "revision": s.revision,
        "digest": Digest(s.digest).to_string(),
        "listeners": s.listeners,
        "services": s.services,
        "backends": s.backends,
        "routes": s.routes,
        "live_leases": s.live_leases,
        "overdue_leases": s.overdue_leases,
        "self_preservation": s.self_preservation,
        "held_back_backends": s.held_back_backends,
        "connected_proxies": s.connected_proxies,
        "kept_out_proxies": s.kept_out_proxies,
        "dns_address": (!s.dns_address.is_empty()).then_some(s.dns_address),
        ALARMS: s.alarms,
    });
    output.show(&value, || {
        let table = table(&value).render(output.is_colored());
        s.alarms.iter().fold(table, |lines, alarm| lines.and_apart(format!("ALARM  {alarm}")))
    })
}

fn table(value: &Value) -> Table {
    let mut table = Table::new(&["WHAT", "VALUE"], "");
    for (key, value) in value.as_object().into_iter().flatten().filter(|(key, _)| *key != ALARMS) {
        let is_any = !matches!(value, Value::Null | Value::Bool(false)) && *value != json!(0);
        let trouble = match ONLY_IF_ANY.contains(&key.as_str()) {
            true if !is_any => continue,
            only_if_any => only_if_any && key != "dns_address",
        };
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let cell = if trouble { State::Doubtful.cell(text) } else { State::plain(text) };
        table.row([State::plain(key.replace('_', " ")), cell]);
    }
    table
}

async fn of_revision(client: &Client, output: Output, revision: u64) -> Result<(), Error> {
    let outcome = wait::now(client, revision).await?;
    let value = json!({
        "epoch": Epoch(outcome.epoch()).to_string(),
        "revision": outcome.revision(),
        "settled": outcome.is_settled(),
        "info": outcome.info().map(output::revision),
        "proxies": outcome.json(),
    });
    output.show(&value, || {
        let what =
            outcome.info().map_or_else(|| "the history has forgotten it".to_owned(), output::revision_line);
        let proxies = output::outcomes(outcome.proxies()).render(output.is_colored());
        Lines::from(format!("revision {}: {what}", outcome.revision())).and_apart(proxies)
    })?;
    for note in outcome.notes() {
        output::note(&note);
    }
    Ok(())
}
