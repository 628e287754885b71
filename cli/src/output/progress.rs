//! How far long work is, on standard error: one line that changes on a terminal, else a line for each change.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

use tokio::time::Instant;
use weir_proto::visible;

/// Where every change is a line of its own, no more often than this.
const LINE_INTERVAL: Duration = Duration::from_secs(1);
/// To the begin of the line, which becomes empty.
const CLEAR: &str = "\r\x1b[2K";

/// What is told of work under way. The line goes with it.
pub(crate) struct Progress {
    is_terminal: bool,
    shown: String,
    /// When the last line was written, and of which step.
    last: Option<(Instant, i32)>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal(), shown: String::new(), last: None }
    }

    /// Tells how far `step` is. A new step is told at once; that it cannot be written is no reason to stop.
    pub(crate) fn say(&mut self, step: i32, line: &str) {
        if line == self.shown {
            return;
        }
        let now = Instant::now();
        let is_due = self.last.is_none_or(|(at, of)| of != step || now - at >= LINE_INTERVAL);
        if self.is_terminal {
            drop(write!(io::stderr().lock(), "{CLEAR}{}", visible(line)));
        } else if is_due {
            super::note(line);
        } else {
            return;
        }
        line.clone_into(&mut self.shown);
        self.last = Some((now, step));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_terminal && !self.shown.is_empty() {
            let mut stderr = io::stderr().lock();
            drop(stderr.write_all(CLEAR.as_bytes()).and_then(|()| stderr.flush()));
        }
    }
}
