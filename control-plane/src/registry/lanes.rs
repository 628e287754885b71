//! The two ways to the registry's task, so that operators do not stand behind agents: when thousands of those come back
//! at one moment, what an operator asks for, and what is due for leases, is done with the next transaction.

use std::time::Duration;

use tokio::{
    sync::mpsc::{self, error::TrySendError},
    time::timeout,
};

use super::command::{Asked, Command};
use crate::{caller::Caller, error::Error};

/// How many commands wait in each lane before callers do.
const QUEUE: usize = 1_024;
/// How long an agent waits for a place in its lane; then it is told to come back.
const PATIENCE: Duration = Duration::from_secs(1);
/// How many commands of agents go into one transaction, so that it is not long.
const AGENTS_AT_ONCE: usize = 512;
/// And of operators.
const OPERATORS_AT_ONCE: usize = 256;

/// The end that callers hold; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Lanes {
    operators: mpsc::Sender<Asked>,
    agents: mpsc::Sender<Asked>,
}

/// The end of the registry's task.
#[derive(Debug)]
pub(super) struct Queue {
    operators: mpsc::Receiver<Asked>,
    agents: mpsc::Receiver<Asked>,
}

/// Both ends.
pub(super) fn lanes() -> (Lanes, Queue) {
    let (operators, first) = mpsc::channel(QUEUE);
    let (agents, second) = mpsc::channel(QUEUE);
    (Lanes { operators, agents }, Queue { operators: first, agents: second })
}

impl Lanes {
    /// Waits for a place in the operators' lane.
    pub(super) async fn operator(&self, asked: Asked) -> Result<(), Error> {
        self.operators.send(asked).await.map_err(|_| Error::Stopping)
    }

    /// Waits for a place in the agents' lane, but not for long.
    pub(super) async fn agent(&self, asked: Asked) -> Result<(), Error> {
        match timeout(PATIENCE, self.agents.send(asked)).await {
            Ok(sent) => sent.map_err(|_| Error::Stopping),
            Err(_) => Err(Error::Busy),
        }
    }

    /// Takes a place in the operators' lane at once, or gives the command back.
    pub(super) fn at_once(&self, command: Command) -> Result<(), Box<Command>> {
        let refused = self.operators.try_send(Asked { caller: Caller::own(), command });
        refused.map_err(|(TrySendError::Full(asked) | TrySendError::Closed(asked))| Box::new(asked.command))
    }
}

impl Queue {
    /// Waits for commands and takes what is there, operators' first. False when everything was taken after
    /// [`Queue::close`].
    pub(super) async fn next(&mut self, into: &mut Vec<Asked>) -> bool {
        let first = tokio::select! {
            biased;
            Some(asked) = self.operators.recv() => asked,
            Some(asked) = self.agents.recv() => asked,
            else => return false,
        };
        into.push(first);
        // Whoever waits in the other lane does not wait for another transaction.
        for (lane, most) in [(&mut self.operators, OPERATORS_AT_ONCE), (&mut self.agents, AGENTS_AT_ONCE)] {
            into.extend(std::iter::from_fn(|| lane.try_recv().ok()).take(most));
        }
        true
    }

    /// Takes no more; what waits is still to be taken.
    pub(super) fn close(&mut self) {
        self.operators.close();
        self.agents.close();
    }

    /// Whether [`Queue::close`] was called.
    pub(super) fn is_closed(&self) -> bool {
        self.operators.is_closed()
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::registry::{Target, testing::key};

    fn asked(name: &str) -> Asked {
        let target = Target::Backend(key("web/x"));
        Asked { caller: Caller::new(name, None), command: Command::Deregister(target, oneshot::channel().0) }
    }

    fn names(asked: &[Asked]) -> Vec<String> {
        asked.iter().map(|asked| asked.caller.to_string()).collect()
    }

    #[tokio::test]
    async fn operators_come_first_and_nobody_is_left_behind() {
        let (lanes, mut queue) = lanes();
        for _ in 0..2 {
            lanes.agent(asked("agent")).await.expect("room");
            lanes.operator(asked("operator")).await.expect("room");
        }
        let mut taken = Vec::new();
        assert!(queue.next(&mut taken).await);
        assert_eq!(names(&taken), ["operator", "operator", "agent", "agent"]);
    }

    #[tokio::test]
    async fn what_waits_when_it_closes_is_still_taken() {
        let (lanes, mut queue) = lanes();
        lanes.agent(asked("agent")).await.expect("room");
        queue.close();
        assert!(matches!(lanes.operator(asked("late")).await, Err(Error::Stopping)));
        let mut taken = Vec::new();
        assert!(queue.next(&mut taken).await);
        assert_eq!(names(&taken), ["agent"]);
        taken.clear();
        assert!(!queue.next(&mut taken).await);
    }

    #[tokio::test(start_paused = true)]
    async fn agents_that_find_no_place_come_back_and_operators_are_not_behind_them() {
        let (lanes, mut queue) = lanes();
        for _ in 0..QUEUE {
            lanes.agent(asked("agent")).await.expect("room");
        }
        assert!(matches!(lanes.agent(asked("late")).await, Err(Error::Busy)));
        lanes.operator(asked("operator")).await.expect("room");
        let mut taken = Vec::new();
        assert!(queue.next(&mut taken).await);
        assert_eq!((taken.len(), names(&taken)[0].as_str()), (1 + AGENTS_AT_ONCE, "operator"));
    }
}
