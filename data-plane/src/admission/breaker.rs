//! Spares a service that has failed too often in a row: for a while nothing is sent to it, then one request finds out.
//! (Nygard, "Release It!", circuit breaker.)

use std::sync::{
    Arc,
    atomic::{
        AtomicU32, AtomicU64,
        Ordering::{AcqRel, Relaxed},
    },
};

use tokio::time::Duration;
use weir_proto::{CircuitBreakers, Service};

use crate::{moment::Moment, padded::Padded};

/// What those are told who come while the one request is under way: nobody knows how long it takes.
const SOON: Duration = Duration::from_secs(1);

/// The circuit of one service at this proxy. While it is closed and nothing fails, a request only reads it.
///
/// Settings are passed in, and those of the moment count: a shorter `open_time` ends one that is under way.
#[derive(Debug, Default)]
pub(crate) struct Breaker(Arc<Padded<Circuit>>);

#[derive(Debug, Default)]
struct Circuit {
    word: AtomicU64,
    /// In a row, while it is closed.
    failures: AtomicU32,
    /// How often it was opened after it had been closed.
    opened: AtomicU64,
}

/// Leave to send a request, and the duty to tell what became of it. Dropped without that (the client has gone, say), it
/// says nothing of the service; if it was the one that finds out, another may.
#[derive(Debug)]
pub(crate) struct Permit {
    /// The circuit when it was given. What was sent before a circuit opened says nothing about the time after.
    seen: Word,
    /// Of the one that finds out.
    probes: Option<Arc<Padded<Circuit>>>,
}

/// How a circuit is, for display.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Circulation {
    /// Requests pass. So many failed in a row.
    Closed { failures: u32 },
    /// None do, for so long.
    Open { left: Duration },
    /// One is to find out, or is under way to.
    HalfOpen,
}

/// In one word, when the circuit came to be so (62 bits: 146 years), and how it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Word(u64);

const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const PROBED: u64 = 2;
const STATES: u32 = 2;

impl Breaker {
    /// Whether a request may be sent; if not, how long until one may.
    pub(crate) fn may(&self, settings: &CircuitBreakers, now: Moment) -> Result<Permit, Duration> {
        let seen = self.0.load();
        if seen.is(CLOSED) || settings.consecutive_failures == 0 {
            return Ok(Permit { seen, probes: None });
        }
        let left = seen.left(settings, now);
        if !left.is_zero() {
            return Err(left);
        }
        let probed = seen.with(PROBED);
        if seen.is(PROBED) || !self.0.change(seen, probed) {
            return Err(SOON);
        }
        Ok(Permit { seen: probed, probes: Some(Arc::clone(&self.0)) })
    }

    /// The service did its work.
    pub(crate) fn succeed(&self, mut permit: Permit, service: &Service, now: Moment) {
        if let Some(circuit) = permit.probes.take() {
            circuit.failures.store(0, Relaxed);
            if circuit.change(permit.seen, Word::new(CLOSED, now)) {
                weir_proto::seldom!(
                    info,
                    "service {}: a request succeeded; the circuit is closed again",
                    service.name
                );
            }
        } else if self.0.failures.load(Relaxed) > 0 && self.0.load() == permit.seen {
            self.0.failures.store(0, Relaxed);
        }
    }

    /// The service failed.
    pub(crate) fn fail(&self, mut permit: Permit, service: &Service, now: Moment) {
        let most = service.circuit_breakers.consecutive_failures;
        if let Some(circuit) = permit.probes.take() {
            circuit.change(permit.seen, Word::new(OPEN, now));
        } else if most > 0 && permit.seen.is(CLOSED) && self.0.load() == permit.seen {
            let failures = self.0.failures.fetch_add(1, Relaxed).saturating_add(1);
            if failures >= most && self.0.change(permit.seen, Word::new(OPEN, now)) {
                self.0.opened.fetch_add(1, Relaxed);
                weir_proto::seldom!(
                    warn,
                    "service {}: {failures} requests in a row failed; the circuit is open for {:?}",
                    service.name,
                    service.circuit_breakers.open_time,
                );
            }
        }
    }

    pub(crate) fn circulation(&self, settings: &CircuitBreakers, now: Moment) -> Circulation {
        let word = self.0.load();
        if word.is(CLOSED) || settings.consecutive_failures == 0 {
            return Circulation::Closed { failures: self.0.failures.load(Relaxed) };
        }
        match word.left(settings, now) {
            Duration::ZERO => Circulation::HalfOpen,
            left => Circulation::Open { left },
        }
    }

    /// How often it was opened, not counting when the one request failed.
    pub(crate) fn opened(&self) -> u64 {
        self.0.opened.load(Relaxed)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(circuit) = &self.probes {
            circuit.change(self.seen, self.seen.with(OPEN));
        }
    }
}

impl Circuit {
    fn load(&self) -> Word {
        Word(self.word.load(Relaxed))
    }

    /// Whether it was still so. Of many who try, one does.
    fn change(&self, from: Word, to: Word) -> bool {
        self.word.compare_exchange(from.0, to.0, AcqRel, Relaxed).is_ok()
    }
}

impl Word {
    fn new(state: u64, since: Moment) -> Self {
        Self(since.as_nanos() << STATES | state)
    }

    fn is(self, state: u64) -> bool {
        self == self.with(state)
    }

    /// Another state, as old.
    fn with(self, state: u64) -> Self {
        Self(self.0 >> STATES << STATES | state)
    }

    /// Of the time in which nothing is sent.
    fn left(self, settings: &CircuitBreakers, now: Moment) -> Duration {
        Moment::from_nanos(self.0 >> STATES).plus(settings.open_time).since(now)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use weir_proto::ServiceName;

    use super::*;

    fn service(consecutive_failures: u32) -> Service {
        let mut service = Service::with_defaults(ServiceName::try_from("web").unwrap());
        service.circuit_breakers.consecutive_failures = consecutive_failures;
        service
    }

    fn at(millis: u64) -> Moment {
        Moment::from_nanos(millis * 1_000_000)
    }

    /// With what a test calls all the time.
    struct Subject {
        breaker: Breaker,
        service: Service,
    }

    impl Subject {
        fn new(consecutive_failures: u32) -> Self {
            Self { breaker: Breaker::default(), service: service(consecutive_failures) }
        }

        fn may(&self, millis: u64) -> Result<Permit, Duration> {
            self.breaker.may(&self.service.circuit_breakers, at(millis))
        }

        fn succeed(&self, permit: Permit, millis: u64) {
            self.breaker.succeed(permit, &self.service, at(millis));
        }

        fn fail(&self, permit: Permit, millis: u64) {
            self.breaker.fail(permit, &self.service, at(millis));
        }

        fn circulation(&self, millis: u64) -> Circulation {
            self.breaker.circulation(&self.service.circuit_breakers, at(millis))
        }
    }

    #[test]
    fn so_many_failures_in_a_row_open_it_and_a_success_between_does_not_count_as_one() {
        let subject = Subject::new(3);
        for outcome in [false, false, true, false, false] {
            let permit = subject.may(0).unwrap();
            if outcome { subject.succeed(permit, 0) } else { subject.fail(permit, 0) }
        }
        assert_eq!(subject.circulation(0), Circulation::Closed { failures: 2 });
        subject.fail(subject.may(10).unwrap(), 10);
        assert_eq!(subject.may(10).unwrap_err(), Duration::from_secs(5));
        assert_eq!(subject.may(5_009).unwrap_err(), Duration::from_millis(1));
        assert_eq!(subject.circulation(5_009), Circulation::Open { left: Duration::from_millis(1) });
        assert_eq!(subject.breaker.opened(), 1);
    }

    #[test]
    fn one_request_finds_out_and_closes_it_or_opens_it_again() {
        let subject = Subject::new(1);
        subject.fail(subject.may(0).unwrap(), 0);
        let probe = subject.may(5_000).unwrap();
        assert_eq!(subject.may(5_000).unwrap_err(), SOON);
        assert_eq!(subject.may(50_000).unwrap_err(), SOON, "however long it takes");
        assert_eq!(subject.circulation(50_000), Circulation::HalfOpen);
        subject.fail(probe, 50_000);
        assert_eq!(subject.may(54_999).unwrap_err(), Duration::from_millis(1));
        subject.succeed(subject.may(55_000).unwrap(), 55_001);
        assert_eq!(subject.circulation(55_001), Circulation::Closed { failures: 0 });
        assert_eq!(subject.breaker.opened(), 1);
        subject.fail(subject.may(55_002).unwrap(), 55_002);
        assert_eq!((subject.may(55_002).is_err(), subject.breaker.opened()), (true, 2));
    }

    #[test]
    fn a_client_that_goes_away_says_nothing() {
        let subject = Subject::new(1);
        drop(subject.may(0).unwrap());
        subject.fail(subject.may(0).unwrap(), 0);
        drop(subject.may(5_000).unwrap());
        let next = subject.may(5_000).expect("another may find out at once");
        assert!(subject.may(5_000).is_err());
        subject.succeed(next, 5_000);
        assert!(subject.may(5_000).is_ok());
    }

    #[test]
    fn what_was_sent_before_it_opened_changes_nothing_after() {
        let subject = Subject::new(1);
        let [slow, slower, slowest] = [(); 3].map(|()| subject.may(0).unwrap());
        subject.fail(subject.may(0).unwrap(), 0);
        subject.succeed(slow, 1);
        assert!(subject.may(1).is_err());
        let probe = subject.may(5_000).unwrap();
        subject.fail(slower, 5_001);
        subject.succeed(probe, 5_002);
        subject.fail(slowest, 5_003);
        assert_eq!(subject.circulation(5_003), Circulation::Closed { failures: 0 });
    }

    #[test]
    fn settings_of_the_moment_count() {
        let mut subject = Subject::new(0);
        for _ in 0..9 {
            subject.fail(subject.may(0).unwrap(), 0);
        }
        assert_eq!(subject.circulation(0), Circulation::Closed { failures: 0 }, "it is off");
        subject.service = service(1);
        subject.fail(subject.may(0).unwrap(), 0);
        assert!(subject.may(100).is_err());
        subject.service.circuit_breakers.open_time = Duration::from_millis(100);
        drop(subject.may(100).unwrap());
        subject.service = service(0);
        assert!(subject.may(0).is_ok());
    }

    #[test]
    fn of_all_threads_one_finds_out() {
        let subject = Subject::new(1);
        for round in 0..1_000 {
            let begin = round * 10_000;
            subject.fail(subject.may(begin).unwrap(), begin);
            let permits: Vec<Permit> = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..4).map(|_| scope.spawn(|| subject.may(begin + 5_000).ok())).collect();
                threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
            });
            assert_eq!(permits.len(), 1);
            for permit in permits {
                subject.succeed(permit, begin + 5_000);
            }
        }
    }

    proptest! {
        #[test]
        fn it_is_as_a_single_thread_would_have_it(
            most in 1_u32..5,
            steps in vec((0_u64..3_000, 0_u8..4, any::<prop::sample::Index>()), 0..300),
        ) {
            let subject = Subject::new(most);
            let mut under_way: Vec<(Permit, bool)> = Vec::new();
            let mut now = 0;
            for (pause, what, which) in steps {
                now += pause;
                if what == 0 || under_way.is_empty() {
                    let before = subject.circulation(now);
                    let probes = under_way.iter().filter(|(_, probes)| *probes).count();
                    match (before, subject.may(now)) {
                        (Circulation::Closed { failures }, Ok(permit)) => {
                            prop_assert!(failures < most);
                            under_way.push((permit, false));
                        }
                        (Circulation::Open { left }, Err(told)) => prop_assert_eq!(left, told),
                        (Circulation::HalfOpen, Ok(permit)) => {
                            prop_assert_eq!(probes, 0);
                            under_way.push((permit, true));
                        }
                        (Circulation::HalfOpen, Err(_)) => prop_assert_eq!(probes, 1),
                        (before, outcome) => prop_assert!(false, "{:?} and {:?}", before, outcome),
                    }
                    continue;
                }
                let (permit, probes) = under_way.swap_remove(which.index(under_way.len()));
                match what {
                    1 => subject.succeed(permit, now),
                    2 => subject.fail(permit, now),
                    _ => drop(permit),
                }
                match (probes, what, subject.circulation(now)) {
                    (true, 1, Circulation::Closed { failures: 0 })
                    | (true, 2, Circulation::Open { .. })
                    | (true, 3, Circulation::HalfOpen)
                    | (false, ..) => {}
                    wrong => prop_assert!(false, "{:?}", wrong),
                }
            }
        }
    }
}
