//! `weir dev`: one command, and traffic is balanced.

use std::{net::SocketAddr, time::Duration};

use tokio::time::Instant;
use weir_tests::{Client, Process, Signal, get};

#[tokio::test(flavor = "multi_thread")]
async fn answers_rotate_over_the_sample_backends_and_ctrl_c_ends_it() {
    let mut dev = start(&[]);
    let traffic = proxy(&dev).await;

    let mut answers = Vec::new();
    for _ in 0..6 {
        let text = get(traffic, "/").await.unwrap().text();
        answers.push(text.lines().next().unwrap().to_owned());
    }
    let mut names = answers[..3].to_vec();
    names.sort();
    assert_eq!(names, ["hello from sample-1", "hello from sample-2", "hello from sample-3"]);
    assert_eq!(answers[..3], answers[3..]);
    let output = dev.output();
    assert!(output.contains("curl"), "it says what to try:\n{output}");

    let started = Instant::now();
    dev.signal(Signal::INT);
    assert_eq!(dev.exit().await.code(), Some(0), "{}", dev.output());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(Client::open(traffic).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_ends_it_as_well() {
    let mut dev = start(&["--backends", "1", "--proxies", "2"]);
    let traffic = proxy(&dev).await;
    assert!(get(traffic, "/").await.unwrap().text().contains("sample-1"));
    dev.signal(Signal::TERM);
    assert_eq!(dev.exit().await.code(), Some(0), "{}", dev.output());
}

fn start(args: &[&str]) -> Process {
    let mut command = Process::command("weir");
    command.arg("dev").args(args);
    for flag in ["--listen", "--proxy-admin", "--control-plane-listen", "--control-plane-admin", "--dns"] {
        command.args([flag, "127.0.0.1:0"]);
    }
    Process::spawn(command)
}

/// The address of the first proxy, out of the line that says what to try.
async fn proxy(dev: &Process) -> SocketAddr {
    let line = dev.line("curl").await;
    let address = line.split_whitespace().find_map(|word| {
        let word = word.trim_start_matches("http://").trim_end_matches(|c: char| !c.is_ascii_digit());
        word.parse().ok()
    });
    address.unwrap_or_else(|| panic!("no address in {line:?}"))
}
