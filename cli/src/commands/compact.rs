//! `weir compact`: forgets old history.

use std::time::Duration;

use clap::Args;
use serde_json::json;
use weir_proto::v1;

use crate::{Error, Exit, commands::Global, units};

/// How long it may take by default: the store is written anew.
const TIMEOUT: Duration = Duration::from_mins(5);

/// What to keep.
#[derive(Debug, Args)]
#[command(after_help = "Changes wait meanwhile; proxies and their traffic do not notice.")]
pub(super) struct Compact {
    /// How many revisions of operators to keep [default: as the control plane is set]
    #[arg(long, value_name = "N")]
    keep: Option<u32>,
}

pub(super) async fn run(global: &Global, compact: &Compact) -> Result<Exit, Error> {
    let client = global.connect_for(TIMEOUT).await?;
    let mut admin = client.admin();
    let request = v1::CompactRequest { keep_revisions: compact.keep };
    let done = client.call(admin.compact(request)).await?;
    let value = json!({
        "bytes_before": done.bytes_before,
        "bytes_after": done.bytes_after,
        "floor": done.floor,
    });
    global.output().show(&value, || {
        let reach = match done.floor {
            0 => "the whole history is still there".to_owned(),
            floor => format!("`weir diff` and `weir rollback` reach back to revision {floor}"),
        };
        let (before, after) = (units::about(done.bytes_before), units::about(done.bytes_after));
        format!("the store had {before} and has {after}; {reach}")
    })?;
    Ok(Exit::Ok)
}
