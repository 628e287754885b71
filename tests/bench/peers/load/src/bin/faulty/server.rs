//! The loop: clients, what they wait for, and orders from standard input.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read, Write, stdin},
    net::TcpListener,
    os::fd::AsRawFd,
    time::Duration,
};

use weir_bench_load::{Descriptors, Events, Interest, Poller, accept, now};

use crate::{
    connection::{Connection, Request, Then},
    manner::{Fault, Manner},
    work::{Job, Work},
};

/// The most that one read takes.
const READ: usize = 64 * 1_024;
/// Between the bytes of an answer that drips.
const DRIP: Duration = Duration::from_secs(1);

pub(crate) struct Server {
    poller: Poller,
    listener: TcpListener,
    connections: Descriptors<Connection>,
    accepted: u64,
    manner: Manner,
    /// How many requests met a fault that meets only some.
    met: u64,
    work: Work,
    /// Whose next byte is due when.
    dripping: VecDeque<(Duration, Job)>,
    log: File,
    good: Vec<u8>,
    bad: Vec<u8>,
}

impl Server {
    pub(crate) fn new(listener: TcpListener, name: &str, log: File, work: Work) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let answer = |status: &str, body: &str| {
            let length = body.len();
            let head = format!("content-type: text/plain\r\ncontent-length: {length}\r\nx-backend: {name}");
            format!("HTTP/1.1 {status}\r\n{head}\r\n\r\n{body}").into_bytes()
        };
        Ok(Self {
            poller: Poller::new()?,
            listener,
            connections: Descriptors::new(),
            accepted: 0,
            manner: Manner::Well,
            met: 0,
            work,
            dripping: VecDeque::new(),
            log,
            good: answer("200 OK", "Hello, World!"),
            bad: answer("503 Service Unavailable", "Not now."),
        })
    }

    /// Until standard input ends.
    pub(crate) fn serve(mut self) -> io::Result<()> {
        let (orders, clients) = (token(&stdin()), token(&self.listener));
        self.poller.add(stdin(), orders, Interest::Read)?;
        self.poller.add(&self.listener, clients, Interest::Read)?;
        let (mut events, mut scratch) = (Events::new(), vec![0; READ]);
        loop {
            let next = self.work.next().into_iter().chain(self.dripping.front().map(|(due, _)| *due)).min();
            self.poller.wait(&mut events, next.map(|due| due.saturating_sub(now())))?;
            for token in events.tokens() {
                if token == orders {
                    if !self.take_orders(&mut scratch)? {
                        return Ok(());
                    }
                } else if token == clients {
                    self.accept()?;
                } else if let Some(connection) = self.connections.get_mut(token) {
                    let read = connection.read(&mut scratch);
                    self.go_on(token, read.map(|()| Then::More));
                }
            }
            self.answer_what_is_due();
        }
    }

    /// Whether there may be more of them.
    fn take_orders(&mut self, scratch: &mut [u8]) -> io::Result<bool> {
        let n = stdin().lock().read(scratch)?;
        for line in String::from_utf8_lossy(&scratch[..n]).lines() {
            self.manner =
                Manner::parse(line).ok_or_else(|| io::Error::other(format!("what is {line:?}?")))?;
            self.met = 0;
        }
        Ok(n > 0)
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Some((stream, _)) = accept(&self.listener)? {
            self.accepted += 1;
            self.poller.add(&stream, token(&stream), Interest::Changes)?;
            self.connections.insert(Connection::new(stream, self.accepted));
        }
        Ok(())
    }

    fn answer_what_is_due(&mut self) {
        while let Some(job) = self.work.done(now()) {
            let good = &self.good;
            if let Some(connection) = of(&mut self.connections, job) {
                let then = connection.answer(good);
                self.go_on(job.token, then);
            }
        }
        let over = !matches!(self.manner, Manner::Bad { fault: Fault::Drip, .. });
        let now = now();
        while let Some((_, job)) = self.dripping.pop_front_if(|(due, _)| over || *due <= now) {
            if let Some(connection) = of(&mut self.connections, job) {
                match connection.drip(over) {
                    Ok(None) => self.dripping.push_back((now + DRIP, job)),
                    Ok(Some(then)) => self.go_on(job.token, Ok(then)),
                    Err(error) => self.go_on(job.token, Err(error)),
                }
            }
        }
    }

    /// After something was read or an answer was sent: ends the connection, or takes the next requests.
    fn go_on(&mut self, token: usize, then: io::Result<Then>) {
        let mut then = then;
        while let Ok(Then::More) = then {
            let Some(connection) = self.connections.get_mut(token) else { return };
            let Some(request) = connection.next_request() else { return };
            match self.meet(token, request) {
                Ok(Some(next)) => then = Ok(next),
                Ok(None) => return,
                Err(error) => then = Err(error),
            }
        }
        drop(self.connections.remove(token));
    }

    /// What follows if the request has been answered; none if that is yet to come.
    fn meet(&mut self, token: usize, request: Request) -> io::Result<Option<Then>> {
        let now = now();
        let what = if request.check { "check" } else { "request" };
        self.log.write_all(format!("{} {what}\n", now.as_micros()).as_bytes())?;
        let Some(connection) = self.connections.get_mut(token) else { return Ok(None) };
        let job = Job { token, connection: connection.number };
        match self.manner.fault(request.check) {
            Some(Fault::Unavailable) => return connection.answer(&self.bad).map(Some),
            Some(Fault::Drip) => {
                connection.begin_to_drip(&self.good);
                connection.drip(false)?;
                self.dripping.push_back((now + DRIP, job));
                return Ok(None);
            }
            Some(Fault::Reset { every }) => {
                self.met += 1;
                if self.met.is_multiple_of(every) {
                    self.connections.remove(token).map_or(Ok(()), Connection::reset)?;
                    return Ok(None);
                }
            }
            None => {}
        }
        if request.check {
            return connection.answer(&self.good).map(Some);
        }
        self.work.add(job, now);
        Ok(None)
    }
}

/// The connection that waits for a job, unless it is gone.
fn of(connections: &mut Descriptors<Connection>, job: Job) -> Option<&mut Connection> {
    connections.get_mut(job.token).filter(|connection| connection.number == job.connection)
}

fn token(socket: &impl AsRawFd) -> usize {
    usize::try_from(socket.as_raw_fd()).expect("an open descriptor is not negative")
}
