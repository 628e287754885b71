//! Heads of requests that are held until their answers come. HTTP/2 says much in few bytes, so a client could have us hold
//! a thousand times of what it sends.

use std::{cell::Cell, rc::Rc};

use weir_proto::Limits;

use crate::worker::Local;

/// What a client may have held before it has sent much.
const FREE: usize = 64 * 1024;

/// And for each byte that it has sent. What a client repeats it says in one byte for each field, and it may repeat itself
/// a hundred times at once.
const EACH_BYTE: usize = 64;

/// The most, in heads of the largest size.
const MOST: usize = 32;

/// What all clients of one worker may have held; then each has no more than what is free.
const MOST_OF_WORKER: usize = 32 * 1024 * 1024;

/// Of one connection.
#[derive(Debug, Default)]
pub(super) struct Heads(Cell<usize>);

/// One head, until it is dropped.
#[derive(Debug)]
pub(super) struct Held {
    heads: Rc<Heads>,
    local: Rc<Local>,
    bytes: usize,
}

impl Heads {
    /// None if that is too much for a client that has sent so little.
    pub(super) fn hold(
        self: &Rc<Self>,
        local: &Rc<Local>,
        limits: &Limits,
        bytes: usize,
        sent: u64,
    ) -> Option<Held> {
        let largest = limits.max_header_bytes as usize;
        let earned = usize::try_from(sent).unwrap_or(usize::MAX).saturating_mul(EACH_BYTE);
        let most = FREE.saturating_add(earned).min(largest * MOST).max(largest);
        let (held, of_worker) = (self.0.get() + bytes, local.heads().get() + bytes);
        let is_free = held <= FREE.max(bytes);
        if held > most || of_worker > MOST_OF_WORKER && !is_free {
            return None;
        }
        self.0.set(held);
        local.heads().set(of_worker);
        Some(Held { heads: Rc::clone(self), local: Rc::clone(local), bytes })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.heads.0.set(self.heads.0.get() - self.bytes);
        self.local.heads().set(self.local.heads().get() - self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    fn most(sent: u64, size: usize) -> usize {
        let (heads, local, limits) = (Rc::<Heads>::default(), Rc::new(Local::alone()), Limits::default());
        let held: Vec<_> = (0..10_000).map_while(|_| heads.hold(&local, &limits, size, sent)).collect();
        assert_eq!(heads.0.get(), local.heads().get());
        let all = held.len() * size;
        drop(held);
        assert_eq!((heads.0.get(), local.heads().get()), (0, 0));
        all
    }

    #[test]
    fn a_client_has_no_more_held_than_it_has_earned() {
        assert_eq!(most(0, KIB), 64 * KIB);
        assert_eq!(most(10_000, KIB) / KIB, 64 + 625);
        assert_eq!(most(u64::MAX, KIB), 1024 * KIB);
        assert_eq!(most(0, 32 * KIB), 64 * KIB, "two of the largest");
    }

    #[test]
    fn all_clients_of_a_worker_have_no_more_held_than_it_has_room_for() {
        let (local, limits) = (Rc::new(Local::alone()), Limits::default());
        let clients: Vec<_> = (0..100).map(|_| Rc::<Heads>::default()).collect();
        let mut held = Vec::new();
        for client in &clients {
            held.extend((0..32).map_while(|_| client.hold(&local, &limits, 32 * KIB, 1 << 20)));
        }
        // 31 clients have all they may have, one has the rest, and the others what is free.
        assert_eq!(held.len(), 1024 + 68 * 2);
        assert!(clients[99].hold(&local, &limits, KIB, 1 << 20).is_none(), "it has that already");
        let other = Rc::<Heads>::default();
        assert!(other.hold(&local, &limits, 32 * KIB, 0).is_some(), "nobody is kept out by the others");
    }
}
