//! Asking proxies over their discovery streams.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::timeout;
use weir_proto::{
    ProxyId,
    v1::{self, answer::Answer as Content, question::Question as Wanted},
};

use super::{
    Fleet,
    questions::{MOST_OPEN, Questions, Refusal},
};
use crate::Error;

/// How long a proxy may take to answer. It has everything in memory.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
/// Conditions in one listing: what a caller is expected to take.
const MOST_LISTED: usize = 100_000;

impl Fleet {
    /// Asks one proxy what it would do with a request; without a name the first that is connected.
    pub(crate) async fn explain(
        &self,
        proxy: Option<ProxyId>,
        question: v1::ExplainQuestion,
    ) -> Result<(ProxyId, v1::Explanation), Error> {
        let Some((id, questions)) = self.reach(proxy.as_ref()) else {
            return Err(Error::NoProxy { asked: proxy });
        };
        match ask(&id, &questions, Wanted::Explain(question)).await? {
            Content::Explanation(explanation) => Ok((id, explanation)),
            Content::Conditions(_) => Err(Error::ProxyUnable { id }),
        }
    }

    /// Asks every connected proxy what it knows of the backends of a service, or of all.
    pub(crate) async fn conditions(&self, service: &str) -> Result<v1::ListConditionsResponse, Error> {
        let mut response = v1::ListConditionsResponse::default();
        let asked = self.everybody().into_iter().map(async |(id, questions)| {
            let wanted = Wanted::Conditions(v1::ConditionsQuestion { service: service.to_owned() });
            let answer = ask(&id, &questions, wanted).await;
            (id, answer)
        });
        for (id, answer) in join_all(asked).await {
            let Ok(Content::Conditions(mut found)) = answer else {
                response.silent.push(id.to_string());
                continue;
            };
            response.answered = response.answered.saturating_add(1);
            if response.conditions.len().saturating_add(found.conditions.len()) > MOST_LISTED {
                return Err(Error::TooLong { most: MOST_LISTED });
            }
            found.conditions.sort_by(|a, b| a.backend.cmp(&b.backend));
            response.conditions.extend(found.conditions.into_iter().map(|condition| v1::ProxyCondition {
                proxy_id: id.to_string(),
                condition: Some(condition),
            }));
        }
        Ok(response)
    }

    /// Where to ask this proxy, or the first one.
    fn reach(&self, id: Option<&ProxyId>) -> Option<(ProxyId, Arc<Questions>)> {
        let roster = self.lock();
        let mut wanted = roster.connected().filter(|member| id.is_none_or(|id| member.identity.id == *id));
        wanted.find_map(|member| Some((member.identity.id.clone(), Arc::clone(member.questions()?))))
    }

    /// Where to ask each connected proxy, in the order of their ids.
    fn everybody(&self) -> Vec<(ProxyId, Arc<Questions>)> {
        let roster = self.lock();
        let connected = roster.connected().filter_map(|member| Some((member, member.questions()?)));
        connected.map(|(member, questions)| (member.identity.id.clone(), Arc::clone(questions))).collect()
    }
}

async fn ask(id: &ProxyId, questions: &Arc<Questions>, wanted: Wanted) -> Result<Content, Error> {
    let asked = questions.ask(wanted).map_err(|refusal| match refusal {
        Refusal::Full => Error::TooMany { what: "unanswered questions to this proxy", most: MOST_OPEN },
        Refusal::Closed => Error::ProxyGone { id: id.clone() },
    })?;
    match timeout(ANSWER_TIMEOUT, asked.answer()).await {
        Ok(Some(Some(content))) => Ok(content),
        Ok(Some(None)) => Err(Error::ProxyUnable { id: id.clone() }),
        Ok(None) => Err(Error::ProxyGone { id: id.clone() }),
        Err(_) => Err(Error::ProxySilent { id: id.clone(), after: ANSWER_TIMEOUT }),
    }
}
