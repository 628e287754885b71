//! The loop: begins what is due, gives up what takes too long, and notes how each request ended.

use std::{collections::VecDeque, fmt, io, net::SocketAddr, os::fd::AsRawFd, time::Duration};

use weir_bench_load::{Descriptors, Events, Interest, Poller, now};

use crate::{
    answer::Answer,
    client::{Broken, Client, Request},
};

/// The most that one read takes.
const READ: usize = 64 * 1_024;

pub(crate) struct Plan {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) interval: Duration,
    pub(crate) requests: u32,
    /// One request in so many is of a new client; 0: none.
    pub(crate) fresh: u32,
    pub(crate) patience: Duration,
}

pub(crate) struct Load {
    plan: Plan,
    poller: Poller,
    clients: Descriptors<Client>,
    /// Kept clients without a request, the one that is free for longest first. Some may be gone, or busy again.
    free: VecDeque<usize>,
    /// When which request of which client is given up; in that order.
    given_up: VecDeque<(Duration, usize, u32)>,
    ended: Vec<Ended>,
    /// The bytes of a request on a connection that is kept, and of a fresh one's.
    kept: Vec<u8>,
    last: Vec<u8>,
}

/// How a request ended.
pub(crate) struct Ended {
    due: Duration,
    late: Duration,
    took: Duration,
    how: How,
}

enum How {
    Answered(Answer),
    Timeout,
    Refused,
    Broken,
}

impl Load {
    pub(crate) fn new(plan: Plan) -> io::Result<Self> {
        let head = format!("GET {} HTTP/1.1\r\nhost: bench.local\r\nuser-agent: arrivals\r\n", plan.path);
        Ok(Self {
            poller: Poller::new()?,
            clients: Descriptors::new(),
            free: VecDeque::new(),
            given_up: VecDeque::new(),
            ended: Vec::new(),
            kept: format!("{head}\r\n").into_bytes(),
            last: format!("{head}connection: close\r\n\r\n").into_bytes(),
            plan,
        })
    }

    /// Until the last request has ended.
    pub(crate) fn run(mut self) -> io::Result<Vec<Ended>> {
        let (start, mut events, mut scratch) = (now(), Events::new(), vec![0; READ]);
        let mut number = 0;
        loop {
            let next = loop {
                let due = start + self.plan.interval * number;
                if number == self.plan.requests || now() < due {
                    break due;
                }
                self.begin(number, due, &mut scratch);
                number += 1;
            };
            self.give_up();
            if self.ended.len() == self.plan.requests as usize {
                return Ok(self.ended);
            }
            let next = Some(next).filter(|_| number < self.plan.requests);
            let next = next.into_iter().chain(self.given_up.front().map(|(at, ..)| *at)).min();
            self.poller.wait(&mut events, next.map(|next| next.saturating_sub(now())))?;
            for token in events.tokens() {
                self.go_on(token, &mut scratch);
            }
        }
    }

    fn begin(&mut self, number: u32, due: Duration, scratch: &mut [u8]) {
        let request = Request { number, due, late: now().saturating_sub(due) };
        let fresh = self.plan.fresh > 0 && number.is_multiple_of(self.plan.fresh);
        let free = if fresh { None } else { self.free_client() };
        let Ok(token) = free.map_or_else(|| self.new_client(fresh), Ok) else {
            self.ended.push(Ended::of(request, How::Refused));
            return;
        };
        if let Some(client) = self.clients.get_mut(token) {
            client.begin(request);
            self.given_up.push_back((due + self.plan.patience, token, number));
            self.go_on(token, scratch);
        }
    }

    fn new_client(&mut self, fresh: bool) -> io::Result<usize> {
        let client = Client::open(self.plan.address, fresh)?;
        let token = usize::try_from(client.as_raw_fd()).expect("an open descriptor is not negative");
        self.poller.add(&client, token, Interest::Changes)?;
        Ok(self.clients.insert(client))
    }

    fn free_client(&mut self) -> Option<usize> {
        while let Some(token) = self.free.pop_front() {
            if self.clients.get(token).is_some_and(|client| client.request.is_none()) {
                return Some(token);
            }
        }
        None
    }

    fn go_on(&mut self, token: usize, scratch: &mut [u8]) {
        let Some(client) = self.clients.get_mut(token) else { return };
        let bytes = if client.fresh { &self.last } else { &self.kept };
        match client.go_on(bytes, scratch) {
            Ok(None) => {}
            Ok(Some(answer)) => {
                if client.fresh || answer.last {
                    self.end(token, How::Answered(answer));
                } else if let Some(request) = client.request.take() {
                    client.received.clear();
                    self.free.push_back(token);
                    self.ended.push(Ended::of(request, How::Answered(answer)));
                }
            }
            Err(Broken::Refused) => self.end(token, How::Refused),
            Err(Broken::Otherwise) => self.end(token, How::Broken),
        }
    }

    /// Gives up requests that take too long.
    fn give_up(&mut self) {
        let now = now();
        while let Some((_, token, number)) = self.given_up.pop_front_if(|(at, ..)| *at <= now) {
            let request = self.clients.get(token).and_then(|client| client.request);
            if request.is_some_and(|request| request.number == number) {
                self.end(token, How::Timeout);
            }
        }
    }

    /// Closes a client's connection; if it had a request, that has ended so.
    fn end(&mut self, token: usize, how: How) {
        if let Some(request) = self.clients.remove(token).and_then(|client| client.request) {
            self.ended.push(Ended::of(request, how));
        }
    }
}

impl Ended {
    fn of(request: Request, how: How) -> Self {
        let Request { due, late, .. } = request;
        Self { due, late, took: now().saturating_sub(due), how }
    }
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { due, late, took, how } = self;
        write!(f, "{} {} {} ", due.as_micros(), late.as_micros(), took.as_micros())?;
        match how {
            How::Answered(answer) => {
                write!(f, "{} {}", answer.status, answer.backend.as_deref().unwrap_or("-"))
            }
            How::Timeout => f.write_str("timeout -"),
            How::Refused => f.write_str("refused -"),
            How::Broken => f.write_str("broken -"),
        }
    }
}
