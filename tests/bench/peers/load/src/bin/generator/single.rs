//! One request at a time: connections that stay open and silent, and a fixed number of requests.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::{
    connection::{Buffers, Connection, Progress},
    request::{Body, request},
};

/// How long one answer may take.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Connections that had one request each. They close when it is dropped.
pub(crate) struct Held {
    connections: Vec<Connection>,
    errors: u64,
}

pub(crate) fn open(address: SocketAddr, path: &str, connections: usize) -> io::Result<Held> {
    let (request, mut buffers) = (request(path, Body::None), Buffers::new());
    let mut held = Held { connections: Vec::with_capacity(connections), errors: 0 };
    for _ in 0..connections {
        let mut connection = Connection::open(address)?;
        if ask(&mut connection, &request, &mut buffers).is_err() {
            held.errors += 1;
        }
        held.connections.push(connection);
    }
    Ok(held)
}

/// Fails at the first answer that is not as it should be.
pub(crate) fn count(address: SocketAddr, path: &str, requests: u64, body: Body) -> io::Result<String> {
    let (request, mut buffers) = (request(path, body), Buffers::new());
    let (mut connection, mut bytes) = (Connection::open(address)?, 0);
    for _ in 0..requests {
        bytes += ask(&mut connection, &request, &mut buffers)?;
    }
    Ok(format!(r#"{{"n":{requests},"bytes":{bytes},"errors":0}}"#))
}

/// Waits for the answer. How long it was.
fn ask(connection: &mut Connection, request: &[u8], buffers: &mut Buffers) -> io::Result<u64> {
    let began = Instant::now();
    connection.begin(request, Duration::ZERO)?;
    loop {
        if let Progress::Answered(bytes) = connection.receive(buffers)? {
            return Ok(bytes);
        }
        if began.elapsed() > PATIENCE {
            return Err(io::ErrorKind::TimedOut.into());
        }
        poll(&mut [PollFd::new(connection, PollFlags::IN)], Some(&POLL))?;
    }
}

impl Held {
    pub(crate) fn line(&self) -> String {
        format!(r#"{{"open":{},"errors":{}}}"#, self.connections.len(), self.errors)
    }
}
