//! Every history that the disk ever had: which one a proxy is in, and what the disk was before.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use weir_proto::{Digest, v1};

use super::{asks::Key, promises::Known};

/// The disk as it was after a commit.
#[derive(Debug)]
pub(crate) struct Past {
    pub(crate) position: v1::Position,
    /// What it was in between: one commit may have several revisions, each of which another history may have made alone.
    pub(crate) through: Vec<v1::Position>,
    pub(crate) digest: Digest,
    pub(crate) known: BTreeMap<Key, Known>,
    /// When objects that are gone went.
    pub(crate) removed: HashMap<Key, u64>,
}

/// The histories, the present one last. Each begins as a part of the one before, or anew.
#[derive(Debug)]
pub(crate) struct Lines(Vec<Vec<Arc<Past>>>);

impl Lines {
    pub(crate) fn new() -> Self {
        Self(vec![Vec::new()])
    }

    /// The present one goes on.
    pub(crate) fn push(&mut self, past: Past) {
        if let Some(line) = self.0.last_mut() {
            line.push(Arc::new(past));
        }
    }

    /// Another one begins with nothing.
    pub(crate) fn begin(&mut self) {
        self.0.push(Vec::new());
    }

    /// Another one begins with what the present one was so many commits ago. None if that is the empty disk, which has
    /// an epoch of its own.
    pub(crate) fn fork(&mut self, commits: usize) -> Option<Arc<Past>> {
        let line = self.0.last()?;
        let kept = line.get(..line.len().saturating_sub(commits)).filter(|kept| kept.len() > 1)?.to_vec();
        let newest = kept.last().cloned();
        self.0.push(kept);
        newest
    }

    /// Whether this ever was.
    pub(crate) fn has(&self, at: v1::Position) -> bool {
        self.0.iter().rev().any(|line| has(line, at))
    }

    /// Whether both are of one history.
    pub(crate) fn joins(&self, from: v1::Position, to: v1::Position) -> bool {
        self.0.iter().rev().any(|line| has(line, to) && has(line, from))
    }
}

fn has(line: &[Arc<Past>], at: v1::Position) -> bool {
    line.iter().rev().any(|past| past.position == at || past.through.contains(&at))
}
