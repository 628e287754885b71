//! The tasks of one worker that may have a request at a backend: to be woken when they must look at that backend again.

use std::{cell::RefCell, fmt, future::poll_fn, rc::Rc, task::Poll, task::Waker};

use slab::Slab;
use tokio::task;

use super::local::Local;

/// Woken at once. Then the others have their turn.
const AT_ONCE: usize = 256;

#[derive(Default)]
pub(crate) struct Waiters(RefCell<Slab<Waker>>);

/// A task's place among them.
#[derive(Debug)]
pub(crate) struct Waiter {
    local: Rc<Local>,
    key: usize,
}

impl Waiter {
    /// Enters the task that waits for this, until the answer is dropped. It must not leave the task.
    pub(crate) async fn enter(local: &Rc<Local>) -> Self {
        poll_fn(|cx| {
            let key = local.waiters().0.borrow_mut().insert(cx.waker().clone());
            Poll::Ready(Self { local: Rc::clone(local), key })
        })
        .await
    }
}

impl Waiters {
    /// Wakes all that are there now.
    pub(super) async fn wake(&self) {
        let mut keys = 0..self.0.borrow().capacity();
        while !keys.is_empty() {
            for key in keys.by_ref().take(AT_ONCE) {
                if let Some(waker) = self.0.borrow().get(key) {
                    waker.wake_by_ref();
                }
            }
            task::yield_now().await;
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.local.waiters().0.borrow_mut().try_remove(self.key);
    }
}

impl fmt::Debug for Waiters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Waiters").field(&self.0.borrow().len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::task::LocalSet;

    use super::*;

    #[tokio::test]
    async fn all_are_woken_however_many_they_are_and_none_is_left_behind() {
        let test = async {
            let (local, looks) = (Rc::new(Local::alone()), Rc::new(Cell::new(0)));
            let tasks: Vec<_> = (0..3 * AT_ONCE)
                .map(|_| {
                    let (local, looks) = (Rc::clone(&local), Rc::clone(&looks));
                    task::spawn_local(async move {
                        let _waiter = Waiter::enter(&local).await;
                        let mut looked = false;
                        poll_fn(|_| {
                            looks.set(looks.get() + 1);
                            if std::mem::replace(&mut looked, true) { Poll::Ready(()) } else { Poll::Pending }
                        })
                        .await;
                    })
                })
                .collect();
            while looks.get() < tasks.len() {
                task::yield_now().await;
            }
            local.waiters().wake().await;
            for task in tasks {
                task.await.unwrap();
            }
            assert!(local.waiters().0.borrow().is_empty());
        };
        LocalSet::new().run_until(test).await;
    }
}
