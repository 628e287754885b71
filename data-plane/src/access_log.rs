//! The access log: one JSON object a line, written by a thread of its own, so that a slow disk delays no request.
//!
//! Each worker gathers lines in a buffer and hands it over when it is full or a quarter of a second old. When the
//! writer cannot keep up, whole buffers are dropped, and their lines counted.

mod record;
mod stamp;

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
};

use jiff::Timestamp;
use tokio::{
    sync::oneshot,
    time::{Duration, timeout},
};

pub(crate) use self::record::{Record, Request};
use self::stamp::Stamp;
use crate::counters::WorkerCounters;

/// A buffer is handed over from this size on.
const BUFFER: usize = 32 * 1024;

/// Buffers that wait for the writer, of all workers together.
const WAITING: usize = 64;

/// How long a proxy that ends waits for the writer.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The way to the writer's thread, which ends when the last buffer is gone.
#[derive(Debug)]
pub(crate) struct AccessLog {
    full: SyncSender<Vec<u8>>,
    /// Closed when the writer has written everything.
    written: oneshot::Receiver<()>,
}

/// Lines of one worker.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    full: SyncSender<Vec<u8>>,
    lines: Vec<u8>,
    stamp: Stamp,
    count: u64,
    /// Where dropped lines are counted.
    counters: Arc<WorkerCounters>,
}

impl AccessLog {
    /// Writes to the standard output.
    pub(crate) fn stdout() -> io::Result<Self> {
        Self::start(io::stdout())
    }

    /// Appends to a file, which is made if it is not there.
    pub(crate) fn file(path: &Path) -> io::Result<Self> {
        Self::start(OpenOptions::new().create(true).append(true).open(path)?)
    }

    /// A buffer for one worker.
    pub(crate) fn buffer(&self, counters: &Arc<WorkerCounters>) -> LogBuffer {
        LogBuffer {
            full: self.full.clone(),
            lines: Vec::new(),
            stamp: Stamp::default(),
            count: 0,
            counters: Arc::clone(counters),
        }
    }

    /// Returns when every line is written, or after two seconds: a disk that hangs keeps no proxy from ending. Call it
    /// when the workers have ended.
    pub(crate) async fn finish(self) {
        drop(self.full);
        if timeout(LAST_LINES, self.written).await.is_err() {
            tracing::warn!("the access log takes too long; its last lines are lost");
        }
    }

    fn start(target: impl Write + Send + 'static) -> io::Result<Self> {
        let (full, buffers) = mpsc::sync_channel(WAITING);
        let (writing, written) = oneshot::channel();
        thread::Builder::new().name("weir-access-log".to_owned()).spawn(move || {
            let _writing: oneshot::Sender<()> = writing;
            write(target, buffers);
        })?;
        Ok(Self { full, written })
    }
}

impl LogBuffer {
    /// Takes a line.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        record.write(self.stamp.of(Timestamp::now()), &mut self.lines);
        self.lines.push(b'\n');
        self.count += 1;
        if self.lines.len() >= BUFFER {
            self.flush();
        }
    }

    /// Hands over what there is, or drops it if too much waits already.
    pub(crate) fn flush(&mut self) {
        if self.lines.is_empty() {
            return;
        }
        let lines = std::mem::replace(&mut self.lines, Vec::with_capacity(BUFFER));
        if self.full.try_send(lines).is_err() {
            self.counters.access_log_dropped.add(self.count);
        }
        self.count = 0;
    }
}

fn write(mut target: impl Write, buffers: Receiver<Vec<u8>>) {
    let mut failing = false;
    for lines in buffers {
        let outcome = target.write_all(&lines).and_then(|()| target.flush());
        match outcome {
            Ok(()) => failing = false,
            // Said once, not for each buffer.
            Err(e) if !failing => {
                failing = true;
                tracing::error!("cannot write the access log: {e}; lines are lost until it works again");
            }
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record<'static> {
        Record {
            listener: "web",
            client: ([192, 0, 2, 1], 5000).into(),
            request: None,
            status: 200,
            reason: "ok",
            service: None,
            backend: None,
            attempts: 1,
            bytes_in: 0,
            bytes_out: 0,
            took: Duration::from_millis(2),
            upstream: None,
        }
    }

    /// Blocks until it is told to go on.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_in_order() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let log = AccessLog::file(file.path()).unwrap();
        let mut buffer = log.buffer(&Arc::default());
        buffer.push(&record());
        buffer.push(&Record { status: 404, reason: "no_route", ..record() });
        buffer.flush();
        drop(log);
        drop(buffer);
        let text = loop {
            let text = std::fs::read_to_string(file.path()).unwrap();
            if text.lines().count() == 2 {
                break text;
            }
            thread::yield_now();
        };
        let statuses: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["status"].clone())
            .collect();
        assert_eq!(statuses, [200, 404]);
    }

    #[test]
    fn a_stuck_writer_costs_lines_and_no_time() {
        let (go_on, stuck) = mpsc::channel();
        let log = AccessLog::start(Stuck(stuck)).unwrap();
        let counters = Arc::new(WorkerCounters::default());
        let mut buffer = log.buffer(&counters);
        for _ in 0..WAITING + 3 {
            buffer.push(&record());
            buffer.flush();
        }
        // The writer may or may not have taken one out of the queue.
        let dropped = counters.access_log_dropped.get();
        assert!((2..=3).contains(&dropped), "{dropped}");
        drop(go_on);
    }
}
