//! `weir rollback`: declares again what was declared at a revision.

use clap::Args;
use weir_proto::v1;

use crate::{
    Error, Exit,
    commands::{Global, apply::Changed},
};

/// To which revision, and how.
#[derive(Debug, Args)]
#[command(after_help = "\
It makes a new revision, which can be taken back in the same way. Leased backends and the states that operators \
    gave to backends stay as they are.")]
pub(super) struct Rollback {
    /// The revision, as `weir history` shows it
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    revision: u64,
    /// Show what would change, and change nothing
    #[arg(long, conflicts_with = "wait")]
    dry_run: bool,
    /// Go back only if this is the current revision
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
    /// Why, for the history
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    message: String,
    /// Return when every live proxy has acknowledged it: serves it, or refused a part of it
    #[arg(long)]
    wait: bool,
}

pub(super) async fn run(global: &Global, rollback: Rollback) -> Result<Exit, Error> {
    let Rollback { revision, dry_run, if_revision, message, wait } = rollback;
    let client = global.connect_to(wait).await?;
    let request = v1::RollbackRequest { revision, dry_run, if_revision, message };
    let mut admin = client.admin();
    let v1::RollbackResponse { revision, changes, warnings } = client.call(admin.rollback(request)).await?;
    let changed = Changed { revision, dry_run, changes: &changes, warnings: &warnings };
    changed.show(&client, global.output(), wait).await?;
    Ok(Exit::Ok)
}
