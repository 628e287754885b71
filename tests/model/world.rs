//! Everything there is: the disk, the control plane on it, requests on their way, two proxies and the network.

use std::{collections::VecDeque, fmt::Write as _, sync::Arc};

use tokio::{
    sync::mpsc,
    time::{Duration, Instant, sleep},
};
use tokio_stream::StreamExt;
use tonic::Code;
use weir_control_plane::{
    LeaseConfig,
    simulation::{ControlPlane, Disk, Fate},
};
use weir_proto::v1::{self, admin_server::Admin, registry_server::Registry};

use super::{
    asks::{self, Call},
    attempts::{self, Answer, Answers, Attempt},
    line::{self, Line},
    ops::{Ask, Op, PROXIES},
    promises::Promises,
    proxy::Proxy,
};

/// How many removed objects the control plane remembers: few, so that proxies fall behind that.
const TOMBSTONES: usize = 12;
/// Requests on their way; what is more is lost.
const MOST_REQUESTS: usize = 24;
/// Calls that may be repeated.
const MOST_REMEMBERED: usize = 12;
/// Rounds in which a network that moves everything comes to rest.
const MOST_ROUNDS: usize = 50;
/// What is told of a history that failed.
const MOST_TOLD: usize = 60;

/// The world.
pub(crate) struct World {
    pub(crate) disk: Disk,
    leases: LeaseConfig,
    pub(crate) plane: Option<ControlPlane>,
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) promises: Promises,
    /// On their way.
    requests: Vec<Arc<Call>>,
    /// Asked lately, for those who ask again.
    asked: VecDeque<Arc<Call>>,
    /// Arrived, and not answered when it was looked last; with those that were answered since.
    pub(crate) attempts: Vec<Attempt>,
    answers: (Answers, mpsc::UnboundedReceiver<(u64, Answer)>),
    labels: u64,
    numbers: u64,
    looked: Instant,
    told: VecDeque<Told>,
}

/// Something that happened.
enum Told {
    Did(Op),
    Arrived(u64, Arc<Call>),
    Answered(u64, Answer),
}

impl World {
    pub(crate) async fn new(disk: Disk, leases: LeaseConfig) -> Self {
        let mut proxies = Vec::new();
        for n in 0..PROXIES {
            proxies.push(Proxy::start(n).await);
        }
        let mut world = Self {
            disk,
            leases,
            plane: None,
            proxies,
            promises: Promises::new(),
            requests: Vec::new(),
            asked: VecDeque::new(),
            attempts: Vec::new(),
            answers: mpsc::unbounded_channel(),
            labels: 0,
            numbers: 0,
            looked: Instant::now(),
            told: VecDeque::new(),
        };
        world.start().await.unwrap();
        world
    }

    /// Does one thing, waits until nothing goes on by itself, and looks whether all is well.
    pub(crate) async fn perform(&mut self, op: &Op) -> Result<(), String> {
        self.tell(Told::Did(op.clone()));
        match *op {
            Op::Ask(ref ask) => self.ask(ask),
            Op::Arrive { which, copy } => self.arrive(which, copy),
            Op::Repeat { which } => {
                let again = self.asked.get(usize::from(which) % self.asked.len().max(1)).cloned();
                if let Some(call) = again {
                    self.send(call);
                }
            }
            Op::Heartbeat { agent } => self.heartbeat(agent).await?,
            Op::Move { proxy, up, down } => {
                if let Some(line) = &mut self.proxies[usize::from(proxy)].line {
                    line.up(up.into());
                    line.down(down.into());
                }
            }
            Op::Flow { proxy } => self.flow(proxy.into()).await,
            Op::Connect { proxy } => self.connect(proxy.into()).await,
            Op::Break { proxy, both: true } => self.proxies[usize::from(proxy)].cut(),
            Op::Break { proxy, both: false } => self.proxies[usize::from(proxy)].retire(),
            Op::Garble { proxy } => {
                self.proxies[usize::from(proxy)].line.iter_mut().for_each(Line::garble);
            }
            Op::Late { messages } => {
                for line in self.proxies.iter_mut().flat_map(|p| &mut p.old) {
                    line.up(messages.into());
                }
            }
            Op::Copy { proxy } => self.proxies[usize::from(proxy)].write_copy().await,
            Op::Kill { proxy, disk } => self.proxies[usize::from(proxy)].restart(disk).await,
            Op::Crash { kept, arrivals, silent, lost } => self.crash(kept, arrivals, silent, lost).await?,
            Op::CopyBack { commits, silent } => self.copy_back(commits.into(), silent).await?,
            Op::Accept => self.accept().await?,
            Op::Lie { proxy, lie } => self.proxies[usize::from(proxy)].hear(lie).await,
            Op::Stop => self.stop().await?,
            Op::Start => self.start().await?,
            Op::Full => self.disk.destine(Some(Fate::Full)),
            Op::Pass { ms } => sleep(Duration::from_millis(ms.into())).await,
            Op::Rest => return self.rest().await,
        }
        self.look().await
    }

    /// What happened last, for those who want to know why something failed.
    pub(crate) fn trace(&self) -> String {
        let mut all = String::new();
        for told in &self.told {
            let _ = match told {
                Told::Did(op) => writeln!(all, "  {op:?}"),
                Told::Arrived(id, call) => writeln!(all, "    {id}: {call:?}"),
                Told::Answered(id, answer) => writeln!(all, "    {id}: {answer:?}"),
            };
        }
        all
    }

    /// All requests arrive.
    pub(crate) fn arrive_all(&mut self) {
        while !self.requests.is_empty() {
            self.arrive(0, false);
        }
    }

    /// Opens a proxy's stream, if it has none and there is anybody to connect to.
    pub(crate) async fn connect(&mut self, proxy: usize) {
        if let Some(plane) = &self.plane {
            self.proxies[proxy].connect(&plane.services()).await;
        }
    }

    /// Moves all there is on a proxy's stream, and what follows from it.
    pub(crate) async fn flow(&mut self, proxy: usize) {
        for _ in 0..MOST_ROUNDS {
            let Some(line) = &mut self.proxies[proxy].line else { return };
            if line.up(usize::MAX) + line.down(usize::MAX) == 0 {
                return;
            }
            settle().await;
        }
    }

    /// Starts the control plane, if it is down.
    pub(crate) async fn start(&mut self) -> Result<(), String> {
        if self.plane.is_none() {
            let plane =
                ControlPlane::start(&self.disk, TOMBSTONES, &self.leases).await.map_err(|e| e.to_string())?;
            let state = plane.state();
            self.plane = Some(plane);
            self.promises.started(state.position, &state.objects)?;
        }
        Ok(())
    }

    /// Waits until nothing goes on by itself, and looks whether all that happened was right.
    pub(crate) async fn look(&mut self) -> Result<(), String> {
        settle().await;
        let mut answered = Vec::new();
        while let Ok((id, answer)) = self.answers.1.try_recv() {
            self.tell(Told::Answered(id, answer.clone()));
            if let Some(attempt) = self.attempts.iter_mut().find(|a| a.id == id) {
                attempt.answer = Some(answer);
                answered.push(id);
            }
        }
        self.promises.commit(self.disk.take_log(), &self.attempts, self.looked)?;
        for attempt in self.attempts.iter().filter(|a| answered.contains(&a.id)) {
            if let Some(Ok(reply)) = attempt.answer.as_deref() {
                self.promises.answered(attempt, reply).map_err(|e| format!("{e}; {attempt:?}"))?;
            }
        }
        self.attempts.retain(|a| a.answer.is_none());
        self.looked = Instant::now();
        if let Some(plane) = &self.plane {
            self.promises.is_at("the control plane", plane.position())?;
        }
        for proxy in &mut self.proxies {
            let at = proxy.process.position().await;
            if let (Some(before), Some(at)) = (proxy.seen, at)
                && (before.epoch == at.epoch && at.revision < before.revision)
            {
                return Err(format!("{} went back from {before:?} to {at:?}", proxy.id));
            }
            if let Some(why) = proxy.line.as_ref().and_then(|line| line.complaint.as_ref()) {
                return Err(format!("{} could not use what it was sent: {why}", proxy.id));
            }
            if let Some(at) = at {
                self.promises.was(&proxy.id, at)?;
                proxy.seen.map_or(Ok(()), |before| self.promises.leads(&proxy.id, before, at))?;
            }
            proxy.seen = at;
        }
        Ok(())
    }

    /// An operator says that what is there is meant.
    pub(crate) async fn accept(&mut self) -> Result<(), String> {
        let Some(plane) = &self.plane else { return Ok(()) };
        let (services, epoch) = (plane.services(), self.promises.position.epoch);
        self.promises.accepting = true;
        let request = tonic::Request::new(v1::AcceptEpochRequest { epoch });
        let accepted = services.accept_epoch(request).await;
        let looked = self.look().await;
        self.promises.accepting = false;
        // A disk without room is no fault.
        accepted.map_or_else(
            |status| if status.code() == Code::ResourceExhausted { Ok(()) } else { Err(status.to_string()) },
            |_| Ok(()),
        )?;
        looked
    }

    fn ask(&mut self, ask: &Ask) {
        self.labels += 1;
        let known = match *ask {
            Ask::Register { backend, .. } | Ask::Deregister { backend, .. } => {
                self.promises.known.get(&asks::backend_key(backend))
            }
            _ => None,
        };
        let (lease, last) = (known.and_then(|k| k.lease).map(|l| l.id), known.and_then(|k| k.label));
        let call = asks::call(ask, self.labels, lease, last, self.promises.position.revision);
        let call = Arc::new(call);
        self.asked.push_back(Arc::clone(&call));
        if self.asked.len() > MOST_REMEMBERED {
            self.asked.pop_front();
        }
        self.send(call);
    }

    fn send(&mut self, call: Arc<Call>) {
        if self.requests.len() < MOST_REQUESTS {
            self.requests.push(call);
        }
    }

    fn arrive(&mut self, which: u8, copy: bool) {
        let Some(i) = usize::from(which).checked_rem(self.requests.len()) else { return };
        let call = if copy { Arc::clone(&self.requests[i]) } else { self.requests.remove(i) };
        let Some(plane) = &self.plane else { return };
        self.numbers += 1;
        let (id, revision) = (self.numbers, self.promises.position.revision);
        attempts::spawn(plane.services(), id, &call, self.answers.0.clone());
        self.tell(Told::Arrived(id, Arc::clone(&call)));
        self.attempts.push(Attempt { id, call, at: Instant::now(), revision, answer: None });
    }

    async fn heartbeat(&mut self, agent: u8) -> Result<(), String> {
        let Some(plane) = &self.plane else { return Ok(()) };
        let agent = format!("agent-{agent}");
        let held = self.promises.known.values().filter(|k| k.owner.name == agent);
        let lease_ids: Vec<u64> = held.filter_map(|k| k.lease.map(|l| l.id)).collect();
        let (services, at) = (plane.services(), Instant::now());
        let request = v1::HeartbeatRequest { lease_ids: lease_ids.clone(), sequence: 1 };
        let answers = services.heartbeat(tonic::Request::new(line::single(&request))).await;
        let answer = Box::pin(answers.map_err(|e| e.to_string())?.into_inner()).next().await;
        let answer = answer.ok_or("a heartbeat was not answered")?.map_err(|e| e.to_string())?;
        for id in lease_ids {
            let lives =
                self.promises.known.values().any(|k| k.lease.is_some_and(|l| l.id == id) && k.is_live());
            let unknown = answer.unknown_lease_ids.contains(&id);
            if unknown == lives {
                return Err(format!(
                    "the lease {id} lives: {lives}; its heartbeat was told that it is unknown: {unknown}"
                ));
            }
            if lives {
                self.promises.renewed(id, at);
            }
        }
        Ok(())
    }

    async fn crash(&mut self, kept: bool, arrivals: u8, silent: bool, lost: bool) -> Result<(), String> {
        self.disk.destine(Some(if kept { Fate::Kept } else { Fate::Lost }));
        for which in 0..arrivals {
            self.arrive(which, false);
        }
        settle().await;
        self.end(silent).await?;
        if lost {
            self.disk.replace(Disk::memory());
            self.promises.lost();
        }
        Ok(())
    }

    async fn copy_back(&mut self, commits: usize, silent: bool) -> Result<(), String> {
        self.end(silent).await?;
        let copy = self.disk.as_of(commits).map_err(|e| e.to_string())?;
        self.disk.replace(copy);
        self.promises.copied_back(commits);
        Ok(())
    }

    async fn stop(&mut self) -> Result<(), String> {
        if let Some(plane) = &self.plane {
            plane.say_goodbye();
            settle().await;
            for proxy in 0..self.proxies.len() {
                self.flow(proxy).await;
            }
        }
        self.end(false).await
    }

    /// The control plane is gone. What it answered was answered; of the rest nobody knows.
    async fn end(&mut self, silent: bool) -> Result<(), String> {
        if self.plane.take().is_none() {
            self.disk.destine(None);
            return Ok(());
        }
        for proxy in &mut self.proxies {
            proxy.line.iter_mut().chain(&mut proxy.old).for_each(|line| line.forget_plane(silent));
        }
        let mut answers = Vec::new();
        while let Ok(answer) = self.answers.1.try_recv() {
            answers.push(answer);
        }
        // An error in the middle of the end says nothing.
        for (id, answer) in answers {
            self.tell(Told::Answered(id, answer.clone()));
            if let Some(attempt) = self.attempts.iter_mut().find(|a| a.id == id) {
                attempt.answer = answer.is_ok().then_some(answer);
            }
        }
        self.promises.commit(self.disk.take_log(), &self.attempts, self.looked)?;
        for attempt in std::mem::take(&mut self.attempts) {
            if let Some(Ok(reply)) = attempt.answer.as_deref() {
                self.promises.answered(&attempt, reply).map_err(|e| format!("{e}; {attempt:?}"))?;
            }
        }
        // What is left of that run fails now, and its answers come from nobody.
        settle().await;
        while self.answers.1.try_recv().is_ok() {}
        Ok(())
    }

    fn tell(&mut self, it: Told) {
        if self.told.len() == MOST_TOLD {
            self.told.pop_front();
        }
        self.told.push_back(it);
    }
}

/// Until nothing goes on without the clock. The clock moves by itself when nobody has anything to do.
async fn settle() {
    sleep(Duration::from_millis(1)).await;
}
