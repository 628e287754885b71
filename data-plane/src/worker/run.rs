//! One worker's thread: it obeys commands, and does what has to be done from time to time.

use std::{collections::HashMap, io, net::SocketAddr, rc::Rc, thread};

use tokio::{
    runtime::{self, LocalOptions},
    sync::mpsc,
    task,
    time::{self, Duration, MissedTickBehavior},
};

use super::{
    Command,
    accept::{Accepting, Listener},
    local::{Local, Shared},
};

/// How often idle connections are looked through and the access log's buffer is handed over.
const UPKEEP: Duration = Duration::from_millis(250);

/// Starts the thread; it ends when the sender of `commands` is dropped.
pub(super) fn spawn(shared: Shared, commands: mpsc::Receiver<Command>) -> io::Result<()> {
    let (started, outcome) = std::sync::mpsc::sync_channel(1);
    thread::Builder::new().name(format!("weir-worker-{}", shared.index)).spawn(move || {
        // It cannot be made elsewhere: tasks of this runtime never leave its thread.
        let options = LocalOptions::default();
        let runtime = match runtime::Builder::new_current_thread().enable_all().build_local(options) {
            Ok(runtime) => runtime,
            Err(e) => return drop(started.send(Err(e))),
        };
        if started.send(Ok(())).is_err() {
            return;
        }
        let local = Rc::new(Local::new(shared));
        runtime.block_on(run(&local, commands));
        // With the runtime go the tasks that were cut, and each has a line.
        drop(runtime);
        local.end();
    })?;
    outcome.recv().map_err(io::Error::other)?
}

async fn run(local: &Rc<Local>, mut commands: mpsc::Receiver<Command>) {
    let mut open = HashMap::new();
    let mut upkeep = time::interval(UPKEEP);
    upkeep.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                Some(command) => obey(local, &mut open, command).await,
                None => return,
            },
            due = upkeep.tick() => {
                local.shed().late(local.index(), due.elapsed());
                local.pool().sweep();
                local.http2().sweep();
                local.flush_log();
            }
        }
    }
}

async fn obey(local: &Rc<Local>, open: &mut HashMap<SocketAddr, Accepting>, command: Command) {
    match command {
        Command::Open { address, terms, crowd, socket } => {
            let listener = Rc::new(Listener::new(address, terms, crowd));
            match Accepting::start(local, listener, socket) {
                Ok(accepting) => {
                    open.insert(address, accepting);
                }
                Err(e) => tracing::error!("cannot accept on {address}: {e}; another worker may still do"),
            }
        }
        Command::Update { address, terms } => {
            if let Some(accepting) = open.get(&address) {
                accepting.listener().update(terms);
            }
        }
        Command::Close { address, done } => {
            if let Some(accepting) = open.remove(&address) {
                accepting.stop().await;
            }
            // Whoever asked may be gone.
            let _ = done.send(());
        }
        Command::Barrier { done } => {
            local.table();
            local.pool().sweep();
            local.http2().sweep();
            // Tasks run in the order in which they were woken: when this one ends, requests that were handed to a
            // connection's task before have been written, however many there are.
            let _ = task::spawn_local(async {}).await;
            let _ = done.send(());
        }
        Command::Wake => {
            let local = Rc::clone(local);
            task::spawn_local(async move { local.waiters().wake().await });
        }
        Command::Drain { deadline, done } => {
            for (_, accepting) in open.drain() {
                accepting.stop().await;
            }
            // In a task of its own, because the table may still change while requests end.
            let local = Rc::clone(local);
            task::spawn_local(async move {
                let left = match time::timeout_at(deadline, local.connections().ended()).await {
                    Ok(()) => 0,
                    Err(_) => local.in_flight(),
                };
                local.connections().cut();
                let _ = done.send(left);
            });
        }
    }
}
