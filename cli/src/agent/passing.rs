//! The signals that the agent has no use for: they are meant for its command.

use std::{future::poll_fn, io, task::Poll};

use rustix::process::Signal;
use tokio::signal::unix::{self, SignalKind, signal};

/// All that end or stop a process that does not care for them, or tell it something: but for those that ask the agent
/// to end, those that only the kernel sends for what the process itself does, and those that nobody can catch.
const PASSED: [Signal; 13] = [
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::ALARM,
    Signal::VTALARM,
    Signal::PROF,
    Signal::WINCH,
    Signal::IO,
    Signal::URG,
    Signal::POWER,
    Signal::STKFLT,
    Signal::TSTP,
    Signal::CONT,
];

/// The signals to be passed on, one after the other.
#[derive(Debug)]
pub(super) struct Passing(Vec<(Signal, unix::Signal)>);

impl Passing {
    /// From now on they do nothing by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        let listen = |passed: Signal| Ok((passed, signal(SignalKind::from_raw(passed.as_raw()))?));
        PASSED.into_iter().map(listen).collect::<io::Result<_>>().map(Self)
    }

    /// Waits for the next one. Cancel safe.
    pub(super) async fn next(&mut self) -> Signal {
        poll_fn(|context| {
            for (passed, signal) in &mut self.0 {
                if signal.poll_recv(context).is_ready() {
                    return Poll::Ready(*passed);
                }
            }
            Poll::Pending
        })
        .await
    }
}
