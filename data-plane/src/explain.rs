//! What this proxy would do with a request now, and what it finds of its backends: answers to questions that operators
//! ask by way of the control plane.
//!
//! A request that is explained goes the way of one that is served, by the same code. It takes nobody's turn, is counted
//! nowhere, and waits for nothing.

mod candidates;
mod condition;
mod limits;
mod request;

use std::borrow::Cow;

use weir_proto::v1::{self, answer::Answer as Content, question::Question as Wanted};

pub(crate) use self::condition::{Condition, conditions, troubles};
use self::{candidates::Candidates, request::Asked};
use crate::{
    admission::Turn,
    headers::{Host, Pseudonym},
    proxy::{check, target},
    reason::Reason,
    router::CompiledRoute,
    table::{ServiceEntry, Table},
};

/// Answers by this table; `us` is what the proxy goes by in `Via`. Empty for a question of a newer version.
pub(crate) fn answer(table: Option<&Table>, us: &Pseudonym, question: v1::Question) -> v1::Answer {
    let answer = question.question.map(|wanted| match wanted {
        Wanted::Explain(question) => Content::Explanation(explain(table, us, &question)),
        Wanted::Conditions(question) => Content::Conditions(conditions(table, &question.service)),
    });
    v1::Answer { id: question.id, answer }
}

fn explain(table: Option<&Table>, us: &Pseudonym, question: &v1::ExplainQuestion) -> v1::Explanation {
    let mut explanation = v1::Explanation {
        revision: table.map_or(0, |table| table.position.revision.0),
        ..v1::Explanation::default()
    };
    match follow(table, us, question, &mut explanation) {
        Ok(sentence) => {
            Reason::Ok.code().clone_into(&mut explanation.outcome);
            explanation.sentence = sentence.into_owned();
        }
        Err(reason) => {
            reason.code().clone_into(&mut explanation.outcome);
            explanation.status = reason.status().as_u16().into();
            reason.sentence().clone_into(&mut explanation.sentence);
        }
    }
    explanation
}

/// The way of the request as far as it gets, noted in `explanation`.
fn follow(
    table: Option<&Table>,
    us: &Pseudonym,
    question: &v1::ExplainQuestion,
    explanation: &mut v1::Explanation,
) -> Result<Cow<'static, str>, Reason> {
    let mut asked = Asked::of(question)?;
    check::check(&mut asked.head, us)?;
    let table = table.ok_or(Reason::NothingConfigured)?;
    let host = Host::of(&asked.head)?;
    let found = target::find(table, &host.name, asked.head.path(), CompiledRoute::next_service);
    if let Some(route) = found.route {
        explanation.route = route.name().to_string();
    }
    let service = found.service?;
    explanation.service = service.service.name.to_string();
    service.service.lb_policy.as_str().clone_into(&mut explanation.lb_policy);
    let route = found.route.map(|route| &**route);
    explanation.limits = limits::used(route, service, &asked);
    let candidates = Candidates::of(service, &asked);
    explanation.pick = candidates.certain().map(ToString::to_string).unwrap_or_default();
    explanation.panic = service.balance.is_panicking();
    (explanation.candidates, explanation.omitted) = candidates.wire();
    limits::check(route, service, &asked)?;
    candidates.check()?;
    Ok(sentence(route, service, &host.name, candidates.is_full()))
}

/// What is worth a word about a request that is answered.
fn sentence(
    route: Option<&CompiledRoute>,
    service: &ServiceEntry,
    host: &str,
    is_full: bool,
) -> Cow<'static, str> {
    if is_full || service.live.gate().has_line(Turn::First) {
        return "it would have to wait for room first".into();
    }
    if route.is_some_and(CompiledRoute::is_by_host) {
        return if service.service.name.as_str() == host {
            "no declared route takes it; the Host names this service".into()
        } else {
            "no declared route takes it; it goes where the implicit one leads".into()
        };
    }
    match route.map(CompiledRoute::shares) {
        Some(shares @ 2..) => {
            format!("the route shares its requests among {shares} services, and it is this one's turn").into()
        }
        _ => "".into(),
    }
}

#[cfg(test)]
mod tests;
