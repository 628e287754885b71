//! `weir epoch`: settles which configuration is meant after a store was replaced.

use clap::Subcommand;
use serde_json::json;
use weir_proto::{Epoch as Id, v1};

use crate::{Error, Exit, commands::Global};

/// What to do about the epoch.
#[derive(Debug, Subcommand)]
pub(super) enum Epoch {
    /// Tell the proxies that the present epoch is meant, even if it has lost most of what they know
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
    let value = json!({ "epoch": Id(epoch).to_string(), "revision": response.revision });
    global
        .output()
        .show(&value, || format!("epoch {} accepted in revision {}", Id(epoch), response.revision))?;
    Ok(Exit::Ok)
}

fn epoch(text: &str) -> Result<u64, String> {
    u64::from_str_radix(text, 16).map_err(|_| format!("must be 16 hexadecimal digits, not {text:?}"))
}
