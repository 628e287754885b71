//! A proxy of the model: its process, its stream, its disk.

use std::sync::Arc;

use tokio_util::task::AbortOnDropHandle;
use weir_data_plane::simulation::Proxy as Process;
use weir_proto::v1::{Position, discovery_server::Discovery};

use super::line::Line;

/// Streams that their proxies have given up and the control plane has not.
const MOST_OLD: usize = 3;

/// One proxy, and what is around it.
pub(crate) struct Proxy {
    pub(crate) id: String,
    pub(crate) process: Arc<Process>,
    pub(crate) line: Option<Line>,
    pub(crate) old: Vec<Line>,
    /// What it has on its disk.
    copy: Option<Vec<u8>>,
    follows: Option<AbortOnDropHandle<String>>,
    boots: u64,
    /// Where it was when it was looked at last, since its start.
    pub(crate) seen: Option<Position>,
}

impl Proxy {
    pub(crate) async fn start(n: u8) -> Self {
        let id = format!("proxy-{n}");
        let process = Arc::new(Process::start(&id, 1, None).await);
        Self { id, process, line: None, old: Vec::new(), copy: None, follows: None, boots: 1, seen: None }
    }

    /// Whether it follows a stream.
    pub(crate) fn is_connected(&self) -> bool {
        self.follows.as_ref().is_some_and(|task| !task.is_finished())
    }

    /// Opens a stream, if there is none.
    pub(crate) async fn connect(&mut self, plane: &impl Discovery) {
        if self.is_connected() {
            return;
        }
        self.retire();
        let hello = self.process.hello().await;
        let Ok((line, end)) = Line::open(plane, hello).await else { return };
        let process = Arc::clone(&self.process);
        let follows = async move { process.follow(end.inbound, end.outbound).await };
        self.follows = Some(AbortOnDropHandle::new(tokio::spawn(follows)));
        self.line = Some(line);
    }

    /// Gives its stream up; the control plane may go on with it.
    pub(crate) fn retire(&mut self) {
        self.follows = None;
        if let Some(mut line) = self.line.take() {
            line.forget_proxy();
            self.old.push(line);
            if self.old.len() > MOST_OLD {
                self.old.remove(0);
            }
        }
    }

    /// Its stream ends on both sides.
    pub(crate) fn cut(&mut self) {
        self.follows = None;
        self.line = None;
    }

    /// Writes its copy.
    pub(crate) async fn write_copy(&mut self) {
        self.copy = self.process.copy().await.or(self.copy.take());
    }

    /// Dies and starts again, without its copy if the disk is gone too.
    pub(crate) async fn restart(&mut self, keep_disk: bool) {
        self.retire();
        self.boots += 1;
        if !keep_disk {
            self.copy = None;
        }
        self.process = Arc::new(Process::start(&self.id, self.boots, self.copy.as_deref()).await);
        self.seen = None;
    }
}
