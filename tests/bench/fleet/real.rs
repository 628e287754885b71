//! Real proxies, as processes.

use std::{net::SocketAddr, time::Duration};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use weir_tests::{Process, get};

use crate::measured::Measured;

/// Between two looks at how far they are.
const POLL: Duration = Duration::from_millis(2);

/// One proxy. It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Real {
    /// Where it takes traffic.
    pub(crate) traffic: SocketAddr,
    admin: SocketAddr,
    process: Process,
    _dir: TempDir,
}

impl Real {
    /// Starts that many, named `real-0` and so on.
    pub(crate) async fn start(control_plane: SocketAddr, count: usize) -> Vec<Self> {
        let mut all = Vec::new();
        for number in 0..count {
            all.push(Self::one(control_plane, number).await);
        }
        all
    }

    /// Waits until all of them have this revision in force, or a later one. When that was; None if it takes longer than
    /// `most`.
    pub(crate) async fn all_have(proxies: &[Self], revision: u64, most: Duration) -> Option<Instant> {
        let deadline = Instant::now() + most;
        for proxy in proxies {
            while proxy.revision().await < revision {
                if Instant::now() > deadline {
                    return None;
                }
                sleep(POLL).await;
            }
        }
        Some(Instant::now())
    }

    /// What it uses from now on.
    pub(crate) fn measured(&self) -> Measured {
        Measured::from_now(self.process.pid())
    }

    /// Its number as a process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The revision in force.
    async fn revision(&self) -> u64 {
        let Ok(page) = get(self.admin, "/metrics").await else { return 0 };
        let page = page.text();
        let line = page.lines().find(|line| {
            !line.starts_with('#')
                && line.split([' ', '{']).next().is_some_and(|name| name.ends_with("config_revision"))
        });
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
    }

    async fn one(control_plane: SocketAddr, number: usize) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = Process::command("weir-data-plane");
        command.args(["--control-plane", &format!("http://{control_plane}"), "--log", "warn"]);
        command.arg("--data-dir").arg(dir.path()).args(["--id", &format!("real-{number}")]);
        command.args(["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1"]);
        let process = Process::spawn(command);
        let (traffic, admin) = (process.address("traffic").await, process.address("admin").await);
        Self { traffic, admin, process, _dir: dir }
    }
}
