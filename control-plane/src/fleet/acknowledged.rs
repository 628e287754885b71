//! What one run of a proxy's process acknowledged: the newest states, and what it could not realise of each.

use std::{collections::VecDeque, sync::Arc, time::SystemTime};

use weir_proto::{ObjectKey, Revision, v1};

use super::bounds::{self, MOST_KEPT};

/// Acknowledgements that are kept of one proxy. Of an older revision, the oldest of these tells what became of it.
const MOST_ACKNOWLEDGED: usize = 256;

/// An object that a proxy cannot realise.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Refusal {
    pub said: v1::Refused,
    /// The revision that changed the object last, in the state that the proxy acknowledged.
    pub changed: Revision,
}

/// Files what a proxy refused with the revisions that brought it about, as far as it is kept.
pub(crate) fn filed(refused: Vec<v1::Refused>, changed: impl Fn(&ObjectKey) -> Revision) -> Vec<Refusal> {
    let kept = refused.into_iter().take(MOST_KEPT).map(|mut said| {
        bounds::refusal(&mut said);
        let key = said.object.clone().and_then(|object| ObjectKey::try_from(object).ok());
        Refusal { changed: key.map_or(Revision(0), |key| changed(&key)), said }
    });
    kept.collect()
}

/// One acknowledgement.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledgement {
    pub revision: Revision,
    pub at: SystemTime,
    pub refused: Arc<[Refusal]>,
}

/// The newest acknowledgements of one epoch, in the order of their revisions.
#[derive(Debug, Default)]
pub(super) struct Acknowledged {
    ring: VecDeque<Acknowledgement>,
}

impl Acknowledged {
    /// Adds one. A state that was acknowledged before is now as this one says.
    pub(super) fn push(&mut self, new: Acknowledgement) {
        // One process never goes back; should it say so, what came after does not count any more.
        while self.ring.back().is_some_and(|last| last.revision > new.revision) {
            self.ring.pop_back();
        }
        match self.ring.back_mut() {
            Some(last) if last.revision == new.revision => {
                // When it had the state stays true, unless it has more of it only now.
                if last.refused != new.refused {
                    *last = new;
                }
            }
            _ => {
                if self.ring.len() == MOST_ACKNOWLEDGED {
                    self.ring.pop_front();
                }
                self.ring.push_back(new);
            }
        }
    }

    /// The first that has the revision, as far as it is kept.
    pub(super) fn of(&self, revision: Revision) -> Option<&Acknowledgement> {
        self.ring.get(self.ring.partition_point(|each| each.revision < revision))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn acknowledged(revision: u64, refused: &[&str]) -> Acknowledgement {
        let refused = refused.iter().map(|reason| Refusal {
            said: v1::Refused { reason: (*reason).to_owned(), ..Default::default() },
            changed: Revision(revision),
        });
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(revision);
        Acknowledgement { revision: Revision(revision), at, refused: refused.collect() }
    }

    fn of(ring: &Acknowledged, revision: u64) -> Option<u64> {
        ring.of(Revision(revision)).map(|found| found.revision.0)
    }

    #[test]
    fn the_first_state_that_has_the_revision_counts() {
        let mut ring = Acknowledged::default();
        assert_eq!(of(&ring, 0), None);
        for revision in [3, 7, 9] {
            ring.push(acknowledged(revision, &[]));
        }
        assert_eq!([1, 3, 4, 7, 9].map(|r| of(&ring, r)), [3, 3, 7, 7, 9].map(Some));
        assert_eq!(of(&ring, 10), None);
    }

    #[test]
    fn of_what_is_older_than_is_kept_a_later_one_tells() {
        let mut ring = Acknowledged::default();
        (1..=300).for_each(|revision| ring.push(acknowledged(revision, &[])));
        assert_eq!((ring.ring.len(), of(&ring, 1), of(&ring, 45)), (MOST_ACKNOWLEDGED, Some(45), Some(45)));
    }

    #[test]
    fn the_same_state_again_is_as_it_is_now() {
        let mut ring = Acknowledged::default();
        ring.push(acknowledged(3, &["address in use"]));
        let later = |refused| Acknowledgement { at: SystemTime::now(), ..acknowledged(3, refused) };
        ring.push(later(&["address in use"]));
        assert_eq!(ring.of(Revision(3)).map(|a| a.at), Some(acknowledged(3, &[]).at), "nothing is new");
        ring.push(later(&[]));
        let now = ring.of(Revision(3)).expect("kept");
        assert!(now.refused.is_empty() && now.at > acknowledged(3, &[]).at);
        assert_eq!(ring.ring.len(), 1);
    }

    #[test]
    fn a_process_that_goes_back_has_nothing_later() {
        let mut ring = Acknowledged::default();
        for revision in [3, 7, 5] {
            ring.push(acknowledged(revision, &[]));
        }
        assert_eq!((of(&ring, 4), of(&ring, 6)), (Some(5), None));
    }

    #[test]
    fn a_refusal_is_filed_with_the_change_that_it_refuses() {
        let refused = |kind, name: &str| v1::Refused {
            object: Some(v1::ObjectRef { kind, name: name.to_owned() }),
            ..Default::default()
        };
        let list = vec![refused(1, "web"), refused(1, "old"), refused(99, "of another kind")];
        let filed = filed(list, |key| Revision(if &*key.name == "web" { 8 } else { 2 }));
        assert_eq!(filed.iter().map(|r| r.changed.0).collect::<Vec<_>>(), [8, 2, 0]);
    }
}
