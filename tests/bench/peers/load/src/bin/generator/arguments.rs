//! What to do, from the command line.

use std::{net::SocketAddr, str::FromStr, time::Duration};

use crate::{request::Body, websocket};

pub(crate) struct Arguments {
    pub(crate) address: SocketAddr,
    pub(crate) path: String,
    pub(crate) load: Load,
}

pub(crate) enum Load {
    /// Posts the body, or gets when there is none.
    Closed {
        connections: usize,
        time: Span,
        body: Body,
    },
    Rate {
        rps: f64,
        connections: usize,
        time: Span,
    },
    Idle {
        connections: usize,
        hold: Duration,
    },
    Count {
        requests: u64,
        body: Body,
    },
    /// Frames with `size` bytes.
    WebSocket {
        connections: usize,
        time: Span,
        size: u8,
    },
}

/// How long a load lasts: first `warm`, which does not count, then `counted`.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) warm: Duration,
    pub(crate) counted: Duration,
}

impl Arguments {
    pub(crate) fn parse(arguments: impl Iterator<Item = String>) -> Option<Self> {
        let words: Vec<String> = arguments.collect();
        let [mode, address, path, numbers @ ..] = &words[..] else { return None };
        Some(Self { address: address.parse().ok()?, path: path.clone(), load: Load::parse(mode, numbers)? })
    }
}

impl Load {
    fn parse(mode: &str, numbers: &[String]) -> Option<Self> {
        Some(match (mode, numbers) {
            ("closed", [connections, counted, warm, body @ ..]) => Self::Closed {
                connections: number(connections)?,
                time: Span::parse(counted, warm)?,
                body: Body::parse(body)?,
            },
            ("rate", [rps, connections, counted, warm]) => Self::Rate {
                rps: number(rps).filter(|&rps| rps > 0.0)?,
                connections: number(connections)?,
                time: Span::parse(counted, warm)?,
            },
            ("idle", [connections, hold]) => {
                Self::Idle { connections: number(connections)?, hold: seconds(hold)? }
            }
            ("count", [requests, body @ ..]) => {
                Self::Count { requests: number(requests)?, body: Body::parse(body)? }
            }
            ("websocket", [connections, counted, warm, size]) => Self::WebSocket {
                connections: number(connections)?,
                time: Span::parse(counted, warm)?,
                size: number(size).filter(|&size| size <= websocket::LONGEST)?,
            },
            _ => return None,
        })
    }
}

impl Span {
    fn parse(counted: &str, warm: &str) -> Option<Self> {
        Some(Self { warm: seconds(warm)?, counted: seconds(counted)? })
    }

    /// From the start to the end.
    pub(crate) fn whole(self) -> Duration {
        self.warm + self.counted
    }
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.parse().ok()
}

fn seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(number(text)?).ok()
}
