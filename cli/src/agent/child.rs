//! The command that the agent stands beside, in a process group of its own, so that Ctrl-C at a terminal reaches the
//! agent first and the command only after its drain.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    os::unix::process::ExitStatusExt,
    process::Stdio,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::{Error, signals::Signals};

/// A running command. Dropped while it runs, it is killed.
#[derive(Debug)]
pub(crate) struct Child {
    process: tokio::process::Child,
    /// Absent once it has ended: the number may then be another's.
    group: Option<Pid>,
}

impl Child {
    /// Starts it.
    pub(crate) fn spawn(command: &[OsString]) -> Result<Self, Error> {
        let Some((program, args)) = command.split_first() else {
            return Err(Error::Usage("say what to run after --".to_owned()));
        };
        let mut command = tokio::process::Command::new(program);
        command.args(args).process_group(0).kill_on_drop(true);
        if io::stdin().is_terminal() {
            // A background group that reads from the terminal would be stopped.
            command.stdin(Stdio::null());
        }
        let process = command.spawn().map_err(|e| {
            Error::Failed(format!("cannot start {}: {}", program.display(), crate::error::reason(&e)))
        })?;
        let group = process.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Ok(Self { process, group })
    }

    /// Waits for its end: its exit code, or 128 and the signal that ended it. Cancel safe.
    pub(crate) async fn wait(&mut self) -> Result<u8, Error> {
        let status = self
            .process
            .wait()
            .await
            .map_err(|e| Error::Failed(format!("lost the command: {}", crate::error::reason(&e))))?;
        self.group = None;
        let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
        Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
    }

    /// Asks it to end, by SIGTERM, and makes it end by SIGKILL after the grace time or at the next signal to us.
    pub(crate) async fn stop(&mut self, grace: Duration, signals: &mut Signals) -> Result<u8, Error> {
        self.signal(Signal::TERM);
        tokio::select! {
            code = self.wait() => return code,
            () = tokio::time::sleep(grace) => {}
            () = signals.next() => {}
        }
        self.signal(Signal::KILL);
        self.wait().await
    }

    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It may have ended just now: then there is nothing to do.
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Child {
        Child::spawn(&["sh".into(), "-c".into(), script.into()]).expect("sh starts")
    }

    #[tokio::test]
    async fn the_exit_code_is_the_commands() {
        assert_eq!(shell("exit 7").wait().await.ok(), Some(7));
        assert_eq!(shell("kill -9 $$").wait().await.ok(), Some(137));
    }

    #[tokio::test]
    async fn what_ignores_sigterm_is_killed() {
        let mut signals = Signals::listen().expect("signals");
        let mut polite = shell("trap 'exit 3' TERM; while :; do sleep 0.02; done");
        // The trap is set when the loop runs; before, SIGTERM just ends it.
        let code = polite.stop(Duration::from_secs(10), &mut signals).await.ok();
        assert!(matches!(code, Some(3 | 143)), "{code:?}");
        let mut deaf = Child::spawn(&["sh".into(), "-c".into(), "trap '' TERM; exec sleep 60".into()])
            .expect("sh starts");
        let code = deaf.stop(Duration::from_millis(50), &mut signals).await.ok();
        assert!(matches!(code, Some(137 | 143)), "{code:?}");
    }

    #[tokio::test]
    async fn what_cannot_start_is_named() {
        let error = Child::spawn(&["/nowhere/app".into()]).expect_err("must fail");
        assert_eq!(error.to_string(), "cannot start /nowhere/app: no such file or directory");
    }
}
