//! The fleet as its streams and its readers see it, with the clock stopped.

mod outcomes;
mod routable;

use super::*;

fn at(revision: u64) -> Position {
    Position { epoch: Epoch(7), revision: Revision(revision), ..Position::default() }
}

fn fleet() -> Fleet {
    Fleet::new(at(5), Events::new(100), Metrics::default())
}

fn identity(id: &str, boot_id: u64) -> Identity {
    Identity {
        id: ProxyId::try_from(id).expect("an id"),
        boot_id,
        version: String::new(),
        zone: String::new(),
        advertised_address: String::new(),
        peer_address: "10.0.0.1:5000".to_owned(),
    }
}

/// A proxy that has the newest revision.
fn serving(fleet: &Fleet, id: &str) -> Membership {
    let proxy = fleet.join(identity(id, 1)).expect("room");
    proxy.starts(false);
    proxy.acknowledge(at(5), Vec::new());
    proxy
}

fn says(proxy: &Membership, state: v1::ProxyState) {
    proxy.report(v1::Report { state: state as i32, ..Default::default() }, |_| true);
}
