//! Every type of record, and names that do not exist or have nothing.

use std::net::SocketAddr;

use super::dig::{dig, short};
use weir_tests::Daemons;

#[tokio::test(flavor = "multi_thread")]
async fn every_type_is_answered_or_said_not_to_be_there() {
    let daemons = Daemons::start(0).await;
    let dns = daemons.control_plane.address("dns").await;
    let backends: Vec<SocketAddr> =
        ["127.0.1.1:80", "127.0.1.1:81", "127.0.1.2:80", "[::1]:80"].map(|a| a.parse().unwrap()).to_vec();
    daemons.serve("web", &[], &backends).await;
    assert_eq!(daemons.api.status().await.unwrap().dns_address, dns.to_string());

    assert_eq!(short(dns, "web.svc.weir", "A").await, ["127.0.1.1", "127.0.1.2"]);
    assert_eq!(short(dns, "web.svc.weir", "AAAA").await, ["::1"]);
    let six = "00000000000000000000000000000001.addr.weir.";
    let services = [
        format!("0 1 80 {six}"),
        "0 1 80 127-0-1-1.addr.weir.".to_owned(),
        "0 1 80 127-0-1-2.addr.weir.".to_owned(),
        "0 1 81 127-0-1-1.addr.weir.".to_owned(),
    ];
    for name in ["web.svc.weir", "_http._tcp.web.svc.weir"] {
        assert_eq!(short(dns, name, "SRV").await, services);
        let mut addresses = dig(dns, &[name, "SRV"]).await.section("ADDITIONAL");
        addresses.sort();
        let expected = [
            format!("{six} 5 IN AAAA ::1"),
            "127-0-1-1.addr.weir. 5 IN A 127.0.1.1".to_owned(),
            "127-0-1-2.addr.weir. 5 IN A 127.0.1.2".to_owned(),
        ];
        assert_eq!(addresses, expected);
    }
    assert_eq!(short(dns, "127-0-1-2.addr.weir", "A").await, ["127.0.1.2"]);
    assert_eq!(short(dns, six, "AAAA").await, ["::1"]);
    assert_eq!(short(dns, "weir", "NS").await, ["ns.weir."]);
    assert_eq!(short(dns, "ns.weir", "A").await, ["127.0.0.1"]);
    let soa = "ns.weir. hostmaster.weir. 1 3600 600 86400 5";
    assert_eq!(short(dns, "weir", "SOA").await, [soa]);
    assert_eq!(
        dig(dns, &["web.svc.weir", "ANY"]).await.section("ANSWER"),
        ["web.svc.weir. 5 IN HINFO \"RFC8482\" \"\""]
    );
    assert_eq!(short(dns, "proxies.weir", "A").await, [""; 0], "none are there");

    for (name, kind, status) in [
        ("web.svc.weir", "TXT", "NOERROR"),
        ("proxies.weir", "A", "NOERROR"),
        ("svc.weir", "A", "NOERROR"),
        ("_tcp.web.svc.weir", "SRV", "NOERROR"),
        ("shop.svc.weir", "A", "NXDOMAIN"),
        ("a.proxies.weir", "A", "NXDOMAIN"),
        ("www.weir", "A", "NXDOMAIN"),
    ] {
        let told = dig(dns, &[name, kind]).await;
        assert_eq!(told.status(), status, "{name} {kind}");
        assert!(told.flags().contains(&"aa"), "{name} {kind}: {}", told.0);
        assert_eq!(told.section("ANSWER"), [""; 0], "{name} {kind}");
        assert_eq!(told.section("AUTHORITY"), [format!("weir. 5 IN SOA {soa}")], "{name} {kind}");
    }
}
