//! What part of a service's traffic each group of its endpoints takes, by priority, zone and health.
//!
//! Envoy's priority levels, overprovisioning factor and panic threshold ("Priority levels", "Degraded endpoints" and
//! "Panic threshold" in its documentation of load balancing), with these differences: shares are not rounded to percent,
//! and in a level whose endpoints nobody can replace, because there is no other level, the threshold counts whatever the
//! factor. A level's loss that other levels take is no reason for panic in either.

/// Endpoints of a group, by what becomes of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// All but those that operator or lease have taken out.
    pub(super) routable: u32,
    /// Of those, the ones whose first probe is awaited: nobody knows yet.
    pub(super) unknown: u32,
    /// Of those, the ones that nothing speaks against.
    pub(super) healthy: u32,
    /// Of those, the ones that ask for less.
    pub(super) degraded: u32,
}

/// What a group takes of the service's traffic: parts of 1, by those among whom it is picked.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Share {
    pub(super) healthy: f64,
    pub(super) degraded: f64,
    /// Whatever health says.
    pub(super) all: f64,
}

/// How much of its traffic a level or a zone hands on, and when health is ignored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    /// `Service.healthy_panic_threshold`, in percent.
    pub(super) threshold: u32,
    /// `Service.overprovisioning_factor`, in percent.
    pub(super) factor: u32,
}

impl Tally {
    fn known(self) -> u32 {
        self.routable - self.unknown
    }

    fn usable(self) -> u32 {
        self.healthy + self.degraded
    }

    /// What `n` of its endpoints can take of what all of them were meant for: 0 to 1.
    fn capacity(self, n: u32, settings: Settings) -> f64 {
        if n == 0 { 0.0 } else { part(settings.factor, 100) * part(n, self.known()) }.min(1.0)
    }

    fn panics(self, settings: Settings) -> bool {
        let usable = u64::from(self.usable());
        self.known() > 0
            && (usable == 0 || usable * 100 < u64::from(settings.threshold) * u64::from(self.known()))
    }

    fn and(self, other: Self) -> Self {
        Self {
            routable: self.routable + other.routable,
            unknown: self.unknown + other.unknown,
            healthy: self.healthy + other.healthy,
            degraded: self.degraded + other.degraded,
        }
    }
}

/// The shares of the groups of each level, in their order; the levels by priority, the group that is near first. They sum
/// up to 1, unless nothing is routable.
pub(super) fn shares(levels: &[&[Tally]], settings: Settings) -> Vec<Share> {
    let sums: Vec<Tally> =
        levels.iter().map(|groups| groups.iter().copied().fold(Tally::default(), Tally::and)).collect();
    let healthy: Vec<f64> = sums.iter().map(|sum| sum.capacity(sum.healthy, settings)).collect();
    let degraded: Vec<f64> = sums.iter().map(|sum| sum.capacity(sum.degraded, settings)).collect();
    let total: f64 = healthy.iter().chain(&degraded).sum();
    if total == 0.0 {
        return of_nobody(levels, &sums);
    }
    // Healthy endpoints of all levels come before degraded ones of any.
    let mut left = 1.0f64;
    let mut take = |capacity: &f64| {
        let taken = (capacity / total.min(1.0)).min(left);
        left -= taken;
        taken
    };
    let healthy: Vec<f64> = healthy.iter().map(&mut take).collect();
    let degraded: Vec<f64> = degraded.iter().map(&mut take).collect();
    let alone = sums.iter().filter(|sum| sum.routable > 0).count() == 1;
    let mut shares = Vec::new();
    for (level, groups) in levels.iter().enumerate() {
        let (healthy, degraded) = (healthy[level], degraded[level]);
        if (alone || total < 1.0) && sums[level].panics(settings) {
            shares.extend(in_panic(groups, sums[level], healthy + degraded));
        } else {
            let healthy = by_zone(groups, healthy, |tally| tally.healthy, settings);
            let degraded = by_zone(groups, degraded, |tally| tally.degraded, settings);
            shares.extend(healthy.zip(degraded).map(|(healthy, degraded)| Share {
                healthy,
                degraded,
                all: 0.0,
            }));
        }
    }
    shares
}

/// Nobody is usable: all goes to the first level of which that is known, and else to the first with anybody in it.
fn of_nobody(levels: &[&[Tally]], sums: &[Tally]) -> Vec<Share> {
    let known = sums.iter().position(|sum| sum.known() > 0);
    let routable = sums.iter().position(|sum| sum.routable > 0);
    let mut shares = Vec::new();
    for (level, groups) in levels.iter().enumerate() {
        if Some(level) == known {
            shares.extend(in_panic(groups, sums[level], 1.0));
        } else {
            let waits = known.is_none() && Some(level) == routable;
            let first = groups.iter().position(|tally| tally.routable > 0);
            let is_first = |at| if waits && Some(at) == first { 1.0 } else { 0.0 };
            shares.extend((0..groups.len()).map(|at| Share { healthy: is_first(at), ..Share::default() }));
        }
    }
    shares
}

/// Health is ignored, and with it the zones, whose capacity is judged by health.
fn in_panic(groups: &[Tally], level: Tally, share: f64) -> impl Iterator<Item = Share> {
    groups
        .iter()
        .map(move |tally| Share { all: share * part(tally.routable, level.routable), ..Share::default() })
}

/// What the near group can take of a share, and what is left for the other one. All that there are of a group that
/// stands alone.
fn by_zone(
    groups: &[Tally],
    share: f64,
    usable: fn(&Tally) -> u32,
    settings: Settings,
) -> impl Iterator<Item = f64> {
    let elsewhere = groups.iter().skip(1).any(|tally| usable(tally) > 0);
    let near = groups.first().map_or(0.0, |near| {
        let capacity = if usable(near) == 0 { 0.0 } else { near.capacity(near.usable(), settings) };
        if elsewhere { share * capacity } else { share }
    });
    (0..groups.len()).map(move |at| if at == 0 { near } else { share - near })
}

fn part(n: u32, of: u32) -> f64 {
    f64::from(n) / f64::from(of.max(1))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DEFAULT: Settings = Settings { threshold: 50, factor: 140 };

    /// Of 100 endpoints.
    fn level(healthy: u32, degraded: u32) -> Tally {
        Tally { routable: 100, unknown: 0, healthy, degraded }
    }

    /// What each level takes, in percent, and whether it panics.
    fn of_levels(levels: &[Tally], settings: Settings) -> Vec<(f64, bool)> {
        let levels: Vec<&[Tally]> = levels.iter().map(std::slice::from_ref).collect();
        let percent = |share: Share| 100.0 * (share.healthy + share.degraded + share.all);
        shares(&levels, settings).into_iter().map(|share| (percent(share), share.all > 0.0)).collect()
    }

    /// The tables of Envoy's documentation, "Priority levels" and "Panic threshold". It rounds to percent.
    #[test]
    fn levels_spill_over_as_envoys_do() {
        let table: [(&[u32], &[f64], &[bool]); 15] = [
            (&[100, 100], &[100.0, 0.0], &[false, false]),
            (&[72, 100], &[100.0, 0.0], &[false, false]),
            (&[71, 100], &[99.0, 1.0], &[false, false]),
            (&[50, 100], &[70.0, 30.0], &[false, false]),
            (&[25, 100], &[35.0, 65.0], &[false, false]),
            (&[0, 100], &[0.0, 100.0], &[false, false]),
            (&[72, 72], &[100.0, 0.0], &[false, false]),
            (&[71, 71], &[99.0, 1.0], &[false, false]),
            (&[50, 50], &[70.0, 30.0], &[false, false]),
            (&[25, 25], &[50.0, 50.0], &[true, true]),
            (&[5, 65], &[7.0, 93.0], &[true, false]),
            (&[50, 50, 100], &[70.0, 30.0, 0.0], &[false, false, false]),
            (&[25, 25, 100], &[35.0, 35.0, 30.0], &[false, false, false]),
            (&[25, 25, 20], &[36.0, 36.0, 28.0], &[true, true, true]),
            (&[0, 0, 0], &[100.0, 0.0, 0.0], &[true, false, false]),
        ];
        for (healthy, expected, panics) in table {
            let levels: Vec<Tally> = healthy.iter().map(|healthy| level(*healthy, 0)).collect();
            let shares = of_levels(&levels, DEFAULT);
            for (((share, panic), expected), panics) in shares.into_iter().zip(expected).zip(panics) {
                assert!((share - expected).abs() < 1.0, "{healthy:?}: {share} for {expected}");
                assert_eq!(panic, *panics, "{healthy:?}");
            }
        }
    }

    /// "Degraded endpoints".
    #[test]
    fn degraded_ones_take_what_healthy_ones_cannot() {
        for (healthy, degraded, expected) in
            [(100, 0, 0.0), (71, 0, 0.0), (71, 29, 0.6), (25, 65, 65.0), (0, 100, 100.0), (0, 60, 100.0)]
        {
            let share = shares(&[&[level(healthy, degraded)]], DEFAULT)[0];
            assert!((share.degraded * 100.0 - expected).abs() < 0.1, "{healthy} and {degraded}: {share:?}");
            assert!(share.all < 1e-9);
        }
    }

    #[test]
    fn panic_is_below_the_threshold_of_those_that_are_known() {
        let panics = |tally, threshold| of_levels(&[tally], Settings { threshold, ..DEFAULT })[0].1;
        assert!(panics(level(49, 0), 50) && !panics(level(50, 0), 50) && !panics(level(20, 30), 50));
        assert!(panics(level(79, 0), 80) && !panics(level(1, 0), 0));
        // Health fails open, whatever the threshold.
        assert!(panics(level(0, 0), 0));
        let unknown = |unknown, healthy| Tally { routable: 100, unknown, healthy, degraded: 0 };
        assert!(!panics(unknown(90, 5), 50) && panics(unknown(90, 4), 50));
        assert!(!panics(unknown(100, 0), 50), "all may turn out to be well");
        assert!(panics(unknown(97, 0), 50), "those that fail now go on being used when some are new");
    }

    #[test]
    fn the_near_ones_take_all_that_they_can() {
        let zones = |near: Tally, far: Tally| {
            let shares = shares(&[&[near, far]], DEFAULT);
            shares.iter().map(|share| (share.healthy * 100.0).round()).collect::<Vec<_>>()
        };
        let of = |routable, healthy| Tally { routable, unknown: 0, healthy, degraded: 0 };
        assert_eq!(zones(of(4, 4), of(100, 100)), [100.0, 0.0]);
        assert_eq!(zones(of(4, 3), of(100, 100)), [100.0, 0.0]);
        assert_eq!(zones(of(4, 2), of(100, 100)), [70.0, 30.0]);
        assert_eq!(zones(of(4, 0), of(100, 100)), [0.0, 100.0]);
        assert_eq!(zones(of(4, 3), of(1, 0)), [100.0, 0.0], "there is nobody else");
        let panics = shares(&[&[of(4, 2), of(4, 1)]], DEFAULT);
        assert_eq!((panics[0].all, panics[1].all), (0.5, 0.5));
    }

    fn tallies() -> impl Strategy<Value = Tally> {
        (0u32..20, 0u32..20, 0u32..20, 0u32..20).prop_map(|(unknown, healthy, degraded, bad)| Tally {
            routable: unknown + healthy + degraded + bad,
            unknown,
            healthy,
            degraded,
        })
    }

    proptest! {
        #[test]
        fn everything_goes_somewhere_and_nothing_to_nobody(
            levels in prop::collection::vec(prop::collection::vec(tallies(), 1..3), 1..5),
            threshold in 0u32..=100,
            factor in 100u32..=1000,
        ) {
            let levels: Vec<&[Tally]> = levels.iter().map(Vec::as_slice).collect();
            let shares = shares(&levels, Settings { threshold, factor });
            let tallies: Vec<Tally> = levels.concat();
            prop_assert_eq!(shares.len(), tallies.len());
            let sum: f64 = shares.iter().map(|share| share.healthy + share.degraded + share.all).sum();
            let somebody = tallies.iter().any(|tally| tally.routable > 0);
            prop_assert!((sum - f64::from(u8::from(somebody))).abs() < 1e-9, "{:?}", shares);
            for (share, tally) in shares.iter().zip(&tallies) {
                prop_assert!(share.healthy >= 0.0 && share.degraded >= 0.0 && share.all >= 0.0);
                prop_assert!(share.healthy < 1e-9 || tally.healthy + tally.unknown > 0, "{:?} {:?}", share, tally);
                prop_assert!(share.degraded < 1e-9 || tally.degraded > 0);
                prop_assert!(share.all == 0.0 || tally.routable > 0);
            }
        }
    }
}
