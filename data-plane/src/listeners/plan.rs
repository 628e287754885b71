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
    /// Open addresses that nobody wants any more, and that keep a candidate from an address that overlaps with them. The
    /// plan may be made again after they were closed.
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
    let wanted: BTreeSet<_> = in_force
        .iter()
        .filter(|(name, _)| !candidates.contains_key(*name))
        .map(|(_, l)| l.address)
        .chain(candidates.values().map(|l| l.address))
        .collect();
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
    let unwanted = open.difference(&wanted).copied();
    let in_the_way = unwanted.filter(|u| blocked.iter().any(|b| overlap(*u, *b))).collect();
    Plan { standing, refused, bound, in_the_way }
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
fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() == b.port() && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_proto::{Limits, ListenerProtocol};

    use super::*;

    fn listener(name: &str, address: &str) -> Listener {
        Listener {
            name: ListenerName::try_from(name).unwrap(),
            address: address.parse().unwrap(),
            limits: Limits::default(),
            protocol: ListenerProtocol::default(),
            tls: None,
        }
    }

    fn named(list: &[(&str, &str)]) -> BTreeMap<ListenerName, Listener> {
        list.iter().map(|(n, a)| listener(n, a)).map(|l| (l.name.clone(), l)).collect()
    }

    fn addresses(list: &[&str]) -> BTreeSet<SocketAddr> {
        list.iter().map(|a| a.parse().unwrap()).collect()
    }

    fn shown(listeners: &BTreeMap<ListenerName, Listener>) -> Vec<String> {
        listeners.values().map(|l| format!("{} {}", l.name, l.address)).collect()
    }

    /// Whether it is free depends on the address.
    fn free_below(port: u16) -> impl Fn(SocketAddr) -> io::Result<()> {
        move |address| if address.port() < port { Ok(()) } else { in_use(address) }
    }

    fn in_use(_: SocketAddr) -> io::Result<()> {
        Err(io::ErrorKind::AddrInUse.into())
    }

    #[test]
    fn only_new_addresses_are_bound() {
        let in_force = named(&[("a", "1.1.1.1:1"), ("b", "1.1.1.1:2")]);
        let candidates = named(&[("b", "1.1.1.1:3"), ("c", "1.1.1.1:4")]);
        let plan = plan(&in_force, candidates, &addresses(&["1.1.1.1:1", "1.1.1.1:2"]), free_below(5));
        assert_eq!(shown(&plan.standing), ["a 1.1.1.1:1", "b 1.1.1.1:3", "c 1.1.1.1:4"]);
        let bound: BTreeSet<_> = plan.bound.keys().copied().collect();
        assert_eq!(bound, addresses(&["1.1.1.1:3", "1.1.1.1:4"]));
    }

    #[test]
    fn two_listeners_trade_their_addresses_without_a_new_socket() {
        let in_force = named(&[("a", "1.1.1.1:1"), ("b", "1.1.1.1:2")]);
        let candidates = named(&[("a", "1.1.1.1:2"), ("b", "1.1.1.1:1")]);
        let plan = plan(&in_force, candidates, &addresses(&["1.1.1.1:1", "1.1.1.1:2"]), in_use);
        assert_eq!(shown(&plan.standing), ["a 1.1.1.1:2", "b 1.1.1.1:1"]);
        assert!(plan.bound.is_empty() && plan.refused.is_empty());
    }

    #[test]
    fn one_that_cannot_be_bound_keeps_its_previous_form() {
        let in_force = named(&[("a", "1.1.1.1:1")]);
        let candidates = named(&[("a", "1.1.1.1:2"), ("b", "1.1.1.1:3")]);
        let plan = plan(&in_force, candidates, &addresses(&["1.1.1.1:1"]), in_use);
        assert_eq!(shown(&plan.standing), ["a 1.1.1.1:1"]);
        let reasons: Vec<_> = plan.refused.values().map(ToString::to_string).collect();
        assert!(reasons[0].starts_with("address: cannot listen on 1.1.1.1:2: "), "{reasons:?}");
        assert_eq!(reasons.len(), 2);
    }

    #[test]
    fn whoever_wants_the_address_of_one_that_could_not_move_is_refused_too() {
        let in_force = named(&[("a", "1.1.1.1:1")]);
        let candidates = named(&[("a", "1.1.1.1:2"), ("b", "1.1.1.1:1")]);
        let plan = plan(&in_force, candidates, &addresses(&["1.1.1.1:1"]), in_use);
        assert_eq!(shown(&plan.standing), ["a 1.1.1.1:1"]);
        let b = ListenerName::try_from("b").unwrap();
        assert_eq!(plan.refused[&b].reason, "1.1.1.1:1 is the address of the listener a; choose another");
    }

    #[test]
    fn an_address_that_nobody_wants_any_more_must_make_way() {
        let in_force = named(&[("a", "127.0.0.1:1"), ("b", "127.0.0.1:2")]);
        let candidates = named(&[("a", "0.0.0.0:1"), ("c", "0.0.0.0:2")]);
        let plan = plan(&in_force, candidates, &addresses(&["127.0.0.1:1", "127.0.0.1:2"]), in_use);
        assert_eq!(plan.in_the_way, addresses(&["127.0.0.1:1"]), "b still wants its own");
    }

    proptest! {
        #[test]
        fn whatever_happens_addresses_stay_unique(
            before in prop::collection::btree_map("[a-d]", 1_u16..5, 0..4),
            after in prop::collection::btree_map("[a-d]", 1_u16..8, 0..4),
            taken in prop::collection::btree_set(1_u16..8, 0..4),
        ) {
            let make = |map: &BTreeMap<String, u16>| {
                map.iter().map(|(n, p)| listener(n, &format!("1.1.1.1:{p}"))).map(|l| (l.name.clone(), l)).collect::<BTreeMap<_, _>>()
            };
            let mut in_force = make(&before);
            let mut seen = BTreeSet::new();
            in_force.retain(|_, l| seen.insert(l.address));
            let candidates = make(&after);
            let plan = plan(&in_force, candidates.clone(), &seen, |a| if taken.contains(&a.port()) { in_use(a) } else { Ok(()) });
            let used: BTreeSet<_> = plan.standing.values().map(|l| l.address).collect();
            prop_assert_eq!(used.len(), plan.standing.len());
            for (name, listener) in &plan.standing {
                prop_assert!(seen.contains(&listener.address) || plan.bound.contains_key(&listener.address));
                prop_assert_eq!(Some(listener), if plan.refused.contains_key(name) { in_force.get(name) } else { candidates.get(name).or(in_force.get(name)) });
            }
        }
    }
}
