//! The control plane as a process of its own, with its store on the disk, that can be killed and started again.

use std::{net::SocketAddr, time::Duration};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};
use tonic::{Status, transport::Channel};
use weir_proto::v1;
use weir_tests::{Api, Process, get};

use crate::measured::Measured;

/// Below the ports that Linux gives to clients: while the control plane is dead, none of a thousand clients that try to
/// reach it may get its port, nor reach itself.
const PORTS: std::ops::Range<u16> = 10_000..30_000;
/// Between two looks at whether it is ready.
const POLL: Duration = Duration::from_millis(1);
/// A start that takes longer counts as none.
const MOST_START: Duration = Duration::from_mins(2);

/// It is killed when this is dropped.
#[derive(Debug)]
pub(crate) struct Plane {
    /// Where it answers.
    pub(crate) grpc: SocketAddr,
    admin: SocketAddr,
    process: Process,
    dir: TempDir,
    settings: Vec<String>,
}

impl Plane {
    /// Starts one with an empty store.
    pub(crate) async fn start() -> Self {
        Self::with(&[]).await
    }

    /// The same with these flags.
    pub(crate) async fn with(settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (grpc, admin) = (free_port(), free_port());
        let settings: Vec<String> = settings.iter().map(ToString::to_string).collect();
        let process = spawn(&dir, grpc, admin, &settings);
        let plane = Self { grpc, admin, process, dir, settings };
        plane.ready().await;
        plane
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again after its death. How long it took from its start until it was ready.
    pub(crate) async fn restart(&mut self) -> Duration {
        let began = Instant::now();
        self.process = spawn(&self.dir, self.grpc, self.admin, &self.settings);
        self.ready().await;
        began.elapsed()
    }

    /// Typed clients, over one connection.
    pub(crate) fn api(&self) -> Api {
        Api::at(self.grpc)
    }

    /// Its number as a process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it uses from now on.
    pub(crate) fn measured(&self) -> Measured {
        Measured::from_now(self.pid())
    }

    /// What it says of itself.
    pub(crate) async fn status(&self) -> Result<v1::GetStatusResponse, Status> {
        self.api().status().await
    }

    /// Waits until its store is loaded and it serves.
    async fn ready(&self) {
        let deadline = Instant::now() + MOST_START;
        while get(self.admin, "/readyz").await.map_or(0, |page| page.status()) != 200 {
            assert!(Instant::now() < deadline, "not ready:\n{}", self.process.output());
            sleep(POLL).await;
        }
    }
}

/// A connection that is made with the first call, and again when it is lost.
pub(crate) fn channel(address: SocketAddr) -> Channel {
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("an address makes a URL");
    endpoint.tcp_nodelay(true).connect_lazy()
}

fn spawn(dir: &TempDir, grpc: SocketAddr, admin: SocketAddr, settings: &[String]) -> Process {
    let mut command = Process::command("weir-control-plane");
    command.arg("--data-dir").arg(dir.path().join("control-plane")).args(["--log", "warn"]);
    command.args(["--listen", &grpc.to_string(), "--admin", &admin.to_string()]).args(settings);
    Process::spawn(command)
}

fn free_port() -> SocketAddr {
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], fastrand::u16(PORTS)));
        if std::net::TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
