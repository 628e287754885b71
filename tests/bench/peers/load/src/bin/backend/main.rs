//! The cheapest backend: one thread, canned answers. `backend PORT... [slow:PORT]...`, all on loopback.
//!
//! Any HTTP/1.1 request is answered with 200 and a small body, `/b/N` with a body of N bytes, `/c/N` with one in
//! chunks. Bodies of requests (Content-Length or chunked) are read and forgotten. `Connection: close` is honoured. A
//! WebSocket gets its short frames back. HTTP/2 by prior knowledge is taken for gRPC, and every call gets the same
//! answer. On a slow port all answers are late.

mod connection;
mod http1;
mod http2;
mod websocket;

use std::{
    collections::VecDeque,
    env, io,
    net::TcpListener,
    os::fd::{AsRawFd, RawFd},
    time::{Duration, Instant},
};

use weir_bench_load::{Descriptors, Events, Interest, Poller, accept, prepare};

use self::connection::{Connection, Turn};

/// The most that one read takes.
const READ: usize = 256 * 1_024;
/// How late the answers of a slow port are.
const LATE: Duration = Duration::from_millis(100);

struct Listener {
    socket: TcpListener,
    slow: bool,
}

fn main() -> io::Result<()> {
    prepare()?;
    let poller = Poller::new()?;
    let mut listeners = Descriptors::new();
    for argument in env::args().skip(1) {
        let port = argument.strip_prefix("slow:");
        let slow = port.is_some();
        let port: u16 = port
            .unwrap_or(&argument)
            .parse()
            .map_err(|_| io::Error::other("usage: backend PORT... [slow:PORT]..."))?;
        let socket = TcpListener::bind(("127.0.0.1", port))?;
        socket.set_nonblocking(true)?;
        poller.add(&socket, token_of(&socket), Interest::Read)?;
        listeners.insert(Listener { socket, slow });
    }
    serve(&poller, &listeners)
}

/// For ever: what a signal ends.
fn serve(poller: &Poller, listeners: &Descriptors<Listener>) -> io::Result<()> {
    let mut connections: Descriptors<Connection> = Descriptors::new();
    let (mut events, mut input) = (Events::new(), vec![0; READ]);
    // Who answers later, and when. Nobody overtakes, because all are late by the same.
    let mut late: VecDeque<(Instant, usize)> = VecDeque::new();
    loop {
        let next = late.front().map(|(due, _)| due.saturating_duration_since(Instant::now()));
        poller.wait(&mut events, next)?;
        let due = late.iter().take_while(|(due, _)| *due <= Instant::now()).count();
        let due: Vec<usize> = late.drain(..due).map(|(_, token)| token).collect();
        for token in events.tokens() {
            if let Some(listener) = listeners.get(token) {
                while let Some((stream, _)) = accept(&listener.socket)? {
                    poller.add(&stream, token_of(&stream), Interest::Read)?;
                    connections.insert(Connection::new(stream, listener.slow));
                }
            } else if !due.contains(&token) && !late.iter().any(|(_, waits)| *waits == token) {
                turn(poller, &mut connections, &mut late, token, &mut input)?;
            }
        }
        for token in due {
            turn(poller, &mut connections, &mut late, token, &mut input)?;
        }
    }
}

fn turn(
    poller: &Poller,
    connections: &mut Descriptors<Connection>,
    late: &mut VecDeque<(Instant, usize)>,
    token: usize,
    input: &mut [u8],
) -> io::Result<()> {
    let Some(connection) = connections.get_mut(token) else { return Ok(()) };
    match connection.turn(input) {
        Ok(Turn::Same) => {}
        Ok(Turn::WaitFor(interest)) => poller.modify(connection, token, interest)?,
        Ok(Turn::Later) => late.push_back((Instant::now() + LATE, token)),
        Ok(Turn::End) | Err(_) => drop(connections.remove(token)),
    }
    Ok(())
}

impl AsRawFd for Listener {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

fn token_of(socket: &impl AsRawFd) -> usize {
    usize::try_from(socket.as_raw_fd()).expect("an open descriptor is not negative")
}
