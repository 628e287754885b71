//! `weir audit`: every change that was made or refused.

use clap::Args;
use serde_json::json;
use weir_proto::v1;

use crate::{Error, Exit, client::Client, commands::Global, output};

/// Records in one page.
const PAGE: u32 = 1_000;

/// Which records.
#[derive(Debug, Args)]
pub(super) struct Audit {
    /// How many at most, the newest ones
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

pub(super) async fn run(global: &Global, audit: &Audit) -> Result<Exit, Error> {
    let client = global.connect().await?;
    let records = pages(&client, audit.limit).await?;
    let value = json!({ "records": records.iter().map(output::record).collect::<Vec<_>>() });
    global.output().show_table(&value, || output::records(&records))?;
    Ok(Exit::Ok)
}

async fn pages(client: &Client, limit: u32) -> Result<Vec<v1::AuditRecord>, Error> {
    let mut admin = client.admin();
    let mut records = Vec::new();
    let mut page_token = String::new();
    loop {
        let left = limit.saturating_sub(u32::try_from(records.len()).unwrap_or(u32::MAX));
        let request = v1::ListAuditRequest { page_size: left.min(PAGE), page_token };
        let page = client.call(admin.list_audit(request)).await?;
        records.extend(page.records);
        if page.next_page_token.is_empty() || records.len() >= limit as usize {
            records.truncate(limit as usize);
            return Ok(records);
        }
        page_token = page.next_page_token;
    }
}
