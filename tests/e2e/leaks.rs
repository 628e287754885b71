//! Ten thousand requests leave nothing behind.

use weir_tests::{Backend, Client, Daemons, Process, get, until};

/// More resident memory than this after 9,000 further requests would be a leak of more than 800 bytes a request.
const GROWTH_KIB: u64 = 8 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn no_descriptor_thread_or_memory_is_left() {
    let backend = Backend::start("a").await;
    let daemons = Daemons::start(1).await;
    daemons.api.register("web", backend.address()).await.unwrap();
    daemons.api.settled(1).await;
    let proxy = &daemons.proxies[0];

    requests(&daemons, 1_000).await;
    let descriptors = quiet(proxy, usize::MAX).await;
    let (threads, resident) = (proxy.threads(), proxy.resident());
    requests(&daemons, 9_000).await;

    quiet(proxy, descriptors).await;
    // A thread that wrote the configuration to disk meanwhile lives on for 10 s.
    until("as many threads as before", async || (proxy.threads() <= threads).then_some(())).await;
    let grown = proxy.resident().saturating_sub(resident);
    println!(
        "10,000 requests: {descriptors} descriptors, {threads} threads, {resident} KiB, grown by {grown} KiB"
    );
    assert!(grown < GROWTH_KIB, "{grown} KiB");
    assert_eq!(backend.requests(), 10_000);
}

/// One after the other: most over one connection, every tenth over a new one.
async fn requests(daemons: &Daemons, count: usize) {
    let mut client = Client::open(daemons.traffic[0]).await.unwrap();
    for number in 0..count {
        let response = match number % 10 {
            0 => get(daemons.traffic[0], "/").await,
            _ => client.get("/").await,
        };
        assert_eq!(response.unwrap().status(), 200);
    }
}

/// Waits until no more than `limit` descriptors are open; what closes, closes soon. Their number.
async fn quiet(proxy: &Process, limit: usize) -> usize {
    until(&format!("at most {limit} open descriptors"), async || {
        let open = proxy.descriptors();
        (open <= limit).then_some(open)
    })
    .await
}
