//! `weir proxy`: the proxies and how far they are.

use clap::Subcommand;
use serde_json::json;
use weir_proto::{Digest, Epoch, v1};

use crate::{
    Error, Exit,
    commands::{Global, object},
    output::{self, Output, State, Table},
};

/// Proxies that keep something out and are told about below the list.
const MOST_TOLD: usize = 5;

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Proxy {
    /// Show the proxies of the last hour: state, revision, lag, what they refused
    List,
    /// Show one with all that is known of it, and what it refused
    #[command(visible_alias = "show")]
    Get {
        /// As `weir proxy list` shows it
        id: String,
    },
}

pub(super) async fn run(global: &Global, verb: &Proxy) -> Result<Exit, Error> {
    let client = global.connect().await?;
    let mut admin = client.admin();
    let response = client.call(admin.list_proxies(v1::ListProxiesRequest {})).await?;
    match verb {
        Proxy::List => list(global.output(), &response)?,
        Proxy::Get { id } => get(global.output(), &response, id)?,
    }
    Ok(Exit::Ok)
}

fn list(output: Output, response: &v1::ListProxiesResponse) -> Result<(), Error> {
    let value = json!({
        "epoch": Epoch(response.epoch).to_string(),
        "revision": response.revision,
        "digest": Digest(response.digest).to_string(),
        "proxies": response.proxies.iter().map(output::proxy).collect::<Vec<_>>(),
    });
    output.show(&value, || {
        let table = table(response).render(output.is_colored());
        let keeping = response.proxies.iter().filter_map(|p| Some((&p.id, p.kept_out.as_ref()?)));
        let told = keeping.take(MOST_TOLD).map(|(id, kept_out)| format!("{id}: {}", kept_out.message));
        told.fold(table, output::Lines::and_apart)
    })
}

fn get(output: Output, response: &v1::ListProxiesResponse, id: &str) -> Result<(), Error> {
    let proxy = response.proxies.iter().find(|p| p.id == id).ok_or_else(|| {
        Error::NotFound(format!("no proxy {id} was connected within the last hour; see `weir proxy list`"))
    })?;
    let value = output::proxy(proxy);
    output.show(&value, || {
        let mut fields = Table::new(&["FIELD", "VALUE"], "");
        let mut shown = value.clone();
        if let Some(shown) = shown.as_object_mut() {
            shown.shift_remove("refused");
        }
        object::rows("", &shown, &mut fields);
        let mut lines = fields.render(output.is_colored());
        if !proxy.refused.is_empty() {
            lines = lines.and_apart("refused, and not in force:");
            for refused in &proxy.refused {
                lines.add(format!("  {}", output::refusal(refused)));
            }
        }
        lines
    })
}

fn table(response: &v1::ListProxiesResponse) -> Table {
    let columns = ["PROXY", "ZONE", "ADDRESS", "STATE", "REVISION", "LAG", "IN FLIGHT", "REFUSED"];
    let mut table = Table::new(&columns, "no proxy has connected; start one with weir-data-plane");
    for p in &response.proxies {
        let refused = p.refused.first().map_or_else(String::new, |r| {
            let object = r.object.as_ref().map(output::reference).unwrap_or_default();
            let more =
                if p.refused.len() > 1 { format!(" (+{})", p.refused.len() - 1) } else { String::new() };
            format!("{object}: {}{more}", r.reason)
        });
        table.row([
            State::plain(&p.id),
            State::plain(&p.zone),
            address(p),
            state(p),
            State::plain(p.revision),
            lag(response, p),
            State::plain(p.in_flight),
            if refused.is_empty() { State::plain("") } else { State::Bad.cell(refused) },
        ]);
    }
    table
}

/// The address at which clients reach it: by the sockets that are open, if it tells of them.
fn address(p: &v1::ProxyInfo) -> (String, Option<State>) {
    let Some(listeners) = &p.listeners else {
        let said = if p.advertised_address.is_empty() { &p.peer_address } else { &p.advertised_address };
        return State::plain(said);
    };
    let mut reached: Vec<_> = listeners.open.iter().map(|open| open.reached_at.as_str()).collect();
    reached.sort_unstable();
    reached.dedup();
    match reached.is_empty() {
        true if p.connected => State::Bad.cell("none open"),
        true => State::plain(""),
        false => State::plain(reached.join(" ")),
    }
}

fn state(p: &v1::ProxyInfo) -> (String, Option<State>) {
    match (p.connected, p.state()) {
        (false, _) => State::Bad.cell("away"),
        (true, v1::ProxyState::Draining) => State::Doubtful.cell("draining"),
        (true, _) => State::Good.cell("serving"),
    }
}

fn lag(response: &v1::ListProxiesResponse, p: &v1::ProxyInfo) -> (String, Option<State>) {
    if let Some(kept_out) = &p.kept_out {
        return State::Bad.cell(match kept_out.reason() {
            v1::KeptOutReason::OtherEpoch => format!("keeps epoch {} out", Epoch(kept_out.epoch)),
            v1::KeptOutReason::Ahead => "ahead of the store".to_owned(),
            v1::KeptOutReason::Fork => "other history".to_owned(),
            _ => format!("keeps revision {} out", kept_out.revision),
        });
    }
    if p.epoch == 0 {
        return State::Doubtful.cell("no word yet");
    }
    if p.epoch != response.epoch {
        return State::Bad.cell("other epoch");
    }
    match (response.revision.saturating_sub(p.revision), p.behind_since) {
        (0, _) => State::Good.cell("0"),
        (n, None) => State::Doubtful.cell(n),
        (n, Some(since)) => {
            // By this machine's clock, which may be another one than the control plane's.
            let seconds = jiff::Timestamp::now().as_second().saturating_sub(since.seconds).max(0);
            State::Doubtful.cell(format!("{n} for {seconds}s"))
        }
    }
}
