//! A copy of each request goes to another service, and nobody sees what becomes of it.

use weir_tests::{Backend, Behaviour, Client, Daemons, until};

#[tokio::test(flavor = "multi_thread")]
async fn copies_have_everything_and_what_they_meet_changes_nothing() {
    let (live, shadow) =
        (Backend::start("live").await, Backend::with("shadow", Behaviour::Status(500)).await);
    live.record();
    shadow.record();
    let daemons = Daemons::start(1).await;
    daemons.serve("shadow", &["outlier_detection: { disabled: true }"], &[shadow.address()]).await;
    daemons.serve("live", &["mirror: { service: shadow }"], &[live.address()]).await;

    let mut client = Client::open(daemons.traffic[0]).await.unwrap();
    for n in 0..20 {
        let request =
            format!("POST /{n} HTTP/1.1\r\nHost: live\r\nContent-Length: 6\r\nX-N: {n}\r\n\r\nbody{n:02}");
        let answer = client.send("POST", request).await.unwrap();
        assert_eq!((answer.status(), answer.text()), (200, "live".to_owned()));
    }
    until("all copies", async || (shadow.recorded().len() == 20).then_some(())).await;
    let mut copies = shadow.recorded();
    copies.sort_by_key(|request| request.body.clone());
    for (copy, original) in copies.iter().zip(live.recorded()) {
        assert_eq!((copy.head.start(), &copy.body), (original.head.start(), &original.body));
        assert_eq!(copy.head.get("x-n"), original.head.get("x-n"));
        assert_eq!((copy.head.get("host"), original.head.get("host")), (Some("live-shadow"), Some("live")));
    }

    // One that never answers keeps nobody waiting.
    shadow.set(Behaviour::Hang);
    for _ in 0..20 {
        let answer = client.send("GET", "GET / HTTP/1.1\r\nHost: live\r\n\r\n").await.unwrap();
        assert_eq!(answer.text(), "live");
    }
    shadow.has(40).await;
}
