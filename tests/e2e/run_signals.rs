//! `weir run` and signals: what means nothing to the agent is the program's, and neither outlives the other.

use std::fs;

use rustix::process::{Pid, kill_process};
use weir_tests::{Daemons, Port, Process, Signal, until};

use crate::agent;

/// Nothing listens there.
const NOWHERE: &str = "http://127.0.0.1:1";

#[tokio::test(flavor = "multi_thread")]
async fn signals_that_the_agent_has_no_use_for_go_to_the_program() {
    let signals = [
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::ALARM, "ALRM"),
        (Signal::VTALARM, "VTALRM"),
        (Signal::PROF, "PROF"),
        (Signal::WINCH, "WINCH"),
        (Signal::URG, "URG"),
        (Signal::POWER, "PWR"),
        (Signal::TERM, "TERM"),
    ];
    let traps: String = signals.map(|(_, name)| format!("trap 'echo got {name}' {name}; ")).concat();
    let mut agent = shell(&[], &format!("{traps} trap 'exit 3' TERM; echo ready; {FOREVER}"));
    agent.line("ready").await;
    for (signal, name) in &signals[..9] {
        agent.signal(*signal);
        agent.line(&format!("got {name}")).await;
    }
    agent.signal(Signal::TERM);
    assert_eq!(agent.exit().await.code(), Some(3), "{}", agent.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_dies_with_its_agent_and_its_lease_lapses() {
    let daemons = Daemons::start(1).await;
    let port = Port::free();
    let url = format!("http://{}", daemons.grpc());
    let ended = ["--control-plane", &url, "--port", &port.address().port().to_string(), "--ttl", "1s"];
    let mut agent = shell(&ended, "trap '' HUP TERM; echo program $$ is there; exec sleep 600");
    let program = number(&agent.line("is there").await);
    let id = port.address().to_string();
    agent::registered(&daemons, &id).await;

    agent.kill().await;
    until("the program's end", async || (!runs(program)).then_some(())).await;
    until("the end of the lease", async || {
        let backends = daemons.api.backends("web").await.ok()?;
        let live = weir_proto::v1::LeaseState::Live;
        backends.iter().all(|b| b.id != id || b.lease_state() != live).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_stops_and_goes_on_with_its_agent() {
    let mut agent = shell(&[], &format!("trap 'exit 4' TERM; echo program $$ is there; {FOREVER}"));
    let program = number(&agent.line("is there").await);
    let both = [agent.pid(), program];
    agent.signal(Signal::TSTP);
    until("both to stop", async || both.iter().all(|pid| state(*pid) == Some('T')).then_some(())).await;
    agent.signal(Signal::CONT);
    until("both to go on", async || both.iter().all(|pid| state(*pid) != Some('T')).then_some(())).await;
    agent.signal(Signal::TERM);
    assert_eq!(agent.exit().await.code(), Some(4), "{}", agent.output());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ignores_sigterm_is_killed_with_all_that_it_started() {
    let script = "trap '' TERM; sleep 600 & echo other $! is there; echo ready; while :; do wait; done";
    let mut agent = shell(&["--grace", "50ms"], script);
    let other = number(&agent.line("is there").await);
    agent.line("ready").await;
    agent.signal(Signal::TERM);
    assert_eq!(agent.exit().await.code(), Some(137), "{}", agent.output());
    until("the other's end", async || (!runs(other)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_process_1_it_passes_signals_on_and_reaps_orphans() {
    let root: &[&str] =
        if rustix::process::getuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let apart = [root, &["--pid", "--fork", "--kill-child", "--mount-proc"]].concat();
    let folder = tempfile::tempdir().unwrap();
    let orphan = folder.path().join("orphan");
    let script = format!(
        "(sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 0.05' &)
        until test -e {0}; do sleep 0.01; done
        while test -e /proc/$(cat {0}); do sleep 0.01; done
        trap 'echo got QUIT; exit 5' QUIT; echo the orphan is gone; {FOREVER}",
        orphan.display()
    );
    let weir = Process::command("weir");
    let mut command = tokio::process::Command::new("unshare");
    command
        .args(&apart)
        .arg(weir.as_std().get_program())
        .args(ARGS)
        .args(["--port", "1", "--", "sh", "-c", &script]);
    let mut unshare = Process::spawn(command);
    unshare.line("the orphan is gone").await;
    let children = format!("/proc/{0}/task/{0}/children", unshare.pid());
    let agent = number(&fs::read_to_string(children).unwrap());
    kill_process(Pid::from_raw(agent.cast_signed()).unwrap(), Signal::QUIT).unwrap();
    assert_eq!(unshare.exit().await.code(), Some(5), "{}", unshare.output());
    assert!(unshare.output().contains("got QUIT"), "{}", unshare.output());
}

/// What a script does while it waits for signals.
const FOREVER: &str = "while :; do sleep 0.02; done";

const ARGS: [&str; 9] =
    ["--control-plane", NOWHERE, "run", "--service", "web", "--address", "127.0.0.1", "--check", "none"];

/// A script under `weir run`.
fn shell(args: &[&str], script: &str) -> Process {
    let mut command = Process::command("weir");
    command.args(&ARGS[2..]);
    if !args.contains(&"--control-plane") {
        command.args(&ARGS[..2]);
    }
    if !args.contains(&"--port") {
        command.args(["--port", "1"]);
    }
    command.args(args).args(["--", "sh", "-c", script]);
    Process::spawn(command)
}

/// The first number of a text.
fn number(text: &str) -> u32 {
    text.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or_else(|| panic!("no number: {text}"))
}

/// Whether the process is there and no mere record of its end.
fn runs(pid: u32) -> bool {
    state(pid).is_some_and(|state| state != 'Z')
}

/// How a process is, in the letter of `ps`.
fn state(pid: u32) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}
