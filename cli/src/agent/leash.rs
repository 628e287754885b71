//! The start of the command: this program once more, which ties its life to the agent's and then turns into the
//! command. The kernel kills it when the agent dies, of whatever (`prctl(2)`, `PR_SET_PDEATHSIG`). It must be said in
//! the child, and what runs there before an `exec` is unsafe; after one it is a program like any other.

use std::{ffi::OsString, io, os::unix::process::CommandExt, process::Command};

use rustix::process::{Pid, Signal, getpid, getppid, set_parent_process_death_signal};

use crate::{Exit, output};

/// The first argument that makes a leash of this program; no verb of the command line.
const LEASH: &str = "leash-of";
/// This program, also when its file has been replaced meanwhile.
const THIS_PROGRAM: &str = "/proc/self/exe";

/// The command on a leash, not started yet. To be started from the main thread: when the *thread* that started it ends,
/// the command ends.
pub(super) fn command(command: &[OsString]) -> Command {
    let mut leash = Command::new(THIS_PROGRAM);
    leash.arg0("weir").arg(LEASH).arg(getpid().as_raw_nonzero().to_string()).args(command);
    leash
}

/// Becomes the command, if this process is to. It only returns if it is not, or if that fails; then as a shell would.
pub(crate) fn become_command(args: &[OsString]) -> Option<Exit> {
    let [_, verb, agent, program, args @ ..] = args else { return None };
    let agent: i32 = agent.to_str()?.parse().ok().filter(|_| verb == LEASH)?;
    let why = match tie_to(agent) {
        Ok(()) => Command::new(program).args(args).exec(),
        Err(e) => e,
    };
    output::note(&super::child::cannot_start(program, &why));
    Some(Exit::Child(if why.kind() == io::ErrorKind::NotFound { 127 } else { 126 }))
}

fn tie_to(agent: i32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have died before that was said.
    if getppid() == Pid::from_raw(agent) { Ok(()) } else { Err(io::Error::other("the agent is gone")) }
}
