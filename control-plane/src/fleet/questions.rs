//! Questions to one proxy: what is to be sent, and who waits for which answer.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::{Notify, oneshot};
use weir_proto::v1::{self, answer::Answer as Content, question::Question as Wanted};

use super::bounds;

/// Questions to one proxy that are not answered yet, sent or not.
pub(crate) const MOST_OPEN: usize = 64;

/// The questions of one stream. They never outlive it: when it ends, everybody who waits hears so.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    open: Mutex<Open>,
    asked: Notify,
}

#[derive(Debug, Default)]
struct Open {
    last_id: u64,
    closed: bool,
    waiting: HashMap<u64, oneshot::Sender<Option<Content>>>,
    /// Those of the waiting that nobody has sent.
    unsent: VecDeque<v1::Question>,
}

/// Why a question was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// [`MOST_OPEN`] are open.
    Full,
    /// The stream ended.
    Closed,
}

/// A question that was asked. Dropped, it is taken back: nobody waits for its answer any more.
#[derive(Debug)]
pub(crate) struct Asked {
    questions: Arc<Questions>,
    id: u64,
    answer: oneshot::Receiver<Option<Content>>,
}

impl Questions {
    /// Has the question sent, after those that were asked before.
    pub(crate) fn ask(self: &Arc<Self>, question: Wanted) -> Result<Asked, Refusal> {
        let mut open = self.lock();
        if open.closed {
            return Err(Refusal::Closed);
        }
        if open.waiting.len() >= MOST_OPEN {
            return Err(Refusal::Full);
        }
        open.last_id += 1;
        let (id, (sender, answer)) = (open.last_id, oneshot::channel());
        open.waiting.insert(id, sender);
        open.unsent.push_back(v1::Question { id, question: Some(question) });
        drop(open);
        self.asked.notify_one();
        Ok(Asked { questions: Arc::clone(self), id, answer })
    }

    /// The next question to send.
    pub(crate) fn next(&self) -> Option<v1::Question> {
        self.lock().unsent.pop_front()
    }

    /// Returns when a question was asked since the last time. Only one may wait.
    pub(crate) async fn asked(&self) {
        self.asked.notified().await;
    }

    /// The proxy answered. What nobody asked, or nobody waits for any more, is ignored.
    pub(crate) fn answer(&self, answer: v1::Answer) {
        let waiting = self.lock().waiting.remove(&answer.id);
        if let Some(waiting) = waiting {
            let mut content = answer.answer;
            match &mut content {
                Some(Content::Explanation(explanation)) => bounds::explanation(explanation),
                Some(Content::Conditions(conditions)) => bounds::conditions(conditions),
                None => {}
            }
            // Who asked may have given up in this moment.
            let _ = waiting.send(content);
        }
    }

    /// The stream ended: nothing is answered any more.
    pub(crate) fn close(&self) {
        let mut open = self.lock();
        open.closed = true;
        open.unsent.clear();
        open.waiting.clear();
    }

    /// Every change of what is open is complete in itself.
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Asked {
    /// The answer, empty if the proxy does not know the question; None if its stream ended.
    pub(crate) async fn answer(mut self) -> Option<Option<Content>> {
        (&mut self.answer).await.ok()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        let mut open = self.questions.lock();
        if open.waiting.remove(&self.id).is_some() {
            open.unsent.retain(|question| question.id != self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question() -> Wanted {
        Wanted::Conditions(v1::ConditionsQuestion::default())
    }

    fn answer(id: u64) -> v1::Answer {
        let omitted = u32::try_from(id).expect("a small number");
        let conditions = v1::Conditions { omitted, ..Default::default() };
        v1::Answer { id, answer: Some(Content::Conditions(conditions)) }
    }

    #[tokio::test]
    async fn answers_find_who_asked_in_whatever_order_they_come() {
        let questions = Arc::new(Questions::default());
        let (first, second) =
            (questions.ask(question()).expect("room"), questions.ask(question()).expect("room"));
        questions.asked().await;
        let ids: Vec<_> = std::iter::from_fn(|| questions.next()).map(|q| q.id).collect();
        assert_eq!(ids, [first.id, second.id]);
        questions.answer(answer(99));
        questions.answer(answer(ids[1]));
        questions.answer(answer(ids[1]));
        questions.answer(answer(ids[0]));
        assert_eq!(first.answer().await, Some(answer(ids[0]).answer));
        assert_eq!(second.answer().await, Some(answer(ids[1]).answer));
    }

    #[test]
    fn only_so_many_are_open_and_who_gives_up_makes_room() {
        let questions = Arc::new(Questions::default());
        let mut open: Vec<_> = (0..MOST_OPEN).map(|_| questions.ask(question()).expect("room")).collect();
        assert_eq!(questions.ask(question()).err(), Some(Refusal::Full));
        let sent = questions.next().expect("a question");
        assert_eq!(questions.ask(question()).err(), Some(Refusal::Full), "sent is not answered");
        open.remove(0);
        open.push(questions.ask(question()).expect("room"));
        drop(open);
        assert_eq!(questions.next(), None, "what nobody waits for is not sent");
        questions.answer(answer(sent.id));
    }

    #[tokio::test]
    async fn the_end_of_the_stream_wakes_everybody() {
        let questions = Arc::new(Questions::default());
        let asked = questions.ask(question()).expect("room");
        questions.close();
        assert_eq!(asked.answer().await, None);
        assert_eq!(questions.ask(question()).err(), Some(Refusal::Closed));
    }
}
