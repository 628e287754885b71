//! A closed loop: each connection asks again as soon as it is answered.

use std::{
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

pub(crate) fn run(
    address: SocketAddr,
    path: &str,
    connections: usize,
    time: Span,
    body: Body,
) -> io::Result<String> {
    let mut fleet = Fleet::open(address, connections, request(path, body))?;
    for index in 0..connections {
        fleet.begin(index, Duration::ZERO);
    }
    let start = Instant::now();
    let (mut answers, mut bytes, mut events) = (0_u64, 0_u64, Events::new());
    while let Some(left) = time.whole().checked_sub(start.elapsed()).filter(|left| !left.is_zero()) {
        fleet.wait(&mut events, left.min(TICK))?;
        for event in events.readiness() {
            match fleet.advance(event)? {
                Happened::Nothing => continue,
                Happened::Answered(length) if start.elapsed() >= time.warm => {
                    answers += 1;
                    bytes += length;
                }
                Happened::Answered(_) | Happened::Replaced { .. } => {}
            }
            fleet.begin(event.0, Duration::ZERO);
        }
    }
    let (seconds, errors) = (time.counted.as_secs_f64(), fleet.errors);
    Ok(format!(
        r#"{{"n":{answers},"bytes":{bytes},"secs":{seconds},"rps":{:.1},"errors":{errors}}}"#,
        answers as f64 / seconds,
    ))
}
