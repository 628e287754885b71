//! Which proxies clients are sent to by DNS: the rule, and where each of them is reached.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use weir_proto::{ProxyId, v1};

use super::{member::Identity, reached};

/// How long a proxy stays after its stream was lost: it serves on without the control plane, and mostly comes back.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// A proxy that clients may be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Routable {
    pub id: ProxyId,
    /// Empty if it has none.
    pub zone: Arc<str>,
    /// Where clients reach it: never empty. A port is 0 if it said none.
    pub addresses: Arc<[SocketAddr]>,
}

impl Routable {
    /// Of a proxy with these sockets open. None if it has none, or it is not known where the proxy is.
    pub(super) fn of(identity: &Identity, listeners: Option<&v1::OpenListeners>) -> Option<Self> {
        let peer = &identity.peer_address;
        let addresses: Arc<[_]> = match listeners {
            None => reached::address(&identity.advertised_address, peer).into_iter().collect(),
            Some(listeners) => reached::addresses(listeners, peer).into(),
        };
        let zone = identity.zone.as_str().into();
        (!addresses.is_empty()).then(|| Self { id: identity.id.clone(), zone, addresses })
    }
}

/// What counts of one proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// Its stream stands, it has a configuration, and it accepts.
    Serving,
    /// Its stream stands, and it has nothing to serve yet or does not accept any more; or it left of its own accord.
    Out,
    /// Its stream was lost.
    Lost {
        /// Whether clients were sent to it until now.
        listed: bool,
        /// Whether that was so lately that nothing follows from it.
        lately: bool,
    },
}

/// Which of the proxies clients are sent to, in the same order.
///
/// A proxy whose stream was lost stays for a while, and after it as long as fewer than half of those that were in the
/// list are connected: then it is more likely that the control plane is cut off than that they are dead.
pub(super) fn listed(proxies: &[Presence]) -> Vec<bool> {
    let connected = proxies.iter().filter(|p| **p == Presence::Serving).count();
    let lost = proxies.iter().filter(|p| matches!(p, Presence::Lost { listed: true, .. })).count();
    let is_cut_off = 2 * connected < connected + lost;
    let is_listed = |presence: &Presence| match *presence {
        Presence::Serving => true,
        Presence::Out => false,
        Presence::Lost { listed, lately } => listed && (lately || is_cut_off),
    };
    proxies.iter().map(is_listed).collect()
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const LATELY: Presence = Presence::Lost { listed: true, lately: true };
    const LONG_AGO: Presence = Presence::Lost { listed: true, lately: false };

    fn presence() -> impl Strategy<Value = Presence> {
        let lost = (any::<bool>(), any::<bool>());
        prop_oneof![
            Just(Presence::Serving),
            Just(Presence::Out),
            lost.prop_map(|(listed, lately)| Presence::Lost { listed, lately }),
        ]
    }

    #[test]
    fn a_few_that_are_lost_stay_for_a_while_and_many_until_they_are_back() {
        use Presence::{Out, Serving};
        assert_eq!(listed(&[Serving, Serving, LATELY]), [true, true, true]);
        assert_eq!(listed(&[Serving, Serving, LONG_AGO]), [true, true, false]);
        assert_eq!(listed(&[Serving, LONG_AGO]), [true, false], "half are enough");
        assert_eq!(listed(&[Serving, LONG_AGO, LONG_AGO]), [true, true, true]);
        assert_eq!(listed(&[LONG_AGO]), [true], "nobody else is left");
        assert_eq!(listed(&[Out, LONG_AGO]), [false, true], "who drains is no better");
    }

    proptest! {
        #[test]
        fn who_serves_is_in_who_left_is_out_and_nobody_comes_back_by_being_lost(
            proxies in vec(presence(), 0..12),
        ) {
            for (presence, listed) in proxies.iter().zip(listed(&proxies)) {
                match presence {
                    Presence::Serving => prop_assert!(listed),
                    Presence::Out | Presence::Lost { listed: false, .. } => prop_assert!(!listed),
                    Presence::Lost { lately, .. } => prop_assert!(listed || !lately),
                }
            }
        }

        #[test]
        fn losing_streams_never_empties_the_list_and_never_more_than_halves_it(
            before in vec(presence(), 1..12), lost in vec(any::<bool>(), 12),
        ) {
            let was_in: Vec<_> = listed(&before);
            // Everybody whose stream stood may lose it, and all of that is long ago.
            let after: Vec<_> = before.iter().zip(&was_in).zip(lost).map(|((presence, listed), lost)| {
                match presence {
                    Presence::Serving if !lost => Presence::Serving,
                    Presence::Out => Presence::Out,
                    _ => Presence::Lost { listed: *listed, lately: false },
                }
            }).collect();
            let count = |list: &[bool]| list.iter().filter(|listed| **listed).count();
            prop_assert!(2 * count(&listed(&after)) >= count(&was_in));
        }
    }
}
