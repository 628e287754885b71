//! What may happen, one thing at a time.

use std::time::Duration;

use proptest::prelude::*;
use weir_control_plane::LeaseConfig;

/// Proxies.
pub(crate) const PROXIES: u8 = 2;

/// One operation. Numbers choose among what there is, whatever that is by then.
#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// A caller asks; the request is on its way.
    Ask(Ask),
    /// A request arrives, not necessarily the oldest. With `copy` the same arrives once more at another time.
    Arrive {
        which: u8,
        copy: bool,
    },
    /// A caller that heard nothing asks the same again.
    Repeat {
        which: u8,
    },
    /// An agent renews what it holds.
    Heartbeat {
        agent: u8,
    },
    /// The network moves some messages of a proxy's stream.
    Move {
        proxy: u8,
        up: u8,
        down: u8,
    },
    /// It moves all there are.
    Flow {
        proxy: u8,
    },
    /// A proxy opens a stream, if it has none.
    Connect {
        proxy: u8,
    },
    /// The stream breaks. Unless `both` know, the control plane goes on with it.
    Break {
        proxy: u8,
        both: bool,
    },
    /// The next state that the proxy gets is not what it says it is.
    Garble {
        proxy: u8,
    },
    /// Messages of a stream that its proxy has given up arrive.
    Late {
        messages: u8,
    },
    /// A proxy writes its copy, dies and starts again from the copy that it wrote last, or from nothing.
    Copy {
        proxy: u8,
    },
    Kill {
        proxy: u8,
        disk: bool,
    },
    /// The control plane dies, in the middle of the next commit if some of these requests make it commit.
    Crash {
        kept: bool,
        arrivals: u8,
        silent: bool,
        lost: bool,
    },
    /// It dies, and its disk is what it was some commits ago: it lost its newest writes, or was copied back.
    CopyBack {
        commits: u8,
        silent: bool,
    },
    /// An operator says that what is there is meant.
    Accept,
    /// A proxy is sent what no control plane should send.
    Lie {
        proxy: u8,
        lie: Lie,
    },
    /// It stops as it should.
    Stop,
    /// It starts, if it is down.
    Start,
    /// The disk has no room for the next commit.
    Full,
    /// Time passes.
    Pass {
        ms: u32,
    },
    /// Everything is delivered, and all must agree.
    Rest,
}

/// A message that leads from what the proxy has to what never was.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Lie {
    /// A snapshot gives the same revision another content.
    SameRevision,
    /// A delta does.
    SameRevisionByDelta,
    /// A delta starts from another digest.
    OtherDigest,
    /// A later snapshot has no backends.
    Shrinks,
    /// An older snapshot.
    Older,
}

/// What callers ask for.
#[derive(Debug, Clone)]
pub(crate) enum Ask {
    Register { backend: u8, agent: u8, leased: bool, fresh: bool },
    Deregister { backend: u8, by_lease: bool, drain: bool },
    SetState { backend: u8, state: u8 },
    Apply { set: u8, services: u8, backends: u8, routes: u8, prune: bool, force: bool },
    Delete { object: u8, cascade: bool },
    Rollback { back: u8 },
}

/// Any of them, the usual ones more often.
pub(crate) fn any() -> impl Strategy<Value = Op> {
    let proxy = 0..PROXIES;
    prop_oneof![
        22 => ask().prop_map(Op::Ask),
        22 => (prop::num::u8::ANY, prop::bool::weighted(0.15)).prop_map(|(which, copy)| Op::Arrive { which, copy }),
        3 => prop::num::u8::ANY.prop_map(|which| Op::Repeat { which }),
        6 => (0_u8..2).prop_map(|agent| Op::Heartbeat { agent }),
        8 => (proxy.clone(), 0_u8..4, 0_u8..4).prop_map(|(proxy, up, down)| Op::Move { proxy, up, down }),
        14 => proxy.clone().prop_map(|proxy| Op::Flow { proxy }),
        6 => proxy.clone().prop_map(|proxy| Op::Connect { proxy }),
        2 => (proxy.clone(), any_bool()).prop_map(|(proxy, both)| Op::Break { proxy, both }),
        1 => proxy.clone().prop_map(|proxy| Op::Garble { proxy }),
        2 => (1_u8..4).prop_map(|messages| Op::Late { messages }),
        2 => proxy.clone().prop_map(|proxy| Op::Copy { proxy }),
        1 => (proxy.clone(), any_bool()).prop_map(|(proxy, disk)| Op::Kill { proxy, disk }),
        1 => (any_bool(), 0_u8..4, any_bool(), prop::bool::weighted(0.05))
            .prop_map(|(kept, arrivals, silent, lost)| Op::Crash { kept, arrivals, silent, lost }),
        1 => (0_u8..6, any_bool()).prop_map(|(commits, silent)| Op::CopyBack { commits, silent }),
        1 => Just(Op::Accept),
        2 => (proxy, lie()).prop_map(|(proxy, lie)| Op::Lie { proxy, lie }),
        1 => Just(Op::Stop),
        4 => Just(Op::Start),
        1 => Just(Op::Full),
        12 => prop_oneof![6 => 1_u32..300, 3 => 300_u32..3_000, 1 => 3_000_u32..40_000]
            .prop_map(|ms| Op::Pass { ms }),
        1 => Just(Op::Rest),
    ]
}

/// How leases expire: with and without what holds them, and those who flap, back.
pub(crate) fn leases() -> impl Strategy<Value = LeaseConfig> {
    (any_bool(), any_bool()).prop_map(|(holds, damps)| {
        let usual = LeaseConfig::default();
        LeaseConfig {
            renewal_percent_threshold: if holds { usual.renewal_percent_threshold } else { 0.0 },
            max_expiry_percent: if holds { usual.max_expiry_percent } else { 100 },
            max_hold: if holds { Duration::from_mins(1) } else { Duration::ZERO },
            flap_limit: if damps { usual.flap_limit } else { 0 },
        }
    })
}

fn ask() -> impl Strategy<Value = Ask> {
    let byte = prop::num::u8::ANY;
    let seldom = prop::bool::weighted(0.2);
    prop_oneof![
        10 => (byte, 0_u8..2, prop::bool::weighted(0.7), prop::bool::weighted(0.6))
            .prop_map(|(backend, agent, leased, fresh)| Ask::Register { backend, agent, leased, fresh }),
        4 => (byte, any_bool(), seldom)
            .prop_map(|(backend, by_lease, drain)| Ask::Deregister { backend, by_lease, drain }),
        4 => (byte, 0_u8..3).prop_map(|(backend, state)| Ask::SetState { backend, state }),
        4 => (0_u8..2, byte, byte, byte, any_bool(), seldom).prop_map(
            |(set, services, backends, routes, prune, force)| Ask::Apply {
                set, services, backends, routes, prune, force
            }
        ),
        2 => (byte, any_bool()).prop_map(|(object, cascade)| Ask::Delete { object, cascade }),
        1 => (0_u8..20).prop_map(|back| Ask::Rollback { back }),
    ]
}

fn lie() -> impl Strategy<Value = Lie> {
    prop_oneof![
        Just(Lie::SameRevision),
        Just(Lie::SameRevisionByDelta),
        Just(Lie::OtherDigest),
        Just(Lie::Shrinks),
        Just(Lie::Older),
    ]
}

fn any_bool() -> prop::bool::Any {
    prop::bool::ANY
}
