//! Addresses that a proxy must not be made to dial, and the one way in which an address is written.
//!
//! Whoever may declare backends has a way into whatever the proxies can reach, so what only a machine itself should
//! reach is refused: at declaration by the control plane, and by each proxy when it connects. Both ask here.

mod own;
mod within;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use own::OwnSockets;
pub use within::destinations;

/// Where clouds answer questions about the machine that asks, secrets included. 169.254.0.0/16 and `fe80::/10`
/// are refused as link-local.
const METADATA: [IpAddr; 5] = [
    // Amazon EC2, over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254)),
    // Google Compute Engine, over IPv6.
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x0254)),
    // Alibaba Cloud.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    // Oracle Cloud Infrastructure.
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    // Azure's wire server.
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
];

/// The one way in which an address is written and compared: an IPv4-mapped one (RFC 4291 section 2.5.5.2) is the IPv4
/// address that the system connects to, and a zone index says something of link-local addresses only.
#[must_use]
pub fn canonical(address: SocketAddr) -> SocketAddr {
    let ip = address.ip().to_canonical();
    match address {
        SocketAddr::V6(v6) if ip.is_ipv6() && v6.ip().is_unicast_link_local() => address,
        _ => SocketAddr::new(ip, address.port()),
    }
}

/// The kind of address that `ip` is and nobody's backend has, if it is one: `a link-local address ...`. It is asked of
/// all [`destinations`] of an address.
#[must_use]
pub fn never_a_backend(ip: IpAddr) -> Option<&'static str> {
    destinations(ip).find_map(|ip| {
        if is_unspecified(ip) {
            Some("the unspecified address, which is nobody's")
        } else if ip.is_multicast() {
            Some("a multicast address")
        } else if ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            Some("the broadcast address")
        } else if is_link_local(ip) {
            Some("a link-local address, where machines find their own secrets")
        } else if METADATA.contains(&ip) {
            Some("a cloud's metadata service")
        } else {
            None
        }
    })
}

/// Whether packets to `ip` may end up on the machine that sends them.
#[must_use]
pub fn is_loopback(ip: IpAddr) -> bool {
    destinations(ip).any(|ip| ip.is_loopback())
}

/// Also the rest of 0.0.0.0/8: RFC 1122 section 3.2.1.3, "this host on this network".
fn is_unspecified(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.octets()[0] == 0,
        IpAddr::V6(v6) => v6.is_unspecified(),
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refused(ip: &str) -> bool {
        never_a_backend(ip.parse().expect("an address")).is_some()
    }

    #[test]
    fn ordinary_addresses_may_be_dialled() {
        for good in [
            "10.0.0.7",
            "192.168.1.1",
            "172.16.0.1",
            "203.0.113.9",
            "100.64.0.1",
            "169.253.255.255",
            "169.255.0.0",
            "223.255.255.255",
            "127.0.0.1",
            "::1",
            "2001:db8::1",
            "fd00:ec2::253",
            "fd12::1",
            "::ffff:10.0.0.7",
            "64:ff9b::10.0.0.7",
            "64:ff9b:1::10.0.0.7",
            "64:ff9b:1:a00:0:700::",
            "2002:a00:7::1",
            "2001:0:4136:e378:8000:63bf:f5ff:fff8",
            "2001:db8::5efe:10.0.0.7",
            "fec0::1",
        ] {
            assert!(!refused(good), "{good}");
        }
    }

    #[test]
    fn special_addresses_are_refused() {
        for bad in [
            "0.0.0.0",
            "0.1.2.3",
            "::",
            "224.0.0.1",
            "239.255.255.255",
            "ff02::1",
            "255.255.255.255",
            "169.254.169.254",
            "169.254.0.1",
            "fe80::1",
            "febf::1",
            "fd00:ec2::254",
            "fd20:ce::254",
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
        ] {
            assert!(refused(bad), "{bad}");
        }
    }

    #[test]
    fn another_spelling_of_a_special_address_does_not_help() {
        for bad in [
            "::ffff:169.254.169.254",
            "::169.254.169.254",
            "::ffff:0:a9fe:a9fe",
            "64:ff9b::169.254.169.254",
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1:2:3:4:a9fe:a9fe",
            "64:ff9b:1:a9fe:a9:fe00:808:808",
            "64:ff9b:1:12a9:fe:a9fe::",
            "64:ff9b:1:1234:a9:fea9:fe00:0",
            "2002:a9fe:a9fe::1",
            "2001:0:4136:e378:8000:63bf:5601:5601",
            "2001:0:a9fe:a9fe:8000:63bf:f5ff:fff8",
            "::5efe:a9fe:a9fe",
            "2001:db8::5efe:169.254.169.254",
            "2001:db8::200:5efe:169.254.169.254",
            "::ffff:0.0.0.0",
            "64:ff9b::255.255.255.255",
            "64:ff9b::224.0.0.1",
            "::ffff:100.100.100.200",
        ] {
            assert!(refused(bad), "{bad}");
        }
        for here in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"]
        {
            assert!(is_loopback(here.parse().expect("an address")), "{here}");
        }
        assert!(!is_loopback("10.0.0.1".parse().expect("an address")));
    }

    #[test]
    fn one_address_is_written_in_one_way() {
        let canonical = |text: &str| canonical(text.parse().expect("an address")).to_string();
        assert_eq!(canonical("[::ffff:127.0.0.1]:80"), "127.0.0.1:80");
        assert_eq!(canonical("[0:0::1]:080"), "[::1]:80");
        assert_eq!(canonical("[2001:DB8::1%3]:80"), "[2001:db8::1]:80");
        assert_eq!(canonical("[fe80::1%3]:80"), "[fe80::1%3]:80");
        // It reaches something else than 127.0.0.1, if anything.
        assert_eq!(canonical("[::127.0.0.1]:80"), "[::7f00:1]:80");
    }

    proptest! {
        #[test]
        fn every_way_to_wrap_a_refused_address_is_refused(
            v4 in prop_oneof![
                (0..=0xffffu32).prop_map(|low| 0xa9fe_0000 | low),
                Just(0x6464_64c8u32),
                (0xe000_0000..=0xefff_ffffu32),
                Just(0xffff_ffffu32),
            ],
            noise in any::<u64>(),
            way in 0..9u8,
        ) {
            let v4 = Ipv4Addr::from(v4);
            prop_assert!(never_a_backend(IpAddr::V4(v4)).is_some());
            let wrapped = within::tests::wrap(v4, noise, way);
            prop_assert!(never_a_backend(IpAddr::V6(wrapped)).is_some(), "{wrapped}");
        }

        #[test]
        fn what_is_canonical_stays_so(bytes in any::<[u8; 16]>(), mapped in any::<bool>(), port in 1..=u16::MAX) {
            let mut bytes = bytes;
            if mapped {
                bytes[..12].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff]);
            }
            let once = canonical(SocketAddr::new(Ipv6Addr::from(bytes).into(), port));
            prop_assert_eq!(canonical(once), once);
            prop_assert_eq!(once.to_string().parse(), Ok(once));
            prop_assert!(!mapped || once.is_ipv4());
        }
    }
}
