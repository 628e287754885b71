//! A program whose log nobody reads any more goes on, and still ends when it is told to.

use weir_tests::{Backend, Daemons, Signal, get, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_daemons_work_and_end_without_a_reader() {
    let (a, b) = (Backend::start("a").await, Backend::start("b").await);
    let mut daemons = Daemons::start(1).await;
    daemons.api.register("web", a.address()).await.unwrap();
    daemons.api.settled(1).await;
    daemons.control_plane.stop_reading().await;
    daemons.proxies[0].stop_reading().await;

    // The end of the stream and each try to connect again are lines of the log.
    daemons.control_plane.signal(Signal::TERM);
    assert_eq!(daemons.control_plane.exit().await.code(), Some(0));
    daemons.restart_control_plane().await;
    let revision = daemons.api.register("web", b.address()).await.unwrap().revision;
    daemons.api.acknowledged(revision, 1).await;
    until("the new backend", async || (get(daemons.traffic[0], "/").await.ok()?.text() == "b").then_some(()))
        .await;

    daemons.proxies[0].signal(Signal::TERM);
    assert_eq!(daemons.proxies[0].exit().await.code(), Some(0));
}
