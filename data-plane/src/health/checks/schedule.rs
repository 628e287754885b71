//! When the next probe is due, and what a row of answers means: without sockets or time.

use std::time::Duration;

use weir_proto::HealthCheck;

use crate::{endpoint::Health, health::probe::Outcome};

/// What was heard of one backend.
#[derive(Debug, Clone)]
pub(super) struct Schedule {
    health: Health,
    /// Answers in a row, each counted as far as it says something else than what is known.
    passed: u32,
    failed: u32,
}

impl Schedule {
    /// Goes on from what was known.
    pub(super) fn new(health: Health) -> Self {
        Self { health, passed: 0, failed: 0 }
    }

    pub(super) fn health(&self) -> Health {
        self.health
    }

    /// Takes an answer. The first about a backend that is not known decides; later on it takes as many in a row as the
    /// check wants. To say that it is loaded takes one: whoever asks for less is to get less. To be believed that it is
    /// not loaded any more it must pass as often as one that was unhealthy.
    pub(super) fn learn(&mut self, outcome: &Outcome, check: &HealthCheck) {
        match outcome {
            Outcome::Skipped(_) => return,
            Outcome::Failed(_) => (self.passed, self.failed) = (0, self.failed.saturating_add(1)),
            // Alive, which is what one that is unhealthy has to show.
            Outcome::Loaded(_) if self.health == Health::Unhealthy => self.succeed(),
            Outcome::Loaded(_) => (self.passed, self.failed) = (0, 0),
            Outcome::Passed => self.succeed(),
        }
        let known = !matches!(self.health, Health::Unchecked | Health::Unknown);
        let enough = |count: u32, threshold: u32| !known || count >= threshold;
        let next = match (outcome, self.health) {
            (Outcome::Failed(_), _) if enough(self.failed, check.unhealthy_threshold) => Health::Unhealthy,
            (Outcome::Passed, _) if enough(self.passed, check.healthy_threshold) => Health::Healthy,
            (Outcome::Loaded(_), Health::Unhealthy) if self.passed < check.healthy_threshold => return,
            (Outcome::Loaded(_), _) => Health::Degraded,
            _ => return,
        };
        if next != self.health {
            *self = Self::new(next);
        }
    }

    /// From the end of a probe to the next. `dice`: from 0 to 1, by which those that began together part.
    pub(super) fn wait(&self, check: &HealthCheck, dice: f64) -> Duration {
        let interval =
            if self.health == Health::Unhealthy { check.unhealthy_interval } else { check.interval };
        interval + interval.mul_f64(f64::from(check.interval_jitter_percent) / 100.0 * dice)
    }

    fn succeed(&mut self) {
        (self.passed, self.failed) = (self.passed.saturating_add(1), 0);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use weir_proto::Probe;

    use super::*;

    /// 2 to be healthy, 3 to be unhealthy.
    fn check() -> HealthCheck {
        HealthCheck::with_defaults(Probe::Tcp)
    }

    fn outcome(letter: char) -> Outcome {
        match letter {
            '+' => Outcome::Passed,
            '~' => Outcome::Loaded(String::new()),
            '-' => Outcome::Failed(String::new()),
            _ => Outcome::Skipped(String::new()),
        }
    }

    /// One letter for what is known after each answer.
    fn after(start: Health, answers: &str) -> String {
        let mut schedule = Schedule::new(start);
        let letter = |health| match health {
            Health::Unchecked => 'c',
            Health::Unknown => '?',
            Health::Healthy => 'H',
            Health::Unhealthy => 'U',
            Health::Degraded => 'D',
        };
        let step = |answer| {
            schedule.learn(&outcome(answer), &check());
            letter(schedule.health())
        };
        answers.chars().map(step).collect()
    }

    #[test]
    fn the_first_answer_decides_about_one_that_is_not_known() {
        for start in [Health::Unknown, Health::Unchecked] {
            assert_eq!(["+", "-", "~"].map(|answer| after(start, answer)), ["H", "U", "D"]);
        }
    }

    #[test]
    fn then_it_takes_a_row_without_a_gap() {
        assert_eq!(after(Health::Healthy, "--+--+---"), "HHHHHHHHU");
        assert_eq!(after(Health::Unhealthy, "+-+-++"), "UUUUUH");
        assert_eq!(after(Health::Unhealthy, "+++---++"), "UHHHHUUH", "one event down, one up");
    }

    #[test]
    fn one_that_is_loaded_is_alive_and_must_pass_in_a_row_to_be_believed_again() {
        assert_eq!(after(Health::Healthy, "~+~+~++"), "DDDDDDH");
        assert_eq!(after(Health::Healthy, "--~--~"), "HHDDDD", "it interrupts a row of failures");
        assert_eq!(after(Health::Degraded, "---"), "DDU");
        assert_eq!(after(Health::Unhealthy, "~~"), "UD");
        assert_eq!(after(Health::Unhealthy, "~+"), "UH");
        assert_eq!(after(Health::Unhealthy, "+~+"), "UDD");
    }

    #[test]
    fn an_answer_to_nothing_says_nothing() {
        assert_eq!(after(Health::Unknown, "00+"), "??H");
        assert_eq!(after(Health::Healthy, "-0-0-"), "HHHHU");
    }

    #[test]
    fn an_unhealthy_one_is_asked_at_its_own_pace() {
        let second = Duration::from_secs(1);
        let check = HealthCheck { unhealthy_interval: second, interval_jitter_percent: 0, ..check() };
        let wait = |health| Schedule::new(health).wait(&check, 1.0);
        assert_eq!(wait(Health::Unhealthy), second);
        for health in [Health::Unknown, Health::Healthy, Health::Degraded] {
            assert_eq!(wait(health), check.interval);
        }
    }

    proptest! {
        #[test]
        fn the_wait_is_longer_by_no_more_than_the_jitter(percent in 0_u32..=100, dice in 0.0..=1.0) {
            let check = HealthCheck { interval_jitter_percent: percent, ..check() };
            let wait = Schedule::new(Health::Healthy).wait(&check, dice);
            let most = check.interval + check.interval * percent / 100;
            prop_assert!((check.interval..=most + Duration::from_nanos(1)).contains(&wait), "{:?}", wait);
        }

        #[test]
        fn nothing_changes_without_a_row_as_long_as_the_threshold(answers in "[+~0-]{0,40}") {
            let mut before = 'H';
            for (at, now) in after(Health::Healthy, &answers).chars().enumerate() {
                let said = answers[..=at].replace('0', "");
                match (before, now) {
                    ('H' | 'D', 'U') => prop_assert!(said.ends_with("---")),
                    ('U', 'H') => prop_assert!(said.ends_with("++") || said.ends_with("~+")),
                    ('U', 'D') => prop_assert!(said.ends_with("+~") || said.ends_with("~~")),
                    ('D', 'H') => prop_assert!(said.ends_with("++")),
                    ('H', 'D') => prop_assert!(said.ends_with('~')),
                    (before, now) => prop_assert_eq!(before, now),
                }
                before = now;
            }
        }
    }
}
