//! The cheapest HTTP/1.1 backend: one thread, canned answers. `backend PORT...`, all on loopback.
//!
//! Any request is answered with 200 and a small body, `/b/N` with a body of N bytes. Bodies of requests
//! (Content-Length or chunked) are read and forgotten. `Connection: close` is honoured.

mod connection;

use std::{env, io, net::TcpListener, os::fd::AsRawFd};

use weir_bench_load::{Descriptors, Events, Interest, Poller, accept, prepare};

use self::connection::{Connection, Turn};

/// The most that one read takes.
const READ: usize = 256 * 1_024;

fn main() -> io::Result<()> {
    prepare()?;
    let poller = Poller::new()?;
    let mut listeners = Descriptors::new();
    for port in env::args().skip(1) {
        let port: u16 = port.parse().map_err(|_| io::Error::other("usage: backend PORT..."))?;
        let listener = TcpListener::bind(("127.0.0.1", port))?;
        listener.set_nonblocking(true)?;
        let token = listeners.insert(listener);
        poller.add(listeners.get(token).expect("just inserted"), token, Interest::Read)?;
    }
    serve(&poller, &listeners)
}

/// For ever: what a signal ends.
fn serve(poller: &Poller, listeners: &Descriptors<TcpListener>) -> io::Result<()> {
    let mut connections: Descriptors<Connection> = Descriptors::new();
    let (mut events, mut input) = (Events::new(), vec![0; READ]);
    loop {
        poller.wait(&mut events, None)?;
        for token in events.tokens() {
            if let Some(listener) = listeners.get(token) {
                while let Some((stream, _)) = accept(listener)? {
                    poller.add(&stream, token_of(&stream), Interest::Read)?;
                    connections.insert(Connection::new(stream));
                }
                continue;
            }
            let Some(connection) = connections.get_mut(token) else { continue };
            match connection.turn(&mut input) {
                Ok(Turn::Same) => {}
                Ok(Turn::WaitFor(interest)) => poller.modify(connection, token, interest)?,
                Ok(Turn::End) | Err(_) => drop(connections.remove(token)),
            }
        }
    }
}

fn token_of(socket: &impl AsRawFd) -> usize {
    usize::try_from(socket.as_raw_fd()).expect("an open descriptor is not negative")
}
