//! Waiting for a condition, with a deadline.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// How long anything may take before it counts as never. Generous: a busy machine is no failure.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// How long may pass where nothing should be waited for at all: less than any of Weir's own timeouts.
const AT_ONCE: Duration = Duration::from_secs(3);

const POLL: Duration = Duration::from_millis(2);

/// Asks again and again until there is an answer; panics, naming `what`, when [`PATIENCE`] is at its end.
pub async fn until<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        sleep(POLL).await;
    }
}

/// Prints how long something took that should take no time. Fails only if somebody must have waited for something: how
/// busy the machine is fails no test.
#[expect(clippy::print_stdout, reason = "tests print figures")]
pub fn at_once(what: &str, started: Instant) {
    let took = started.elapsed();
    println!("{what} took {took:?}");
    assert!(took < AT_ONCE, "{what} took {took:?}");
}
