//! Making a backup while everything goes on.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use weir_proto::Revision;

use super::{
    file::Encoder,
    record::{self, Content, End, Header, Stored, Tombstone},
};
use crate::{
    error::Error,
    journal::{Before, Query, RevisionRecord},
    registry::Registry,
    snapshot::Snapshot,
};

/// Bytes of a chunk at most.
const CHUNK: usize = 256 << 10;
/// Chunks that wait for the reader.
const AHEAD: usize = 2;
/// How long a reader may take for one chunk.
const PATIENCE: Duration = Duration::from_mins(1);
/// Revisions that are read from the store at once: changes wait meanwhile.
const REVISIONS_AT_ONCE: usize = 16;
/// Audit records that are read at once.
const RECORDS_AT_ONCE: usize = 500;

/// The file, in chunks. Objects are those of the newest revision, and nobody waits for that; the history up to it is
/// read from the store in small pieces. It is read as fast as it is taken; a reader that takes nothing for a minute gets
/// no more.
pub(crate) fn backup(registry: &Registry) -> ReceiverStream<Result<Bytes, Error>> {
    let (to, chunks) = mpsc::channel(AHEAD);
    let registry = registry.clone();
    tokio::spawn(async move {
        let mut output = Output { encoder: Encoder::new(), end: End::default(), to };
        if let Err(Some(error)) = write(&registry, &mut output).await {
            let _ = output.to.send(Err(error)).await;
        }
    });
    ReceiverStream::new(chunks)
}

/// Where the records go.
struct Output {
    encoder: Encoder,
    end: End,
    to: mpsc::Sender<Result<Bytes, Error>>,
}

impl Output {
    /// Adds a record. Fails, without an error to tell, if nobody takes it.
    async fn push(&mut self, content: Content) -> Result<(), Option<Error>> {
        self.end.count(&content);
        self.encoder.push(content);
        while self.encoder.bytes.len() >= CHUNK {
            self.send(CHUNK).await?;
        }
        Ok(())
    }

    async fn send(&mut self, bytes: usize) -> Result<(), Option<Error>> {
        let chunk = self.encoder.bytes.split_to(bytes).freeze();
        timeout(PATIENCE, self.to.send(Ok(chunk))).await.ok().and_then(Result::ok).ok_or(None)
    }
}

async fn write(registry: &Registry, output: &mut Output) -> Result<(), Option<Error>> {
    let snapshot = registry.current();
    let position = snapshot.position();
    let header = Header {
        epoch: position.epoch.0,
        revision: position.revision.0,
        digest: position.digest.0,
        time: Some(SystemTime::now().into()),
        floor: snapshot.floor().0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    output.push(Content::Header(header)).await?;
    objects(&snapshot, output).await?;
    let at = snapshot.revision();
    drop(snapshot);
    history(registry, at, output).await?;
    audit(registry, at, output).await?;
    // What was forgotten while it was read is below this.
    let floor = registry.read(|store, _| store.history_floor()).await?;
    output.end.history_floor = floor.min(at).0;
    let end = output.end.clone();
    output.push(Content::End(end)).await?;
    output.send(output.encoder.bytes.len()).await
}

async fn objects(snapshot: &Arc<Snapshot>, output: &mut Output) -> Result<(), Option<Error>> {
    for entry in snapshot.entries() {
        output.push(Content::Object(Stored::from(&**entry))).await?;
    }
    for (key, at) in snapshot.tombstones() {
        let tombstone = Tombstone { object: Some(key.wire()), revision: at.0 };
        output.push(Content::Tombstone(tombstone)).await?;
    }
    Ok(())
}

async fn history(registry: &Registry, at: Revision, output: &mut Output) -> Result<(), Option<Error>> {
    let mut before = at.next();
    loop {
        let query = Query {
            before: Some(before),
            most: REVISIONS_AT_ONCE,
            automatic: true,
            object: None,
            befores: true,
        };
        let records = registry.history(query).await?.records;
        let Some(last) = records.last() else { return Ok(()) };
        before = last.revision();
        for RevisionRecord { info, automatic, befores } in records {
            output.push(Content::Revision(record::Revision { info: Some(info), automatic })).await?;
            for Before { key, entry } in befores {
                let stored = entry.as_deref().map(Stored::from);
                let before = record::Before { object: Some(key.wire()), stored };
                output.push(Content::Before(before)).await?;
            }
        }
    }
}

async fn audit(registry: &Registry, at: Revision, output: &mut Output) -> Result<(), Option<Error>> {
    let mut before = None;
    loop {
        let records = registry.audit(before, RECORDS_AT_ONCE).await?;
        let Some(last) = records.last() else { return Ok(()) };
        before = Some(last.sequence);
        for record in records.into_iter().filter(|record| record.revision <= at.0) {
            output.push(Content::Audit(record)).await?;
        }
    }
}
