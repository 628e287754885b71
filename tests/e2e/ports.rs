//! Each program says where it really listens, and a port in use ends it at once.

use std::net::TcpListener;

use tokio::{process::Command, time::Instant};
use weir_tests::{Process, Signal, at_once, get};

#[tokio::test(flavor = "multi_thread")]
async fn port_0_works_and_every_bound_address_is_told() {
    for (program, listens) in programs() {
        let mut process = Process::spawn(command(program, &["127.0.0.1:0", "127.0.0.1:0"]));
        let (service, admin) = (process.address(listens).await, process.address("admin").await);
        assert_ne!(service.port(), 0);
        assert_ne!(admin, service);
        assert_eq!(get(admin, "/livez").await.unwrap().status(), 200, "{program}");

        process.signal(Signal::INT);
        assert_eq!(process.exit().await.code(), Some(0), "{program}: {}", process.output());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use_ends_the_program_with_a_clear_error() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut commands = Vec::new();
    for (program, _) in programs() {
        commands.push(command(program, &[&address, "127.0.0.1:0"]));
        commands.push(command(program, &["127.0.0.1:0", &address]));
    }
    for flag in DEV_FLAGS {
        let mut dev = Process::command("weir");
        dev.arg("dev");
        for other in DEV_FLAGS {
            dev.args([other, if other == flag { &address } else { "127.0.0.1:0" }]);
        }
        commands.push(dev);
    }
    for command in commands {
        let what = format!("{:?}", command.as_std().get_args().collect::<Vec<_>>());
        let started = Instant::now();
        let mut process = Process::spawn(command);
        let status = process.exit().await;
        assert_eq!(status.code(), Some(1), "{what}: {}", process.output());
        let output = process.output();
        assert!(output.contains(&format!("cannot listen on {address}: ")), "{what}: {output}");
        let last = output.lines().last().unwrap();
        assert!(
            last.contains("address in use; stop the other process or choose another"),
            "{what}: {output}"
        );
        at_once(&what, started);
    }
}

/// Whoever reads where it listens may tell it to stop at once, and that must be no sudden death.
#[tokio::test(flavor = "multi_thread")]
async fn who_says_where_it_listens_can_be_told_to_stop() {
    for (program, listens) in programs() {
        let inner = command(program, &["127.0.0.1:0", "127.0.0.1:0"]);
        // Slow where it begins to listen to signals; the process is still the program's.
        let mut command = Command::new("strace");
        command.args(["-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=rt_sigaction"]);
        command.args(["-e", "inject=rt_sigaction:delay_enter=50000"]).env("WEIR_DNS", "127.0.0.1:0");
        command.arg(inner.as_std().get_program()).args(inner.as_std().get_args());
        let mut process = Process::spawn(command);
        process.address(listens).await;
        process.signal(Signal::TERM);
        assert_eq!(process.exit().await.code(), Some(0), "{program}: {}", process.output());
    }
}

/// Two proxies must not share a port by accident: the kernel would let them, and each would get half of the traffic.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_proxy_on_the_same_port_is_an_error_too() {
    let first = Process::spawn(command("weir-data-plane", &["127.0.0.1:0", "127.0.0.1:0"]));
    let traffic = first.address("traffic").await.to_string();
    let mut second = Process::spawn(command("weir-data-plane", &[&traffic, "127.0.0.1:0"]));
    assert_eq!(second.exit().await.code(), Some(1), "{}", second.output());
    assert!(second.output().contains(&format!("cannot listen on {traffic}")), "{}", second.output());
}

/// Where `weir dev` listens.
const DEV_FLAGS: [&str; 5] =
    ["--listen", "--proxy-admin", "--control-plane-listen", "--control-plane-admin", "--dns"];

/// The daemons, and what they call their main socket.
fn programs() -> [(&'static str, &'static str); 2] {
    [("weir-control-plane", "grpc"), ("weir-data-plane", "traffic")]
}

fn command(program: &str, [listen, admin]: &[&str; 2]) -> Command {
    let mut command = Process::command(program);
    command.args(["--listen", listen, "--admin", admin]);
    if program == "weir-control-plane" {
        command.args(["--store", "memory"]);
    } else {
        command.args(["--lame-duck", "0s", "--control-plane", "http://127.0.0.1:1"]);
    }
    command
}
