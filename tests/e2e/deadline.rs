//! Backends are told how much time is left.

use weir_tests::{Backend, Behaviour, Client, Daemons, until};

#[tokio::test(flavor = "multi_thread")]
async fn each_try_says_how_much_is_left_and_a_clients_own_word_does_not_count() {
    let hangs = Backend::with("hangs", Behaviour::Hang).await;
    let well = Backend::start("well").await;
    let daemons = Daemons::start(1).await;
    let timeouts = "timeouts: { request: 10s, per_try: 2s, deadline_header: x-time-left-ms }";
    daemons.serve("web", &[timeouts], &[hangs.address(), well.address()]).await;
    hangs.record();
    well.record();

    let mut client = Client::open(daemons.traffic[0]).await.unwrap();
    for _ in 0..2 {
        let request = "GET / HTTP/1.1\r\nHost: test\r\nX-Time-Left-Ms: 7\r\n\r\n";
        assert_eq!(client.send("GET", request).await.unwrap().text(), "well");
    }

    // Whatever began where nobody answers was sent on after its time for a try.
    until("it to be there", async || (!hangs.recorded().is_empty()).then_some(())).await;
    assert!((1..=2).contains(&hangs.requests()) && well.requests() == 2);
    for request in hangs.recorded().iter().chain(&well.recorded()) {
        let said = request.head.all("x-time-left-ms");
        let left: u64 = said[0].parse().unwrap();
        assert!(said.len() == 1 && (1..=2_000).contains(&left), "{}", request.head.raw);
    }

    // Without a time for each try it is the whole request's, less what the first one took.
    let timeouts = "timeouts: { request: 10s, deadline_header: x-time-left-ms }";
    let resets = Backend::with("resets", Behaviour::RawThenReset(String::new())).await;
    resets.record();
    daemons.serve("other", &[timeouts], &[resets.address()]).await;
    let request = "GET / HTTP/1.1\r\nHost: other\r\n\r\n";
    let answer = Client::open(daemons.traffic[0]).await.unwrap().send("GET", request).await.unwrap();
    assert_eq!(answer.status(), 502);
    let left: Vec<u64> = resets
        .recorded()
        .iter()
        .map(|request| request.head.get("x-time-left-ms").unwrap().parse().unwrap())
        .collect();
    assert!(left.len() == 2 && left[0] > left[1] && left[0] <= 10_000, "{left:?}");
    assert!(left[1] > 10_000 - 5_000, "{left:?}");
}
