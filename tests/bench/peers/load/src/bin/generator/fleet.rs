//! All connections of a load, driven by one epoll instance.

use std::{io, net::SocketAddr, time::Duration};

use weir_bench_load::{Events, Interest, Poller};

use crate::connection::{Buffers, Connection, Progress};

/// After so many broken connections something is wrong that figures don't tell.
const BROKEN: u64 = 100_000;

pub(crate) struct Fleet {
    address: SocketAddr,
    request: Vec<u8>,
    poller: Poller,
    connections: Vec<Connection>,
    buffers: Buffers,
    pub(crate) errors: u64,
}

/// What happened on one connection.
pub(crate) enum Happened {
    Nothing,
    /// It was answered by this many bytes, and is free again.
    Answered(u64),
    /// It broke and was replaced; `busy` if it had a request.
    Replaced {
        busy: bool,
    },
}

impl Fleet {
    pub(crate) fn open(address: SocketAddr, connections: usize, request: Vec<u8>) -> io::Result<Self> {
        let mut fleet = Self {
            address,
            request,
            poller: Poller::new()?,
            connections: Vec::with_capacity(connections),
            buffers: Buffers::new(),
            errors: 0,
        };
        for index in 0..connections {
            let connection = fleet.connect(index)?;
            fleet.connections.push(connection);
        }
        Ok(fleet)
    }

    pub(crate) fn wait(&self, events: &mut Events, timeout: Duration) -> io::Result<()> {
        self.poller.wait(events, Some(timeout))
    }

    /// Begins a request on a free connection. If that breaks it, the next event says so.
    pub(crate) fn begin(&mut self, index: usize, due: Duration) {
        let _ = self.connections[index].begin(&self.request, due);
    }

    /// When the request of a connection was due.
    pub(crate) fn due(&self, index: usize) -> Duration {
        self.connections[index].due
    }

    /// Goes on where an event says that it is possible.
    pub(crate) fn advance(
        &mut self,
        (index, readable, writable): (usize, bool, bool),
    ) -> io::Result<Happened> {
        let connection = &mut self.connections[index];
        let busy = connection.busy;
        if !busy && !readable {
            return Ok(Happened::Nothing);
        }
        let sent = if busy && writable { connection.send(&self.request) } else { Ok(()) };
        // A free connection with something to read was closed, or talks out of turn.
        match sent
            .and_then(|()| if busy { connection.receive(&mut self.buffers) } else { Err(out_of_turn()) })
        {
            Ok(Progress::Waiting) => Ok(Happened::Nothing),
            Ok(Progress::Answered(bytes)) => Ok(Happened::Answered(bytes)),
            Err(error) => {
                self.errors += 1;
                if self.errors > BROKEN {
                    return Err(error);
                }
                self.connections[index] = self.connect(index)?;
                Ok(Happened::Replaced { busy })
            }
        }
    }

    fn connect(&self, index: usize) -> io::Result<Connection> {
        let connection = Connection::open(self.address)?;
        self.poller.add(&connection, index, Interest::Changes)?;
        Ok(connection)
    }
}

fn out_of_turn() -> io::Error {
    io::Error::other("bytes or an end that nobody asked for")
}
