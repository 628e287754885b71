//! The real programs, where signals and sudden deaths matter.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::PATIENCE;

const POLL: Duration = Duration::from_millis(2);

/// How long what a program that has ended printed may be on its way.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// A running program. It is killed when this is dropped.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    readers: [JoinHandle<()>; 2],
}

impl Process {
    /// A command for one of Weir's programs, which sees no setting from the environment; a control plane answers DNS on
    /// a free port.
    #[must_use]
    pub fn command(program: &str) -> Command {
        let mut command = Command::new(directory().join(program));
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("WEIR_") {
                command.env_remove(name);
            }
        }
        command.env("WEIR_DNS", "127.0.0.1:0");
        command
    }

    /// Starts it and gathers what it prints.
    #[must_use]
    pub fn spawn(mut command: Command) -> Self {
        let program = Path::new(command.as_std().get_program());
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let stdio = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = stdio.kill_on_drop(true).spawn().unwrap_or_else(|e| panic!("{name}: {e}"));
        let lines = Arc::new(Mutex::new(Vec::new()));
        let readers = [
            gather(child.stdout.take().expect("piped"), lines.clone()),
            gather(child.stderr.take().expect("piped"), lines.clone()),
        ];
        Self { name, child, lines, readers }
    }

    /// Everything that it has printed so far, on both streams.
    #[must_use]
    pub fn output(&self) -> String {
        self.lines.lock().expect("not poisoned").join("\n")
    }

    /// Waits for a line that holds this text. The line.
    pub async fn line(&self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let over = self.readers.iter().all(JoinHandle::is_finished) || Instant::now() > deadline;
            let found =
                self.lines.lock().expect("not poisoned").iter().find(|line| line.contains(text)).cloned();
            match found {
                Some(line) => return line,
                None if over => panic!("{} did not print {text:?}, but:\n{}", self.name, self.output()),
                None => sleep(POLL).await,
            }
        }
    }

    /// Waits for the line `<what> listening on <address>`. The address.
    pub async fn address(&self, what: &str) -> SocketAddr {
        let line = self.line(&format!("{what} listening on ")).await;
        let address = line.split("listening on ").nth(1).and_then(|rest| rest.split_whitespace().next());
        address.and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no address in {line:?}"))
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id().expect("still running")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process number");
        kill_process(pid, signal).expect("a process that lives");
    }

    /// `kill -9`, and waits until it is gone.
    pub async fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.exit().await;
    }

    /// Waits until it ends by itself, and all that it printed is here.
    pub async fn exit(&mut self) -> ExitStatus {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        assert!(ended.is_ok(), "{} does not end:\n{}", self.name, self.output());
        // A grandchild that still holds the pipes open is not waited for.
        let read = async || {
            while !self.readers.iter().all(JoinHandle::is_finished) {
                sleep(POLL).await;
            }
        };
        let _ = timeout(LAST_WORDS, read()).await;
        ended.expect("an end").expect("a child to wait for")
    }

    /// Closes its standard output and error, as when whoever gathers its log dies.
    pub async fn stop_reading(&mut self) {
        for reader in &mut self.readers {
            reader.abort();
            let _ = reader.await;
        }
    }

    /// Open descriptors.
    #[must_use]
    pub fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("a process that lives").count()
    }

    /// Threads.
    #[must_use]
    pub fn threads(&self) -> u64 {
        self.status("Threads:")
    }

    /// Resident memory in KiB.
    #[must_use]
    pub fn resident(&self) -> u64 {
        self.status("VmRSS:")
    }

    fn status(&self, field: &str) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("a process that lives");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("a field of Linux");
        line.split_whitespace().next().and_then(|number| number.parse().ok()).expect("a number")
    }
}

fn gather(stream: impl AsyncRead + Send + Unpin + 'static, lines: Arc<Mutex<Vec<String>>>) -> JoinHandle<()> {
    let mut stream = BufReader::new(stream).lines();
    tokio::spawn(async move {
        while let Ok(Some(line)) = stream.next_line().await {
            lines.lock().expect("not poisoned").push(line);
        }
    })
}

/// Where the programs are: `WEIR_BIN_DIR`, else beside this very program, where they are built first.
fn directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        if let Some(directory) = env::var_os("WEIR_BIN_DIR") {
            return directory.into();
        }
        let this = env::current_exe().expect("a path");
        let directory = this.ancestors().skip(1).find(|path| !path.ends_with("deps")).expect("a directory");
        let mut cargo = std::process::Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["build", "--quiet", "--bins", "-p", "weir-control-plane", "-p", "weir-data-plane"]);
        cargo.args(["-p", "weir-cli", "-p", "weir-tests"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        if directory.ends_with("release") {
            cargo.arg("--release");
        }
        assert!(cargo.status().expect("cargo").success(), "the programs do not compile");
        directory.to_owned()
    })
}
