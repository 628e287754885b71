//! A control plane whose store has lost something that it acknowledged says so with numbers, and does not start by
//! itself: not after its file went, not after the end of its log did.

use std::{fs, net::SocketAddr, path::Path};

use tokio::process::Command;
use weir_tests::{Api, Process};

const REVISIONS: u32 = 30;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cut_off_the_log_is_told_in_numbers_and_left_out_only_by_an_explicit_word() {
    let dir = killed().await;
    let log = dir.path().join("weir.db-wal");
    let whole = fs::read(&log).unwrap();
    fs::write(&log, &whole[..whole.len() / 3]).unwrap();
    let cut = fs::read(&log).unwrap();

    let said = refused(control_plane(dir.path())).await;
    let from = said.split("--accept-loss-from ").nth(1).and_then(|rest| rest.split(',').next()).unwrap();
    let from: u32 = from.parse().unwrap();
    assert!(from > 1 && from <= REVISIONS, "{said}");
    let missing =
        format!("{} acknowledged revisions, {from} to {REVISIONS}, are missing", REVISIONS + 1 - from);
    assert!(said.contains(&missing), "{said}");
    assert_eq!(fs::read(&log).unwrap(), cut, "it is left as it was found");
    let more = refused(accepting(dir.path(), from + 1)).await;
    assert!(more.contains(&missing), "less is accepted than is lost: {more}");

    let (_plane, api) = start(accepting(dir.path(), from)).await;
    let status = api.status().await.unwrap();
    assert_eq!(status.revision, u64::from(from));
    assert_eq!(api.backends("shop").await.unwrap().len(), from as usize - 1);
    api.register("shop", address(100)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_file_is_gone_or_empty_is_not_begun_anew() {
    let dir = killed().await;
    let (file, log) = (dir.path().join("weir.db"), dir.path().join("weir.db-wal"));
    let whole = fs::read(&log).unwrap();
    for empty in [true, false] {
        fs::remove_file(&file).unwrap();
        if empty {
            fs::write(&file, "").unwrap();
        }
        let said = refused(control_plane(dir.path())).await;
        let what = if empty { "weir.db is empty" } else { "weir.db is missing" };
        assert!(
            said.contains(what) && said.contains("weir.db-wal has ") && said.contains("to start anew"),
            "{said}"
        );
        assert_eq!(fs::read(&log).unwrap(), whole);
        fs::write(&file, "").unwrap();
    }
    // Without the log too: somebody was promised something.
    fs::remove_file(&log).unwrap();
    let said = refused(control_plane(dir.path())).await;
    assert!(
        said.contains(&format!("{REVISIONS} acknowledged revisions, 1 to {REVISIONS}, are missing")),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_cannot_be_is_refused_before_anything_listens() {
    let mut command = Process::command("weir-control-plane");
    command.args(["--store", "etcd://127.0.0.1:2379", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    let mut plane = Process::spawn(command);
    assert_eq!(plane.exit().await.code(), Some(2));
    let said = plane.output();
    assert!(said.contains("must be sqlite:PATH or memory") && !said.contains("listening"), "{said}");
}

/// A directory with a store of that many acknowledged revisions, whose control plane was killed.
async fn killed() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (mut plane, api) = start(control_plane(dir.path())).await;
    for n in 0..REVISIONS {
        api.register("shop", address(n)).await.unwrap();
    }
    assert_eq!(api.status().await.unwrap().revision, u64::from(REVISIONS));
    plane.kill().await;
    dir
}

async fn start(command: Command) -> (Process, Api) {
    let plane = Process::spawn(command);
    let api = Api::at(plane.address("grpc").await);
    api.answers().await;
    (plane, api)
}

/// What it says when it does not start.
async fn refused(command: Command) -> String {
    let mut plane = Process::spawn(command);
    let exit = plane.exit().await;
    assert_eq!(exit.code(), Some(1), "{exit}");
    let said = plane.output();
    assert!(said.contains("is incomplete"), "{said}");
    said
}

fn control_plane(dir: &Path) -> Command {
    let mut command = Process::command("weir-control-plane");
    command.arg("--data-dir").arg(dir).args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--dns", "127.0.0.1:0"]);
    command
}

fn accepting(dir: &Path, from: u32) -> Command {
    let mut command = control_plane(dir);
    command.arg("--accept-loss-from").arg(from.to_string());
    command
}

fn address(n: u32) -> SocketAddr {
    let [_, a, b, c] = n.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 80))
}
