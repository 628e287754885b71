//! How much is kept, and passed on, of what proxies say: they are not trusted to be correct.

use weir_proto::v1;

/// Refusals, and backends in trouble, that are kept of one proxy.
pub(super) const MOST_KEPT: usize = 1_000;
/// Backends that one proxy may answer with, all told.
const MOST_CONDITIONS: usize = 10_000;
/// Candidates of one explanation, and limits.
const MOST_CANDIDATES: usize = 1_000;
const MOST_LIMITS: usize = 64;
/// Bytes of each text in a refusal: it is kept, listed and told as an event.
pub(super) const MOST_TEXT: usize = 300;
/// Bytes of an object's name, which are enough for every valid one: two names of 253 and the slash.
pub(super) const MOST_NAME: usize = 253 + 1 + 253;
/// Bytes of what is one word, as a reason code.
const MOST_WORD: usize = 64;

/// Keeps of a refusal what a correct proxy says.
pub(super) fn refusal(refused: &mut v1::Refused) {
    if let Some(object) = &mut refused.object {
        cut(&mut object.name, MOST_NAME);
    }
    cut(&mut refused.field, MOST_TEXT);
    cut(&mut refused.reason, MOST_TEXT);
}

/// Keeps of a backend's condition what a correct proxy says.
pub(super) fn condition(condition: &mut v1::BackendCondition) {
    cut(&mut condition.backend, MOST_NAME);
    cut(&mut condition.health_reason, MOST_TEXT);
    cut(&mut condition.ejection_reason, MOST_WORD);
}

/// Keeps of a list of conditions what a correct proxy says, and counts the others.
pub(super) fn conditions(list: &mut v1::Conditions) {
    list.omitted = list.omitted.saturating_add(shorten(&mut list.conditions, MOST_CONDITIONS));
    list.conditions.iter_mut().for_each(condition);
}

/// Keeps of an explanation what a correct proxy says, and counts the candidates that go.
pub(super) fn explanation(explanation: &mut v1::Explanation) {
    explanation.omitted =
        explanation.omitted.saturating_add(shorten(&mut explanation.candidates, MOST_CANDIDATES));
    shorten(&mut explanation.limits, MOST_LIMITS);
    cut(&mut explanation.route, MOST_NAME);
    cut(&mut explanation.service, MOST_NAME);
    cut(&mut explanation.pick, MOST_NAME);
    cut(&mut explanation.outcome, MOST_WORD);
    cut(&mut explanation.sentence, MOST_TEXT);
    cut(&mut explanation.lb_policy, MOST_WORD);
    for limit in &mut explanation.limits {
        cut(&mut limit.setting, MOST_TEXT);
    }
    for candidate in &mut explanation.candidates {
        candidate.condition.iter_mut().for_each(condition);
        cut(&mut candidate.why, MOST_WORD);
        cut(&mut candidate.zone, MOST_NAME);
    }
}

/// Takes what is beyond `most` away; how many that were.
fn shorten<T>(list: &mut Vec<T>, most: usize) -> u32 {
    let beyond = list.len().saturating_sub(most);
    list.truncate(most);
    u32::try_from(beyond).unwrap_or(u32::MAX)
}

/// The room is given back too: the text may be kept.
fn cut(text: &mut String, most: usize) {
    text.truncate(text.floor_char_boundary(most));
    text.shrink_to_fit();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_of_any_size_becomes_one_of_a_known_size() {
        let long = "\u{e4}".repeat(10_000);
        let condition =
            v1::BackendCondition { backend: long.clone(), health_reason: long.clone(), ..Default::default() };
        let candidate = v1::Candidate {
            condition: Some(condition),
            why: long.clone(),
            zone: long.clone(),
            ..Default::default()
        };
        let mut said = v1::Explanation {
            sentence: long.clone(),
            outcome: long,
            candidates: vec![candidate; MOST_CANDIDATES + 7],
            limits: vec![v1::LimitUse::default(); MOST_LIMITS + 1],
            omitted: 3,
            ..Default::default()
        };
        explanation(&mut said);
        assert_eq!(
            (said.candidates.len(), said.omitted, said.limits.len()),
            (MOST_CANDIDATES, 10, MOST_LIMITS)
        );
        let last = said.candidates.last().expect("a candidate");
        let condition = last.condition.as_ref().expect("a condition");
        assert!(condition.backend.capacity() <= MOST_NAME && condition.health_reason.capacity() <= MOST_TEXT);
        assert!(last.why.len() <= MOST_WORD && last.zone.len() <= MOST_NAME);
        assert!(said.sentence.len() <= MOST_TEXT && said.outcome.len() <= MOST_WORD);
    }
}
