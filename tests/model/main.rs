//! The whole on one thread with a stopped clock: the real registry on a disk that fails, the real streams over a network
//! that is late, and two real proxies; held against what every call was promised.
//!
//! A history is a list of operations, drawn at random. What fails is made smaller before it is shown. The operations
//! decide everything but tokio's choice between what is ready at the same moment.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod asks;
mod attempts;
mod lies;
mod line;
mod lines;
mod ops;
mod promises;
mod proxy;
mod rest;
mod world;

use proptest::{
    prelude::*,
    test_runner::{Config, TestCaseError, TestError, TestRunner},
};
use weir_control_plane::{LeaseConfig, simulation::Disk};

use self::{ops::Op, world::World};

/// Operations of one history.
const LENGTH: usize = 400;

/// Histories of the default run, and of the long one.
const HISTORIES: u32 = 250;
const HISTORIES_IN_SOAK: u32 = 2_000;

#[test]
fn whatever_is_lost_doubled_late_or_dies_nothing_acknowledged_is_lost_and_all_agree_at_rest() {
    check(if soak() { HISTORIES_IN_SOAK } else { HISTORIES }, LENGTH, Disk::memory);
}

#[test]
fn the_same_holds_on_the_store_that_ships() {
    let dir = tempfile::tempdir().unwrap();
    let next = std::cell::Cell::new(0);
    check(if soak() { 50 } else { 4 }, LENGTH / 4, || {
        next.set(next.get() + 1);
        let path = dir.path().join(format!("{}.db", next.get()));
        Disk::open(&format!("sqlite:{}", path.display())).unwrap()
    });
}

fn check(histories: u32, length: usize, disk: impl Fn() -> Disk) {
    let config = Config {
        cases: histories,
        failure_persistence: None,
        max_shrink_iters: u32::MAX,
        max_shrink_time: 20_000,
        ..Config::default()
    };
    let history = (ops::leases(), prop::collection::vec(ops::any(), length));
    let result = TestRunner::new(config)
        .run(&history, |(leases, ops)| run(&ops, disk(), leases).map_err(TestCaseError::fail));
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, (leases, ops))) => {
            let ops: Vec<_> = ops.iter().map(|op| format!("  {op:?}")).collect();
            panic!("{why}\nwith {leases:?} after\n{}", ops.join("\n"));
        }
        Err(TestError::Abort(why)) => panic!("{why}"),
    }
}

/// One history from an empty disk to its rest.
fn run(ops: &[Op], disk: Disk, leases: LeaseConfig) -> Result<(), String> {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let mut world = World::new(disk, leases).await;
        for (i, op) in ops.iter().enumerate() {
            world.perform(op).await.map_err(|e| format!("operation {i}, {op:?}: {e}\n{}", world.trace()))?;
        }
        world.rest().await.map_err(|e| format!("at rest: {e}\n{}", world.trace()))
    })
}

fn soak() -> bool {
    std::env::var_os("WEIR_SOAK").is_some()
}
