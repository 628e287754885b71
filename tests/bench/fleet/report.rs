//! One line for each figure: what, measured, and the goal beside it if there is one. No figure fails anything.

use std::{fmt::Display, time::Duration};

/// Begins a part of a bench.
pub(crate) fn part(what: impl Display) {
    println!("\n{what}");
}

/// A figure without a goal.
pub(crate) fn figure(what: impl Display, measured: impl Display) {
    println!("  {what}: {measured}");
}

/// A figure that should be no more than that.
pub(crate) fn at_most(what: impl Display, measured: f64, unit: &str, most: f64) {
    let verdict = if measured <= most { "met" } else { "MISSED" };
    let (measured, most) = (format!("{} {unit}", short(measured)), format!("{} {unit}", short(most)));
    println!("  {what}: {} (goal: at most {}): {verdict}", measured.trim_end(), most.trim_end());
}

/// A count that should be that.
pub(crate) fn exactly(what: impl Display, measured: u64, goal: u64) {
    let verdict = if measured == goal { "met" } else { "MISSED" };
    println!("  {what}: {measured} (goal: {goal}): {verdict}");
}

/// Times in ms, of which 99 of 100 should be no longer than `most`, if there is a goal.
pub(crate) fn times(what: impl Display, times: &[Duration], most: Option<Duration>) {
    let mut times = times.to_vec();
    times.sort();
    let Some(last) = times.len().checked_sub(1) else { return figure(what, "none") };
    let at = |share: usize| short(millis(times[last * share / 100]));
    let all = format!("p50 {}, p99 {}, most {} ms of {}", at(50), at(99), at(100), times.len());
    let Some(most) = most else { return figure(what, all) };
    let verdict = if times[last * 99 / 100] <= most { "met" } else { "MISSED" };
    println!("  {what}: {all} (goal: p99 at most {} ms): {verdict}", short(millis(most)));
}

/// As a number to print and to compare.
pub(crate) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1_000.0
}

/// As a number to print and to compare.
#[expect(clippy::cast_precision_loss, reason = "figures need no more than three digits")]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}

/// How many in each of so many: 0 if there are none.
pub(crate) fn each(total: u64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { number(total) / number(count as u64) }
}

fn short(measured: f64) -> String {
    if measured.abs() >= 100.0 { format!("{measured:.0}") } else { format!("{measured:.2}") }
}
