//! Which addresses may be a backend's. A load balancer that anybody may register with is a way into whatever it can
//! reach, so the addresses that only it (or its host) should reach are refused.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

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

/// The rule, with what it depends on.
#[derive(Debug, Clone)]
pub(crate) struct AddressPolicy {
    /// Whether 127.0.0.0/8 and `::1` may be used.
    allow_loopback: bool,
    /// What this process listens on.
    own: Vec<SocketAddr>,
    /// Whether an address is one of this machine's.
    is_local: fn(IpAddr) -> bool,
}

impl AddressPolicy {
    /// The rule of a process that listens on `own`.
    pub(crate) fn new(allow_loopback: bool, own: Vec<SocketAddr>) -> Self {
        Self { allow_loopback, own, is_local }
    }

    /// Whether `address` may be a backend's. The reason is for people, and says what would be right.
    pub(crate) fn check(&self, address: SocketAddr) -> Result<(), String> {
        let ip = effective(address.ip());
        let what = if is_unspecified(ip) {
            "the unspecified address, which is nobody's"
        } else if ip.is_multicast() {
            "a multicast address"
        } else if ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            "the broadcast address"
        } else if is_link_local(ip) {
            "a link-local address, where machines find their own secrets"
        } else if METADATA.contains(&ip) {
            "a cloud's metadata service"
        } else if self.is_own(ip, address.port()) {
            "the control plane itself"
        } else if ip.is_loopback() && !self.allow_loopback {
            return Err(format!(
                "{address} is a loopback address, which on every proxy is another machine; \
                 name one that all proxies reach, or start the control plane with --allow-loopback-backends"
            ));
        } else {
            return Ok(());
        };
        Err(format!("{address} is {what}; name the address on which the backend serves"))
    }

    fn is_own(&self, ip: IpAddr, port: u16) -> bool {
        self.own.iter().filter(|own| own.port() == port).any(|own| {
            let bound = effective(own.ip());
            bound == ip || (is_unspecified(bound) && (ip.is_loopback() || (self.is_local)(ip)))
        })
    }
}

/// The address that packets to `ip` end up at: an IPv6 address that only wraps an IPv4 one is that one.
fn effective(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(v6) = ip else { return ip };
    let segments = v6.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        IpAddr::V4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => ip,
        // RFC 4291 section 2.5.5: IPv4-compatible and IPv4-mapped.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        // RFC 6052 section 2.1 and RFC 8215: NAT64, well-known and local-use.
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        // RFC 3056 section 2: 6to4.
        | [0x2002, high, low, ..] => v4(high, low),
        _ => ip,
    }
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

/// A socket can be bound to this machine's addresses alone.
fn is_local(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(allow_loopback: bool, own: &[&str]) -> AddressPolicy {
        let own = own.iter().map(|a| a.parse().expect("an address")).collect();
        let is_local = |ip: IpAddr| ip == IpAddr::V4(Ipv4Addr::new(10, 0, 0, 5));
        AddressPolicy { allow_loopback, own, is_local }
    }

    fn allows(policy: &AddressPolicy, address: &str) -> bool {
        policy.check(address.parse().expect("an address")).is_ok()
    }

    #[test]
    fn ordinary_addresses_may_be_backends() {
        let policy = policy(false, &["10.0.0.5:7400"]);
        for good in [
            "10.0.0.7:8080",
            "192.168.1.1:80",
            "172.16.0.1:80",
            "203.0.113.9:443",
            "100.64.0.1:80",
            "169.253.255.255:80",
            "169.255.0.0:80",
            "223.255.255.255:80",
            "10.0.0.5:7401",
            "[2001:db8::1]:80",
            "[fd00:ec2::253]:80",
            "[fd12::1]:80",
            "[::ffff:10.0.0.7]:80",
            "[64:ff9b::10.0.0.7]:80",
            "[fec0::1]:80",
        ] {
            assert!(allows(&policy, good), "{good}");
        }
    }

    #[test]
    fn special_addresses_may_not_whatever_loopback_may() {
        for allow_loopback in [false, true] {
            let policy = policy(allow_loopback, &[]);
            for bad in [
                "0.0.0.0:80",
                "0.1.2.3:80",
                "[::]:80",
                "224.0.0.1:80",
                "239.255.255.255:80",
                "[ff02::1]:80",
                "255.255.255.255:80",
                "169.254.169.254:80",
                "169.254.0.1:80",
                "[fe80::1]:80",
                "[fe80::1%3]:80",
                "[febf::1]:80",
                "[fd00:ec2::254]:80",
                "[fd20:ce::254]:80",
                "100.100.100.200:80",
                "192.0.0.192:80",
                "168.63.129.16:80",
            ] {
                assert!(!allows(&policy, bad), "{bad}");
            }
        }
    }

    #[test]
    fn another_spelling_does_not_help() {
        let policy = policy(true, &["127.0.0.1:7400"]);
        for bad in [
            "[::ffff:169.254.169.254]:80",
            "[::169.254.169.254]:80",
            "[64:ff9b::169.254.169.254]:80",
            "[64:ff9b:1::a9fe:a9fe]:80",
            "[64:ff9b:1:2:3:4:a9fe:a9fe]:80",
            "[2002:a9fe:a9fe::1]:80",
            "[::ffff:0.0.0.0]:80",
            "[64:ff9b::255.255.255.255]:80",
            "[64:ff9b::224.0.0.1]:80",
            "[::ffff:100.100.100.200]:80",
            "[::ffff:127.0.0.1]:7400",
        ] {
            assert!(!allows(&policy, bad), "{bad}");
        }
    }

    #[test]
    fn loopback_is_a_setting() {
        for address in
            ["127.0.0.1:80", "127.9.9.9:80", "[::1]:80", "[::ffff:127.0.0.1]:80", "[64:ff9b::7f00:1]:80"]
        {
            assert!(allows(&policy(true, &[]), address), "{address}");
            assert!(!allows(&policy(false, &[]), address), "{address}");
        }
        let reason = policy(false, &[]).check(([127, 0, 0, 1], 80).into()).expect_err("refused");
        assert!(reason.contains("--allow-loopback-backends"), "{reason}");
    }

    #[test]
    fn the_control_plane_is_no_backend() {
        let on_one = policy(true, &["127.0.0.1:7400", "[::1]:7401"]);
        assert!(!allows(&on_one, "127.0.0.1:7400"));
        assert!(!allows(&on_one, "[::1]:7401"));
        assert!(allows(&on_one, "127.0.0.2:7400"));
        assert!(allows(&on_one, "127.0.0.1:7401"));

        for everywhere in ["0.0.0.0:7400", "[::]:7400"] {
            let policy = policy(true, &[everywhere]);
            for own in
                ["127.0.0.1:7400", "127.0.0.2:7400", "[::1]:7400", "10.0.0.5:7400", "[::ffff:10.0.0.5]:7400"]
            {
                assert!(!allows(&policy, own), "{own}");
            }
            assert!(allows(&policy, "10.0.0.6:7400"), "another machine's control plane port is free to use");
            assert!(allows(&policy, "10.0.0.5:7401"));
        }
    }

    #[test]
    fn this_machine_knows_its_own_addresses() {
        assert!(is_local(Ipv4Addr::LOCALHOST.into()));
        assert!(!is_local(Ipv4Addr::new(203, 0, 113, 1).into()), "a documentation address is nobody's");
    }
}
