//! What proxies are asked on behalf of operators.

use std::net::IpAddr;

use tonic::Status;
use weir_proto::{Invalid, ProxyId, ServiceName, v1};

use super::{Api, refused, status, visible};

/// Characters of a method, of an authority and of a target: beyond them no listener takes a request.
const MOST_METHOD: usize = 64;
const MOST_HOST: usize = 512;
const MOST_TARGET: usize = 64 << 10;
/// Fields of a request, characters of a name, and bytes of a value.
const MOST_FIELDS: usize = 128;
const MOST_FIELD_NAME: usize = 256;
const MOST_FIELD_VALUE: usize = 16 << 10;

impl Api {
    pub(super) async fn explained(&self, request: v1::ExplainRequest) -> Result<v1::ExplainResponse, Status> {
        let (proxy, question) = wanted(request).map_err(|e| refused(vec![e]))?;
        let (id, explanation) = self.fleet.explain(proxy, question).await.map_err(status)?;
        Ok(v1::ExplainResponse { proxy_id: id.to_string(), explanation: Some(explanation) })
    }

    pub(super) async fn conditions(&self, service: &str) -> Result<v1::ListConditionsResponse, Status> {
        if !service.is_empty() {
            ServiceName::try_from(service).map_err(|e| refused(vec![e.within("service")]))?;
        }
        self.fleet.conditions(service).await.map_err(status)
    }
}

/// Which proxy, and what to ask it. A proxy judges a request as it does any other; here is only what bounds a question.
fn wanted(request: v1::ExplainRequest) -> Result<(Option<ProxyId>, v1::ExplainQuestion), Invalid> {
    let proxy = match request.proxy_id.as_str() {
        "" => None,
        id => Some(ProxyId::try_from(id).map_err(|e| e.within("proxy_id"))?),
    };
    let question = request.question.ok_or_else(|| Invalid::new("question", "is missing"))?;
    check(&question).map_err(|e| e.within("question"))?;
    Ok((proxy, question))
}

fn check(question: &v1::ExplainQuestion) -> Result<(), Invalid> {
    visible("method", &question.method, MOST_METHOD)?;
    visible("host", &question.host, MOST_HOST)?;
    visible("target", &question.target, MOST_TARGET)?;
    let address = &question.client_address;
    if !address.is_empty() && address.parse::<IpAddr>().is_err() {
        return Err(Invalid::new("client_address", format_args!("must be an IP address, not {address:?}")));
    }
    let fields = &question.fields;
    if fields.len() > MOST_FIELDS {
        return Err(Invalid::new(
            "fields",
            format_args!("may be {MOST_FIELDS} at most, are {}", fields.len()),
        ));
    }
    for (i, field) in fields.iter().enumerate() {
        let at = |name: &str| format!("fields[{i}].{name}");
        if field.name.is_empty() {
            return Err(Invalid::new(at("name"), "is missing"));
        }
        visible(&at("name"), &field.name, MOST_FIELD_NAME)?;
        let reason = match &field.value {
            value if value.len() > MOST_FIELD_VALUE => "is too long",
            value if value.chars().any(|c| c.is_control() && c != '\t') => "has a control character",
            _ => continue,
        };
        return Err(Invalid::new(at("value"), reason));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut v1::ExplainRequest, &mut v1::ExplainQuestion)) -> Option<String> {
        let (mut request, mut question) = (v1::ExplainRequest::default(), v1::ExplainQuestion::default());
        question.fields.push(v1::ExplainField { name: "x-user".into(), value: "a\tb".into() });
        change(&mut request, &mut question);
        request.question = Some(question);
        wanted(request).err().map(|e| e.field)
    }

    #[test]
    fn a_question_that_makes_no_sense_names_its_field() {
        assert_eq!(refusal(|_, _| {}), None, "all the rest is for the proxy to judge");
        assert_eq!(refusal(|r, _| r.proxy_id = "a b".into()).as_deref(), Some("proxy_id"));
        assert_eq!(refusal(|_, q| q.method = "GE T".into()).as_deref(), Some("question.method"));
        assert_eq!(refusal(|_, q| q.host = "h".repeat(600)).as_deref(), Some("question.host"));
        assert_eq!(refusal(|_, q| q.target = "/a\r\nb".into()).as_deref(), Some("question.target"));
        assert_eq!(
            refusal(|_, q| q.client_address = "web".into()).as_deref(),
            Some("question.client_address")
        );
        assert_eq!(
            refusal(|_, q| q.fields[0].value = "\n".into()).as_deref(),
            Some("question.fields[0].value")
        );
        assert_eq!(
            refusal(|_, q| q.fields[0].name = String::new()).as_deref(),
            Some("question.fields[0].name")
        );
        assert_eq!(
            refusal(|_, q| q.fields = vec![q.fields[0].clone(); 129]).as_deref(),
            Some("question.fields")
        );
        let nothing = wanted(v1::ExplainRequest::default());
        assert_eq!(nothing.err().map(|e| e.field).as_deref(), Some("question"));
    }
}
