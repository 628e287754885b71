//! Heads between our own form and HTTP/2's codec: a request on its way out, a response on its way back.

use http::{
    Request, Response, StatusCode, Uri, Version, header,
    uri::{Authority, Parts, PathAndQuery, Scheme},
};

use crate::{
    http2::fields,
    message::{Name, RequestHead, ResponseHead},
    reason::Reason,
};

/// `Host` becomes `:authority`: RFC 9113 section 8.3.1.
pub(super) fn request(head: &RequestHead, secure: bool) -> Result<Request<()>, Reason> {
    let mut uri = Parts::default();
    // Some characters that HTTP/1 carries have no place in a target: RFC 3986 appendix A.
    let target = PathAndQuery::try_from(head.target()).map_err(|_| Reason::TargetInvalid)?;
    uri.path_and_query = Some(target);
    let host = head.fields.get(Name::Host).filter(|host| !host.is_empty());
    if let Some(host) = host {
        uri.authority = Some(Authority::try_from(host).map_err(|_| Reason::HostInvalid)?);
        uri.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    }
    let mut request = Request::new(());
    *request.method_mut() = head.method.clone();
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| Reason::TargetInvalid)?;
    // Without an authority, the codec takes what looks relayed from HTTP/1 alone.
    *request.version_mut() = if host.is_some() { Version::HTTP_2 } else { Version::HTTP_11 };
    *request.headers_mut() = fields::to_map(&head.fields);
    request.headers_mut().remove(header::HOST);
    Ok(request)
}

/// Every byte of it is checked; `most_fields` is how many there may be.
pub(super) fn response(response: &Response<()>, most_fields: usize) -> Result<ResponseHead, Reason> {
    if response.headers().len() > most_fields {
        return Err(Reason::BackendHeaderTooLarge);
    }
    let mut head = ResponseHead::new(response.status());
    head.version = Version::HTTP_2;
    fields::from_map(response.headers(), &mut head.fields).map_err(|_| Reason::BackendMalformed)?;
    // RFC 9110 section 8.6: these have none.
    if head.status.is_informational() || head.status == StatusCode::NO_CONTENT {
        head.fields.remove(Name::ContentLength);
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(target: &str, host: &str) -> RequestHead {
        let mut head = RequestHead::default();
        head.set_target(target);
        head.fields.push(Name::Host, host.as_bytes());
        head.fields.push_spelled(b"X-A", b"1");
        head
    }

    #[test]
    fn the_host_becomes_the_authority() {
        let request = request(&head("/a?b", "c:8080"), true).unwrap();
        assert_eq!(request.uri().to_string(), "https://c:8080/a?b");
        assert_eq!(request.headers().len(), 1);
        assert_eq!(request.headers()["x-a"], "1");
    }

    #[test]
    fn a_request_may_be_for_the_whole_server_or_for_no_host() {
        let whole = request(&head("*", "c"), false).unwrap();
        assert_eq!(whole.uri().path_and_query().map(PathAndQuery::as_str), Some("*"));
        let hostless = request(&head("/", ""), false).unwrap();
        assert_eq!((hostless.uri().authority(), hostless.version()), (None, Version::HTTP_11));
    }

    #[test]
    fn what_http2_cannot_say_is_refused() {
        assert_eq!(request(&head("/<a>", "c"), false).err(), Some(Reason::TargetInvalid));
        assert_eq!(request(&head("/", "a b"), false).err(), Some(Reason::HostInvalid));
    }

    #[test]
    fn a_response_must_be_fit_for_any_client() {
        let with = |name: &'static str, value: &'static str| {
            let response = Response::builder().status(204).header(name, value).body(()).unwrap();
            super::response(&response, 1)
        };
        let head = with("x-a", "1").unwrap();
        assert_eq!((head.status.as_u16(), head.version), (204, Version::HTTP_2));
        let field = head.fields.iter().next().unwrap();
        assert_eq!((field.spelling, field.value), (&b"x-a"[..], &b"1"[..]));
        assert_eq!(with("transfer-encoding", "chunked").err(), Some(Reason::BackendMalformed));
        assert!(!with("content-length", "0").unwrap().fields.has(Name::ContentLength));
        assert_eq!(with("x-a", "1 ").err(), Some(Reason::BackendMalformed));
        let mut many = Response::new(());
        for _ in 0..3 {
            many.headers_mut().append("x", header::HeaderValue::from_static("y"));
        }
        assert!(super::response(&many, 3).is_ok());
        assert_eq!(super::response(&many, 2).err(), Some(Reason::BackendHeaderTooLarge));
    }
}
