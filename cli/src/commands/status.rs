//! `weir status`: how the control plane is.

use serde_json::json;
use weir_proto::{Digest, Epoch, v1};

use crate::{
    Error, Exit,
    commands::Global,
    output::{self, State, Table},
};

pub(super) async fn run(global: &Global) -> Result<Exit, Error> {
    let client = global.connect().await?;
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
        "connected_proxies": s.connected_proxies,
    });
    global.output().show_table(&value, || {
        let mut table = Table::new(&["WHAT", "VALUE"], "");
        for (key, value) in value.as_object().into_iter().flatten() {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            table.row([State::plain(key.replace('_', " ")), State::plain(text)]);
        }
        table
    })?;
    Ok(Exit::Ok)
}
