//! Who has a place, who waits for one, and in which order.

use std::sync::{Arc, Mutex};

use tokio::{task::JoinSet, time::Duration};

use super::*;

fn enter(gate: &Gate, limit: u32) -> Result<(), Full> {
    if gate.enter(limit) { Ok(()) } else { Err(Full) }
}

fn in_a_second() -> Instant {
    Instant::now() + Duration::from_secs(1)
}

#[test]
fn never_more_than_the_limit_are_in_whoever_counts() {
    let gate = Gate::default();
    let most = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20_000 {
                    if gate.enter(3) {
                        most.fetch_max(gate.held(), SeqCst);
                        gate.leave();
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= 3);
    assert_eq!(gate.held(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_longest_is_first() {
    let gate = Arc::new(Gate::default());
    assert!(gate.enter(1));
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for i in 0..5 {
        let (at_gate, order) = (Arc::clone(&gate), Arc::clone(&order));
        tasks.spawn(async move {
            at_gate.wait(Turn::First, 5, in_a_second(), false, || enter(&at_gate, 1)).await.unwrap();
            order.lock().unwrap().push(i);
            at_gate.leave();
        });
        while gate.waiting() <= i {
            tokio::task::yield_now().await;
        }
    }
    gate.leave();
    tasks.join_all().await;
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
    assert_eq!((gate.held(), gate.waiting()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn who_comes_later_does_not_pass_those_who_wait() {
    let gate = Gate::default();
    assert!(gate.enter(1));
    let first = gate.wait(Turn::First, 2, in_a_second(), false, || enter(&gate, 1));
    let late = async {
        tokio::task::yield_now().await;
        // The first one is called, and has not come yet.
        gate.leave();
        gate.wait(Turn::First, 2, in_a_second(), false, || enter(&gate, 1)).await
    };
    let (first, late) = tokio::join!(biased; first, late);
    assert_eq!((first, late), (Ok(()), Err(Reason::QueueTimeout)));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_refuses_at_once_and_a_deadline_ends_the_wait() {
    let gate = Gate::default();
    assert!(gate.enter(1));
    let start = Instant::now();
    let (first, second) = tokio::join!(
        gate.wait(Turn::First, 1, in_a_second(), false, || enter(&gate, 1)),
        gate.wait(Turn::First, 1, in_a_second(), false, || enter(&gate, 1)),
    );
    assert_eq!((first, second), (Err(Reason::QueueTimeout), Err(Reason::Overflow)));
    assert_eq!(start.elapsed(), Duration::from_secs(1));
    assert_eq!(gate.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_the_first_line_goes_before_those_in_the_second() {
    let gate = Arc::new(Gate::default());
    assert!(gate.enter(1));
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = JoinSet::new();
    for (i, turn) in [Turn::Second, Turn::Second, Turn::First, Turn::First].into_iter().enumerate() {
        let (at_gate, order) = (Arc::clone(&gate), Arc::clone(&order));
        tasks.spawn(async move {
            at_gate.wait(turn, 2, in_a_second(), false, || enter(&at_gate, 1)).await.unwrap();
            order.lock().unwrap().push(i);
            at_gate.leave();
        });
        while usize::try_from(gate.waiting()).unwrap() <= i {
            tokio::task::yield_now().await;
        }
    }
    assert!(gate.has_line(Turn::First));
    gate.leave();
    tasks.join_all().await;
    assert_eq!(*order.lock().unwrap(), [2, 3, 0, 1]);
    assert!(!gate.has_line(Turn::Second));
}

/// Two places become free while the only one of the first line has been called and has not come.
#[tokio::test(start_paused = true)]
async fn no_call_is_lost_on_a_line_that_is_empty_by_then() {
    let gate = Gate::default();
    assert!(gate.enter(2) && gate.enter(2));
    let wait = |turn| gate.wait(turn, 2, in_a_second(), false, || enter(&gate, 2));
    let leave = async {
        tokio::task::yield_now().await;
        gate.leave();
        gate.leave();
    };
    let waits =
        async { tokio::join!(biased; wait(Turn::First), wait(Turn::Second), wait(Turn::Second), leave) };
    assert_eq!(waits.await, (Ok(()), Ok(()), Err(Reason::QueueTimeout), ()));
}

#[tokio::test(start_paused = true)]
async fn one_that_was_called_and_gives_up_passes_the_call_to_the_other_line() {
    let gate = Gate::default();
    assert!(gate.enter(1));
    let mut first = Box::pin(gate.wait(Turn::First, 2, in_a_second(), false, || enter(&gate, 1)));
    assert!(futures_util::poll!(first.as_mut()).is_pending());
    let second = gate.wait(Turn::Second, 2, in_a_second(), false, || enter(&gate, 1));
    let leave = async {
        tokio::task::yield_now().await;
        gate.leave();
        drop(first);
    };
    assert_eq!(tokio::join!(biased; second, leave), (Ok(()), ()));
}

#[tokio::test(start_paused = true)]
async fn a_full_second_line_keeps_nobody_out_of_the_first() {
    let gate = Gate::default();
    assert!(gate.enter(1));
    let wait = |turn| gate.wait(turn, 1, in_a_second(), false, || enter(&gate, 1));
    let leave = async {
        tokio::task::yield_now().await;
        gate.leave();
    };
    let (late, latest, first, ()) =
        tokio::join!(biased; wait(Turn::Second), wait(Turn::Second), wait(Turn::First), leave);
    assert_eq!((late, latest, first), (Err(Reason::QueueTimeout), Err(Reason::Overflow), Ok(())));
}

#[tokio::test(start_paused = true)]
async fn the_second_line_is_called_when_the_last_of_the_first_gives_up() {
    let gate = Gate::default();
    assert!(gate.enter(1));
    let soon = Instant::now() + Duration::from_millis(10);
    let first = gate.wait(Turn::First, 1, soon, false, || enter(&gate, 0));
    let second = gate.wait(Turn::Second, 1, in_a_second(), false, || enter(&gate, 2));
    let (first, second) = tokio::join!(biased; first, second);
    assert_eq!((first, second), (Err(Reason::QueueTimeout), Ok(())));
}

#[tokio::test]
async fn nobody_is_forgotten_on_many_threads() {
    const EACH: usize = 2_000;
    let gate = Arc::new(Gate::default());
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let mut tasks = JoinSet::new();
                    for _ in 0..EACH {
                        let gate = Arc::clone(&gate);
                        tasks.spawn(async move {
                            let far = Instant::now() + Duration::from_mins(1);
                            gate.wait(Turn::First, u32::MAX, far, false, || enter(&gate, 2)).await.unwrap();
                            tokio::task::yield_now().await;
                            gate.leave();
                        });
                    }
                    tasks.join_all().await;
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!((gate.held(), gate.waiting()), (0, 0));
}
