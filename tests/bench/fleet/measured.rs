//! What a process uses, as the kernel counts it: CPU from `/proc/PID/stat`, memory from `/proc/PID/status`.

use std::{fs, time::Duration};

use tokio::time::Instant;

use crate::report::number;

/// Linux counts CPU time for user programs in these, on every architecture.
const TICK: Duration = Duration::from_millis(10);

/// What a process had used at a moment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measured {
    pid: u32,
    cpu: Duration,
    at: Instant,
}

impl Measured {
    /// From now on.
    pub(crate) fn from_now(pid: u32) -> Self {
        Self { pid, cpu: cpu(pid), at: Instant::now() }
    }

    /// CPU time since then.
    pub(crate) fn cpu(&self) -> Duration {
        cpu(self.pid).saturating_sub(self.cpu)
    }

    /// In percent of one core, since then.
    pub(crate) fn percent(&self) -> f64 {
        self.cpu().as_secs_f64() / self.at.elapsed().as_secs_f64() * 100.0
    }
}

/// Resident memory in bytes.
pub(crate) fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() * 1_024
}

/// In MiB, to print.
pub(crate) fn mebibytes(bytes: u64) -> f64 {
    number(bytes) / 1_048_576.0
}

/// User and system time of all its threads, also of those that have ended.
fn cpu(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name, in parentheses, may hold anything; the fields after it do not.
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u32>().ok());
    TICK * ticks.sum::<u32>()
}
