//! The cheaper of two endpoints that are drawn by weight, by latency times requests in flight (Finagle's peak EWMA).
//!
//! What an endpoint costs is its latency (`endpoint/latency.rs`) times its requests in flight, the next one included, for
//! its weight. One that was never measured costs nothing while nobody asks it, and as much as a slow one while the first
//! answer is awaited: so everybody is tried once, and nobody gets a crowd before it is known what it can do.
//!
//! A slow endpoint would be asked again only when its measurement has decayed. So every so many requests one goes to an
//! endpoint in its turn, whatever it costs. With three endpoints that is 0.67 % for each: more than 0.5 %, so that it is
//! soon noticed when one gets better, and less than 1 %, so that one that stays slow does not show in the 99th
//! percentile.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use weir_proto::PeakEwma as Settings;

use super::{Balance, GroupMember, Pick, urn::Urn};
use crate::{endpoint::Endpoint, moment::Moment, padded::Padded};

/// Of so many requests, one explores.
const EXPLORES: usize = 50;
/// In nanoseconds: of one that was never measured, while its first answer is awaited.
const UNMEASURED: f64 = 1e9;

#[derive(Debug)]
pub(super) struct PeakEwma {
    urn: Urn,
    settings: Settings,
    picks: Padded<AtomicUsize>,
}

impl PeakEwma {
    /// `turn` is how many picks there were: tables may change faster than requests come.
    pub(super) fn new(settings: Settings, members: &Arc<[GroupMember]>, turn: usize) -> Self {
        Self { urn: Urn::new(members), settings, picks: Padded(AtomicUsize::new(turn)) }
    }

    fn explore(&self, turn: usize, admits: impl Fn(usize) -> bool) -> Option<usize> {
        let n = self.urn.len();
        (0..n).map(|i| turn.wrapping_add(i) % n).find(|index| admits(*index))
    }

    fn cost(&self, index: usize, now: Moment) -> f64 {
        let member = self.urn.member(index);
        let in_flight = member.endpoint.in_flight();
        let latency = match member.endpoint.latency().nanos(now, self.settings.decay) {
            Some(latency) => latency,
            None if in_flight == 0 => 0.0,
            None => UNMEASURED,
        };
        latency * (f64::from(in_flight) + 1.0) / f64::from(member.weight)
    }
}

impl Balance for PeakEwma {
    fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        let admits = |index: usize| pick.admits(&self.urn.member(index).endpoint);
        let picks = self.picks.fetch_add(1, Relaxed);
        let explored =
            picks.is_multiple_of(EXPLORES).then(|| self.explore(picks / EXPLORES, admits)).flatten();
        let index = if let Some(index) = explored {
            index
        } else {
            let first = self.urn.draw(admits)?;
            let second = if self.urn.len() > 1 { self.urn.draw(|i| i != first && admits(i)) } else { None };
            let now = Moment::now();
            second.filter(|second| self.cost(*second, now) < self.cost(first, now)).unwrap_or(first)
        };
        Some(&self.urn.member(index).endpoint)
    }

    fn turn(&self) -> Option<usize> {
        Some(self.picks.load(Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Duration, advance};

    use super::*;
    use crate::balance::testing::{Simulation, counts, members};

    fn peak_ewma(members: &Arc<[GroupMember]>) -> PeakEwma {
        PeakEwma::new(Settings::default(), members, 0)
    }

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn a_slow_endpoint_gets_some_requests_and_less_than_one_percent() {
        fastrand::seed(9);
        let members = members(&[1, 1, 1]);
        let balance = peak_ewma(&members);
        let mut simulation = Simulation::new(&members);
        let took = [5, 5, 100];
        let mut counts = [0u32; 3];
        // Every second millisecond a request; each ends when it has taken its time.
        for now in 0..60_000u64 {
            for index in simulation.end_at(now) {
                let latency = MILLISECOND * took[index];
                members[index].endpoint.latency().observe(latency, Moment::now(), Duration::from_secs(10));
            }
            if now % 2 == 0 {
                let index = simulation.begin(&balance, &Pick::default()).unwrap();
                simulation.ends_at(now + u64::from(took[index]));
                counts[index] += 1;
            }
            advance(MILLISECOND).await;
        }
        let share = |index: usize| f64::from(counts[index]) / 30_000.0;
        assert!((0.005..0.01).contains(&share(2)), "{counts:?}");
        assert!(share(0) > 0.4 && share(1) > 0.4, "{counts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn exploring_goes_on_however_often_the_table_changes() {
        let members = members(&[1, 1, 1]);
        for (member, took) in members.iter().zip([5, 5, 100]) {
            member.endpoint.latency().observe(MILLISECOND * took, Moment::now(), Duration::from_secs(10));
        }
        let mut explored = 0;
        let mut balance = peak_ewma(&members);
        for _ in 0..3_000 {
            let picked = balance.pick(&Pick::default()).unwrap();
            explored += u32::from(picked.id() == members[2].endpoint.id());
            balance = PeakEwma::new(Settings::default(), &members, balance.turn().unwrap());
        }
        assert_eq!(explored, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_at_once_attracts_nobody() {
        fastrand::seed(10);
        let members = members(&[1, 1, 1]);
        let balance = peak_ewma(&members);
        let decay = Settings::default().decay;
        let mut counts = [0u32; 3];
        for _ in 0..30_000 {
            let picked = balance.pick(&Pick::default()).unwrap();
            let index = members.iter().position(|m| m.endpoint.id() == picked.id()).unwrap();
            counts[index] += 1;
            match index {
                0 => picked.latency().fail(Moment::now(), decay),
                _ => picked.latency().observe(5 * MILLISECOND, Moment::now(), decay),
            }
            advance(MILLISECOND).await;
        }
        assert!((150..300).contains(&counts[0]), "{counts:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_gets_a_crowd_before_its_first_answer() {
        let members = members(&[1, 1, 1]);
        let balance = peak_ewma(&members);
        let mut simulation = Simulation::new(&members);
        for _ in 0..30 {
            simulation.begin(&balance, &Pick::default()).unwrap();
        }
        assert!(members.iter().all(|m| (7..=13).contains(&m.endpoint.in_flight())));
    }

    #[tokio::test(start_paused = true)]
    async fn of_equal_latency_the_heavier_one_takes_more() {
        fastrand::seed(11);
        let members = members(&[1, 3]);
        let balance = peak_ewma(&members);
        for member in members.iter() {
            member.endpoint.latency().observe(MILLISECOND, Moment::now(), Duration::from_secs(10));
        }
        let mut simulation = Simulation::new(&members);
        for _ in 0..400 {
            simulation.begin(&balance, &Pick::default()).unwrap();
        }
        assert!(members[0].endpoint.in_flight().abs_diff(100) <= 10);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_to_choose_from_is_no_endless_search() {
        assert!(peak_ewma(&members(&[])).pick(&Pick::default()).is_none());
        let one = members(&[1]);
        assert_eq!(counts(&peak_ewma(&one), &one, 200), [200]);
    }
}
