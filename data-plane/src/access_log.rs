//! The access log: one JSON object a line, written by a thread of its own, so that a slow disk delays no request.
//!
//! Each worker gathers lines in a buffer and hands it over when it is full or a quarter of a second old. When the
//! writer cannot keep up, whole buffers are dropped, and their lines counted. Where there are several workers, the writer
//! brings their lines into the order of time.

mod merge;
mod record;
mod stamp;

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
};

use jiff::Timestamp;
use tokio::{
    sync::oneshot,
    time::{Duration, timeout},
};

pub(crate) use self::record::{Record, Request};
use self::{merge::Merge, stamp::Stamp};
use crate::counters::WorkerCounters;

/// A buffer is handed over from this size on.
const BUFFER: usize = 32 * 1024;

/// Buffers that wait for the writer, of all workers together.
const WAITING: usize = 64;

/// Time that lines wait for older ones of other workers: twice as long as a worker keeps them, so that one that is late
/// is not too late.
const WINDOW: Duration = Duration::from_millis(500);

/// Bytes of lines that wait so. More are written before their time.
const MOST: usize = 4 * 1024 * 1024;

/// How long a proxy that ends waits for the writer.
const LAST_LINES: Duration = Duration::from_secs(2);

/// The way to the writer's thread, which ends when the last buffer is gone.
#[derive(Debug)]
pub(crate) struct AccessLog {
    full: SyncSender<Vec<u8>>,
    /// Buffers that were made.
    buffers: Arc<AtomicUsize>,
    /// Closed when the writer has written everything.
    written: oneshot::Receiver<()>,
}

/// Lines of one worker.
#[derive(Debug)]
pub(crate) struct LogBuffer {
    /// None after the end.
    full: Option<SyncSender<Vec<u8>>>,
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
        self.buffers.fetch_add(1, Relaxed);
        LogBuffer {
            full: Some(self.full.clone()),
            lines: Vec::new(),
            stamp: Stamp::default(),
            count: 0,
            counters: Arc::clone(counters),
        }
    }

    /// Returns when every line is written, or after two seconds: a disk that hangs keeps no proxy from ending. Call it
    /// when the workers have been told to end. Whether every line is written.
    pub(crate) async fn finish(self) -> bool {
        drop(self.full);
        let ended = timeout(LAST_LINES, self.written).await.is_ok();
        if !ended {
            tracing::warn!("the access log takes too long; its last lines are lost");
        }
        ended
    }

    fn start(target: impl Write + Send + 'static) -> io::Result<Self> {
        let (full, lines) = mpsc::sync_channel(WAITING);
        let (writing, written) = oneshot::channel();
        let buffers = Arc::new(AtomicUsize::new(0));
        let writer = Writer { target, failing: false, buffers: Arc::clone(&buffers) };
        thread::Builder::new().name("weir-access-log".to_owned()).spawn(move || {
            let _writing: oneshot::Sender<()> = writing;
            writer.run(&lines);
        })?;
        Ok(Self { full, buffers, written })
    }
}

impl LogBuffer {
    /// Takes a line.
    pub(crate) fn push(&mut self, record: &Record<'_>) {
        self.push_at(record, Timestamp::now());
    }

    fn push_at(&mut self, record: &Record<'_>, now: Timestamp) {
        record.write(self.stamp.of(now), &mut self.lines);
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
        if self.full.as_ref().is_none_or(|full| full.try_send(lines).is_err()) {
            self.counters.access_log_dropped.add(self.count);
        }
        self.count = 0;
    }

    /// Hands over what there is, and is done: the writer does not wait for this buffer any more, whoever still has it.
    pub(crate) fn end(&mut self) {
        self.flush();
        self.full = None;
    }
}

/// The thread that writes.
struct Writer<W> {
    target: W,
    /// The last lines could not be written.
    failing: bool,
    /// Workers whose lines come.
    buffers: Arc<AtomicUsize>,
}

impl<W: Write> Writer<W> {
    /// Until nobody hands over anything any more.
    fn run(mut self, lines: &Receiver<Vec<u8>>) {
        let mut merge = Merge::default();
        loop {
            let next = if merge.is_empty() {
                lines.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                lines.recv_timeout(WINDOW / 4)
            };
            match next {
                // Of one worker they are in order.
                Ok(lines) if self.buffers.load(Relaxed) < 2 => self.write(&lines),
                Ok(lines) => merge.add(lines),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.write(&merge.take(None, 0)),
            }
            let ripe = Timestamp::now().checked_sub(WINDOW).ok();
            self.write(&merge.take(ripe, MOST));
        }
    }

    fn write(&mut self, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        match self.target.write_all(lines).and_then(|()| self.target.flush()) {
            Ok(()) => self.failing = false,
            // Said once, not for each buffer.
            Err(e) if !self.failing => {
                self.failing = true;
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

    /// The worker that has been busy hands over what is older when others have long handed over what is newer.
    #[tokio::test]
    async fn lines_of_several_workers_are_in_the_order_of_time() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let log = AccessLog::file(file.path()).unwrap();
        let (mut one, mut two) = (log.buffer(&Arc::default()), log.buffer(&Arc::default()));
        // Nothing is ripe before the end, however slow the machine is.
        let start = Timestamp::now() + Duration::from_hours(1);
        let at = |ms: u64| start + Duration::from_millis(ms);
        for ms in [0, 3, 4, 9] {
            two.push_at(&Record { attempts: u32::try_from(ms).unwrap(), ..record() }, at(ms));
        }
        for ms in [1, 2, 4, 8] {
            one.push_at(&Record { attempts: u32::try_from(ms).unwrap(), ..record() }, at(ms));
        }
        one.flush();
        two.push_at(&Record { attempts: 10, ..record() }, at(10));
        two.end();
        one.end();
        assert!(log.finish().await);
        let text = std::fs::read_to_string(file.path()).unwrap();
        let order: Vec<u64> = text
            .lines()
            .map(|line| {
                serde_json::from_str::<serde_json::Value>(line).unwrap()["attempts"].as_u64().unwrap()
            })
            .collect();
        assert_eq!(order, [0, 1, 2, 3, 4, 4, 8, 9, 10]);
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
