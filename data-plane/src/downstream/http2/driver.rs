//! Drives a connection: takes its requests, watches its limits and times, and ends it.

use std::{
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use h2::server::Connection;
use tokio::{
    task,
    time::{Duration, Instant},
};
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    super::{
        Client,
        guard::{Guard, Wire},
    },
    stream::{self, Streams},
};
use crate::{admission::Stalled, alarm::Alarm, reason::Reason};

/// How long a client may take to agree to the end of a connection without requests.
pub(super) const CLOSING_TIMEOUT: Duration = Duration::from_secs(1);

/// How long our last words may take to leave.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// All that was to be said has been written.
    Quiet,
    /// The client takes nothing any more.
    Stuck,
    /// Another connection waits for the place.
    Vacated,
}

pub(super) struct Driver<'a> {
    client: &'a Rc<Client>,
    wire: &'a Rc<Wire>,
    streams: &'a Rc<Streams>,
    connection: Connection<Guard, Bytes>,
    closing: Pin<Box<WaitForCancellationFutureOwned>>,
    alarm: Alarm,
    phase: Phase,
    /// While it waits for a request, and others may want its place.
    vacating: Option<Box<Stalled>>,
    vacated: bool,
    /// Requests so far.
    requests: u32,
}

/// How far the end of a connection is.
#[derive(Debug, Clone, Copy)]
enum Phase {
    Open,
    /// The client was told to begin no more requests, at that time.
    Draining(Instant),
    /// The client was told that all is over, at that time.
    Ending(Instant),
}

/// A time that runs out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Due {
    /// For the rest of a header.
    Header,
    /// Without a request.
    Idle,
    /// Without reading.
    Stuck,
    /// For the end.
    End,
}

impl<'a> Driver<'a> {
    pub(super) fn new(
        client: &'a Rc<Client>,
        wire: &'a Rc<Wire>,
        streams: &'a Rc<Streams>,
        connection: Connection<Guard, Bytes>,
    ) -> Self {
        Self {
            client,
            wire,
            streams,
            connection,
            closing: Box::pin(client.listener.closing_owned()),
            alarm: Alarm::default(),
            phase: Phase::Open,
            vacating: None,
            vacated: false,
            requests: 0,
        }
    }

    pub(super) async fn run(&mut self) -> End {
        poll_fn(|cx| {
            // The task stays the same: once is enough.
            self.streams.watched_by(cx.waker());
            let _ = self.closing.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
        poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            if self.poll_requests(cx).is_ready() {
                return Poll::Ready(if self.vacated { End::Vacated } else { End::Quiet });
            }
            self.wire.accepted(self.requests);
            if self.wire.is_overdrawn() && !matches!(self.phase, Phase::Ending(_)) {
                self.client.local.counters().floods.add(1);
                tracing::debug!("{}: ended for making work without asking for any", self.client.peer);
                self.end(h2::Reason::ENHANCE_YOUR_CALM);
                continue;
            }
            if matches!(self.phase, Phase::Open) && self.client.listener.is_closing() {
                self.drain();
                continue;
            }
            if self.vacates(cx) {
                self.end(h2::Reason::NO_ERROR);
                continue;
            }
            let Some((deadline, due)) = self.deadline() else { return Poll::Pending };
            ready!(self.alarm.poll(cx, deadline));
            match due {
                Due::Header => {
                    let timeout = self.client.listener.limits().header_timeout;
                    self.client.refused(Reason::HeaderTimeout, timeout);
                    self.end(h2::Reason::ENHANCE_YOUR_CALM);
                }
                Due::Idle => self.drain(),
                Due::Stuck => return Poll::Ready(End::Stuck),
                Due::End => return Poll::Ready(End::Quiet),
            }
        }
    }

    /// Ready when the connection has ended.
    fn poll_requests(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match ready!(self.connection.poll_accept(cx)) {
                Some(Ok((request, respond))) => {
                    self.requests += 1;
                    let active = self.streams.begin();
                    let (client, wire) = (Rc::clone(self.client), Rc::clone(self.wire));
                    // Whoever spawns a task copies it several times, and this one is large.
                    task::spawn_local(Box::pin(stream::serve(client, wire, active, request, respond)));
                }
                Some(Err(e)) => {
                    tracing::debug!("{}: {e}", self.client.peer);
                    return Poll::Ready(());
                }
                None => return Poll::Ready(()),
            }
        }
    }

    /// Whether it is to make way now: while it waits for a request.
    fn vacates(&mut self, cx: &mut Context<'_>) -> bool {
        let idle_since = self.streams.idle_since().filter(|_| !matches!(self.phase, Phase::Ending(_)));
        let Some(idle_since) = idle_since else {
            self.vacating = None;
            return false;
        };
        self.vacated = self.client.vacates(cx, &mut self.alarm, idle_since, &mut self.vacating);
        self.vacated
    }

    /// Tells the client to begin no more requests; those that it has begun are served.
    fn drain(&mut self) {
        self.connection.graceful_shutdown();
        self.phase = Phase::Draining(Instant::now());
    }

    fn end(&mut self, reason: h2::Reason) {
        self.connection.abrupt_shutdown(reason);
        self.phase = Phase::Ending(Instant::now());
    }

    /// The first of the times that may run out. Whatever changes them wakes the task.
    fn deadline(&self) -> Option<(Instant, Due)> {
        let limits = self.client.listener.limits();
        let idle = match (self.streams.idle_since(), self.phase) {
            (_, Phase::Ending(since)) => return Some((since + LAST_WORDS, Due::End)),
            (None, _) => None,
            (Some(since), Phase::Draining(began)) => Some((since.max(began) + CLOSING_TIMEOUT, Due::End)),
            (Some(since), Phase::Open) => Some((since + limits.idle_timeout, Due::Idle)),
        };
        let header = self.wire.unfinished().map(|since| (since + limits.header_timeout, Due::Header));
        let stuck = self.wire.blocked().map(|since| (since + limits.send_timeout, Due::Stuck));
        [idle, header, stuck].into_iter().flatten().min_by_key(|(deadline, _)| *deadline)
    }
}
