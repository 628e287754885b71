//! Readiness of sockets by epoll, without a runtime in between.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, Event, EventData, EventFlags},
    },
    io::Errno,
};

/// Most events that one wait returns.
const EVENTS: usize = 1_024;

/// What a socket is waited for.
#[derive(Clone, Copy, Debug)]
pub enum Interest {
    /// Something to read, as long as there is.
    Read,
    /// Room to write, as long as there is.
    Write,
    /// Each change of either, told once: for sockets that are read and written until they would block.
    Changes,
}

/// An epoll instance. Sockets leave it by being closed.
#[derive(Debug)]
pub struct Poller(OwnedFd);

/// Room for the events of one wait, used again and again.
pub struct Events(Vec<Event>);

impl Poller {
    /// An instance that watches nothing yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self(epoll::create(CreateFlags::CLOEXEC)?))
    }

    /// Watches `socket`; its events carry `token`.
    pub fn add(&self, socket: impl AsFd, token: usize, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.0, socket, EventData::new_u64(token as u64), interest.flags())?)
    }

    /// Waits for something else on a watched `socket`.
    pub fn modify(&self, socket: impl AsFd, token: usize, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.0, socket, EventData::new_u64(token as u64), interest.flags())?)
    }

    /// Fills `events`; with none if `timeout` passes, or a signal comes, before anything happens.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.0.clear();
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        match epoll::wait(&self.0, spare_capacity(&mut events.0), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Self::Read => EventFlags::IN,
            Self::Write => EventFlags::OUT,
            Self::Changes => EventFlags::IN | EventFlags::OUT | EventFlags::ET,
        }
    }
}

impl Events {
    /// Room for the events of one wait.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::with_capacity(EVENTS))
    }

    /// The tokens of the sockets that something happened to.
    pub fn tokens(&self) -> impl Iterator<Item = usize> {
        self.0.iter().filter_map(|event| usize::try_from(event.data.u64()).ok())
    }

    /// The same with whether there may be something to read (also: an end, an error), and room to write.
    pub fn readiness(&self) -> impl Iterator<Item = (usize, bool, bool)> {
        self.0.iter().filter_map(|event| {
            let (flags, token) = (event.flags, usize::try_from(event.data.u64()).ok()?);
            Some((token, flags.intersects(EventFlags::IN), flags.intersects(EventFlags::OUT)))
        })
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::new()
    }
}
