//! What a message from the control plane makes of the state that the proxy has. Pure: nothing takes effect here.

use bytes::Bytes;
use prost::Message;
use weir_proto::{Epoch, Revision, v1};

use super::{bounds::Beyond, judge};
use crate::objects::{Objects, Position, Received, ReceivedKey, State};

/// A snapshot whose pages have all arrived.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) state: State,
    /// An operator said that this epoch is meant.
    pub(crate) epoch_accepted: bool,
    /// The last revision at which one said so; 0: none.
    pub(crate) accepted_revision: Revision,
    /// The digest from which the control plane knows all removals; 0: it does not say.
    pub(crate) removals_from: u64,
}

/// A state, and which objects lead there from the one before.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) state: State,
    /// New, changed or gone.
    pub(crate) keys: Vec<ReceivedKey>,
}

/// The message cannot be used: the proxy wants a whole snapshot.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unusable(String);

impl From<Beyond> for Unusable {
    fn from(beyond: Beyond) -> Self {
        Self(beyond.to_string())
    }
}

/// An offer that leads on from another history than the proxy's.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OtherHistory {
    pub(crate) offered: Position,
}

/// Why a delta makes no step.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoStep {
    Unusable(Unusable),
    OtherHistory(OtherHistory),
}

impl Unusable {
    pub(crate) fn new(reason: String) -> Self {
        Self(reason)
    }
}

impl From<Unusable> for NoStep {
    fn from(unusable: Unusable) -> Self {
        Self::Unusable(unusable)
    }
}

/// Collects the pages of one snapshot. How much that may be in all, [`super::bounds`] says before.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    position: Position,
    total: u64,
    next: u32,
    objects: Objects,
}

impl Pages {
    /// Takes one page; gives the snapshot with the last one. After an error, page 0 begins anew.
    pub(crate) fn add(&mut self, page: v1::SnapshotPage) -> Result<Option<Snapshot>, Unusable> {
        let position = position(page.position)?;
        let mut begun = match self.begun.take() {
            _ if page.index == 0 => {
                Begun { position, total: page.total_objects, next: 0, objects: Objects::default() }
            }
            Some(begun) if begun.next == page.index && begun.position == position => begun,
            Some(begun) => {
                return Err(Unusable(format!("page {} came where {} was due", page.index, begun.next)));
            }
            None => return Err(Unusable(format!("page {} came first", page.index))),
        };
        let body = v1::SnapshotBody::decode(page.body)
            .map_err(|e| Unusable(format!("page {} cannot be read: {e}", page.index)))?;
        for object in body.objects {
            let (key, received) = object_of(object)?;
            begun.objects.insert(key, received);
        }
        if begun.objects.len() as u64 > begun.total {
            return Err(Unusable(format!("the pages hold more than the {} objects announced", begun.total)));
        }
        if !page.last {
            begun.next += 1;
            self.begun = Some(begun);
            return Ok(None);
        }
        if begun.objects.len() as u64 != begun.total {
            let (got, total) = (begun.objects.len(), begun.total);
            return Err(Unusable(format!("the pages hold {got} objects of {total}")));
        }
        let state = checked(position, begun.objects)?;
        Ok(Some(Snapshot {
            state,
            epoch_accepted: page.epoch_accepted,
            accepted_revision: Revision(page.accepted_revision),
            removals_from: page.removals_from,
        }))
    }
}

impl Snapshot {
    /// What it changes.
    pub(crate) fn step(self, have: Option<&State>) -> Step {
        let keys = match have {
            Some(have) => have.objects.changed(&self.state.objects),
            None => Objects::default().changed(&self.state.objects),
        };
        Step { state: self.state, keys }
    }
}

/// What the delta makes of the state. It must start from exactly that. `apart`: see [`judge::leads_astray`].
pub(crate) fn delta(have: Option<&State>, delta: v1::Delta, apart: bool) -> Result<Step, NoStep> {
    let to = position(delta.to)?;
    let Some(have) = have else { return Err(Unusable("a delta came before any snapshot".to_owned()).into()) };
    let at = (have.position.epoch, have.position.revision);
    if (to.epoch, Revision(delta.from_revision)) != at {
        let Position { epoch: Epoch(epoch), .. } = to;
        return Err(Unusable(format!(
            "a delta starts from revision {} of epoch {epoch:016x}, this proxy has {}",
            delta.from_revision, have.position
        ))
        .into());
    }
    if to.revision < have.position.revision {
        return Err(Unusable(format!("a delta leads back to revision {}", to.revision)).into());
    }
    if judge::leads_astray(have.position, to, &delta, apart) {
        return Err(NoStep::OtherHistory(OtherHistory { offered: to }));
    }
    let body =
        v1::DeltaBody::decode(delta.body).map_err(|e| Unusable(format!("a delta cannot be read: {e}")))?;
    let mut objects = have.objects.clone();
    let mut keys = Vec::with_capacity(body.removed.len() + body.upserted.len());
    for removed in body.removed {
        let key = ReceivedKey::try_from(removed).map_err(|e| Unusable(e.to_string()))?;
        objects.remove(&key);
        keys.push(key);
    }
    for object in body.upserted {
        let (key, received) = object_of(object)?;
        objects.insert(key.clone(), received);
        keys.push(key);
    }
    Ok(Step { state: checked(to, objects)?, keys })
}

fn checked(position: Position, objects: Objects) -> Result<State, Unusable> {
    if objects.digest() == position.digest {
        return Ok(State { position, objects });
    }
    let (got, announced) = (objects.digest(), position.digest);
    Err(Unusable(format!("{position} has digest {got} here, {announced} was announced")))
}

fn position(wire: Option<v1::Position>) -> Result<Position, Unusable> {
    let wire = wire.ok_or_else(|| Unusable("a message names no position".to_owned()))?;
    Position::try_from(wire).map_err(|e| Unusable(e.to_string()))
}

fn object_of(wire: v1::Object) -> Result<(ReceivedKey, Received), Unusable> {
    let key = ReceivedKey::try_from(v1::ObjectRef { kind: wire.kind, name: wire.name })
        .map_err(|e| Unusable(e.to_string()))?;
    // Copied, because a slice would keep the page that it came in alive for as long as the object.
    Ok((key, Received { body: Bytes::copy_from_slice(&wire.body), level: wire.level }))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn objects(n: usize) -> Vec<v1::Object> {
        let object = |i| v1::Object { kind: 2, name: format!("s{i}"), body: "x".into(), level: 0 };
        (0..n).map(object).collect()
    }

    fn state(epoch: u64, revision: u64, objects: &[v1::Object]) -> State {
        let mut set = Objects::default();
        for object in objects {
            let (key, received) = object_of(object.clone()).unwrap();
            set.insert(key, received);
        }
        let position = Position { epoch: Epoch(epoch), revision: Revision(revision), digest: set.digest() };
        State { position, objects: set }
    }

    fn pages(state: &State, objects: &[v1::Object], per_page: usize) -> Vec<v1::SnapshotPage> {
        let chunks: Vec<_> = objects.chunks(per_page).collect();
        let page = |(i, chunk): (usize, &&[v1::Object])| v1::SnapshotPage {
            position: Some(state.position.into()),
            index: u32::try_from(i).unwrap(),
            last: i + 1 == chunks.len(),
            total_objects: objects.len() as u64,
            epoch_accepted: false,
            accepted_revision: 0,
            removals_from: 0,
            body: v1::SnapshotBody { objects: chunk.to_vec() }.encode_to_vec().into(),
        };
        chunks.iter().enumerate().map(page).collect()
    }

    fn step(from: u64, to: &State, upserted: Vec<v1::Object>, removed: Vec<v1::ObjectRef>) -> v1::Delta {
        let body = v1::DeltaBody { upserted, removed }.encode_to_vec().into();
        v1::Delta { from_revision: from, to: Some(to.position.into()), body, from_digest: 0 }
    }

    fn complaint(have: &State, wire: v1::Delta) -> String {
        match delta(Some(have), wire, false) {
            Err(NoStep::Unusable(unusable)) => unusable.to_string(),
            other => panic!("not unusable: {other:?}"),
        }
    }

    #[test]
    fn a_snapshot_is_complete_with_its_last_page() {
        let list = objects(5);
        let whole = state(1, 7, &list);
        let mut collect = Pages::default();
        let mut results: Vec<_> =
            pages(&whole, &list, 2).into_iter().map(|p| collect.add(p).unwrap()).collect();
        let whole_again = results.pop().unwrap().expect("the last page completes it");
        assert!(results.iter().all(Option::is_none));
        assert_eq!(whole_again.state.position, whole.position);
        assert_eq!(whole_again.state.objects.len(), 5);
    }

    #[test]
    fn a_gap_is_unusable_and_page_0_begins_anew() {
        let list = objects(6);
        let whole = state(1, 7, &list);
        let all = pages(&whole, &list, 2);
        let mut collect = Pages::default();
        collect.add(all[0].clone()).unwrap();
        let error = collect.add(all[2].clone()).unwrap_err();
        assert_eq!(error.to_string(), "page 2 came where 1 was due");
        collect.add(all[1].clone()).expect_err("what was collected is gone");
        for page in &all[..2] {
            assert!(collect.add(page.clone()).unwrap().is_none());
        }
        assert!(collect.add(all[2].clone()).unwrap().is_some());
    }

    #[test]
    fn pages_must_hold_what_was_announced() {
        let list = objects(3);
        let whole = state(1, 7, &list);
        let with = |change: fn(&mut v1::SnapshotPage)| {
            let mut page = pages(&whole, &list, 3).remove(0);
            change(&mut page);
            Pages::default().add(page).map(|s| s.is_some()).map_err(|e| e.to_string())
        };
        assert_eq!(with(|_| ()), Ok(true));
        assert!(with(|p| p.total_objects = 4).unwrap_err().contains("hold 3 objects of 4"));
        assert!(with(|p| p.total_objects = 2).unwrap_err().contains("more than the 2"));
        assert!(with(|p| p.position = None).unwrap_err().contains("no position"));
        assert!(with(|p| p.body = vec![0xff].into()).unwrap_err().contains("cannot be read"));
        assert!(with(|p| p.position.as_mut().unwrap().digest += 1).unwrap_err().contains("was announced"));
    }

    #[test]
    fn a_delta_applies_from_exactly_the_position_it_names() {
        let before = state(1, 7, &objects(3));
        let after = state(1, 9, &objects(2));
        let gone = v1::ObjectRef { kind: 2, name: "s2".into() };
        let good = step(7, &after, vec![], vec![gone]);
        let applied = delta(Some(&before), good.clone(), false).unwrap().state;
        assert_eq!(applied.position, after.position);
        assert_eq!(applied.objects.len(), 2);

        assert!(delta(None, good.clone(), false).is_err(), "nothing to start from");
        for (epoch, revision) in [(1, 6), (1, 8), (2, 7)] {
            assert!(delta(Some(&state(epoch, revision, &objects(3))), good.clone(), false).is_err());
        }
        let wrong = step(7, &after, vec![], vec![]);
        assert!(complaint(&before, wrong).contains("was announced"));
        let back = step(7, &state(1, 6, &objects(3)), vec![], vec![]);
        assert!(complaint(&before, back).contains("leads back"));

        let other = v1::Delta { from_digest: before.position.digest.0 ^ 1, ..good.clone() };
        let offered = after.position;
        let astray = Err(NoStep::OtherHistory(OtherHistory { offered }));
        assert_eq!(delta(Some(&before), other, false).map(|_| ()), astray, "the number alone does not do");
        let own = v1::Delta { from_digest: before.position.digest.0, ..good };
        assert!(delta(Some(&before), own, true).is_ok());
    }

    #[test]
    fn a_delta_never_gives_a_revision_a_second_content() {
        let (before, after) = (state(1, 7, &objects(3)), state(1, 7, &objects(2)));
        let gone = v1::ObjectRef { kind: 2, name: "s2".into() };
        let same = delta(Some(&before), step(7, &before, vec![], vec![]), false);
        assert!(same.is_ok(), "up to date");
        let other = delta(Some(&before), step(7, &after, vec![], vec![gone]), false);
        assert!(matches!(other, Err(NoStep::OtherHistory(_))), "{other:?}");
    }

    proptest! {
        #[test]
        fn bytes_from_the_network_never_panic(body in any::<Vec<u8>>(), index in 0_u32..3, last: bool) {
            let have = state(1, 7, &objects(3));
            let at = Some(have.position.into());
            let page = v1::SnapshotPage {
                position: at,
                index,
                last,
                total_objects: 3,
                body: body.clone().into(),
                ..Default::default()
            };
            let _ = Pages::default().add(page);
            let wire = v1::Delta { from_revision: 7, to: at, body: body.into(), ..Default::default() };
            let _ = delta(Some(&have), wire, false);
        }
    }
}
