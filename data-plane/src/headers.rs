//! Header fields on their way through: what belongs to one hop stays there, and what a proxy must say is added.

mod forwarded;
mod hop_by_hop;
mod host;
mod transfer;
mod via;

use http::{HeaderMap, HeaderValue, header};

use self::hop_by_hop::Nominated;
pub(crate) use self::{
    host::Host,
    transfer::{Coding, is_plain_response},
    via::Pseudonym,
};

/// Whether `Upgrade` stays: what follows is an upgrade, or the agreement to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upgrade {
    Keep,
    Strip,
}

/// What the request says about its way here.
#[derive(Debug)]
pub(crate) struct Origin<'a> {
    pub(crate) peer: &'a HeaderValue,
    pub(crate) host: HeaderValue,
    pub(crate) version: http::Version,
}

/// Makes the fields of a request those of the request to the backend.
pub(crate) fn request(headers: &mut HeaderMap, upgrade: Upgrade, origin: Origin<'_>, us: &Pseudonym) {
    let trailers = hop_by_hop::accepts_trailers(headers);
    let upgrade = (upgrade == Upgrade::Keep).then(|| hop_by_hop::upgrade(headers)).flatten();
    let nominated = Nominated::by(headers);
    hop_by_hop::retain(headers, |name| !nominated.removes(name) && !forwarded::is_forwarded(name));
    headers.insert(header::HOST, origin.host.clone());
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    } else if trailers {
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
    if trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    forwarded::add(headers, origin.peer, origin.host);
    us.add(headers, origin.version);
}

/// Makes the fields of a backend's response those of the response to the client.
pub(crate) fn response(headers: &mut HeaderMap, upgrade: Upgrade, version: http::Version, us: &Pseudonym) {
    let upgrade = (upgrade == Upgrade::Keep).then(|| hop_by_hop::upgrade(headers)).flatten();
    let nominated = Nominated::by(headers);
    hop_by_hop::retain(headers, |name| !nominated.removes(name));
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol);
    }
    us.add(headers, version);
}

/// Whether the request asks to go on in another protocol than HTTP: not in its own second version, which a client must
/// ask the next hop for, not us to ask the backend.
pub(crate) fn asks_for_upgrade(request: &http::request::Parts) -> bool {
    request.version == http::Version::HTTP_11
        && hop_by_hop::names_upgrade(&request.headers)
        && hop_by_hop::upgrade(&request.headers).is_some()
}

/// Takes out of trailers what must not come after the body: RFC 9110 section 6.5.1.
pub(crate) fn clean_trailers(trailers: &mut HeaderMap) {
    let forbidden = [
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
        header::HOST,
        header::AUTHORIZATION,
        header::CONNECTION,
        header::TRAILER,
        header::TE,
        header::CONTENT_TYPE,
        header::CONTENT_ENCODING,
        header::CONTENT_RANGE,
    ];
    hop_by_hop::retain(trailers, |name| !forbidden.contains(name));
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, Request, Version};

    use super::*;

    fn map(fields: &[(&str, &str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
            })
            .collect()
    }

    fn lines(headers: &HeaderMap) -> Vec<String> {
        headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    fn relayed(fields: &[(&str, &str)], upgrade: Upgrade) -> Vec<String> {
        let mut headers = map(fields);
        let peer = HeaderValue::from_static("192.0.2.1");
        let host = HeaderValue::from_static("shop.example");
        let us = Pseudonym::of(&weir_proto::ProxyId::try_from("edge-1").unwrap());
        request(&mut headers, upgrade, Origin { peer: &peer, host, version: Version::HTTP_11 }, &us);
        lines(&headers)
    }

    const ADDED: [&str; 5] = [
        "host: shop.example",
        "x-forwarded-for: 192.0.2.1",
        "x-forwarded-proto: http",
        "x-forwarded-host: shop.example",
        "via: 1.1 weir-e92714c0274f",
    ];

    #[test]
    fn what_belongs_to_the_hop_is_removed_and_the_rest_keeps_its_order() {
        let fields = relayed(
            &[
                ("host", "shop.example"),
                ("accept", "a"),
                ("connection", "close, X-A, host, content-length"),
                ("x-a", "1"),
                ("keep-alive", "1"),
                ("proxy-connection", "close"),
                ("te", "gzip"),
                ("upgrade", "h2c"),
                ("x-b", "1"),
                ("x-c", "1"),
                ("x-b", "2"),
                ("content-length", "3"),
            ],
            Upgrade::Strip,
        );
        let expected = ["host: shop.example", "accept: a", "x-b: 1", "x-b: 2", "x-c: 1", "content-length: 3"];
        assert_eq!(fields, [&expected[..], &ADDED[1..]].concat());
    }

    #[test]
    fn what_the_client_says_of_its_origin_is_replaced() {
        let fields = relayed(
            &[
                ("x-forwarded-for", "10.0.0.1"),
                ("X-Forwarded-Anything", "1"),
                ("x_forwarded_for", "10.0.0.1"),
                ("forwarded", "for=10.0.0.1"),
                ("x-real-ip", "10.0.0.1"),
                ("x_real-ip", "10.0.0.1"),
            ],
            Upgrade::Strip,
        );
        assert_eq!(fields, ADDED);
    }

    #[test]
    fn te_trailers_is_kept() {
        let fields = relayed(&[("te", "gzip, trailers;q=0.5"), ("connection", "te")], Upgrade::Strip);
        assert!(fields.contains(&"te: trailers".to_owned()) && fields.contains(&"connection: te".to_owned()));
    }

    #[test]
    fn a_real_upgrade_is_kept_without_h2c() {
        let fields = relayed(&[("upgrade", "h2c, websocket"), ("connection", "Upgrade")], Upgrade::Keep);
        assert!(fields.contains(&"upgrade: websocket".to_owned()), "{fields:?}");
        assert!(fields.contains(&"connection: upgrade".to_owned()), "{fields:?}");
    }

    #[test]
    fn only_http_1_1_can_ask_for_an_upgrade() {
        let asks = |version, connection: &str, upgrade: &str| {
            let builder = Request::builder().version(version).header("connection", connection);
            asks_for_upgrade(&builder.header("upgrade", upgrade).body(()).unwrap().into_parts().0)
        };
        assert!(asks(Version::HTTP_11, "keep-alive, Upgrade", "websocket"));
        assert!(!asks(Version::HTTP_10, "upgrade", "websocket"));
        assert!(!asks(Version::HTTP_11, "close", "websocket"));
        assert!(!asks(Version::HTTP_11, "upgrade, http2-settings", "h2c"));
    }

    #[test]
    fn trailers_cannot_pose_as_headers() {
        let mut trailers = map(&[("x-sum", "1"), ("host", "evil"), ("content-length", "9")]);
        clean_trailers(&mut trailers);
        assert_eq!(lines(&trailers), ["x-sum: 1"]);
    }
}
