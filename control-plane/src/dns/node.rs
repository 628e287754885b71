//! What a name stands for: pure, from the labels of the name and what is known.
//!
//! ```text
//! .                                    the domain itself: SOA, NS
//! ns                                   where DNS is answered
//! SERVICE.svc                          its backends that take traffic: A, AAAA, SRV
//! _http._tcp.SERVICE.svc               the same: SRV
//! proxies, ZONE.proxies                the proxies that take traffic, all or of a zone: A, AAAA, SRV
//! _http._tcp.proxies ...               the same: SRV
//! 10-0-0-7.addr, <32 digits>.addr      that address, so that SRV has something to point at
//! ```
//!
//! A service's name has dots where it has labels. Names that only lead to others exist, and have nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::view::View;

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Node {
    /// The domain itself.
    Apex,
    /// Where DNS is answered.
    NameServer,
    /// Nothing, but something below it.
    Inner,
    /// Addresses, and how to reach them.
    Hosts(Vec<Endpoint>),
    /// How to reach them, and no more.
    Service(Vec<Endpoint>),
    /// One address.
    Address(IpAddr),
}

/// Something that takes traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Endpoint {
    /// The lowest gets the traffic first.
    pub priority: u16,
    pub ip: IpAddr,
    /// 0 if it is not known.
    pub port: u16,
    pub weight: u16,
}

/// What the name of these labels, in lower case and without the domain, stands for. None if there is no such name.
pub(crate) fn find(labels: &[String], view: &View) -> Option<Node> {
    let (last, before) = match labels.split_last() {
        None => return Some(Node::Apex),
        Some((last, before)) => (last.as_str(), before),
    };
    match (last, before) {
        ("ns", []) => Some(Node::NameServer),
        ("svc" | "addr", []) => Some(Node::Inner),
        ("addr", [one]) => address(one).map(Node::Address),
        ("svc", before) => below(before, |name| view.backends(name), |suffix| view.has_service_below(suffix)),
        ("proxies", before) => below(before, |zone| view.proxies(zone), |suffix| view.has_zone_below(suffix)),
        _ => None,
    }
}

/// The label under `addr` of an address.
pub(crate) fn address_label(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => ip.to_string().replace('.', "-"),
        IpAddr::V6(ip) => format!("{:032x}", ip.to_bits()),
    }
}

/// A name that `hosts` knows, with `_http._tcp` before it or without; or one that leads to such a name.
fn below(
    labels: &[String],
    hosts: impl Fn(&str) -> Option<Vec<Endpoint>>,
    leads: impl Fn(&str) -> bool,
) -> Option<Node> {
    if let Some(found) = hosts(&labels.join(".")) {
        return Some(Node::Hosts(found));
    }
    match labels {
        [http, tcp, name @ ..] if http == "_http" && tcp == "_tcp" => {
            hosts(&name.join(".")).map(Node::Service)
        }
        [tcp, name @ ..] if tcp == "_tcp" => hosts(&name.join(".")).map(|_| Node::Inner),
        _ => leads(&format!(".{}", labels.join("."))).then_some(Node::Inner),
    }
}

fn address(label: &str) -> Option<IpAddr> {
    if label.len() == 32 {
        return u128::from_str_radix(label, 16).ok().map(|bits| Ipv6Addr::from_bits(bits).into());
    }
    label.replace('-', ".").parse().ok().map(|ip: Ipv4Addr| ip.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hickory_proto::{op::ResponseCode as Code, rr::RecordType as Type};
    use proptest::prelude::*;
    use weir_proto::{Backend, LeaseState, OperatorState};

    use super::*;
    use crate::dns::testing::{ask, backend, view, view_of, with_proxies};

    const NONE: (Code, Vec<String>) = (Code::NXDomain, Vec::new());
    const EMPTY: (Code, Vec<String>) = (Code::NoError, Vec::new());

    fn told(texts: &[&str]) -> (Code, Vec<String>) {
        (Code::NoError, texts.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn a_service_has_the_addresses_and_ports_of_its_backends() {
        let view = view(&[
            ("web/a", "10.0.0.1:80"),
            ("web/b", "10.0.0.1:81"),
            ("web/c", "[fd00::7]:80"),
            ("other/a", "10.9.9.9:80"),
        ]);
        assert_eq!(ask(&view, "web.svc.weir.", Type::A), told(&["10.0.0.1"]), "each once");
        assert_eq!(ask(&view, "web.svc.weir.", Type::AAAA), told(&["fd00::7"]));
        let services = told(&[
            "0 1 80 10-0-0-1.addr.weir.",
            "0 1 80 fd000000000000000000000000000007.addr.weir.",
            "0 1 81 10-0-0-1.addr.weir.",
        ]);
        assert_eq!(ask(&view, "web.svc.weir.", Type::SRV), services);
        assert_eq!(ask(&view, "_http._tcp.web.svc.weir.", Type::SRV), services);
        assert_eq!(ask(&view, "_http._tcp.web.svc.weir.", Type::A), EMPTY);
        assert_eq!(ask(&view, "10-0-0-1.addr.weir.", Type::A), told(&["10.0.0.1"]));
        let six = "FD000000000000000000000000000007.addr.weir.";
        assert_eq!(ask(&view, six, Type::AAAA), told(&["fd00::7"]));
        assert_eq!(ask(&view, six, Type::A), EMPTY);
    }

    #[test]
    fn who_takes_no_traffic_is_in_no_answer() {
        let mut backends = vec![backend("web/a", "10.0.0.1:80"), backend("web/b", "10.0.0.2:80")];
        for (backend, state) in [("web/c", OperatorState::Draining), ("web/d", OperatorState::Disabled)] {
            backends.push(Backend { operator_state: state, ..backend_at(backend) });
        }
        backends.push(Backend { lease_state: LeaseState::Expired, ..backend_at("web/e") });
        let view = view_of(backends);
        assert_eq!(ask(&view, "web.svc.weir.", Type::A), told(&["10.0.0.1", "10.0.0.2"]));

        let gone = view_of(vec![Backend { operator_state: OperatorState::Draining, ..backend_at("web/c") }]);
        assert_eq!(ask(&gone, "web.svc.weir.", Type::A), EMPTY, "the service exists");
    }

    #[test]
    fn backends_that_no_proxy_reaches_are_left_out_unless_they_are_all() {
        let view = view(&[("web/a", "10.0.0.1:80"), ("web/b", "10.0.0.2:80")]);
        let without = |names: &[&str]| {
            let unhealthy = names.iter().map(|name| (*name).to_owned()).collect();
            ask(&View { unhealthy: Arc::new(unhealthy), ..view.clone() }, "web.svc.weir.", Type::A)
        };
        assert_eq!(without(&["web/a", "other/b"]), told(&["10.0.0.2"]));
        assert_eq!(without(&["web/a", "web/b"]), told(&["10.0.0.1", "10.0.0.2"]), "health fails open");
    }

    #[test]
    fn backups_are_in_services_with_their_priority_and_in_addresses_only_when_they_are_first() {
        let with = |key, address, priority| Backend { priority, weight: 3, ..backend(key, address) };
        let both = view_of(vec![with("web/a", "10.0.0.1:80", 0), with("web/b", "10.0.0.2:80", 2)]);
        assert_eq!(ask(&both, "web.svc.weir.", Type::A), told(&["10.0.0.1"]));
        let services = told(&["0 3 80 10-0-0-1.addr.weir.", "2 3 80 10-0-0-2.addr.weir."]);
        assert_eq!(ask(&both, "web.svc.weir.", Type::SRV), services);
        let backup = view_of(vec![with("web/b", "10.0.0.2:80", 2)]);
        assert_eq!(ask(&backup, "web.svc.weir.", Type::A), told(&["10.0.0.2"]));
    }

    #[test]
    fn the_proxies_are_found_all_together_and_by_zone() {
        let proxies =
            [("a", "10.0.1.1:80"), ("a", "10.0.1.2:80"), ("Eu.b", "[fd00::1]:8080"), ("", "10.0.1.3:0")];
        let view = with_proxies(view(&[]), &proxies);
        let addresses = told(&["10.0.1.1", "10.0.1.2", "10.0.1.3"]);
        assert_eq!(ask(&view, "proxies.weir.", Type::A), addresses);
        assert_eq!(ask(&view, "a.proxies.weir.", Type::A), told(&["10.0.1.1", "10.0.1.2"]));
        let services = told(&["0 1 80 10-0-1-1.addr.weir.", "0 1 80 10-0-1-2.addr.weir."]);
        assert_eq!(ask(&view, "a.proxies.weir.", Type::SRV), services);
        assert_eq!(ask(&view, "_http._tcp.a.proxies.weir.", Type::SRV), services);
        assert_eq!(ask(&view, "eu.B.proxies.weir.", Type::AAAA), told(&["fd00::1"]));
        assert_eq!(ask(&view, "proxies.weir.", Type::SRV).1.len(), 3, "a port is not known of all");
        assert_eq!(ask(&view, "c.proxies.weir.", Type::A), NONE);
    }

    #[test]
    fn names_that_lead_to_others_exist_and_have_nothing() {
        let view = with_proxies(view(&[("checkout.shop/a", "10.0.0.1:80")]), &[("a.eu", "10.0.1.1:80")]);
        for inner in [
            "svc.weir.",
            "addr.weir.",
            "shop.svc.weir.",
            "_tcp.checkout.shop.svc.weir.",
            "eu.proxies.weir.",
            "_tcp.proxies.weir.",
            "_tcp.a.eu.proxies.weir.",
        ] {
            assert_eq!(ask(&view, inner, Type::A), EMPTY, "{inner}");
            assert_eq!(ask(&view, inner, Type::SRV), EMPTY, "{inner}");
        }
        for none in [
            "web.svc.weir.",
            "hop.svc.weir.",
            "a.checkout.shop.svc.weir.",
            "_udp.checkout.shop.svc.weir.",
            "_x._tcp.checkout.shop.svc.weir.",
            "_tcp.svc.weir.",
            "u.proxies.weir.",
            "1-2-3.addr.weir.",
            "1-2-3-256.addr.weir.",
            "a.1-2-3-4.addr.weir.",
            "www.weir.",
            "*.svc.weir.",
            "hostmaster.weir.",
        ] {
            assert_eq!(ask(&view, none, Type::A), NONE, "{none}");
        }
    }

    proptest! {
        #[test]
        fn every_address_has_a_label_that_leads_back_to_it(ip: IpAddr) {
            let label = address_label(ip);
            prop_assert!(label.len() <= 63);
            prop_assert_eq!(address(&label), Some(ip));
        }

        #[test]
        fn any_labels_are_looked_up_without_a_panic(labels in prop::collection::vec("[a-z0-9_-]{1,20}", 0..8)) {
            let view = with_proxies(view(&[("a.b/c", "10.0.0.1:80")]), &[("a.b", "10.0.0.1:80")]);
            for under in ["svc", "addr", "proxies", "_tcp"] {
                let mut labels = labels.clone();
                labels.push(under.to_owned());
                find(&labels, &view);
            }
        }
    }

    fn backend_at(key: &str) -> Backend {
        backend(key, "10.1.1.1:80")
    }
}
