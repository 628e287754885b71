//! The command line as users see it: every text here is a promise. `TRYCMD=overwrite cargo test -p weir-cli` writes
//! the texts anew.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
};

const WEIR: &str = env!("CARGO_BIN_EXE_weir");
/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

#[test]
fn texts_and_exit_codes() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}

#[test]
fn run_passes_on_the_exit_code_also_without_a_control_plane() {
    for (script, code) in [("exit 7", 7), ("kill -9 $$", 137), ("kill -QUIT $$", 131), ("true", 0)] {
        let mut weir = Command::new(WEIR);
        weir.args(["--control-plane", NOWHERE, "run", "--service", "web", "--port", "80", "--check", "none"]);
        let status = weir.args(["--", "sh", "-c", script]).stderr(Stdio::null()).status().expect("weir runs");
        assert_eq!(status.code(), Some(code), "{script}");
    }
}

#[test]
fn a_closed_pipe_ends_it_quietly() {
    let mut weir = Command::new(WEIR);
    weir.args(["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = weir.spawn().expect("weir runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("weir ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn dev_answers_and_ends_at_a_signal() {
    let mut child = dev(&["--listen", "127.0.0.1:0", "--backends", "2", "-o", "json"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("weir runs");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("a line");
    let ready: serde_json::Value = serde_json::from_str(&line).expect("JSON");
    let address = ready["traffic"][0].as_str().expect("an address").trim_start_matches("http://").to_owned();
    let names: Vec<_> = (0..4).map(|_| get(&address)).collect();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(kill.success());
    assert_eq!(child.wait().expect("weir ends").code(), Some(0));
    assert_eq!((&names[0], &names[1]), (&names[2], &names[3]));
    assert_ne!(names[0], names[1]);
}

#[test]
fn dev_says_which_address_is_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    let output = dev(&["--listen", &address]).output().expect("weir runs");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&address) && text.contains("in use"), "{text}");
}

/// With free ports but for what `args` says.
fn dev(args: &[&str]) -> Command {
    let mut weir = Command::new(WEIR);
    weir.arg("dev").args(["--control-plane-listen", "127.0.0.1:0", "--control-plane-admin", "127.0.0.1:0"]);
    weir.args(["--proxy-admin", "127.0.0.1:0", "--dns", "127.0.0.1:0"]).args(args);
    weir
}

/// The name of the backend that answers.
fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("the proxy accepts");
    let request = format!("GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer.lines().find(|l| l.starts_with("hello from ")).expect("a name").to_owned()
}
