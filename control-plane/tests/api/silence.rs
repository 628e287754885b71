//! Clients that say nothing, over real sockets and with the clock stopped.

use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    sync::mpsc,
    time::{Duration, pause, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::harness::Server;

#[tokio::test]
async fn clients_that_say_nothing_are_let_go_and_others_are_answered() {
    let server = Server::start();
    server.status().await;
    let mut silent = TcpStream::connect(server.grpc).await.expect("connects");
    // It opens a stream for a proxy and never says who it is.
    let (_up, messages) = mpsc::channel(1);
    let mut discovery = server.discovery().await;
    let mut nobody = discovery.stream(ReceiverStream::new(messages)).await.expect("a stream").into_inner();
    // Everything is on its way: only the clock can end it.
    pause();
    assert_eq!(nobody.message().await.expect_err("ended").code(), Code::DeadlineExceeded);
    // A reset is an end, too.
    let _ = timeout(Duration::from_mins(1), silent.read_to_end(&mut Vec::new())).await.expect("it is cut");
    server.status().await;
}
