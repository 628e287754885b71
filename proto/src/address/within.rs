//! The IPv4 addresses within an IPv6 address: whatever translates or tunnels delivers the packets there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Everywhere that packets to `ip` may end up: there, and at each IPv4 address within it.
///
/// A NAT64 prefix that an operator chose (RFC 6052 section 2.2, outside of `64:ff9b::/96` and `64:ff9b:1::/48`) cannot be
/// told from any other prefix.
pub fn destinations(ip: IpAddr) -> impl Iterator<Item = IpAddr> {
    let within = match ip {
        IpAddr::V6(v6) => within(v6),
        IpAddr::V4(_) => [None; 4],
    };
    std::iter::once(ip).chain(within.into_iter().flatten().map(IpAddr::V4))
}

fn within(v6: Ipv6Addr) -> [Option<Ipv4Addr>; 4] {
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None; 4],
        // RFC 4291 section 2.5.5: IPv4-compatible and IPv4-mapped.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        // RFC 2765 section 2.1: IPv4-translated.
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        // RFC 6052 section 2.1: NAT64's well-known prefix.
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        // RFC 5214 section 6.1: ISATAP, with either value of the bits for "universal" and "group".
        | [_, _, _, _, 0 | 0x100 | 0x200 | 0x300, 0x5efe, high, low]
        // RFC 3056 section 2: 6to4.
        | [0x2002, high, low, ..] => [v4(high, low), None, None, None],
        // RFC 8215: NAT64's prefix for local use, of which each network takes a part.
        [0x64, 0xff9b, 1, ..] => local_use(v6),
        // RFC 4380 section 4: Teredo, with the server, and the client behind its bits turned over.
        [0x2001, 0, server_high, server_low, _, _, high, low] => {
            [v4(server_high, server_low), v4(!high, !low), None, None]
        }
        _ => [None; 4],
    }
}

/// RFC 6052 section 2.2 for prefixes of 48, 56, 64 and 96 bits; the ninth byte is not part of the address.
///
/// Which one it is cannot be seen, so it counts as each. Where it is another one, the place of a shorter one is mostly
/// zero, and so is what follows a shorter one: there, 0.0.0.0/8 is taken for the filling that it is.
fn local_use(v6: Ipv6Addr) -> [Option<Ipv4Addr>; 4] {
    let o = v6.octets();
    let places = [
        [o[6], o[7], o[9], o[10]],
        [o[7], o[9], o[10], o[11]],
        [o[9], o[10], o[11], o[12]],
        [o[12], o[13], o[14], o[15]],
    ];
    let found = places.map(|place| (place[0] != 0).then_some(Ipv4Addr::from(place)));
    if found.iter().any(Option::is_some) { found } else { [Some(Ipv4Addr::UNSPECIFIED), None, None, None] }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Every way in which an IPv6 address may have `v4` in it, with `noise` where anything may stand.
    pub(in super::super) fn wrap(v4: Ipv4Addr, noise: u64, way: u8) -> Ipv6Addr {
        let [a, b, c, d] = v4.octets();
        let (high, low) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
        let [n0, n1, n2, n3, n4, n5, n6, n7] = noise.to_be_bytes();
        let word = |a, b| u16::from_be_bytes([a, b]);
        let local = |bytes: [u8; 10]| {
            let mut all = [0, 0x64, 0xff, 0x9b, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            all[6..].copy_from_slice(&bytes);
            Ipv6Addr::from(all)
        };
        match way {
            0 => Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
            1 => Ipv6Addr::new(0, 0, 0, 0, 0xffff, 0, high, low),
            2 => Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            3 => local([a, b, 0, c, d, n0, n1, n2, n3, n4]),
            4 => local([n0, a, 0, b, c, d, n1, n2, n3, n4]),
            5 => local([n0, n1, 0, a, b, c, d, n2, n3, n4]),
            6 => local([n0, n1, 0, n2, n3, n4, a, b, c, d]),
            7 => Ipv6Addr::new(0x2002, high, low, word(n0, n1), word(n2, n3), word(n4, n5), 0, word(n6, n7)),
            _ => Ipv6Addr::new(0x2001, 0, word(n0, n1), word(n2, n3), 0x8000, word(n4, n5), !high, !low),
        }
    }

    #[test]
    fn an_address_is_a_destination_of_itself() {
        for ip in ["10.0.0.1", "::1", "::", "2001:db8::7"] {
            let ip: IpAddr = ip.parse().expect("an address");
            assert_eq!(destinations(ip).collect::<Vec<_>>(), [ip]);
        }
    }
}
