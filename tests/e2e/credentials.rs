//! What stands before the `@` of an authority is nobody's to read.

use weir_tests::{Backend, Daemons, Process, Signal, Wire};

#[tokio::test(flavor = "multi_thread")]
async fn a_targets_user_and_password_are_in_no_log_and_no_answer() {
    let (backend, daemons) = (Backend::start("a").await, Daemons::logged().await);
    daemons.serve("web", &[], &[backend.address()]).await;
    let requests = [
        "GET http://me:secret@web/ HTTP/1.1\r\nHost: web\r\n",
        "GET / HTTP/1.1\r\nHost: me:secret@web\r\n",
        "GET / HTTP/1.1\r\nHost: me:sec/ret@secret@web\r\n",
        "CONNECT me:secret@web HTTP/1.1\r\nHost: web\r\n",
    ];
    for request in requests {
        let mut wire = Wire::open(daemons.traffic[0]).await.unwrap();
        wire.send(format!("{request}Connection: close\r\n\r\n")).await.unwrap();
        let answer = String::from_utf8_lossy(&wire.rest().await.unwrap()).into_owned();
        assert!(answer.starts_with("HTTP/1.1 40") && !answer.contains("secret"), "{request}: {answer}");
    }
    for line in daemons.access_logged(0, requests.len()).await {
        assert_eq!(line["host"], "web", "{line}");
        assert!(!line.to_string().contains("secret"), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_password_in_the_url_of_a_control_plane_is_shown_nowhere() {
    let daemons = Daemons::start(0).await;
    // Nobody listens on port 1.
    for (address, succeeds) in [(daemons.grpc().to_string(), true), ("127.0.0.1:1".to_owned(), false)] {
        let mut command = Process::command("weir");
        command.args(["--control-plane", &format!("http://me:secret@{address}"), "status"]);
        let output = command.output().await.unwrap();
        let text = format!("{output:?}");
        assert!(output.status.success() == succeeds && !text.contains("secret"), "{text}");
    }
    let mut command = Process::command("weir-data-plane");
    let refused = command.args(["--control-plane", "https://me:secret@a:1"]).output().await.unwrap();
    assert!(!refused.status.success() && !format!("{refused:?}").contains("secret"), "{refused:?}");
    let mut command = Process::command("weir-data-plane");
    command.args(["--control-plane", &format!("http://me:secret@{}", daemons.grpc())]);
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let mut proxy = Process::spawn(command);
    proxy.line("connected to the control plane").await;
    proxy.signal(Signal::TERM);
    proxy.exit().await;
    assert!(!proxy.output().contains("secret"), "{}", proxy.output());
}
