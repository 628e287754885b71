//! What should be there: one writer's objects, as far as calls were answered.

use std::collections::{BTreeMap, HashMap};

use weir_proto::v1;

/// How many objects each writer has.
const KEYS: usize = 40;
/// Of these, routes.
const ROUTES: usize = 8;

/// What an object says, as far as a writer changes it; none if it is not there.
pub(super) type State = Option<Says>;

/// Something that every change makes different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Says {
    pub(super) weight: u32,
    pub(super) drained: bool,
}

/// A change to make: of which object, and what it says then.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) name: String,
    pub(super) how: How,
    pub(super) after: State,
}

/// By which call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    Register { leased: bool },
    Deregister,
    Operator,
    Drain,
    Apply,
    Delete,
}

/// One writer's objects.
#[derive(Debug)]
pub(super) struct Model {
    writer: usize,
    states: HashMap<String, State>,
    /// The change that was begun; nobody knows whether it was made.
    begun: Option<Change>,
    /// The revisions of changes that were answered.
    pub(super) acknowledged: Vec<u64>,
    pub(super) in_doubt: u64,
    pub(super) refused: u64,
}

impl Model {
    /// Nothing is there.
    pub(super) fn new(writer: usize) -> Self {
        Self {
            writer,
            states: HashMap::new(),
            begun: None,
            acknowledged: Vec::new(),
            in_doubt: 0,
            refused: 0,
        }
    }

    /// Begins a change that makes a difference.
    pub(super) fn begin(&mut self) -> Change {
        let key = fastrand::usize(..KEYS);
        let is_route = key < ROUTES;
        let name = if is_route {
            format!("writer-{}-{key}", self.writer)
        } else {
            format!("writer-{0}/10.{0}.0.{key}:80", self.writer)
        };
        let before = self.states.get(&name).copied().flatten();
        let weight = before.map_or(1, |before| before.weight % 255 + 1);
        let drained = before.is_some_and(|before| before.drained);
        let says = Some(Says { weight, drained });
        let (how, after) = match (is_route, before, fastrand::u8(..8)) {
            (true, Some(_), 0..2) => (How::Delete, None),
            (true, ..) => (How::Apply, says),
            (false, None, leased) => (How::Register { leased: leased % 2 == 0 }, says),
            (false, Some(_), 0) => (How::Drain, None),
            (false, Some(_), 1..3) => (How::Deregister, None),
            (false, Some(before), _) => (How::Operator, Some(Says { drained: !before.drained, ..before })),
        };
        let change = Change { name, how, after };
        self.begun = Some(change.clone());
        change
    }

    /// The change was made, at these revisions.
    pub(super) fn acknowledge(&mut self, revisions: &[u64]) {
        if let Some(change) = self.begun.take() {
            self.states.insert(change.name, change.after);
            self.acknowledged.extend(revisions);
        }
    }

    /// The change was refused: nothing happened.
    pub(super) fn refuse(&mut self) {
        self.begun = None;
        self.refused += 1;
    }

    /// Compares with what is there, and goes on from it. How many changes that were acknowledged are lost.
    pub(super) fn settle(&mut self, found: &BTreeMap<String, Says>) -> u64 {
        if let Some(change) = self.begun.take() {
            self.in_doubt += 1;
            let before = self.states.get(&change.name).copied().flatten();
            let now = found.get(&change.name).copied();
            // A drain that ends in the middle leaves the backend draining.
            let halfway =
                before.filter(|_| change.how == How::Drain).map(|before| Says { drained: true, ..before });
            if now == change.after || (now.is_some() && now == halfway) {
                self.states.insert(change.name, now);
            }
        }
        let mut lost = 0;
        for (name, state) in &mut self.states {
            let now = found.get(name).copied();
            lost += u64::from(now != *state);
            *state = now;
        }
        let prefixes = [format!("writer-{}/", self.writer), format!("writer-{}-", self.writer)];
        let mine = found.keys().filter(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)));
        // Something that was taken away and acknowledged is in `states`; anything else was never asked for.
        lost + mine.filter(|name| !self.states.contains_key(*name)).count() as u64
    }
}

/// Notes an object that is there. What was noted of it already: it must not be there twice.
pub(super) fn insert(found: &mut BTreeMap<String, Says>, object: v1::ObjectInfo) -> Option<Says> {
    match object.resource?.resource? {
        v1::resource::Resource::Backend(backend) => {
            let drained = backend.operator_state() == v1::OperatorState::Draining;
            let id = if backend.id.is_empty() { &backend.address } else { &backend.id };
            let says = Says { weight: backend.weight.unwrap_or(1), drained };
            found.insert(format!("{}/{id}", backend.service), says)
        }
        v1::resource::Resource::Route(route) => {
            let weight = route.services.first().and_then(|service| service.weight).unwrap_or(1);
            found.insert(route.name, Says { weight, drained: false })
        }
        _ => None,
    }
}
