//! What the protocol asks for: sizes, TCP, the spelling of names, and everything that is refused.

use std::net::SocketAddr;

use super::dig::dig;
use weir_tests::Daemons;

const MANY: u8 = 200;

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_into_a_datagram_comes_over_tcp() {
    let daemons = Daemons::start(0).await;
    let dns = daemons.control_plane.address("dns").await;
    let backends: Vec<_> = (1..=MANY).map(|i| SocketAddr::from(([127, 0, 1, i], 80))).collect();
    daemons.serve("many", &[], &backends).await;

    for (args, most) in [
        (&["+noedns"][..], 512),
        (&["+bufsize=512"], 512),
        (&["+bufsize=800"], 800),
        (&["+bufsize=1232"], 1232),
        (&["+bufsize=4096"], 1232),
    ] {
        let told = dig(dns, &[&["many.svc.weir", "A", "+ignore"], args].concat()).await;
        assert!(told.flags().contains(&"tc"), "{args:?}: {}", told.0);
        let (size, count) = (told.size(), told.section("ANSWER").len());
        assert!(size <= most && size > most - 40 && count >= 28, "{args:?}: {size} bytes, {count} records");
        assert_eq!(told.0.contains("EDNS: version: 0"), args != ["+noedns"], "{}", told.0);
    }

    for args in [&["many.svc.weir", "A"][..], &["many.svc.weir", "A", "+tcp"], &["many.svc.weir", "SRV"]] {
        let told = dig(dns, args).await;
        assert_eq!(told.0.contains("Truncated, retrying in TCP mode"), !args.contains(&"+tcp"), "{args:?}");
        assert!(told.0.contains("(TCP)") && !told.flags().contains(&"tc"), "{args:?}: {}", told.0);
        let mut answers = told.section("ANSWER");
        answers.sort();
        answers.dedup();
        assert_eq!(answers.len(), usize::from(MANY), "{args:?}");
    }
    let first = async || dig(dns, &["many.svc.weir", "A", "+tcp"]).await.section("ANSWER");
    assert_ne!(first().await, first().await, "each time in another order");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_come_back_as_they_were_spelt_and_everything_else_is_refused() {
    let daemons = Daemons::start(0).await;
    let dns = daemons.control_plane.address("dns").await;
    daemons.serve("web", &[], &["127.0.1.1:80".parse().unwrap()]).await;

    let told = dig(dns, &["wEb.SvC.WEir", "A"]).await;
    assert_eq!(told.section("QUESTION"), [";wEb.SvC.WEir. IN A"]);
    assert_eq!(told.section("ANSWER"), ["wEb.SvC.WEir. 5 IN A 127.0.1.1"]);
    assert_eq!(told.flags(), ["qr", "aa", "rd"], "no recursion");

    for (args, status) in [
        (&["example.com", "A"][..], "REFUSED"),
        (&[".", "NS"], "REFUSED"),
        (&["1.1.0.127.in-addr.arpa", "PTR"], "REFUSED"),
        (&["version.bind", "CH", "TXT"], "REFUSED"),
        (&["weir", "CH", "SOA"], "REFUSED"),
        (&["weir", "SOA", "+opcode=UPDATE"], "NOTIMP"),
        (&["weir", "SOA", "+opcode=NOTIFY"], "NOTIMP"),
        (&["weir", "SOA", "+header-only"], "FORMERR"),
        (&["weir", "SOA", "+edns=1", "+noednsnegotiation"], "BADVERS"),
        (&["weir", "SOA", "+ednsopt=65001:00ff", "+dnssec", "+nsid"], "NOERROR"),
    ] {
        assert_eq!(dig(dns, args).await.status(), status, "{args:?}");
    }
    for args in [["weir", "AXFR"], ["weir", "IXFR=1"]] {
        let transfer = dig(dns, &args).await;
        assert!(transfer.0.contains("Transfer failed"), "{args:?}: {}", transfer.0);
    }
}
