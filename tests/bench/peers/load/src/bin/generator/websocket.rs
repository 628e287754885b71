//! WebSocket (RFC 6455) in a closed loop: each connection says more as soon as it has its echo.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use weir_bench_load::{Events, Interest, Poller, end_of_head};

use crate::arguments::Span;

/// The longest payload whose length stands in a frame's second byte.
pub(crate) const LONGEST: u8 = 125;
/// How often the end is looked for while nothing happens.
const TICK: Duration = Duration::from_millis(50);
/// How long the answer to an upgrade may take.
const PATIENCE: Duration = Duration::from_secs(5);
const READ: usize = 4_096;
/// The last fragment of binary data, and the bit that says that a frame is masked.
const BINARY: u8 = 0x82;
const MASKED: u8 = 0x80;
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// An echo is not masked: two bytes before the payload.
const ECHO_HEAD: usize = 2;

struct Client {
    stream: TcpStream,
    received: usize,
}

pub(crate) fn run(
    address: SocketAddr,
    path: &str,
    connections: usize,
    time: Span,
    size: u8,
) -> io::Result<String> {
    let (frame, echo) = (frame(size), ECHO_HEAD + usize::from(size));
    let (poller, mut events) = (Poller::new()?, Events::new());
    let mut clients = Vec::with_capacity(connections);
    for number in 0..connections {
        let mut stream = upgraded(address, path)?;
        poller.add(&stream, number, Interest::Read)?;
        stream.write_all(&frame)?;
        clients.push(Client { stream, received: 0 });
    }
    let (start, mut answers, mut input) = (Instant::now(), 0_u64, [0; READ]);
    while let Some(left) = time.whole().checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        poller.wait(&mut events, Some(left.min(TICK)))?;
        for client in events.tokens() {
            let client = &mut clients[client];
            match client.stream.read(&mut input) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(n) => client.received += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            }
            if client.received < echo {
                continue;
            }
            if client.received > echo {
                return Err(io::Error::other("more than the echo"));
            }
            client.received = 0;
            answers += u64::from(start.elapsed() >= time.warm);
            client.stream.write_all(&frame)?;
        }
    }
    let seconds = time.counted.as_secs_f64();
    Ok(format!(r#"{{"n":{answers},"secs":{seconds},"rps":{:.1},"errors":0}}"#, answers as f64 / seconds))
}

/// A connection that speaks WebSocket and does not wait.
fn upgraded(address: SocketAddr, path: &str) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let fields = "host: bench.local\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    write!(stream, "GET {path} HTTP/1.1\r\n{fields}")?;
    let mut head = Vec::new();
    while end_of_head(&head).is_none() {
        let mut input = [0; READ];
        match stream.read(&mut input)? {
            0 => return Err(ErrorKind::UnexpectedEof.into()),
            n => head.extend_from_slice(&input[..n]),
        }
    }
    if !head.starts_with(b"HTTP/1.1 101") {
        return Err(io::Error::other("an upgrade that is not answered with 101"));
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn frame(size: u8) -> Vec<u8> {
    let mut frame = vec![BINARY, MASKED | size];
    frame.extend(MASK);
    frame.extend(MASK.iter().cycle().take(usize::from(size)).map(|mask| mask ^ b'w'));
    frame
}
