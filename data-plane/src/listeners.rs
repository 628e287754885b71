//! Which addresses should be open, and what leads there from those that are. Pure: binding is passed in.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    io,
    net::SocketAddr,
};

use weir_proto::{Invalid, Listener, ListenerName};

/// What to do about the sockets.
#[derive(Debug)]
pub(crate) struct Plan<S> {
    /// The listeners that stand from now on, each on an address of its own.
    pub(crate) standing: BTreeMap<ListenerName, Listener>,
    /// The candidates that cannot, and why; each keeps its previous form, if it has one.
    pub(crate) refused: BTreeMap<ListenerName, Invalid>,
    /// New sockets: what stands on an address that is not among them is open already.
    pub(crate) bound: HashMap<SocketAddr, S>,
    /// Open addresses on which nothing stands any more.
    pub(crate) stale: BTreeSet<SocketAddr>,
    /// The stale ones that must be closed first, because they overlap with an address that is to be bound: the plan
    /// then has to be made again.
    pub(crate) in_the_way: BTreeSet<SocketAddr>,
}

/// Plans from the listeners `in_force`, the newer forms or additions among `candidates`, and the `open` addresses.
///
/// Sockets belong to addresses, not to names: two listeners may trade their addresses, and no socket is touched.
pub(crate) fn plan<S>(
    in_force: &BTreeMap<ListenerName, Listener>,
    mut candidates: BTreeMap<ListenerName, Listener>,
    open: &BTreeSet<SocketAddr>,
    mut bind: impl FnMut(SocketAddr) -> io::Result<S>,
) -> Plan<S> {
    let mut refused = BTreeMap::new();
    let mut bound = HashMap::new();
    let mut blocked = Vec::new();
    // Each round but the last refuses one candidate, so there are at most as many rounds as candidates, and one.
    let standing = loop {
        let mut standing = in_force.clone();
        standing.extend(candidates.clone());
        let Some((name, invalid)) =
            obstacle(&standing, &candidates, open, &mut bound, &mut blocked, &mut bind)
        else {
            break standing;
        };
        candidates.remove(&name);
        refused.insert(name, invalid);
    };
    let used: BTreeSet<_> = standing.values().map(|l| l.address).collect();
    bound.retain(|address, _| used.contains(address));
    let stale: BTreeSet<_> = open.difference(&used).copied().collect();
    let in_the_way = stale.iter().copied().filter(|s| blocked.iter().any(|b| overlap(*s, *b))).collect();
    Plan { standing, refused, bound, stale, in_the_way }
}

/// The first candidate that cannot stand.
fn obstacle<S>(
    standing: &BTreeMap<ListenerName, Listener>,
    candidates: &BTreeMap<ListenerName, Listener>,
    open: &BTreeSet<SocketAddr>,
    bound: &mut HashMap<SocketAddr, S>,
    blocked: &mut Vec<SocketAddr>,
    bind: &mut impl FnMut(SocketAddr) -> io::Result<S>,
) -> Option<(ListenerName, Invalid)> {
    let mut taken: HashMap<SocketAddr, &ListenerName> = HashMap::new();
    for (name, listener) in standing {
        let address = listener.address;
        if let Some(other) = taken.insert(address, name) {
            // Of two with one address at least one is a candidate: those in force have addresses of their own.
            let (loser, winner) = if candidates.contains_key(name) { (name, other) } else { (other, name) };
            let reason = format!("{address} is the address of the listener {winner}; choose another");
            return Some((loser.clone(), Invalid::new("address", reason)));
        }
        if open.contains(&address) || bound.contains_key(&address) {
            continue;
        }
        match bind(address) {
            Ok(sockets) => {
                bound.insert(address, sockets);
            }
            // One that is in force and not open is one that could not be bound again: it goes on being tried.
            Err(_) if !candidates.contains_key(name) => {}
            Err(e) => {
                if e.kind() == io::ErrorKind::AddrInUse {
                    blocked.push(address);
                }
                return Some((
                    name.clone(),
                    Invalid::new("address", format_args!("cannot listen on {address}: {e}")),
                ));
            }
        }
    }
    None
}

/// Whether the system may refuse to bind one of them while the other is open: the same port, and one of them takes
/// every address.
pub(crate) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}
