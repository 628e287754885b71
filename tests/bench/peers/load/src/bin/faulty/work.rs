//! What takes time: requests that are worked on, no more at a time than there are slots, and those that wait in turn.

use std::{collections::VecDeque, time::Duration};

/// A request: its connection, and which of all connections that is, as descriptors are used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) token: usize,
    pub(crate) connection: u64,
}

pub(crate) struct Work {
    time: Duration,
    slots: usize,
    /// With when each is done; in that order, because all take equally long.
    under_way: VecDeque<(Duration, Job)>,
    waiting: VecDeque<Job>,
}

impl Work {
    pub(crate) fn new(time: Duration, slots: usize) -> Self {
        Self { time, slots, under_way: VecDeque::new(), waiting: VecDeque::new() }
    }

    /// Begins a job that came `now`, or lets it wait.
    pub(crate) fn add(&mut self, job: Job, now: Duration) {
        if self.under_way.len() < self.slots {
            self.under_way.push_back((now + self.time, job));
        } else {
            self.waiting.push_back(job);
        }
    }

    /// When the next job is done.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.under_way.front().map(|(due, _)| *due)
    }

    /// A job that is done `now`. The one that takes its slot counts from when it became free, however late that is
    /// noticed, so that the capacity is what was asked for. One whose client has gone is worked on all the same.
    pub(crate) fn done(&mut self, now: Duration) -> Option<Job> {
        let (due, job) = self.under_way.pop_front_if(|(due, _)| *due <= now)?;
        if let Some(next) = self.waiting.pop_front() {
            self.under_way.push_back((due + self.time, next));
        }
        Some(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(number: u64) -> Duration {
        Duration::from_millis(number)
    }

    #[test]
    fn no_more_is_done_than_the_slots_allow_and_nothing_less() {
        let mut work = Work::new(ms(10), 2);
        let jobs: Vec<Job> = (0..5).map(|token| Job { token, connection: 0 }).collect();
        for job in &jobs {
            work.add(*job, ms(100));
        }
        let mut done_at = |at| std::iter::from_fn(|| work.done(at)).collect::<Vec<_>>();
        assert_eq!(done_at(ms(109)), []);
        assert_eq!(done_at(ms(113)), jobs[..2]);
        assert_eq!(done_at(ms(119)), []);
        assert_eq!(done_at(ms(145)), jobs[2..]);
        assert_eq!(work.next(), None);
    }
}
