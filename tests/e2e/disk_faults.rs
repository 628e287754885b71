//! The control plane's disk is full, damaged, torn or fails: nothing that was acknowledged is lost, nothing is
//! acknowledged that is not there, and all that needs no disk goes on.

use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{process::Command, time::Instant};
use tonic::Code;
use weir_proto::v1;
use weir_tests::{Api, Backend, Heartbeats, Process, get, until};

const TTL: Duration = Duration::from_secs(2);
/// Of the file system that fills up.
const SIZE: u64 = 2 << 20;
/// At which sync the disk fails.
const SYNCS: u32 = 20;
const SYNCS_IN_SOAK: u32 = 200;
/// What a control plane says when it listens, and what is said when it has ended.
const LISTENS: &str = "grpc listening on ";
const ENDED: &str = "it ended with ";

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_changes_are_refused_all_else_goes_on_and_room_is_enough_to_recover() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    fs::create_dir(&store).unwrap();
    // A file system of its own, that only this process sees; so it needs no rights, where it has none.
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--mount", "sh", "-c"]);
    command.arg(format!("mount -t tmpfs -o size={SIZE} none \"$0\" && exec \"$@\"")).arg(&store);
    let inner = control_plane(&store);
    command.arg(inner.as_std().get_program()).args(inner.as_std().get_args());
    let (plane, api) = start(command).await;

    let (backend, leased) = (Backend::start("a").await, Backend::start("leased").await);
    api.register("web", backend.address()).await.unwrap();
    let lease = api.lease("web", leased.address(), TTL).await.unwrap().lease_id;
    let _heartbeats = Heartbeats::start(&api, vec![lease], TTL / 4);
    let (_proxy, traffic) = proxy(&api, &dir, &plane).await;
    api.settled(1).await;

    let filler = PathBuf::from(format!("/proc/{}/root{}", plane.pid(), store.join("filler").display()));
    fill(&filler);
    let mut acknowledged = BTreeSet::new();
    let mut n = 0;
    let refused = until("the disk to be full", async || {
        n += 1;
        match api.register("shop", address(n)).await {
            Ok(_) => {
                acknowledged.insert(address(n).to_string());
                None
            }
            Err(status) => Some(status),
        }
    })
    .await;
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
    let refused =
        api.operator_state(&format!("web/{}", backend.address()), v1::OperatorState::Draining).await;
    assert_eq!(refused.unwrap_err().code(), Code::ResourceExhausted);

    // What needs no disk: reading, heartbeats for longer than the lease lasts, traffic, a proxy that is new.
    let full = Instant::now();
    while full.elapsed() < 2 * TTL {
        assert_eq!(get(traffic, "/").await.unwrap().status(), 200);
        let backends = api.backends("web").await.unwrap();
        let live = |b: &&v1::Backend| b.lease_state() != v1::LeaseState::Expired;
        assert_eq!(backends.iter().filter(live).count(), 2, "{backends:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    fs::remove_file(&filler).unwrap();
    until("a change to be made again", async || api.register("shop", address(0)).await.ok()).await;
    acknowledged.insert(address(0).to_string());
    let found: BTreeSet<_> = api.backends("shop").await.unwrap().into_iter().map(|b| b.address).collect();
    assert_eq!(found, acknowledged, "what was refused is not there, what was acknowledged is");
    let revision = api.status().await.unwrap().revision;
    api.acknowledged(revision, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_refused_in_plain_words_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let (mut plane, api) = start(control_plane(dir.path())).await;
    for n in 0..200 {
        api.register("shop", address(n)).await.unwrap();
    }
    plane.signal(weir_tests::Signal::TERM);
    plane.exit().await;
    let file = dir.path().join("weir.db");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 2_048].fill(0xa5);
    fs::write(&file, &bytes).unwrap();

    let mut plane = Process::spawn(control_plane(dir.path()));
    let exit = plane.exit().await;
    assert!(exit.code().is_some_and(|code| code != 0), "{exit}");
    let said = plane.output();
    assert!(said.contains("weir.db is damaged") && said.contains("restore"), "{said}");
    assert_eq!(fs::read(&file).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_torn_is_forgotten_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (mut plane, api) = start(control_plane(dir.path())).await;
    for n in 0..20 {
        api.register("shop", address(n)).await.unwrap();
    }
    let before = api.status().await.unwrap();
    plane.kill().await;
    let log = dir.path().join("weir.db-wal");
    // The head of a frame, and not all of what should follow.
    let whole = fs::read(&log).unwrap();
    let torn = &whole[32..32 + 24 + 1_000];
    fs::OpenOptions::new().append(true).open(&log).unwrap().write_all(torn).unwrap();

    let (_plane, api) = start(control_plane(dir.path())).await;
    let after = api.status().await.unwrap();
    assert_eq!((after.epoch, after.revision, after.digest), (before.epoch, before.revision, before.digest));
    api.register("shop", address(20)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_that_fails_acknowledges_nothing_ends_the_process_and_loses_nothing() {
    let syncs = if crate::soak() { SYNCS_IN_SOAK } else { SYNCS };
    let (mut acknowledged, mut ended) = (0, 0);
    for n in 1..=syncs {
        let dir = tempfile::tempdir().unwrap();
        let mut plane = Process::spawn(failing_at(n, &control_plane(dir.path())));
        let mut known = BTreeSet::new();
        // It may end before it listens: then nothing was promised.
        let listens = until("a start or an end", async || {
            let said = plane.output();
            said.contains(LISTENS).then_some(true).or(said.contains(ENDED).then_some(false))
        });
        if listens.await {
            let api = Api::at(plane.address("grpc").await);
            for i in 0..=syncs {
                match api.register("shop", address(i)).await {
                    Ok(_) => known.insert(address(i).to_string()),
                    Err(_) => break,
                };
            }
            let exit = plane.exit().await;
            assert!(!exit.success(), "sync {n}: {exit}");
            ended += 1;
        }
        let (_plane, api) = start(control_plane(dir.path())).await;
        let found: BTreeSet<_> = api.backends("shop").await.unwrap().into_iter().map(|b| b.address).collect();
        assert!(known.is_subset(&found), "sync {n}: {known:?} was acknowledged, {found:?} is there");
        assert!(found.len() <= known.len() + 1, "sync {n}: {known:?} was acknowledged, {found:?} is there");
        acknowledged += known.len();
    }
    assert!(ended > 0, "no sync failed after the start");
    println!("{syncs} syncs that fail, {ended} after the start: {acknowledged} acknowledged, 0 lost");
}

fn address(n: u32) -> SocketAddr {
    let [_, a, b, c] = n.to_be_bytes();
    SocketAddr::from(([10, a, b, c], 80))
}

fn control_plane(dir: &Path) -> Command {
    let mut command = Process::command("weir-control-plane");
    command.arg("--data-dir").arg(dir).args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"]);
    command.args(["--dns", "127.0.0.1:0"]);
    command
}

/// The same, with a disk whose syncs fail from this one on.
fn failing_at(n: u32, inner: &Command) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("\"$@\"; code=$?; echo \"{ENDED}$code\"; exit $code"), "sh", "strace"]);
    command.args(["-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync,fdatasync"]);
    command.args(["-e", &format!("inject=fsync,fdatasync:error=EIO:when={n}+")]);
    command.arg(inner.as_std().get_program()).args(inner.as_std().get_args());
    command
}

async fn start(command: Command) -> (Process, Api) {
    let plane = Process::spawn(command);
    let api = Api::at(plane.address("grpc").await);
    api.answers().await;
    (plane, api)
}

async fn proxy(api: &Api, dir: &TempDir, plane: &Process) -> (Process, SocketAddr) {
    let mut command = Process::command("weir-data-plane");
    command.arg("--control-plane").arg(format!("http://{}", plane.address("grpc").await));
    command.arg("--data-dir").arg(dir.path().join("proxy"));
    command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"]);
    let proxy = Process::spawn(command);
    let traffic = proxy.address("traffic").await;
    api.settled(1).await;
    (proxy, traffic)
}

/// Takes all the room there is.
fn fill(filler: &Path) {
    let mut file = fs::File::create(filler).unwrap();
    for size in [64 << 10, 4 << 10, 1] {
        let piece = vec![7; size];
        while file.write_all(&piece).is_ok() {}
    }
}
