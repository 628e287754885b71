//! A future that is used again and again.
//!
//! A future that serves a request is several kilobytes large, and whoever makes a future copies all of it to where it
//! then lives. So it is made once, and does one job after the other.

use std::{cell::Cell, convert::Infallible, fmt, future::poll_fn, pin::Pin, rc::Rc, task::Poll};

/// A future without an end, that does one job at a time for whoever has it.
pub(crate) struct Coroutine<J, D> {
    desk: Rc<Desk<J, D>>,
    body: Pin<Box<dyn Future<Output = Infallible>>>,
}

/// The place where the future finds its next job, and leaves the result.
pub(crate) struct Desk<J, D> {
    job: Cell<Option<J>>,
    done: Cell<Option<D>>,
}

impl<J, D> Coroutine<J, D> {
    /// `body` takes jobs from the desk for ever, one at a time, and lays on it what came of each.
    pub(crate) fn new<F>(body: impl FnOnce(Rc<Desk<J, D>>) -> F) -> Self
    where
        F: Future<Output = Infallible> + 'static,
    {
        let desk = Rc::new(Desk { job: Cell::new(None), done: Cell::new(None) });
        Self { body: Box::pin(body(Rc::clone(&desk))), desk }
    }

    /// Does a job, in the task that polls the future. Dropped before that is done, it takes the coroutine with it, and
    /// all that the job had come to.
    pub(crate) fn run(mut self, job: J) -> impl Future<Output = (Self, D)> {
        self.desk.job.set(Some(job));
        async move {
            let done = poll_fn(|cx| match self.body.as_mut().poll(cx) {
                Poll::Ready(never) => match never {},
                Poll::Pending => self.desk.done.take().map_or(Poll::Pending, Poll::Ready),
            })
            .await;
            (self, done)
        }
    }
}

impl<J, D> Desk<J, D> {
    /// The next job, once there is one.
    pub(crate) async fn job(&self) -> J {
        poll_fn(|_| self.job.take().map_or(Poll::Pending, Poll::Ready)).await
    }

    /// What came of the last one.
    pub(crate) fn done(&self, done: D) {
        self.done.set(Some(done));
    }
}

impl<J, D> fmt::Debug for Coroutine<J, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coroutine").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::sync::oneshot;

    use super::*;

    /// Adds up what it is told, and counts how often it was made.
    fn adder(made: &Cell<u32>) -> Coroutine<oneshot::Receiver<u32>, u32> {
        made.set(made.get() + 1);
        Coroutine::new(|desk: Rc<Desk<oneshot::Receiver<u32>, u32>>| async move {
            let mut sum = 0;
            loop {
                sum += desk.job().await.await.unwrap_or(0);
                desk.done(sum);
            }
        })
    }

    fn told(n: u32) -> oneshot::Receiver<u32> {
        let (tell, told) = oneshot::channel();
        tell.send(n).expect("it is kept");
        told
    }

    #[tokio::test]
    async fn one_future_does_one_job_after_the_other() {
        let made = Cell::new(0);
        let (adder, three) = adder(&made).run(told(3)).await;
        let (adder, seven) = adder.run(told(4)).await;
        let (tell, later) = oneshot::channel();
        let job = adder.run(later);
        tell.send(5).expect("it is waited for");
        assert_eq!((three, seven, job.await.1, made.get()), (3, 7, 12, 1));
    }

    #[tokio::test]
    async fn a_job_that_is_given_up_is_dropped_with_all_that_it_holds() {
        let held = Rc::new(RefCell::new(0));
        let coroutine = Coroutine::new(|desk: Rc<Desk<Rc<RefCell<u32>>, ()>>| async move {
            loop {
                let job = desk.job().await;
                *job.borrow_mut() += 1;
                std::future::pending::<()>().await;
                desk.done(());
            }
        });
        let mut job = Box::pin(coroutine.run(Rc::clone(&held)));
        assert!(futures_util::poll!(&mut job).is_pending());
        assert_eq!((*held.borrow(), Rc::strong_count(&held)), (1, 2));
        drop(job);
        assert_eq!(Rc::strong_count(&held), 1);
    }
}
