//! Where a client's connection stands: written by its byte stream and its requests, read by its watch.

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use http::Version;
use tokio::time::{Duration, Instant};

use crate::{body::ClientBody, reason::Reason, upgrade::Tunnel};

#[derive(Debug)]
pub(crate) struct State {
    phase: Cell<Phase>,
    /// Since when the client takes nothing of what waits for it.
    blocked: Cell<Option<Instant>>,
    /// Responses whose last byte may not have left yet.
    answering: Cell<bool>,
    gone: Cell<bool>,
    cut_short: Cell<bool>,
    /// Whether the end of a response may be the end of the connection, as in HTTP/1.0.
    close_delimits: Cell<bool>,
    end: Cell<Option<Reason>>,
    body: RefCell<Option<Rc<ClientBody>>>,
    tunnel: RefCell<Option<Tunnel>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing of a request has come.
    Idle(Instant),
    /// The first byte of a head has come.
    Head(Instant),
    /// A request is being served.
    Request,
}

impl State {
    pub(super) fn new() -> Self {
        Self {
            phase: Cell::new(Phase::Idle(Instant::now())),
            blocked: Cell::default(),
            answering: Cell::default(),
            gone: Cell::default(),
            cut_short: Cell::default(),
            close_delimits: Cell::default(),
            end: Cell::default(),
            body: RefCell::default(),
            tunnel: RefCell::default(),
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub(super) fn received(&self) {
        if let Phase::Idle(_) = self.phase.get() {
            self.phase.set(Phase::Head(Instant::now()));
        }
    }

    pub(super) fn request_began(&self, version: Version) {
        self.close_delimits.set(version == Version::HTTP_10);
        self.phase.set(Phase::Request);
        self.answering.set(true);
    }

    /// The request has ended.
    pub(crate) fn idle(&self, now: Instant) {
        self.phase.set(Phase::Idle(now));
    }

    /// Since when the head is awaited.
    pub(super) fn head_age(&self, now: Instant) -> Duration {
        match self.phase.get() {
            Phase::Idle(since) | Phase::Head(since) => now - since,
            Phase::Request => Duration::ZERO,
        }
    }

    pub(super) fn set_body(&self, body: Option<Rc<ClientBody>>) {
        self.body.replace(body);
    }

    pub(super) fn body(&self) -> Option<Rc<ClientBody>> {
        self.body.borrow().clone()
    }

    pub(super) fn set_tunnel(&self, tunnel: Tunnel) {
        self.tunnel.replace(Some(tunnel));
    }

    pub(super) fn take_tunnel(&self) -> Option<Tunnel> {
        self.tunnel.take()
    }

    pub(super) fn blocked(&self) -> Option<Instant> {
        self.blocked.get()
    }

    pub(super) fn set_blocked(&self, blocked: bool) {
        match (blocked, self.blocked.get()) {
            (true, None) => self.blocked.set(Some(Instant::now())),
            (false, Some(_)) => {
                self.blocked.set(None);
                if let Phase::Idle(_) = self.phase.get() {
                    // So far the end of the last answer was on its way.
                    self.phase.set(Phase::Idle(Instant::now()));
                }
            }
            _ => {}
        }
    }

    /// All that was written has left. After the end of a request, what is written next answers no request.
    pub(super) fn flushed(&self) {
        if self.phase.get() != Phase::Request {
            self.answering.set(false);
        }
    }

    pub(super) fn is_answering(&self) -> bool {
        self.answering.get()
    }

    /// Reading failed or came to the end.
    pub(super) fn set_gone(&self) {
        self.gone.set(true);
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone.get()
    }

    /// A response ended in the middle: the client must be able to tell.
    pub(crate) fn cut_short(&self) {
        self.cut_short.set(true);
    }

    /// Whether a plain close would look like the good end of a response that is cut.
    pub(super) fn must_reset(&self) -> bool {
        self.cut_short.get() && self.close_delimits.get()
    }

    pub(super) fn set_end(&self, reason: Reason) {
        self.end.set(Some(reason));
    }

    /// Why the connection is being ended by us, if it is.
    pub(crate) fn end(&self) -> Option<Reason> {
        self.end.get()
    }
}
