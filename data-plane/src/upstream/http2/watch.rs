//! What the bytes of a backend's connection say about it: whether it only makes work, and which of its answers are
//! malformed in a way that the codec does not mind.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use h2::StreamId;
use tokio::time::Instant;

use crate::http2::{
    budget::Budget,
    frames::{Block, Frames, Seen},
    hpack::{Pseudo, Section, Walker},
};

/// Shared by the connection's byte stream and its requests.
#[derive(Debug)]
pub(super) struct Watch {
    received: RefCell<Received>,
    /// A stream has something to be asked for.
    suspicious: Cell<bool>,
}

/// A request on the connection, for as long as its answer matters.
#[derive(Debug)]
pub(super) struct Stream {
    watch: Rc<Watch>,
    id: u32,
}

#[derive(Debug)]
struct Received {
    frames: Frames,
    walker: Walker,
    budget: Budget,
    /// When the budget was filled by time last.
    refilled: Instant,
    overdrawn: bool,
    /// As many as there are requests.
    streams: Vec<Answer>,
}

/// What is known of a request's answer.
#[derive(Debug, Clone, Copy)]
struct Answer {
    stream: u32,
    /// It has a pseudo-field that belongs to requests.
    malformed: bool,
    /// It ended with a status. That is an answer without a body; there are no such trailers.
    ends_with_status: bool,
}

impl Watch {
    /// A request was sent, on this stream.
    pub(super) fn begin(self: &Rc<Self>, stream: StreamId) -> Stream {
        let id = stream.as_u32();
        let received = &mut *self.received.borrow_mut();
        received.budget.asked();
        received.streams.push(Answer { stream: id, malformed: false, ends_with_status: false });
        Stream { watch: Rc::clone(self), id }
    }

    /// The next bytes of the backend. False if it has cost more than it may.
    pub(super) fn read(&self, bytes: &[u8]) -> bool {
        let received = &mut *self.received.borrow_mut();
        if received.read(bytes) {
            self.suspicious.set(true);
        }
        !received.overdrawn
    }

    pub(super) fn is_overdrawn(&self) -> bool {
        self.received.borrow().overdrawn
    }
}

impl Default for Watch {
    fn default() -> Self {
        let received = Received {
            frames: Frames::of_server(),
            walker: Walker::default(),
            budget: Budget::new(),
            refilled: Instant::now(),
            overdrawn: false,
            streams: Vec::new(),
        };
        Self { received: RefCell::new(received), suspicious: Cell::default() }
    }
}

impl Received {
    /// Whether an answer is to be looked at.
    fn read(&mut self, bytes: &[u8]) -> bool {
        let Self { frames, walker, budget, streams, .. } = self;
        let mut found = false;
        frames.read(bytes, |seen| match seen {
            Seen::Frame(frame) => budget.answered_with(frame),
            Seen::Fragment(bytes) => walker.read(bytes),
            Seen::Block(block) => found |= judge(streams, block, walker.end()),
        });
        self.overdrawn |= self.budget.is_overdrawn(|| {
            let now = Instant::now();
            now - std::mem::replace(&mut self.refilled, now)
        });
        found
    }
}

/// RFC 9113 sections 8.1 and 8.3.2.
fn judge(streams: &mut [Answer], block: Block, Section { pseudo, .. }: Section) -> bool {
    let malformed = !pseudo.without(Pseudo::STATUS).is_empty();
    let ends_with_status = block.ends_stream && pseudo.contains(Pseudo::STATUS);
    if !malformed && !ends_with_status {
        return false;
    }
    let Some(answer) = streams.iter_mut().find(|answer| answer.stream == block.stream) else { return false };
    answer.malformed |= malformed;
    answer.ends_with_status |= ends_with_status;
    true
}

impl Stream {
    /// Data of the request was sent.
    pub(super) fn sent(&self, bytes: usize) {
        self.watch.received.borrow_mut().budget.sent(bytes);
    }

    /// Whether what has come of the answer is none.
    pub(super) fn is_malformed(&self) -> bool {
        self.watch.suspicious.get() && self.answer().is_some_and(|answer| answer.malformed)
    }

    /// Whether its trailers, which have come, are none.
    pub(super) fn has_malformed_trailers(&self) -> bool {
        let is_bad = |answer: Answer| answer.malformed || answer.ends_with_status;
        self.watch.suspicious.get() && self.answer().is_some_and(is_bad)
    }

    fn answer(&self) -> Option<Answer> {
        let received = self.watch.received.borrow();
        received.streams.iter().find(|answer| answer.stream == self.id).copied()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let streams = &mut self.watch.received.borrow_mut().streams;
        if let Some(place) = streams.iter().position(|answer| answer.stream == self.id) {
            streams.swap_remove(place);
            self.watch.suspicious.set(self.watch.suspicious.get() && !streams.is_empty());
        }
    }
}
