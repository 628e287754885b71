//! The three programs as processes of their own, with their state in a directory.

use std::{net::SocketAddr, path::PathBuf, process::Output, time::Duration};

use tempfile::TempDir;

use crate::{Api, Port, Process, get, until};

mod shown;

pub(crate) use shown::entry;

/// A control plane, its proxies, and the CLI to speak to it. They are killed when this is dropped.
#[derive(Debug)]
pub struct Daemons {
    /// The control plane's clients.
    pub api: Api,
    /// The control plane.
    pub control_plane: Process,
    /// The proxies, in the order of their start.
    pub proxies: Vec<Process>,
    /// Where each proxy takes traffic.
    pub traffic: Vec<SocketAddr>,
    grpc: Port,
    admin: Port,
    /// Of the proxies' traffic.
    ports: Vec<Port>,
    lame_duck: Duration,
    logged: bool,
    dir: TempDir,
}

impl Daemons {
    /// Starts a control plane and this many proxies, and waits until they follow it.
    pub async fn start(proxies: usize) -> Self {
        Self::with(proxies, Duration::ZERO, false).await
    }

    /// The same, with proxies that go on accepting for a while after SIGTERM.
    pub async fn with_lame_duck(proxies: usize, lame_duck: Duration) -> Self {
        Self::with(proxies, lame_duck, false).await
    }

    /// One proxy, with an access log.
    pub async fn logged() -> Self {
        Self::with(1, Duration::ZERO, true).await
    }

    async fn with(proxies: usize, lame_duck: Duration, logged: bool) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (grpc, admin) = (Port::free(), Port::free());
        let control_plane = spawn_control_plane(&dir, &grpc, &admin);
        control_plane.address("grpc").await;
        let api = Api::at(grpc.address());
        api.answers().await;
        let mut daemons = Self {
            api,
            control_plane,
            proxies: Vec::new(),
            traffic: Vec::new(),
            grpc,
            admin,
            ports: Vec::new(),
            lame_duck,
            logged,
            dir,
        };
        for index in 0..proxies {
            let port = Port::free();
            daemons.proxies.push(daemons.spawn_proxy(index, port.address()).await);
            daemons.traffic.push(port.address());
            daemons.ports.push(port);
        }
        daemons.api.settled(proxies).await;
        daemons
    }

    /// Where the control plane answers.
    #[must_use]
    pub fn grpc(&self) -> SocketAddr {
        self.grpc.address()
    }

    /// The control plane's metric of this name, summed over its labels.
    pub async fn metric(&self, name: &str) -> f64 {
        let page = get(self.admin.address(), "/metrics").await.expect("the admin page").text();
        let values = page.lines().filter(|line| line.split([' ', '{']).next() == Some(name));
        let values: Vec<f64> = values.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        assert!(!values.is_empty(), "no metric {name} in:\n{page}");
        values.iter().sum()
    }

    /// Where this proxy keeps its state.
    #[must_use]
    pub fn proxy_dir(&self, index: usize) -> PathBuf {
        self.dir.path().join(format!("proxy-{index}"))
    }

    /// Where the control plane keeps its store.
    #[must_use]
    pub fn store_dir(&self) -> PathBuf {
        self.dir.path().join("control-plane")
    }

    /// Waits until the copy that this proxy keeps on disk knows the backend: the copy follows the acknowledgement.
    pub async fn copied(&self, index: usize, backend: SocketAddr) {
        let (copy, address) = (self.proxy_dir(index).join("last-good.bin"), backend.to_string());
        until("the copy on disk", async || {
            let bytes = std::fs::read(&copy).ok()?;
            bytes.windows(address.len()).any(|window| window == address.as_bytes()).then_some(())
        })
        .await;
    }

    /// Starts the control plane again where it was, after its death, and waits until it answers.
    pub async fn restart_control_plane(&mut self) {
        self.control_plane = spawn_control_plane(&self.dir, &self.grpc, &self.admin);
        self.control_plane.address("grpc").await;
        self.api.answers().await;
    }

    /// Starts a proxy again where it was, after its death, and waits until its sockets stand.
    pub async fn restart_proxy(&mut self, index: usize) {
        self.proxies[index] = self.spawn_proxy(index, self.traffic[index]).await;
    }

    /// Runs `weir` with these arguments.
    pub async fn weir(&self, args: &[&str]) -> Output {
        let mut command = Process::command("weir");
        command.env("WEIR_CONTROL_PLANE", format!("http://{}", self.grpc())).args(args);
        command.output().await.expect("weir starts")
    }

    /// Runs `weir` with these arguments, which must succeed. What it printed.
    pub async fn weir_ok(&self, args: &[&str]) -> String {
        let output = self.weir(args).await;
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "weir {}: {}: {error}", args.join(" "), output.status);
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Applies a document with `weir apply`, and waits until every proxy serves it.
    pub async fn apply(&self, yaml: &str) {
        let file = self.dir.path().join("applied.yaml");
        std::fs::write(&file, yaml).expect("a file to write");
        let file = file.to_str().expect("a path of text");
        self.weir_ok(&["apply", "--wait", "-f", file]).await;
    }

    /// Applies one service with these settings, each a line as `lb_policy: random`, and these backends.
    pub async fn serve(&self, service: &str, settings: &[&str], backends: &[SocketAddr]) {
        let mut yaml = format!("services:\n  - name: {service}\n    backends:\n");
        yaml.extend(backends.iter().map(|address| format!("      - \"{address}\"\n")));
        yaml.extend(settings.iter().map(|setting| format!("    {setting}\n")));
        self.apply(&yaml).await;
    }

    async fn spawn_proxy(&self, index: usize, traffic: SocketAddr) -> Process {
        let mut command = Process::command("weir-data-plane");
        command.arg("--control-plane").arg(format!("http://{}", self.grpc()));
        command.arg("--data-dir").arg(self.proxy_dir(index));
        command.args(["--listen", &traffic.to_string(), "--admin", "127.0.0.1:0", "--workers", "2"]);
        command.args(["--lame-duck", &format!("{}ms", self.lame_duck.as_millis())]);
        // Other programs may have the processors for long: that is no load.
        command.args(["--id", &format!("proxy-{index}"), "--max-lateness", "0s"]);
        if self.logged {
            command.arg("--access-log").arg(self.access_log_file(index));
        }
        let proxy = Process::spawn(command);
        proxy.address("traffic").await;
        proxy
    }
}

fn spawn_control_plane(dir: &TempDir, grpc: &Port, admin: &Port) -> Process {
    let mut command = Process::command("weir-control-plane");
    command.arg("--data-dir").arg(dir.path().join("control-plane"));
    command.args(["--listen", &grpc.address().to_string(), "--admin", &admin.address().to_string()]);
    Process::spawn(command)
}
