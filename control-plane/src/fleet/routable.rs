//! Which proxies clients are sent to by DNS: the rule, and where each of them is reached.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use weir_proto::ProxyId;

use super::member::Identity;

/// How long a proxy stays after its stream was lost: it serves on without the control plane, and mostly comes back.
pub(super) const GRACE: Duration = Duration::from_secs(30);

/// A proxy that clients may be sent to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Routable {
    pub id: ProxyId,
    /// Empty if it has none.
    pub zone: Arc<str>,
    /// Where clients reach it. The port is 0 if it said none.
    pub address: SocketAddr,
}

impl Routable {
    /// None if it is not known where the proxy is.
    pub(super) fn of(identity: &Identity) -> Option<Self> {
        let address = address(&identity.advertised_address, &identity.peer_address)?;
        Some(Self { id: identity.id.clone(), zone: identity.zone.as_str().into(), address })
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

/// What the proxy advertises, if that is an address; else where its stream comes from, without a port.
fn address(advertised: &str, peer: &str) -> Option<SocketAddr> {
    let peer = peer.parse::<SocketAddr>().ok().map(|peer| peer.ip().to_canonical());
    match advertised.parse::<SocketAddr>() {
        // It listens everywhere, so at the address that its stream comes from too.
        Ok(any) if any.ip().is_unspecified() => peer.map(|ip| SocketAddr::new(ip, any.port())),
        Ok(address) => Some(SocketAddr::new(address.ip().to_canonical(), address.port())),
        Err(_) => peer.map(|ip: IpAddr| SocketAddr::new(ip, 0)),
    }
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

    #[test]
    fn clients_are_sent_where_the_proxy_says_or_where_it_comes_from() {
        let to = |advertised, peer| address(advertised, peer).map(|a| a.to_string());
        assert_eq!(to("10.0.0.1:80", "10.9.9.9:5000").as_deref(), Some("10.0.0.1:80"));
        assert_eq!(to("[2001:db8::1]:80", "").as_deref(), Some("[2001:db8::1]:80"));
        assert_eq!(to("0.0.0.0:80", "10.9.9.9:5000").as_deref(), Some("10.9.9.9:80"));
        assert_eq!(to("", "[::ffff:10.9.9.9]:5000").as_deref(), Some("10.9.9.9:0"));
        assert_eq!(to("edge.example:80", "10.9.9.9:5000").as_deref(), Some("10.9.9.9:0"));
        assert_eq!(to("", ""), None);
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
