//! What waits to be handed to one proxy: at most one ping, one order to close, one question and one state, however
//! slow the proxy is.

use prometheus_client::metrics::counter::Counter;
use weir_proto::v1::{self, control_message::Message};

use super::update::Update;
use crate::metrics::Metrics;

/// The next messages to a proxy.
pub(super) struct Outbox {
    ping: Option<u64>,
    close: Option<v1::Close>,
    question: Option<v1::Question>,
    /// Whether the last one was a question: then it is the state's turn, so that neither waits for the other.
    asked: bool,
    state: Option<Update>,
    delta_bytes: Counter,
    snapshot_bytes: Counter,
}

impl Outbox {
    /// Nothing to send; counts what is.
    pub(super) fn new(metrics: &Metrics) -> Self {
        let bytes = |form| metrics.sent_bytes.get_or_create_owned(&[("form", form)]);
        let (delta_bytes, snapshot_bytes) = (bytes("delta"), bytes("snapshot"));
        Self {
            ping: None,
            close: None,
            question: None,
            asked: false,
            state: None,
            delta_bytes,
            snapshot_bytes,
        }
    }

    /// Whether there is anything to send.
    pub(super) fn is_empty(&self) -> bool {
        self.ping.is_none() && self.close.is_none() && self.question.is_none() && self.state.is_none()
    }

    /// Whether a state is still to be sent, or a part of one.
    pub(super) fn has_state(&self) -> bool {
        self.state.is_some()
    }

    /// Whether a question is still to be sent.
    pub(super) fn has_question(&self) -> bool {
        self.question.is_some()
    }

    /// Whether an order to close is still to be sent.
    pub(super) fn has_close(&self) -> bool {
        self.close.is_some()
    }

    /// Has the proxy close what is in flight to a backend, before anything longer is sent.
    pub(super) fn close(&mut self, close: v1::Close) {
        self.close = Some(close);
    }

    /// Sends this question, in the place of one that was not sent.
    pub(super) fn question(&mut self, question: v1::Question) {
        self.question = Some(question);
    }

    /// Asks the proxy whether it is there, before anything else; once, if it was asked before and not told yet.
    pub(super) fn ping(&mut self, sequence: u64) {
        self.ping = Some(sequence);
    }

    /// Sends this state, in the place of one that is not fully sent.
    pub(super) fn state(&mut self, update: Update) {
        self.state = Some(update);
    }

    /// Sends no state for now, nor the rest of one.
    pub(super) fn drop_state(&mut self) {
        self.state = None;
    }

    /// The next message.
    pub(super) fn next(&mut self) -> Option<v1::ControlMessage> {
        let ping = self.ping.take().map(|sequence| Message::Ping(v1::Ping { sequence }));
        let urgent = ping.or_else(|| self.close.take().map(Message::Close));
        let message = urgent.or_else(|| if self.asked { self.state_first() } else { self.question_first() });
        message.map(|message| v1::ControlMessage { message: Some(message) })
    }

    fn question_first(&mut self) -> Option<Message> {
        self.next_question().or_else(|| self.next_of_state())
    }

    fn state_first(&mut self) -> Option<Message> {
        self.asked = false;
        self.next_of_state().or_else(|| self.next_question())
    }

    fn next_question(&mut self) -> Option<Message> {
        let question = self.question.take()?;
        self.asked = true;
        Some(Message::Question(question))
    }

    fn next_of_state(&mut self) -> Option<Message> {
        match self.state.take()? {
            Update::Delta(delta) => {
                self.delta_bytes.inc_by(delta.body.len() as u64);
                Some(Message::Delta(delta))
            }
            Update::Snapshot(mut pages, removals_from) => {
                let page = pages.next()?;
                self.snapshot_bytes.inc_by(page.body.len() as u64);
                if !page.last {
                    self.state = Some(Update::Snapshot(pages, removals_from));
                }
                Some(Message::SnapshotPage(v1::SnapshotPage { removals_from, ..page }))
            }
        }
    }
}
