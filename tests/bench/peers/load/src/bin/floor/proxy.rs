//! The floor's loop: one event is one read, and one write to the other side.

use std::{
    io::{self, ErrorKind, Read},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsRawFd,
};

use weir_bench_load::{Descriptors, Events, Interest, Poller, accept};

use crate::{
    rewrite,
    socket::{Side, Socket},
};

/// The most that one read takes.
const READ: usize = 64 * 1_024;

pub(crate) struct Proxy {
    poller: Poller,
    listener: TcpListener,
    sockets: Descriptors<Socket>,
    backends: Vec<Backend>,
    turn: usize,
}

struct Backend {
    address: SocketAddr,
    /// Connections that wait for a request, the last used on top.
    idle: Vec<usize>,
}

impl Proxy {
    pub(crate) fn bind(listen: SocketAddr, backends: &[SocketAddr]) -> io::Result<Self> {
        let (poller, listener) = (Poller::new()?, TcpListener::bind(listen)?);
        listener.set_nonblocking(true)?;
        poller.add(&listener, number(&listener), Interest::Read)?;
        let backends = backends.iter().map(|&address| Backend { address, idle: Vec::new() }).collect();
        Ok(Self { poller, listener, sockets: Descriptors::new(), backends, turn: 0 })
    }

    /// For ever: what a signal ends.
    pub(crate) fn serve(mut self) -> io::Result<()> {
        let listener = number(&self.listener);
        let (mut events, mut input, mut output) =
            (Events::new(), vec![0; READ], Vec::with_capacity(2 * READ));
        loop {
            self.poller.wait(&mut events, None)?;
            for token in events.tokens() {
                if token == listener {
                    self.accept()?;
                    continue;
                }
                let Some(socket) = self.sockets.get_mut(token) else { continue };
                match socket.stream.read(&mut input) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                    Ok(0) | Err(_) => self.close(token),
                    Ok(n) => {
                        output.clear();
                        self.forward(token, &input[..n], &mut output)?;
                    }
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some((stream, from)) = accept(&self.listener)? {
            self.watch(Socket::client(stream, from))?;
        }
        Ok(())
    }

    /// Sends on what `from` sent: the rest of a body as it is, a head rewritten and with what of its body came along.
    fn forward(&mut self, from: usize, input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        let Some(socket) = self.sockets.get_mut(from) else { return Ok(()) };
        if socket.body_left > 0 {
            socket.body_left = socket.body_left.saturating_sub(input.len() as u64);
            let to = socket.partner;
            self.send(to, input);
            self.after(from);
            return Ok(());
        }
        let head = match &socket.side {
            Side::Client { address } => rewrite::request(input, address, output),
            Side::Backend { .. } => rewrite::response(input, output),
        };
        let Some((length, body)) = head else {
            self.close(from);
            return Ok(());
        };
        let with_head = &input[length..];
        output.extend_from_slice(with_head);
        socket.body_left = body.saturating_sub(with_head.len() as u64);
        if matches!(socket.side, Side::Client { .. }) {
            let to = self.next_backend()?;
            self.pair(from, to);
        }
        let to = self.sockets.get(from).and_then(|socket| socket.partner);
        self.send(to, output);
        self.after(from);
        Ok(())
    }

    /// A backend that has sent all of its answer is free for the next request.
    fn after(&mut self, from: usize) {
        let Some(socket) = self.sockets.get_mut(from) else { return };
        let Side::Backend { place } = socket.side else { return };
        if socket.body_left > 0 {
            return;
        }
        let client = socket.partner.take();
        self.backends[place].idle.push(from);
        if let Some(client) = client.and_then(|client| self.sockets.get_mut(client)) {
            client.partner = None;
        }
    }

    fn send(&mut self, to: Option<usize>, bytes: &[u8]) {
        if let Some(socket) = to.and_then(|to| self.sockets.get_mut(to)) {
            socket.send(bytes);
        }
    }

    fn next_backend(&mut self) -> io::Result<usize> {
        let place = self.turn % self.backends.len();
        self.turn += 1;
        if let Some(idle) = self.backends[place].idle.pop() {
            return Ok(idle);
        }
        let stream = TcpStream::connect(self.backends[place].address)?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        self.watch(Socket::backend(stream, place))
    }

    fn pair(&mut self, a: usize, b: usize) {
        for (one, other) in [(a, b), (b, a)] {
            if let Some(socket) = self.sockets.get_mut(one) {
                socket.partner = Some(other);
            }
        }
    }

    fn watch(&mut self, socket: Socket) -> io::Result<usize> {
        self.poller.add(&socket, number(&socket), Interest::Read)?;
        Ok(self.sockets.insert(socket))
    }

    /// Closes a socket and the one that it was talking to.
    fn close(&mut self, token: usize) {
        let partner = self.sockets.get(token).and_then(|socket| socket.partner);
        for token in [Some(token), partner].into_iter().flatten() {
            if let Some(Socket { side: Side::Backend { place }, .. }) = self.sockets.remove(token) {
                self.backends[place].idle.retain(|&idle| idle != token);
            }
        }
    }
}

fn number(socket: &impl AsRawFd) -> usize {
    usize::try_from(socket.as_raw_fd()).expect("an open descriptor is not negative")
}
