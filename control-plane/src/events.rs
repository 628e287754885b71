//! What happened, for those who watch: a bounded memory that every reader walks through at its own pace.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use tokio::sync::watch;
use weir_proto::{ObjectKey, Revision, v1};

/// How many events are remembered.
pub(crate) const REMEMBERED: usize = 10_000;

/// The newest events. A reader that is slower than they come is told how many it missed; nobody waits for it.
#[derive(Debug)]
pub(crate) struct Events {
    ring: Mutex<VecDeque<Arc<v1::Event>>>,
    /// The sequence of the newest event; 0 before the first.
    newest: watch::Sender<u64>,
    capacity: usize,
}

/// What an event is made of, besides its number and its time.
#[derive(Debug, Clone)]
pub(crate) struct Happening {
    /// What kind of thing.
    pub(crate) kind: v1::EventType,
    /// The revision that came of it, or the current one.
    pub(crate) revision: Revision,
    /// The object concerned, if any.
    pub(crate) object: Option<ObjectKey>,
    /// The proxy concerned; may be empty.
    pub(crate) proxy_id: String,
    /// One sentence for people.
    pub(crate) message: String,
}

/// One reader's place in the events.
#[derive(Debug)]
pub(crate) struct Reader {
    events: Arc<Events>,
    newest: watch::Receiver<u64>,
    next: u64,
}

impl Events {
    /// Remembers the `capacity` newest events.
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        Arc::new(Self { ring: Mutex::default(), newest: watch::Sender::new(0), capacity })
    }

    /// Makes it known.
    pub(crate) fn emit(&self, happening: Happening) {
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let sequence = *self.newest.borrow() + 1;
        if ring.len() == self.capacity {
            ring.pop_front();
        }
        ring.push_back(Arc::new(v1::Event {
            sequence,
            time: Some(SystemTime::now().into()),
            r#type: happening.kind as i32,
            revision: happening.revision.0,
            object: happening.object.map(|key| key.wire()),
            proxy_id: happening.proxy_id,
            message: happening.message,
        }));
        self.newest.send_replace(sequence);
    }

    /// Reads on from now, after the `past` newest events as far as they are remembered.
    pub(crate) fn read(self: &Arc<Self>, past: u32) -> Reader {
        let newest = self.newest.subscribe();
        let remembered = self.ring.lock().unwrap_or_else(PoisonError::into_inner).len() as u64;
        let next = *newest.borrow() + 1 - remembered.min(u64::from(past)).min(*newest.borrow());
        Reader { events: Arc::clone(self), newest, next }
    }

    /// The sequence of the newest event; 0 before the first.
    pub(crate) fn newest(&self) -> u64 {
        *self.newest.borrow()
    }

    /// The event of that number, or the oldest one after it.
    fn from(&self, sequence: u64) -> Option<Arc<v1::Event>> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = ring.front()?.sequence;
        let index = usize::try_from(sequence.saturating_sub(oldest)).ok()?;
        ring.get(index).cloned()
    }
}

impl Reader {
    /// Reads also what happened since then, as far as it is remembered.
    pub(crate) fn since(mut self, time: prost_types::Timestamp) -> Self {
        let is_since = |event: &Arc<v1::Event>| {
            event.time.is_some_and(|at| (at.seconds, at.nanos) >= (time.seconds, time.nanos))
        };
        let ring = self.events.ring.lock().unwrap_or_else(PoisonError::into_inner);
        // The clock may have been set back in between, so that later events have earlier times.
        let first = ring.iter().find(|event| is_since(event)).map(|event| event.sequence);
        drop(ring);
        self.next = self.next.min(first.unwrap_or(self.next));
        self
    }

    /// Whether it has read the event of that number and all before it.
    pub(crate) fn is_past(&self, sequence: u64) -> bool {
        self.next > sequence
    }

    /// The next event, as soon as there is one. `EVENTS_MISSED` stands for those that came too fast.
    pub(crate) async fn next(&mut self) -> Arc<v1::Event> {
        loop {
            self.newest.borrow_and_update();
            if let Some(event) = self.events.from(self.next) {
                let missed = event.sequence - self.next;
                self.next = event.sequence;
                if missed > 0 {
                    return Arc::new(missing(missed, &event));
                }
                self.next += 1;
                return event;
            }
            // The sender lives in `events`, which this reader holds: it cannot be gone.
            if self.newest.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// Stands in the place of `missed` events before `next`.
fn missing(missed: u64, next: &v1::Event) -> v1::Event {
    v1::Event {
        sequence: next.sequence - 1,
        time: next.time,
        r#type: v1::EventType::EventsMissed as i32,
        revision: next.revision,
        object: None,
        proxy_id: String::new(),
        message: format!("{missed} events are missing here: they came faster than they were read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emit(events: &Events, n: u64) {
        for _ in 0..n {
            events.emit(Happening {
                kind: v1::EventType::ObjectCreated,
                revision: Revision(1),
                object: None,
                proxy_id: String::new(),
                message: String::new(),
            });
        }
    }

    #[tokio::test]
    async fn a_reader_gets_the_past_it_asked_for_and_then_what_comes() {
        let events = Events::new(10);
        emit(&events, 5);
        let mut reader = events.read(2);
        assert_eq!(reader.next().await.sequence, 4);
        assert_eq!(reader.next().await.sequence, 5);
        let next = tokio::spawn(async move { reader.next().await.sequence });
        emit(&events, 1);
        assert_eq!(next.await.ok(), Some(6));
    }

    #[tokio::test]
    async fn a_reader_gets_what_happened_since_a_time_or_more_if_it_asked_for_more() {
        let events = Events::new(10);
        emit(&events, 5);
        for (event, seconds) in events.ring.lock().expect("no panic").iter_mut().zip([10, 20, 30, 25, 40]) {
            let time = Some(prost_types::Timestamp { seconds, nanos: 0 });
            *event = Arc::new(v1::Event { time, ..(**event).clone() });
        }
        let since =
            |past, seconds| events.read(past).since(prost_types::Timestamp { seconds, nanos: 0 }).next;
        assert_eq!([since(0, 0), since(0, 20), since(0, 26), since(0, 99)], [1, 2, 3, 6]);
        assert_eq!([since(4, 99), since(4, 10)], [2, 1]);
        let mut reader = events.read(1);
        assert!(!reader.is_past(events.newest()));
        reader.next().await;
        assert!(reader.is_past(events.newest()));
    }

    #[tokio::test]
    async fn more_past_than_is_remembered_is_what_is_remembered() {
        let events = Events::new(3);
        assert_eq!(events.read(9).next, 1);
        emit(&events, 5);
        assert_eq!(events.read(9).next().await.sequence, 3);
    }

    #[tokio::test]
    async fn a_slow_reader_learns_how_many_it_missed() {
        let events = Events::new(3);
        let mut reader = events.read(0);
        emit(&events, 8);
        let gap = reader.next().await;
        assert_eq!(gap.r#type, v1::EventType::EventsMissed as i32);
        assert!(gap.message.starts_with("5 events"), "{}", gap.message);
        assert_eq!(reader.next().await.sequence, 6);
    }
}
