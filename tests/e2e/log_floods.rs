//! No client writes into a program's log at its own pace.

use std::net::SocketAddr;

use weir_tests::{Daemons, Process, Signal, Wire};

/// The beginning of HTTP/2: the preface, and SETTINGS with nothing in them.
const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// The answer to a PING that nobody sent, for which a library has a warning.
const PONG: &[u8] = b"\0\0\x08\x06\x01\0\0\0\0weirweir";

/// Far more lines than a program may have to say about one client.
const MOST_LINES: usize = 30;

#[tokio::test(flavor = "multi_thread")]
async fn answers_to_pings_that_nobody_sent() {
    let mut daemons = Daemons::start(1).await;
    let before =
        [&daemons.proxies[0], &daemons.control_plane].map(|process| process.output().lines().count());
    pongs(daemons.traffic[0]).await;
    pongs(daemons.grpc()).await;
    let (proxy, plane) = (&mut daemons.proxies[0], &mut daemons.control_plane);
    assert_quiet(proxy, before[0]).await;
    assert_quiet(plane, before[1]).await;
}

/// Connections enough that a bound on one of them would not hide the others.
async fn pongs(address: SocketAddr) {
    for _ in 0..20 {
        let mut wire = Wire::open(address).await.unwrap();
        // Whoever has had enough may end it before all is sent.
        let _ = wire.send([BEGINNING, &PONG.repeat(100)].concat()).await;
        let _ = wire.finish().await;
        // All that counts was read when it ends.
        wire.to_end().await;
    }
}

/// Ends a program, so that all its lines are there.
async fn assert_quiet(process: &mut Process, before: usize) {
    process.signal(Signal::TERM);
    process.exit().await;
    let output = process.output();
    let lines: Vec<_> = output.lines().skip(before).collect();
    assert!(lines.len() < MOST_LINES, "{} lines, as {:?}", lines.len(), lines.get(..MOST_LINES));
}
