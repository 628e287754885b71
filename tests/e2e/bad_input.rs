//! Bad input gets one clear message and a non-zero exit, and changes nothing.

use std::{
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;
use tokio::process::Command;
use weir_tests::{Daemons, Process};

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_not_right() {
    let daemons = Daemons::start(0).await;
    let dir = tempfile::tempdir().unwrap();
    let before = daemons.api.status().await.unwrap();
    let mut told = String::new();
    for (name, text) in [
        ("malformed.yaml", "services:\n  - name: [web\n"),
        ("unknown-key.yaml", "services:\n  - name: web\n    backends:\n      - adress: 10.0.0.1:80\n"),
        ("bad-address.yaml", "services:\n  - name: web\n    backends: [ \"10.0.0.1\" ]\n"),
        ("bad-duration.yaml", "services:\n  - name: web\n    timeouts: { request: soon }\n"),
        ("duplicate.yaml", "services:\n  - name: web\n---\nservices:\n  - name: api\n  - name: web\n"),
        (
            "equal-routes.yaml",
            "routes:\n  - { match: { host: a }, service: x }\n  - { name: b, match: { host: A }, service: y }\n",
        ),
        ("metadata-service.yaml", "services:\n  - name: web\n    backends: [ \"169.254.169.254:80\" ]\n"),
    ] {
        let file = dir.path().join(name);
        fs::write(&file, text).unwrap();
        let output = daemons.weir(&["apply", "-f", file.to_str().unwrap()]).await;
        let text = String::from_utf8(output.stderr).unwrap();
        let code = output.status.code().unwrap();
        writeln!(told, "$ weir apply -f {name}\n? {code}\n{}", plain(&text, dir.path())).unwrap();
    }
    insta::assert_snapshot!(told);
    let after = daemons.api.status().await.unwrap();
    assert_eq!((after.revision, after.digest), (before.revision, before.digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_that_cannot_be_meant() {
    let daemons = Daemons::start(0).await;
    daemons.weir_ok(&["backend", "register", "web", "127.0.0.1:8080"]).await;
    let before = daemons.api.status().await.unwrap();
    let mut told = String::new();
    for args in [
        &["backend", "register", "web", "nowhere"][..],
        &["backend", "register", "web", "127.0.0.1:0"],
        &["backend", "register", "Web!", "127.0.0.1:80"],
        &["backend", "register", "web", "0.0.0.0:80"],
        &["backend", "register", "web", "169.254.169.254:80"],
        &["backend", "register", "web", "127.0.0.1:81", "--weight", "0"],
        &["backend", "register", "web", "127.0.0.1:81", "--ttl", "1ms"],
        &["backend", "drain", "web/nobody"],
        &["service", "delete", "web"],
        &["service", "get", "nothing"],
        &["frobnicate"],
    ] {
        let output = daemons.weir(args).await;
        let text = String::from_utf8(output.stderr).unwrap();
        writeln!(told, "$ weir {}\n? {}\n{text}", args.join(" "), output.status.code().unwrap()).unwrap();
    }
    insta::assert_snapshot!(told);
    let after = daemons.api.status().await.unwrap();
    assert_eq!((after.revision, after.digest), (before.revision, before.digest));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_is_not_there() {
    let mut command = Process::command("weir");
    command.args(["--control-plane", "http://127.0.0.1:1", "backend", "list"]);
    insta::assert_snapshot!(refusal(command, None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn stores_that_cannot_be_used() {
    let dir = tempfile::tempdir().unwrap();
    let mut told = String::new();

    let garbage = dir.path().join("garbage");
    fs::create_dir(&garbage).unwrap();
    fs::write(garbage.join("weir.db"), "not a database, but long enough to be looked at. ".repeat(100))
        .unwrap();
    let before = fs::read(garbage.join("weir.db")).unwrap();
    told += &refusal(control_plane(&garbage), Some(&dir)).await;
    assert!(fs::read(garbage.join("weir.db")).unwrap() == before, "the file is left as it is");

    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    told += &refusal(control_plane(&file), Some(&dir)).await;

    // Not even root can write there.
    told += &refusal(control_plane(&PathBuf::from("/proc/weir")), Some(&dir)).await;

    let damaged = store(&dir, "damaged").await;
    let database = damaged.join("weir.db");
    let mut bytes = fs::read(&database).unwrap();
    bytes.truncate(bytes.len() / 2);
    fs::write(&database, &bytes).unwrap();
    told += &refusal(control_plane(&damaged), Some(&dir)).await;

    let used = dir.path().join("used");
    let first = Process::spawn(control_plane(&used));
    first.address("grpc").await;
    first.line("admin listening").await;
    let client = weir_tests::Api::at(first.address("grpc").await);
    client.answers().await;
    told += &refusal(control_plane(&used), Some(&dir)).await;
    client.answers().await;

    insta::assert_snapshot!(told);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_make_no_sense() {
    let mut told = String::new();
    for (program, args) in [
        ("weir-control-plane", &[][..]),
        ("weir-control-plane", &["--store", "memory", "--listen", "0.0.0.0:7400"]),
        (
            "weir-control-plane",
            &["--store", "postgres://x", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
        ),
        ("weir-control-plane", &["--store", "memory", "--log", "weir=loud"]),
        ("weir-data-plane", &["--listen", "8080"]),
        ("weir-data-plane", &["--control-plane", "10.0.0.1"]),
        ("weir-data-plane", &["--lame-duck", "soon"]),
        ("weir-data-plane", &["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--id", "no spaces"]),
        (
            "weir-data-plane",
            &["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir", "/proc/weir"],
        ),
    ] {
        let mut command = Process::command(program);
        command.args(args);
        told += &refusal(command, None).await;
    }
    insta::assert_snapshot!(told);
}

/// Runs a program that refuses to start. What it was, its exit code, and its last words.
async fn refusal(mut command: Command, dir: Option<&TempDir>) -> String {
    let program = PathBuf::from(command.as_std().get_program());
    let args: Vec<_> = command.as_std().get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    let output = tokio::time::timeout(weir_tests::PATIENCE, command.kill_on_drop(true).output()).await;
    let output = output.unwrap_or_else(|_| panic!("{args:?} goes on")).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    // The log has lines of its own; what counts is what is said without a time stamp.
    let last: Vec<_> = error.lines().filter(|line| !line.contains("Z ")).collect();
    let name = program.file_name().unwrap().to_string_lossy();
    let code = output.status.code().unwrap();
    let told = format!("$ {name} {}\n? {code}\n{}\n\n", args.join(" "), last.join("\n"));
    match dir {
        Some(dir) => plain(&told, dir.path()),
        None => told,
    }
}

/// The text without what differs from run to run.
fn plain(text: &str, dir: &Path) -> String {
    text.replace(dir.to_str().unwrap(), "DIR")
}

fn control_plane(dir: &Path) -> Command {
    let mut command = Process::command("weir-control-plane");
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data-dir"]).arg(dir);
    command
}

/// A directory with a store in which there is something.
async fn store(dir: &TempDir, name: &str) -> PathBuf {
    let path = dir.path().join(name);
    let mut process = Process::spawn(control_plane(&path));
    let api = weir_tests::Api::at(process.address("grpc").await);
    api.answers().await;
    for port in 1..200 {
        api.register("web", ([10, 0, 0, 1], port).into()).await.unwrap();
    }
    process.signal(weir_tests::Signal::TERM);
    assert!(process.exit().await.success(), "{}", process.output());
    path
}
