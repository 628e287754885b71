//! `weir epoch`: settles which configuration is meant after a store was replaced.

use clap::Subcommand;
use serde_json::json;
use weir_proto::{Epoch as Id, v1};

use crate::{Error, Exit, commands::Global};

/// What to do about the epoch.
#[derive(Debug, Subcommand)]
pub(super) enum Epoch {
    /// Say that what the store has is meant, even if it has lost most of what proxies know
    ///
    /// Proxies that have another history of the epoch, or a later revision than the store, take nothing else: then
    /// this begins a new epoch, which may have to be accepted in its turn.
    Accept {
        /// The epoch, as `weir status` shows it [default: the present one]
        #[arg(value_parser = epoch)]
        epoch: Option<u64>,
    },
}

pub(super) async fn run(global: &Global, verb: &Epoch) -> Result<Exit, Error> {
    let Epoch::Accept { epoch } = verb;
    let client = global.connect().await?;
    let mut admin = client.admin();
    let epoch = match epoch {
        Some(epoch) => *epoch,
        None => client.call(admin.get_status(v1::GetStatusRequest {})).await?.epoch,
    };
    let response = client.call(admin.accept_epoch(v1::AcceptEpochRequest { epoch })).await?;
    // An older control plane names none.
    let now = if response.epoch == 0 { epoch } else { response.epoch };
    let revision = response.revision;
    let value =
        json!({ "epoch": Id(now).to_string(), "revision": revision, "new_epoch": response.new_epoch });
    global.output().show(&value, || {
        if response.new_epoch {
            return format!(
                "epoch {} began in revision {revision}, in place of {}, of which proxies have another history; a \
                 proxy that would lose more than half by it still keeps it out: see `weir status`",
                Id(now),
                Id(epoch)
            );
        }
        format!("epoch {} accepted in revision {revision}", Id(now))
    })?;
    Ok(Exit::Ok)
}

fn epoch(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| format!("must be 16 hexadecimal digits, not {text:?}"))
}
