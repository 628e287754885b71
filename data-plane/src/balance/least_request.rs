//! The endpoint with the fewest requests in flight for its weight, out of a few that are drawn by weight.
//!
//! Two choices are nearly as good as all (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", 1996),
//! and unlike all they do not send every worker to the same endpoint at the same time. They are never twice the same, or
//! of three endpoints a slow one would still get every ninth request.
//!
//! Ties stay with the first drawn: so at rest, shares are the weights.
//!
//! One that fails at once has nothing in flight, and would attract everybody. So failures in a row count as requests in
//! flight; some requests forgive them, or it would never get the chance to succeed again.

use std::sync::Arc;

use weir_proto::LeastRequest as Settings;

use super::{Balance, GroupMember, Pick, urn::Urn};
use crate::endpoint::Endpoint;

/// Of so many requests that draw an endpoint that fails, one does not mind.
const FORGIVES: u32 = 32;
/// The most that can be drawn.
const MOST: usize = 16;

#[derive(Debug)]
pub(super) struct LeastRequest {
    urn: Urn,
    choices: usize,
}

impl LeastRequest {
    pub(super) fn new(settings: Settings, members: &Arc<[GroupMember]>) -> Self {
        Self {
            urn: Urn::new(members),
            choices: (settings.choice_count as usize).min(MOST).min(members.len()),
        }
    }
}

impl Balance for LeastRequest {
    fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        let admits = |index: usize| pick.admits(&self.urn.member(index).endpoint);
        let mut drawn = [0; MOST];
        drawn[0] = self.urn.draw(admits)?;
        let mut best = self.urn.member(drawn[0]);
        let mut load = load(best);
        for n in 1..self.choices {
            let before = &drawn[..n];
            let Some(next) = self.urn.draw(|index| !before.contains(&index) && admits(index)) else { break };
            drawn[n] = next;
            let other = self.urn.member(next);
            let other_load = self::load(other);
            // By cross-multiplication: load per weight.
            if other_load * u64::from(best.weight) < load * u64::from(other.weight) {
                (best, load) = (other, other_load);
            }
        }
        Some(&best.endpoint)
    }
}

/// How busy it is, or looks.
fn load(member: &GroupMember) -> u64 {
    let passive = member.endpoint.passive();
    let failures = passive.consecutive_failures();
    let forgiven = failures > 0 && fastrand::u32(..FORGIVES) == 0;
    u64::from(passive.in_flight()) + if forgiven { 0 } else { u64::from(failures) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::testing::{Simulation, counts, fits, in_flight, members};

    fn least_request(choice_count: u32, members: &Arc<[GroupMember]>) -> LeastRequest {
        LeastRequest::new(Settings { choice_count }, members)
    }

    #[test]
    fn at_rest_shares_are_the_weights() {
        for choice_count in [2, 3, 16] {
            fastrand::seed(5);
            let members = members(&[1, 2, 5]);
            let counts = counts(&least_request(choice_count, &members), &members, 40_000);
            assert!(fits(&counts, &[1.0, 2.0, 5.0]), "{counts:?}");
        }
    }

    #[test]
    fn who_has_most_in_flight_for_its_weight_is_not_picked() {
        fastrand::seed(6);
        let members = members(&[1, 2, 2]);
        let _busy = (in_flight(&members[0], 2), in_flight(&members[1], 3), in_flight(&members[2], 5));
        // 2/1, 3/2, 5/2: the last one loses against either.
        let two = counts(&least_request(2, &members), &members, 10_000);
        assert!(two[2] == 0 && two[0] > 0 && two[1] > two[0], "{two:?}");
        let all = counts(&least_request(3, &members), &members, 1_000);
        assert_eq!(all, [0, 1_000, 0]);
    }

    #[test]
    fn requests_in_flight_settle_at_the_weights() {
        fastrand::seed(7);
        let members = members(&[1, 2, 5]);
        let balance = least_request(2, &members);
        let mut simulation = Simulation::new(&members);
        for _ in 0..800 {
            simulation.begin(&balance, &Pick::default()).unwrap();
        }
        for (member, expected) in members.iter().zip([100, 200, 500]) {
            assert!(member.endpoint.in_flight().abs_diff(expected) <= 20, "{}", member.endpoint.in_flight());
        }
    }

    /// Without a penalty the one that answers at once with an error has nothing in flight, and gets nearly everything.
    #[test]
    fn one_that_fails_at_once_attracts_nobody_and_may_succeed_again() {
        fastrand::seed(8);
        let members = members(&[1, 1, 1]);
        let balance = least_request(2, &members);
        let mut simulation = Simulation::new(&members);
        let mut failed = 0;
        for request in 0..20_000 {
            let index = simulation.begin(&balance, &Pick::default()).unwrap();
            if index == 0 {
                failed += 1;
                members[0].endpoint.passive().fail(true);
                simulation.end(0);
            }
            // The others take a while, and have 10 in flight together.
            if request >= 10 {
                simulation.end_oldest_of(&[1, 2]);
            }
        }
        assert!(failed < 20_000 / 20, "{failed} of 20000 went to the one that fails");
        assert!(failed > 50, "{failed}: it would not be noticed that it is well again");
    }

    #[test]
    fn few_endpoints_make_no_endless_draws() {
        let pick = Pick::default();
        assert!(least_request(2, &members(&[])).pick(&pick).is_none());
        let one = members(&[3]);
        assert_eq!(least_request(16, &one).pick(&pick).unwrap().id(), one[0].endpoint.id());
        let lopsided = members(&[1, 256]);
        let tried = [lopsided[1].endpoint.id()];
        let balance = least_request(2, &lopsided);
        let picked = balance.pick(&Pick { tried: &tried, ..pick });
        assert_eq!(picked.unwrap().id(), lopsided[0].endpoint.id());
    }
}
