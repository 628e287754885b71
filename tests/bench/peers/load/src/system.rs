//! What the programs ask of the system before and between the work.

use std::{
    io,
    net::{SocketAddr, TcpListener, TcpStream},
    num::NonZeroU64,
};

use rustix::{
    process::{Resource, getrlimit, setrlimit},
    thread::set_current_timer_slack,
};

/// How late the system may wake us, in nanoseconds; its default of 50 µs would blur latencies.
const TIMER_SLACK: NonZeroU64 = NonZeroU64::new(1_000).expect("not zero");

/// As many descriptors as we may have, and timers that are on time.
pub fn prepare() -> io::Result<()> {
    let mut descriptors = getrlimit(Resource::Nofile);
    descriptors.current = descriptors.maximum;
    setrlimit(Resource::Nofile, descriptors)?;
    Ok(set_current_timer_slack(Some(TIMER_SLACK))?)
}

/// The next connection that waits at a non-blocking `listener`, made non-blocking too and without Nagle's delay.
/// `None` when there is none.
pub fn accept(listener: &TcpListener) -> io::Result<Option<(TcpStream, SocketAddr)>> {
    match listener.accept() {
        Ok((stream, from)) => {
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            Ok(Some((stream, from)))
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}
