//! `weir history`: the revisions, and who made them.

use clap::Args;
use serde_json::json;
use weir_proto::v1;

use crate::{
    Error, Exit,
    client::Client,
    commands::{Global, reference},
    output,
};

/// Revisions in one page.
const PAGE: u32 = 1_000;

/// Which revisions.
#[derive(Debug, Args)]
#[command(after_help = "\
`weir diff A B` shows what changed between two of them, `weir rollback REVISION` goes back to one, and \
    `weir status REVISION` shows what became of one on each proxy.")]
pub(super) struct History {
    /// Only those that changed how this object is declared, as service/web
    #[arg(value_name = "KIND/NAME", value_parser = reference::parse)]
    object: Option<v1::ObjectRef>,
    /// Also what agents and leases did, not only operators
    #[arg(long)]
    all: bool,
    /// How many at most, the newest ones
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub(super) async fn run(global: &Global, history: &History) -> Result<Exit, Error> {
    let client = global.connect().await?;
    let (revisions, floor) = pages(&client, history).await?;
    let value = json!({
        "revisions": revisions.iter().map(output::revision).collect::<Vec<_>>(),
        "floor": floor,
    });
    let output = global.output();
    output.show(&value, || {
        let empty = match &history.object {
            None => "no revision is remembered".to_owned(),
            Some(object) => format!("no revision is remembered that changed {}", output::reference(object)),
        };
        let table = output::revisions(&revisions, &empty).render(output.is_colored());
        match floor {
            0 => table,
            _ => table.and_apart(format!("`weir diff` and `weir rollback` reach back to revision {floor}")),
        }
    })?;
    Ok(Exit::Ok)
}

async fn pages(client: &Client, history: &History) -> Result<(Vec<v1::RevisionInfo>, u64), Error> {
    let mut admin = client.admin();
    let mut revisions = Vec::new();
    let mut page_token = String::new();
    loop {
        let left = history.limit.saturating_sub(u32::try_from(revisions.len()).unwrap_or(u32::MAX));
        let request = v1::HistoryRequest {
            page_size: left.min(PAGE),
            page_token,
            automatic: history.all,
            object: history.object.clone(),
        };
        let page = client.call(admin.history(request)).await?;
        revisions.extend(page.revisions);
        if page.next_page_token.is_empty() || revisions.len() >= history.limit as usize {
            revisions.truncate(history.limit as usize);
            return Ok((revisions, page.floor));
        }
        page_token = page.next_page_token;
    }
}
