//! The command that the agent stands beside: started on a leash, so that it does not outlive the agent, and in a process
//! group of its own, so that Ctrl-C at a terminal reaches the agent first and the command only after its drain. Signals
//! that mean nothing to the agent are the command's; as process 1 the agent buries all that nobody else does.

use std::{
    env,
    ffi::{OsStr, OsString},
    io::{self, IsTerminal},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use rustix::{
    fs::{Access, access},
    io::Errno,
    process::{
        Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, kill_process_group, wait, waitpid,
    },
};
use tokio::signal::unix::{self, SignalKind, signal};

use super::{leash, passing::Passing};
use crate::{Error, error::reason, signals::Signals};

/// A running command. Dropped while it runs, it is killed.
#[derive(Debug)]
pub(crate) struct Child {
    pid: Pid,
    /// Known once it has ended: the number may then be another's.
    code: Option<u8>,
    ends: unix::Signal,
    passing: Passing,
    /// Orphans become children of process 1.
    is_init: bool,
}

impl Child {
    /// Starts it. From now on signals that nobody listens to are passed on to it. Called on the main thread.
    pub(crate) fn spawn(command: &[OsString]) -> Result<Self, Error> {
        let program = command.first().ok_or_else(|| Error::Usage("say what to run after --".to_owned()))?;
        let failed = |e: &io::Error| Error::Failed(cannot_start(program, e));
        find(program).map_err(|e| failed(&e))?;
        let mut leash = leash::command(command);
        leash.process_group(0);
        if io::stdin().is_terminal() {
            // A background group that reads from the terminal would be stopped.
            leash.stdin(Stdio::null());
        }
        let ends = signal(SignalKind::child()).map_err(|e| failed(&e))?;
        let passing = Passing::listen().map_err(|e| failed(&e))?;
        let process = leash.spawn().map_err(|e| failed(&e))?;
        let pid = i32::try_from(process.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| failed(&io::ErrorKind::Unsupported.into()))?;
        Ok(Self { pid, code: None, ends, passing, is_init: getpid() == Pid::INIT })
    }

    /// Waits for its end: its exit code, or 128 and the signal that ended it. Signals are passed on only meanwhile.
    /// Cancel safe.
    pub(crate) async fn wait(&mut self) -> Result<u8, Error> {
        loop {
            self.bury().map_err(|e| Error::Failed(format!("lost the command: {}", reason(&e))))?;
            if let Some(code) = self.code {
                return Ok(code);
            }
            tokio::select! {
                _ = self.ends.recv() => {}
                signal = self.passing.next() => self.pass(signal),
            }
        }
    }

    /// Asks it to end, by SIGTERM, and makes it end by SIGKILL after the grace time or at the next signal to us.
    pub(crate) async fn stop(&mut self, grace: Duration, signals: &mut Signals) -> Result<u8, Error> {
        self.signal_all(Signal::TERM);
        // What is stopped hears nothing.
        self.signal_all(Signal::CONT);
        tokio::select! {
            code = self.wait() => return code,
            () = tokio::time::sleep(grace) => {}
            () = signals.next() => {}
        }
        self.signal_all(Signal::KILL);
        self.wait().await
    }

    /// Takes note of what has ended.
    fn bury(&mut self) -> io::Result<()> {
        while self.code.is_none() {
            let ended = if self.is_init {
                wait(WaitOptions::NOHANG)
            } else {
                waitpid(Some(self.pid), WaitOptions::NOHANG)
            };
            match ended {
                Ok(Some((pid, status))) if pid == self.pid => self.code = Some(exit_code(status)),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Ok(None) => break,
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// As one process stops and goes on at a terminal, so do the command and the agent together: a lease that nobody
    /// renews while its backend answers nobody lapses. Everything else is the command's own, as of a service manager.
    fn pass(&self, signal: Signal) {
        match signal {
            Signal::TSTP if !self.is_init => {
                self.signal_all(Signal::STOP);
                let _ = kill_process(getpid(), Signal::STOP);
            }
            Signal::CONT => self.signal_all(Signal::CONT),
            // It may have ended just now: then there is nothing to do.
            other => _ = kill_process(self.pid, other),
        }
    }

    /// To the command and what it started.
    fn signal_all(&self, signal: Signal) {
        if self.code.is_none() {
            // It may have ended just now: then there is nothing to do.
            let _ = kill_process_group(self.pid, signal);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.signal_all(Signal::KILL);
    }
}

/// Why a command does not run.
pub(super) fn cannot_start(program: &OsStr, why: &io::Error) -> String {
    format!("cannot start {}: {}", program.display(), reason(why))
}

/// The path of the program, by the rules of `execvp(3)`: what is not there is not registered either.
fn find(program: &OsStr) -> io::Result<PathBuf> {
    let is_program = |path: &Path| {
        access(path, Access::EXEC_OK)?;
        // A folder is executable, too.
        if path.is_dir() { Err(Errno::ACCESS) } else { Ok(path.to_owned()) }
    };
    if program.as_encoded_bytes().contains(&b'/') {
        return Ok(is_program(Path::new(program))?);
    }
    let path = env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    let found = env::split_paths(&path).find_map(|folder| is_program(&folder.join(program)).ok());
    found.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn exit_code(status: WaitStatus) -> u8 {
    let code = status.exit_status().or_else(|| status.terminating_signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_cannot_start_is_named() {
        for (program, says) in [
            ("/nowhere/app", "cannot start /nowhere/app: no such file or directory"),
            ("/etc/passwd", "cannot start /etc/passwd: permission denied"),
            ("no-such-program", "cannot start no-such-program: entity not found"),
        ] {
            assert_eq!(Child::spawn(&[program.into()]).expect_err("must fail").to_string(), says);
        }
    }

    #[test]
    fn a_program_is_found_as_a_shell_finds_it() {
        assert!(find(OsStr::new("sh")).is_ok_and(|path| path.is_absolute()));
        assert!(find(OsStr::new("/bin/sh")).is_ok());
        assert!(find(OsStr::new("")).is_err());
    }
}
