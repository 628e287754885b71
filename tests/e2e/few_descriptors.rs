//! A control plane with few descriptors, and clients that say nothing: operators are answered all the same.

use std::net::SocketAddr;

use tokio::{
    net::TcpStream,
    process::Command,
    time::{Duration, Instant},
};
use weir_tests::{Api, Process, get};

/// What a shell may give a process.
const DESCRIPTORS: usize = 160;
/// The silent are cut by themselves after 10 s: operators must not wait for that.
const AT_ONCE: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_keep_no_operator_out() {
    let mut inner = Process::command("weir-control-plane");
    inner.args(["--store", "memory", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -n {DESCRIPTORS} && exec \"$@\"")).arg("sh");
    command.arg(inner.as_std().get_program()).args(inner.as_std().get_args()).env("WEIR_DNS", "127.0.0.1:0");
    let plane = Process::spawn(command);
    let (grpc, admin) = (plane.address("grpc").await, plane.address("admin").await);
    Api::at(grpc).answers().await;

    let mut silent = Vec::new();
    for _ in 0..2 * DESCRIPTORS {
        silent.push((open(grpc).await, open(admin).await));
    }
    let begun = Instant::now();
    for _ in 0..5 {
        Api::at(grpc).status().await.unwrap();
        assert_eq!(get(admin, "/readyz").await.unwrap().status(), 200);
    }
    assert!(begun.elapsed() < AT_ONCE, "{:?}", begun.elapsed());
    let said = plane.output();
    assert!(!said.contains("Too many open files"), "{said}");
    assert!(said.contains("who asks for nothing makes way"), "{said}");
}

async fn open(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).await.unwrap()
}
