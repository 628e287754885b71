//! A constant rate. Latency counts from the moment at which a request was meant to be sent, so that a proxy that stalls
//! cannot hide it by being asked less (no coordinated omission).

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use weir_bench_load::Events;

use crate::{
    arguments::Span,
    fleet::{Fleet, Happened},
    request::{Body, request},
};

/// How often the end is looked for while nothing happens.
const TICK: Duration = Duration::from_millis(50);

/// The requests that were due while no connection was free.
#[derive(Default)]
struct Late {
    waiting: VecDeque<Duration>,
    all: u64,
}

pub(crate) fn run(
    address: SocketAddr,
    path: &str,
    rps: f64,
    connections: usize,
    time: Span,
) -> io::Result<String> {
    let mut fleet = Fleet::open(address, connections, request(path, Body::None))?;
    let mut free: Vec<usize> = (0..connections).rev().collect();
    let (mut late, mut latencies, mut bytes, mut number) = (Late::default(), Vec::new(), 0_u64, 0_u64);
    let (start, mut events) = (Instant::now(), Events::new());
    while let Some(left) = time.whole().checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        let next = loop {
            let due = Duration::from_secs_f64(number as f64 / rps);
            if let Some(pause) = due.checked_sub(start.elapsed()) {
                break pause;
            }
            number += 1;
            match free.pop() {
                Some(index) => fleet.begin(index, due),
                None => late.add(due),
            }
        };
        fleet.wait(&mut events, left.min(next).min(TICK))?;
        for event in events.readiness() {
            let due = fleet.due(event.0);
            match fleet.advance(event)? {
                Happened::Answered(length) => {
                    if due >= time.warm {
                        latencies.push(start.elapsed().saturating_sub(due));
                        bytes += length;
                    }
                    match late.waiting.pop_front() {
                        Some(due) => fleet.begin(event.0, due),
                        None => free.push(event.0),
                    }
                }
                Happened::Replaced { busy: true } => free.push(event.0),
                Happened::Replaced { busy: false } | Happened::Nothing => {}
            }
        }
    }
    Ok(line(latencies, bytes, time, fleet.errors, late.all))
}

impl Late {
    fn add(&mut self, due: Duration) {
        self.all += 1;
        self.waiting.push_back(due);
    }
}

fn line(mut latencies: Vec<Duration>, bytes: u64, time: Span, errors: u64, late: u64) -> String {
    latencies.sort_unstable();
    let n = latencies.len();
    let at = |per_mille: usize| {
        let latency = latencies.get((n * per_mille / 1_000).min(n.saturating_sub(1)));
        latency.copied().unwrap_or_default().as_secs_f64() * 1e6
    };
    let seconds = time.counted.as_secs_f64();
    format!(
        concat!(
            r#"{{"n":{n},"bytes":{bytes},"secs":{seconds},"rps":{rps:.1},"errors":{errors},"late":{late},"#,
            r#""p50_us":{p50:.1},"p90_us":{p90:.1},"p99_us":{p99:.1},"p999_us":{p999:.1},"max_us":{max:.1}}}"#
        ),
        n = n,
        bytes = bytes,
        seconds = seconds,
        rps = n as f64 / seconds,
        errors = errors,
        late = late,
        p50 = at(500),
        p90 = at(900),
        p99 = at(990),
        p999 = at(999),
        max = at(1_000),
    )
}
