//! `weir dev`: proxies behind one name.

use std::{collections::HashSet, net::SocketAddr};

use super::{
    dig::{dig, short},
    stub::proxies,
};
use weir_tests::{Process, get};

#[tokio::test(flavor = "multi_thread")]
async fn three_proxies_are_found_by_one_name() {
    let mut command = Process::command("weir");
    command.args(["dev", "--proxies", "3"]);
    for flag in ["--listen", "--proxy-admin", "--control-plane-listen", "--control-plane-admin", "--dns"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    let dev = Process::spawn(command);
    let line = dev.line("dig @").await;
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[..3], ["dig", "@127.0.0.1", "-p"], "{line}");
    assert_eq!(words[4..], ["proxies.weir", "SRV", "+short"], "{line}");
    let dns = SocketAddr::from(([127, 0, 0, 1], words[3].parse().unwrap()));

    assert_eq!(short(dns, "proxies.weir", "SRV").await.len(), 3);
    let found: HashSet<_> = proxies(dns).await.0.into_iter().collect();
    assert_eq!(found.len(), 3);
    for proxy in found {
        assert_eq!(get(proxy, "/").await.unwrap().status(), 200);
    }
    assert_eq!(dig(dns, &["sample.svc.weir", "SRV"]).await.section("ANSWER").len(), 3);
}
