//! Each endpoint in its turn, by weights that follow what the endpoints report of their load.
//!
//! gRPC's proposal A58 (`client_side_weighted_round_robin`): the weight of an endpoint is what it does for its
//! utilization; one that does not report has the mean of the others; while fewer than two report, all have the same. No
//! weight is more than ten times the median or less than a tenth of it, so that nobody can ask for everything (the mean
//! would follow whoever exaggerates). The weights that the configuration gives are multiplied by that.

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
};

use arc_swap::ArcSwap;
use weir_proto::ReportedLoad as Settings;

use super::{Balance, GroupMember, Pick, round_robin::in_turn, sequence::Sequence};
use crate::{endpoint::Endpoint, moment::Moment, padded::Padded};

/// How far from the median a weight may be.
const MOST: f64 = 10.0;
/// How finely weights are told apart, where that does not make too long a sequence.
const FINEST: usize = 1000;
const COARSEST: usize = 16;
/// The most turns that a sequence should have.
const TURNS: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct ClientSideWeightedRoundRobin {
    members: Arc<[GroupMember]>,
    settings: Settings,
    turns: ArcSwap<Turns>,
    cursor: Padded<AtomicUsize>,
    /// When the weights were looked at last.
    refreshed: AtomicU64,
}

#[derive(Debug)]
struct Turns {
    weights: Vec<u32>,
    sequence: Sequence,
}

impl ClientSideWeightedRoundRobin {
    /// `turn` is where the cursor starts.
    pub(super) fn new(settings: Settings, members: &Arc<[GroupMember]>, turn: usize, now: Moment) -> Self {
        Self {
            members: Arc::clone(members),
            settings,
            turns: ArcSwap::from_pointee(Turns::new(weights(&settings, members, now))),
            cursor: Padded(AtomicUsize::new(turn)),
            refreshed: AtomicU64::new(now.as_nanos()),
        }
    }
}

impl Balance for ClientSideWeightedRoundRobin {
    fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        in_turn(&self.members, &self.turns.load().sequence, &self.cursor, pick)
    }

    fn turn(&self) -> Option<usize> {
        Some(self.cursor.load(Relaxed))
    }

    fn refresh(&self, now: Moment) {
        let refreshed = Moment::from_nanos(self.refreshed.load(Relaxed));
        if now.since(refreshed) < self.settings.weight_update_period {
            return;
        }
        self.refreshed.store(now.as_nanos(), Relaxed);
        let weights = weights(&self.settings, &self.members, now);
        if weights != self.turns.load().weights {
            self.turns.store(Arc::new(Turns::new(weights)));
        }
    }
}

impl Turns {
    fn new(weights: Vec<u32>) -> Self {
        Self { sequence: Sequence::new(weights.iter().copied()), weights }
    }
}

/// What each endpoint is worth now. All have their configured weight while too few report.
fn weights(settings: &Settings, members: &[GroupMember], now: Moment) -> Vec<u32> {
    let reported = members.iter().map(|m| m.endpoint.reported().weight(settings, now));
    let reported: Vec<Option<f64>> = reported.collect();
    let mut sorted: Vec<f64> = reported.iter().copied().flatten().collect();
    if sorted.len() < 2 {
        return members.iter().map(|m| m.weight).collect();
    }
    sorted.sort_unstable_by(f64::total_cmp);
    let median = sorted[(sorted.len() - 1) / 2];
    let relative = |reported: f64| (reported / median).clamp(1.0 / MOST, MOST);
    let (count, sum) =
        sorted.into_iter().fold((0.0, 0.0), |(count, sum), w| (count + 1.0, sum + relative(w)));
    let worth = |(member, reported): (&GroupMember, &Option<f64>)| {
        reported.map_or(sum / count, relative) * f64::from(member.weight)
    };
    let worths: Vec<f64> = members.iter().zip(&reported).map(worth).collect();
    let most = worths.iter().copied().fold(0.0, f64::max);
    let finest = (TURNS / members.len()).clamp(COARSEST, FINEST);
    worths.into_iter().map(|worth| scaled(worth / most, finest)).collect()
}

/// At least 1: nobody starves.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "it is at most a thousand"
)]
fn scaled(part: f64, finest: usize) -> u32 {
    ((part * finest as f64).round() as u32).max(1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::balance::{
        LoadReport,
        testing::{counts, members},
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn at(seconds: u32) -> Moment {
        Moment::from_nanos(1).plus(SECOND * seconds)
    }

    fn balance(members: &Arc<[GroupMember]>) -> ClientSideWeightedRoundRobin {
        ClientSideWeightedRoundRobin::new(Settings::default(), members, 0, at(0))
    }

    fn report(member: &GroupMember, utilization: f64, seconds: u32) {
        member.endpoint.reported().report(LoadReport { utilization, rps: 100.0, eps: 0.0 }, at(seconds));
    }

    #[test]
    fn who_is_half_as_busy_by_the_same_requests_gets_twice_as_many() {
        let members = members(&[1, 1, 1]);
        let balance = balance(&members);
        assert_eq!(counts(&balance, &members, 300), [100, 100, 100], "nobody has said anything");
        for seconds in [0, 10] {
            report(&members[0], 0.4, seconds);
            report(&members[1], 0.8, seconds);
        }
        assert_eq!(counts(&balance, &members, 300), [100, 100, 100], "it was not refreshed");
        balance.refresh(at(10));
        // The third one says nothing and has the mean.
        assert_eq!(counts(&balance, &members, 9_000), [4_000, 2_000, 3_000]);
        balance.refresh(at(190));
        assert_eq!(counts(&balance, &members, 300), [100, 100, 100], "what they said is too old");
    }

    #[test]
    fn the_configured_weight_multiplies_and_one_report_is_no_comparison() {
        let members = members(&[1, 3]);
        let balance = balance(&members);
        report(&members[0], 0.1, 0);
        balance.refresh(at(20));
        assert_eq!(counts(&balance, &members, 400), [100, 300]);
        report(&members[1], 0.1, 0);
        balance.refresh(at(21));
        let both = counts(&balance, &members, 4_000);
        assert!(both[0].abs_diff(1_000) <= 4, "{both:?}");
    }

    #[test]
    fn nobody_can_ask_for_everything_or_is_left_with_nothing() {
        let members = members(&[1, 1, 1, 1]);
        let balance = balance(&members);
        for (member, utilization) in members.iter().zip([1e-6, 0.5, 0.5, 1e6]) {
            report(member, utilization, 0);
        }
        balance.refresh(at(20));
        assert_eq!(counts(&balance, &members, 12_100), [10_000, 1_000, 1_000, 100]);
    }

    #[test]
    fn reports_outlast_the_table() {
        let members = members(&[1, 1]);
        report(&members[0], 0.2, 0);
        report(&members[1], 0.6, 0);
        let next = ClientSideWeightedRoundRobin::new(Settings::default(), &members, 0, at(20));
        let counts = counts(&next, &members, 4_000);
        assert!(counts[0].abs_diff(3_000) <= 4, "{counts:?}");
    }
}
