//! What must be there: what the disk has, why each change on it was allowed, and what every answer promised.

mod implicit;
mod known;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use prost::Message;
use tokio::time::{Duration, Instant};
use weir_control_plane::simulation::{Changed, Committed};
use weir_proto::{Digest, ObjectKey, ObjectKind, v1};

use super::{
    asks::{DEREGISTER_AFTER, Key, Request, TTL, key, label, resource},
    attempts::{Attempt, Reply, backend_of},
    lines::{Lines, Past},
};

/// One object as it is on the disk.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) label: Option<u64>,
    pub(crate) body: Bytes,
    pub(crate) backend: Option<v1::Backend>,
    pub(crate) owner: v1::Owner,
    pub(crate) lease: Option<v1::Lease>,
    pub(crate) implicit: bool,
    pub(crate) created: u64,
    pub(crate) modified: u64,
    /// Its lease was seen expired after this moment.
    expired_since: Option<Instant>,
}

/// All that is known.
#[derive(Debug)]
pub(crate) struct Promises {
    pub(crate) known: BTreeMap<Key, Known>,
    pub(crate) position: v1::Position,
    digest: Digest,
    /// When objects that are gone went.
    removed: HashMap<Key, u64>,
    /// Every history that the disk ever had.
    lines: Lines,
    /// Whether an operator has said that what is there is meant, so that a new epoch may begin.
    pub(crate) accepting: bool,
    /// The contents that each object ever had.
    ever: HashMap<Key, BTreeSet<Option<u64>>>,
    /// When each lease was renewed last, or the control plane started if that is later.
    heard: HashMap<u64, Instant>,
    /// When each backend was registered again last, or was to be: also what cannot be stored renews its lease.
    asked: HashMap<Key, Instant>,
    started: Instant,
    /// Which call made a revision.
    made: HashMap<(u64, u64), u64>,
}

impl Promises {
    pub(crate) fn new() -> Self {
        Self {
            known: BTreeMap::new(),
            position: v1::Position::default(),
            digest: Digest::default(),
            removed: HashMap::new(),
            lines: Lines::new(),
            accepting: false,
            ever: HashMap::new(),
            heard: HashMap::new(),
            asked: HashMap::new(),
            started: Instant::now(),
            made: HashMap::new(),
        }
    }

    /// A control plane has loaded the disk and says that it is there.
    pub(crate) fn started(&mut self, at: v1::Position, objects: &[v1::Object]) -> Result<(), String> {
        self.started = Instant::now();
        if self.position.epoch == 0 {
            self.position = at;
            self.remember(Vec::new());
        }
        for known in self.known.values_mut() {
            known.expired_since = known.expired_since.map(|_| self.started);
        }
        let found = objects.iter().map(|o| (o.kind, o.name.clone(), o.body.clone()));
        let found: BTreeSet<_> = found.collect();
        let wanted = self.known.iter().map(|((kind, name), k)| (*kind as i32, name.clone(), k.body.clone()));
        let wanted: BTreeSet<_> = wanted.collect();
        if found != wanted {
            return Err(format!("the disk had {wanted:?}, what was loaded is {found:?}"));
        }
        self.is_at("the control plane after its start", at)
    }

    /// The disk is lost, and all that was on it.
    pub(crate) fn lost(&mut self) {
        let mut lines = std::mem::replace(&mut self.lines, Lines::new());
        lines.begin();
        *self = Self { lines, ever: std::mem::take(&mut self.ever), ..Self::new() };
    }

    /// Whether somebody is where the disk is.
    pub(crate) fn is_at(&self, who: &str, at: v1::Position) -> Result<(), String> {
        if at == self.position {
            Ok(())
        } else {
            Err(format!("{who} is at {at:?}, the disk at {:?}", self.position))
        }
    }

    /// Whether a proxy has what the control plane once had, and nothing else.
    pub(crate) fn was(&self, who: &str, at: v1::Position) -> Result<(), String> {
        self.lines.has(at).then_some(()).ok_or_else(|| format!("{who} is at {at:?}, which never was"))
    }

    /// Whether somebody who was there went on in one history, or an operator had a new epoch begin.
    pub(crate) fn leads(&self, who: &str, from: v1::Position, to: v1::Position) -> Result<(), String> {
        let is_one = from.epoch != to.epoch || self.lines.joins(from, to);
        is_one.then_some(()).ok_or_else(|| format!("{who} went from {from:?} to {to:?}, of another history"))
    }

    /// The disk is what it was that many commits ago.
    pub(crate) fn copied_back(&mut self, commits: usize) {
        let Some(past) = self.lines.fork(commits) else { return self.lost() };
        (self.known, self.removed) = (past.known.clone(), past.removed.clone());
        self.digest = past.digest;
        self.position = past.position;
        let newest = (past.position.epoch, past.position.revision);
        self.made.retain(|(epoch, revision), _| *epoch != newest.0 || *revision <= newest.1);
    }

    fn remember(&mut self, through: Vec<v1::Position>) {
        self.lines.push(Past {
            position: self.position,
            through,
            digest: self.digest,
            known: self.known.clone(),
            removed: self.removed.clone(),
        });
    }

    /// Takes note of what was committed, each change of which one of these attempts must have asked for, or time must
    /// have brought about. `began`: when the last look was.
    pub(crate) fn commit(
        &mut self,
        log: Vec<Committed>,
        attempts: &[Attempt],
        began: Instant,
    ) -> Result<(), String> {
        for attempt in attempts.iter().filter(|a| a.may_have_been_done()) {
            // Also what another one of the same commit replaced at once: a rollback may bring it back.
            for object in attempt.declared() {
                self.ever.entry(object).or_default().insert(Some(attempt.call.label));
            }
        }
        for attempt in attempts {
            if let Request::Register(request) = &attempt.call.request {
                self.asked.insert(backend_of(request.backend.as_ref()), attempt.at);
            }
        }
        for Committed { position, through, changes } in log {
            let before = self.position;
            let same = position.revision == before.revision && changes.is_empty();
            let anew = self.accepting && position.revision > before.revision;
            if position.epoch != before.epoch && !anew || position.revision < before.revision {
                return Err(format!("a commit leads from {before:?} to {position:?}"));
            }
            if position.revision == before.revision && !same {
                return Err(format!("revision {} was given to two states", position.revision));
            }
            let after: BTreeMap<_, _> = changes.iter().map(|c| (key(&c.key), c.now.is_some())).collect();
            for changed in &changes {
                self.explain(changed, &after, attempts, began).map_err(|why| {
                    format!("{why}; {changed:?}, known: {:?}", self.known.get(&key(&changed.key)))
                })?;
            }
            for changed in changes {
                self.note(changed, began);
            }
            self.stands()?;
            if self.digest.0 != position.digest {
                return Err(format!("{position:?} is not the digest of its objects, {}", self.digest));
            }
            self.position = position;
            self.remember(through);
        }
        Ok(())
    }

    /// Whether an answer was true.
    pub(crate) fn answered(&mut self, attempt: &Attempt, reply: &Reply) -> Result<(), String> {
        let revision = reply.revision();
        if revision > self.position.revision {
            return Err(format!("revision {revision} was acknowledged before it was durable"));
        }
        if revision < attempt.revision {
            return Err(format!("revision {revision} was answered to what came at {}", attempt.revision));
        }
        let made = match (&attempt.call.request, reply) {
            (Request::Register(request), Reply::Registered(answer)) => {
                let key = backend_of(request.backend.as_ref());
                self.holds(&key, Some(attempt.call.label), revision)?;
                if answer.lease_id != 0 {
                    self.renewed(answer.lease_id, attempt.at);
                    let held = self.known.get(&key).filter(|k| k.modified <= revision);
                    if held.is_some_and(|k| k.lease.map(|l| l.id) != Some(answer.lease_id) || !k.is_live()) {
                        return Err(format!("{key:?} does not have the lease that was given for it"));
                    }
                }
                answer.created
            }
            (Request::Deregister(request), Reply::Deregistered(_)) => match request.target.clone() {
                Some(v1::deregister_request::Target::Backend(name)) => {
                    // While it drained another one may have come, which stays.
                    let by = if request.drain.is_some() { attempt.revision } else { revision };
                    return self.gone(&(ObjectKind::Backend, name), by);
                }
                Some(v1::deregister_request::Target::LeaseId(id)) => {
                    let holder = self.known.iter().find(|(_, k)| k.lease.is_some_and(|l| l.id == id));
                    return holder.map_or(Ok(()), |(key, _)| Err(format!("{key:?} is still there")));
                }
                None => false,
            },
            (Request::SetState(request), Reply::StateSet(_)) => {
                let key = (ObjectKind::Backend, request.backend.clone());
                return match self.known.get(&key) {
                    Some(k) if k.modified > revision || k.state() == request.state() => Ok(()),
                    Some(k) => Err(format!("{key:?} was made {:?}, and is {:?}", request.state(), k.state())),
                    None => self.was_removed_after(&key, revision),
                };
            }
            (Request::Delete(request), Reply::Deleted(_)) => {
                return self.gone(&request.object.as_ref().map(key).unwrap(), revision);
            }
            (_, Reply::Changed { changes, .. }) => {
                for change in changes {
                    match change.after.as_ref().and_then(resource) {
                        Some((key, label)) => self.holds(&key, label, revision)?,
                        None => self.gone(&change.object.as_ref().map(key).unwrap(), revision)?,
                    }
                }
                changes.iter().any(|c| c.kind() != v1::ChangeKind::Unchanged)
            }
            (request, reply) => return Err(format!("{request:?} was answered {reply:?}")),
        };
        let at = (self.position.epoch, revision);
        match made.then(|| self.made.insert(at, attempt.id)).flatten() {
            Some(other) => {
                Err(format!("revision {revision} was given to two calls, {other} and {}", attempt.id))
            }
            None => Ok(()),
        }
    }

    /// A lease was renewed no earlier than this.
    pub(crate) fn renewed(&mut self, lease: u64, at: Instant) {
        self.heard.insert(lease, at);
    }

    /// The backends with a lease that nobody has renewed for so long.
    pub(crate) fn silent(&self, for_at_least: Duration) -> Vec<String> {
        let silent = |k: &Known| k.is_live() && k.lease.is_some_and(|l| self.silence(l.id) >= for_at_least);
        let unasked = |key: &Key| self.asked.get(key).is_none_or(|at| at.elapsed() >= for_at_least);
        self.known
            .iter()
            .filter(|(key, k)| silent(k) && unasked(key))
            .map(|((_, name), _)| name.clone())
            .collect()
    }

    /// Where requests may go.
    pub(crate) fn routable(&self) -> BTreeSet<String> {
        let routable = self.known.iter().filter(|(_, k)| k.is_routable());
        routable.map(|((_, name), _)| name.clone()).collect()
    }

    /// How long a lease has not been renewed.
    fn silence(&self, lease: u64) -> Duration {
        self.heard.get(&lease).map_or(self.started, |at| (*at).max(self.started)).elapsed()
    }

    fn explain(
        &self,
        changed: &Changed,
        after: &BTreeMap<Key, bool>,
        attempts: &[Attempt],
        began: Instant,
    ) -> Result<(), &'static str> {
        let object = key(&changed.key);
        if implicit::is(&object) {
            return self.follows(changed, after);
        }
        let known = self.known.get(&object);
        let any =
            |test: &dyn Fn(&Attempt) -> bool| attempts.iter().filter(|a| a.may_have_been_done()).any(test);
        let Some((now, meta)) = &changed.now else {
            let exists = |key: &Key| after.get(key).copied().unwrap_or_else(|| self.known.contains_key(key));
            let within = format!("{}/", object.1);
            let mut backends = self.known.keys().chain(after.keys());
            let idle = object.0 == ObjectKind::Service
                && known.is_none_or(|k| k.implicit || any(&|a| a.makes_implicit(&object.1)))
                && !backends.any(|k| k.0 == ObjectKind::Backend && k.1.starts_with(&within) && exists(k));
            let forgotten =
                known.and_then(|k| k.expired_since).is_some_and(|at| at.elapsed() >= DEREGISTER_AFTER);
            // Who has it by then, if another one of the same commit took it over, is not on the disk.
            let holder = known.filter(|_| !any(&|a| a.declares(&object)));
            let asked = any(&|a| a.removes(&object, holder));
            return if idle || forgotten || asked {
                Ok(())
            } else {
                Err("it disappeared and nobody removed it")
            };
        };
        let (new, old) = (Known::new(object.0, now, meta, known, began), known);
        let fresh = old.is_none_or(|old| old.label != new.label || old.implicit != new.implicit);
        let written = any(&|a| a.writes(&object, new.label)) && self.was_ever(&object, new.label);
        let implied =
            new.implicit && object.0 == ObjectKind::Service && any(&|a| a.makes_implicit(&object.1));
        if fresh && !written && !implied {
            return Err("nobody declared it so");
        }
        if object.0 != ObjectKind::Backend {
            return Ok(());
        }
        let removed = any(&|a| a.removes(&object, old.filter(|_| !any(&|a| a.declares(&object)))));
        let stays = old.map_or(v1::OperatorState::Enabled, Known::state) == new.state();
        let reset = removed && new.state() == v1::OperatorState::Enabled;
        // Also by a drain that was then told that somebody wants the backend again.
        if !stays && !reset && !attempts.iter().any(|a| a.sets(&object, new.state())) {
            return Err("nobody gave it this operator state");
        }
        let lease = new.lease.map(|l| l.id);
        if old.is_none_or(|old| old.lease.map(|l| l.id) != lease) && !written {
            return Err("nobody asked for a lease");
        }
        let expires = new.is_expired() && old.is_some_and(Known::is_live);
        if expires && lease.is_none_or(|id| self.silence(id) < TTL) {
            return Err("its lease expired before its time");
        }
        Ok(())
    }

    /// Whether somebody declared it so at any time. Services are also there because they have backends.
    fn was_ever(&self, object: &Key, label: Option<u64>) -> bool {
        match label {
            Some(_) => self.ever.get(object).is_some_and(|ever| ever.contains(&label)),
            None => object.0 == ObjectKind::Service,
        }
    }

    fn note(&mut self, changed: Changed, began: Instant) {
        let object = key(&changed.key);
        let old = self.known.remove(&object);
        let name = ObjectKey::new(object.0, &object.1);
        if let Some(old) = &old {
            self.digest = self.digest.without(&name, &old.body);
        }
        let Some((now, meta)) = changed.now else {
            self.removed.insert(object, changed.revision);
            return;
        };
        self.digest = self.digest.with(&name, &now.body);
        let new = Known::new(object.0, &now, &meta, old.as_ref(), began);
        self.known.insert(object, new);
    }

    /// Whether an object has the content that it got no later than at this revision, unless it changed since.
    fn holds(&self, object: &Key, label: Option<u64>, revision: u64) -> Result<(), String> {
        match self.known.get(object) {
            Some(k) if k.modified > revision || k.label == label => Ok(()),
            Some(k) => {
                Err(format!("{object:?} was said to be of call {label:?} at {revision}, and is {k:?}"))
            }
            None => self.was_removed_after(object, revision),
        }
    }

    fn was_removed_after(&self, object: &Key, revision: u64) -> Result<(), String> {
        match self.removed.get(object) {
            Some(removed) if *removed > revision => Ok(()),
            removed => Err(format!("{object:?} was there at {revision} and is lost; removed: {removed:?}")),
        }
    }

    fn gone(&self, object: &Key, revision: u64) -> Result<(), String> {
        match self.known.get(object) {
            Some(k) if k.created <= revision => {
                Err(format!("{object:?} was removed at {revision} and is {k:?}"))
            }
            _ => Ok(()),
        }
    }
}
