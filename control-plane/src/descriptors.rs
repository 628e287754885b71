//! Shares of the descriptors that the process may have: a few clients, or many silent ones, must not take those
//! that the others, and the process itself, need.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{admin, dns, fleet::MOST_PROXIES, grpc};

/// For everything but connections: sockets that listen, runtimes, the store and its log, a backup.
const OWN: usize = 64;
/// Of those that are left, the part that the admin pages may take, and the part that DNS may.
const SHARE: usize = 8;

/// Bounds on the connections of each socket, and on the long streams of those of gRPC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    pub grpc: usize,
    pub admin: usize,
    pub dns: usize,
    /// Of the connections of gRPC, those that agents and proxies may keep: the rest is for operators.
    pub heartbeats: usize,
    /// Without a bound where all connections fit: the fleet has its own, and one that comes back is counted twice until
    /// its old stream has ended.
    pub proxies: usize,
}

impl Room {
    /// What there is room for within so many descriptors.
    pub(crate) fn within(descriptors: usize) -> Self {
        let left = descriptors.saturating_sub(OWN);
        let share = (left / SHARE).max(1);
        let (admin, dns) = (admin::MOST_CONNECTIONS.min(share), dns::MOST_CONNECTIONS.min(share));
        let grpc = grpc::MOST_CONNECTIONS.min(left.saturating_sub(admin + dns)).max(1);
        let part = |most: usize| (most.saturating_mul(grpc) / grpc::MOST_CONNECTIONS).max(1);
        let proxies = if grpc < grpc::MOST_CONNECTIONS { part(MOST_PROXIES) } else { usize::MAX };
        Self { grpc, admin, dns, heartbeats: part(grpc::MOST_HEARTBEATS), proxies }
    }
}

/// Takes all that the system lets the process have: the soft limit of a shell or a service manager is often 1,024, which
/// is there for programs that use select(2). How many that are.
pub(crate) fn raise() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "cannot raise the limit of open files to {maximum:?}");
    }
    let current = getrlimit(Resource::Nofile).current;
    current.map_or(usize::MAX, |soft| usize::try_from(soft).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_many_descriptors_the_usual_limits_hold() {
        let room = Room::within(usize::MAX);
        assert_eq!((room.grpc, room.admin, room.dns), (grpc::MOST_CONNECTIONS, 256, 256));
        assert_eq!((room.heartbeats, room.proxies), (grpc::MOST_HEARTBEATS, usize::MAX));
    }

    #[test]
    fn with_few_of_them_all_fit_and_some_are_left_to_operators() {
        for descriptors in [0, 65, 128, 256, 1_024, 4_096, 20_000] {
            let room = Room::within(descriptors);
            assert!(room.grpc >= 1 && room.admin >= 1 && room.dns >= 1, "{room:?}");
            if descriptors > 128 {
                assert!(OWN + room.grpc + room.admin + room.dns <= descriptors, "{descriptors}: {room:?}");
                let operators = room.grpc - room.heartbeats - room.proxies;
                assert!(operators * 20 >= room.grpc, "{descriptors}: {room:?}");
            }
        }
    }
}
