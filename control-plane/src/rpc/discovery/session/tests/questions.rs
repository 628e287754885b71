//! Questions to a proxy: beside its states, bounded, and answered, given up or refused in time.

use tokio::task::JoinHandle;
use weir_proto::v1::{
    ExplainQuestion, ExplainRequest, ExplainResponse, Explanation, answer::Answer as Content,
    control_message::Message as Down,
};

use super::*;

fn request(proxy: &str, host: &str) -> ExplainRequest {
    let question = ExplainQuestion { host: host.to_owned(), ..Default::default() };
    ExplainRequest { proxy_id: proxy.to_owned(), question: Some(question) }
}

impl Proxy {
    /// As an operator asks.
    fn ask(&self, host: &str) -> JoinHandle<Result<ExplainResponse, Status>> {
        let (api, request) = (self.api.clone(), request("", host));
        tokio::spawn(async move { api.explained(request).await })
    }

    /// The next question; pings on the way are answered, states are not.
    async fn question(&mut self) -> v1::Question {
        loop {
            match self.next().await {
                Some(Down::Question(question)) => return question,
                Some(Down::Ping(v1::Ping { sequence })) => {
                    self.say(Message::Pong(v1::Pong { sequence })).await;
                }
                Some(_) => {}
                None => panic!("the stream ended"),
            }
        }
    }

    async fn answer(&self, id: u64, sentence: &str) {
        let explanation = Explanation { sentence: sentence.to_owned(), ..Default::default() };
        let answer = Some(Content::Explanation(explanation));
        self.say(Message::Answer(v1::Answer { id, answer })).await;
    }
}

fn host(question: &v1::Question) -> String {
    match &question.question {
        Some(v1::question::Question::Explain(explain)) => explain.host.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn two_at_once_each_get_their_own_answer() {
    let mut proxy = Proxy::with(None).await;
    let asked = [proxy.ask("a"), proxy.ask("b")];
    let questions = [proxy.question().await, proxy.question().await];
    // In the other order, and not as long as nothing is acknowledged.
    for question in questions.iter().rev() {
        proxy.answer(question.id, &host(question)).await;
    }
    for (asked, name) in asked.into_iter().zip(["a", "b"]) {
        let answer = asked.await.expect("no panic").expect("answered");
        assert_eq!(
            (answer.proxy_id.as_str(), answer.explanation.expect("one").sentence.as_str()),
            ("edge", name)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn questions_and_states_never_wait_for_each_other() {
    let mut proxy = Proxy::with(None).await;
    let Some(Down::SnapshotPage(first)) = proxy.next().await else { panic!("not a page") };
    let position = first.position;
    proxy.say(Message::Ack(v1::Ack { position, refused: Vec::new() })).await;
    let asked: Vec<_> = (0..64).map(|n| proxy.ask(&n.to_string())).collect();
    tokio::task::yield_now().await;
    // It does not read while the next state comes.
    proxy.register("10.0.0.1:80").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    // None of the questions is answered, and the state is not acknowledged: both come all the same, in turns.
    let (mut questions, mut state_after) = (0, None);
    while questions < 64 || state_after.is_none() {
        match proxy.next().await {
            Some(Down::Question(_)) => questions += 1,
            Some(Down::Delta(_)) => state_after = Some(questions),
            other => panic!("{other:?}"),
        }
    }
    assert!(state_after.is_some_and(|n| n <= 4), "the state came after {state_after:?} questions");
    for asked in asked {
        assert_eq!(asked.await.expect("no panic").expect_err("no answer").code(), Code::DeadlineExceeded);
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_proxy_costs_two_seconds_and_its_late_answer_is_nobodys() {
    let mut proxy = Proxy::with(None).await;
    let (start, asked) = (Instant::now(), proxy.ask("a"));
    let late = proxy.question().await;
    let status = asked.await.expect("no panic").expect_err("no answer");
    assert_eq!((status.code(), start.elapsed()), (Code::DeadlineExceeded, Duration::from_secs(2)));
    assert!(status.message().contains("proxy edge did not answer within 2s"), "{}", status.message());
    let again = proxy.ask("b");
    proxy.answer(late.id, "late").await;
    let question = proxy.question().await;
    proxy.answer(question.id, "in time").await;
    let answer = again.await.expect("no panic").expect("answered");
    assert_eq!(answer.explanation.expect("one").sentence, "in time");
}

#[tokio::test(start_paused = true)]
async fn more_than_may_be_open_are_refused_at_once() {
    let proxy = Proxy::with(None).await;
    let open: Vec<_> = (0..64).map(|n| proxy.ask(&n.to_string())).collect();
    tokio::task::yield_now().await;
    let start = Instant::now();
    let status = proxy.ask("more").await.expect("no panic").expect_err("no room");
    assert_eq!((status.code(), start.elapsed()), (Code::ResourceExhausted, Duration::ZERO));
    for asked in open {
        assert_eq!(asked.await.expect("no panic").expect_err("nobody reads").code(), Code::DeadlineExceeded);
    }
    let again = proxy.ask("again").await.expect("no panic").expect_err("nobody reads");
    assert_eq!(again.code(), Code::DeadlineExceeded, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_goes_away_fails_its_questions_at_once() {
    let mut proxy = Proxy::with(None).await;
    let asked = proxy.ask("a");
    proxy.question().await;
    let start = Instant::now();
    let Proxy { api, up, down, end, .. } = proxy;
    drop((up, down));
    let status = asked.await.expect("no panic").expect_err("no answer");
    assert_eq!((status.code(), start.elapsed()), (Code::Unavailable, Duration::ZERO));
    assert!(status.message().contains("proxy edge went away"), "{}", status.message());
    end.await.expect("no panic").expect("a good end");
    let nobody = api.explained(request("", "a")).await.expect_err("nobody is there");
    assert_eq!(nobody.code(), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_be_asked_is_named() {
    let mut proxy = Proxy::with(None).await;
    let other = proxy.api.explained(request("other", "a")).await.expect_err("not connected");
    assert_eq!(other.code(), Code::NotFound);
    assert!(other.message().starts_with("no proxy other is connected"), "{}", other.message());
    let asked = proxy.ask("a");
    let question = proxy.question().await;
    proxy.say(Message::Answer(v1::Answer { id: question.id, answer: None })).await;
    let old = asked.await.expect("no panic").expect_err("it does not know");
    assert_eq!(old.code(), Code::Unimplemented);
    assert!(old.message().contains("proxy edge does not know this question"), "{}", old.message());
}

#[tokio::test(start_paused = true)]
async fn everybody_is_asked_and_who_is_silent_is_named() {
    let mut proxy = Proxy::with(None).await;
    let identity = Identity {
        id: ProxyId::try_from("silent").expect("an id"),
        boot_id: 1,
        version: String::new(),
        zone: String::new(),
        advertised_address: String::new(),
        peer_address: String::new(),
    };
    let _silent = proxy.api.fleet.join(identity).expect("room");
    let api = proxy.api.clone();
    let start = Instant::now();
    let asked = tokio::spawn(async move { api.conditions("web").await });
    let question = proxy.question().await;
    let wanted = v1::ConditionsQuestion { service: "web".to_owned() };
    assert_eq!(question.question, Some(v1::question::Question::Conditions(wanted)));
    let found =
        ["web/b", "web/a"].map(|name| v1::BackendCondition { backend: name.into(), ..Default::default() });
    let conditions = v1::Conditions { conditions: found.to_vec(), omitted: 0 };
    let answer = Some(Content::Conditions(conditions));
    proxy.say(Message::Answer(v1::Answer { id: question.id, answer })).await;
    let list = asked.await.expect("no panic").expect("a list");
    let names = list
        .conditions
        .iter()
        .map(|c| (c.proxy_id.as_str(), c.condition.as_ref().map_or("", |c| &c.backend)));
    assert_eq!(names.collect::<Vec<_>>(), [("edge", "web/a"), ("edge", "web/b")]);
    assert_eq!((list.answered, list.silent), (1, vec!["silent".to_owned()]));
    assert_eq!(start.elapsed(), Duration::from_secs(2));
}
