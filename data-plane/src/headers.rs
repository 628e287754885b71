//! Header fields on their way through: what belongs to one hop stays there, and what a proxy must say is added.

mod forwarded;
mod hop_by_hop;
mod host;
mod tokens;
mod via;

use http::Version;

use self::hop_by_hop::Nominated;
pub(crate) use self::{host::Host, via::Pseudonym};
use crate::message::{Fields, Name, RequestHead, ResponseHead};

/// Whether `Upgrade` stays: what follows is an upgrade, or the agreement to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Upgrade {
    Keep,
    Strip,
}

/// What the request says about its way here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    /// The client's address.
    pub(crate) peer: &'a str,
    /// Whether the client came by TLS.
    pub(crate) secure: bool,
    /// As it was received.
    pub(crate) host: &'a str,
}

/// Makes the fields of a request those of the request to the backend. `Content-Length` stays; how else the body ends is
/// for whoever sends it to say. Returns how many posed as others, and were dropped for that.
pub(crate) fn request(head: &mut RequestHead, upgrade: Upgrade, origin: &Origin<'_>, us: &Pseudonym) -> u64 {
    let fields = &mut head.fields;
    let trailers = accepts_trailers(fields);
    let protocols = kept_upgrade(fields, upgrade);
    let nominated = Nominated::by(fields);
    fields.retain(|field| {
        if nominated.removes(&field) {
            return false;
        }
        let is_forwarded = forwarded::is_forwarded(&field);
        if is_forwarded && field.spelling.contains(&b'_') {
            nominated.note_alias();
        }
        !is_forwarded
    });
    if !fields.all(Name::Host).eq([origin.host.as_bytes()]) {
        fields.set(Name::Host, origin.host.as_bytes());
    }
    if head.version == Version::HTTP_2 {
        join_cookies(fields);
    }
    if trailers {
        fields.push(Name::Te, b"trailers");
    }
    match &protocols {
        Some(protocols) => keep_upgrade(fields, protocols),
        None if trailers => fields.push(Name::Connection, b"te"),
        None => {}
    }
    forwarded::add(fields, origin);
    us.add(fields, head.version);
    nominated.aliases()
}

/// Makes the fields of a backend's response those of the response to the client. Returns as `request`.
pub(crate) fn response(head: &mut ResponseHead, upgrade: Upgrade, us: &Pseudonym) -> u64 {
    let fields = &mut head.fields;
    let protocols = kept_upgrade(fields, upgrade);
    let nominated = Nominated::by(fields);
    fields.retain(|field| !nominated.removes(&field));
    if let Some(protocols) = &protocols {
        keep_upgrade(fields, protocols);
    }
    us.add(fields, head.version);
    nominated.aliases()
}

/// Whether the request asks to go on in another protocol than HTTP: not in its own second version, which a client must
/// ask the next hop for, not us to ask the backend.
pub(crate) fn asks_for_upgrade(head: &RequestHead) -> bool {
    let names_upgrade = |token: &[u8]| token.eq_ignore_ascii_case(b"upgrade");
    head.version == Version::HTTP_11
        && tokens::of(&head.fields, Name::Connection).any(names_upgrade)
        && hop_by_hop::protocols(&head.fields).is_some()
}

/// Whether `TE` says that trailers are welcome.
pub(crate) fn accepts_trailers(fields: &Fields) -> bool {
    tokens::of(fields, Name::Te).any(|token| {
        let coding = token.split(|byte| *byte == b';').next().unwrap_or_default();
        coding.trim_ascii().eq_ignore_ascii_case(b"trailers")
    })
}

/// Takes out of trailers what must not come after the body: RFC 9110 section 6.5.1.
pub(crate) fn clean_trailers(trailers: &mut Fields) {
    trailers.retain(|field| {
        !hop_by_hop::is_hop_by_hop(field.name)
            && !forwarded::is_forwarded(&field)
            && !matches!(
                field.name,
                Name::Authorization
                    | Name::CacheControl
                    | Name::ContentEncoding
                    | Name::ContentLength
                    | Name::ContentRange
                    | Name::ContentType
                    | Name::Cookie
                    | Name::Expect
                    | Name::Host
                    | Name::MaxForwards
                    | Name::SetCookie
                    | Name::Trailer
            )
    });
}

/// The protocols that `Upgrade` goes on with.
fn kept_upgrade(fields: &Fields, upgrade: Upgrade) -> Option<Vec<u8>> {
    (upgrade == Upgrade::Keep).then(|| hop_by_hop::protocols(fields)).flatten()
}

fn keep_upgrade(fields: &mut Fields, protocols: &[u8]) {
    fields.push(Name::Connection, b"upgrade");
    fields.push(Name::Upgrade, protocols);
}

/// One field of what HTTP/2 may have cut into pieces: RFC 9113 section 8.2.3.
fn join_cookies(fields: &mut Fields) {
    if fields.all(Name::Cookie).nth(1).is_some() {
        let cookies = fields.all(Name::Cookie).collect::<Vec<_>>().join(&b"; "[..]);
        fields.set(Name::Cookie, &cookies);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(lines: &[(&str, &str)]) -> Fields {
        let mut fields = Fields::default();
        for (name, value) in lines {
            fields.push_spelled(name.as_bytes(), value.as_bytes());
        }
        fields
    }

    fn lines(fields: &Fields) -> Vec<String> {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        fields.iter().map(|field| format!("{}: {}", text(field.spelling), text(field.value))).collect()
    }

    fn us() -> Pseudonym {
        Pseudonym::of(&weir_proto::ProxyId::try_from("edge-1").unwrap())
    }

    fn request_head(version: Version, lines: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::default();
        head.version = version;
        head.fields = fields(lines);
        head
    }

    fn relayed_in(version: Version, lines_of_it: &[(&str, &str)], upgrade: Upgrade) -> Vec<String> {
        let mut head = request_head(version, lines_of_it);
        let origin = Origin { peer: "192.0.2.1", secure: false, host: "shop.example" };
        request(&mut head, upgrade, &origin, &us());
        lines(&head.fields)
    }

    fn relayed(lines: &[(&str, &str)], upgrade: Upgrade) -> Vec<String> {
        relayed_in(Version::HTTP_11, lines, upgrade)
    }

    fn answered(lines_of_it: &[(&str, &str)], upgrade: Upgrade) -> Vec<String> {
        let mut head = ResponseHead { fields: fields(lines_of_it), ..ResponseHead::default() };
        response(&mut head, upgrade, &us());
        lines(&head.fields)
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
                ("Host", "other.example"),
                ("Accept", "a"),
                ("Connection", "close, X-A, host, content-length"),
                ("x-a", "1"),
                ("Keep-Alive", "1"),
                ("Proxy-Connection", "close"),
                ("TE", "gzip"),
                ("Upgrade", "h2c"),
                ("HTTP2-Settings", "x"),
                ("Transfer-Encoding", "chunked"),
                ("x-b", "1"),
                ("X-C", "1"),
                ("x-b", "2"),
                ("content-length", "3"),
            ],
            Upgrade::Strip,
        );
        let expected = ["host: shop.example", "Accept: a", "x-b: 1", "X-C: 1", "x-b: 2", "content-length: 3"];
        assert_eq!(fields, [&expected[..], &ADDED[1..]].concat());
    }

    #[test]
    fn what_a_response_says_to_the_hop_is_removed() {
        let fields = answered(
            &[
                ("Connection", "x-a, Set-Cookie"),
                ("connection", "keep-alive,X-B"),
                ("X-A", "1"),
                ("x-b", "1"),
                ("Set-Cookie", "a=1"),
                ("Keep-Alive", "timeout=5"),
                ("Transfer-Encoding", "chunked"),
                ("Upgrade", "h2c"),
                ("X-Forwarded-Proto", "https"),
                ("Via", "1.1 inner"),
            ],
            Upgrade::Strip,
        );
        let ours = "via: 1.1 weir-e92714c0274f";
        assert_eq!(fields, ["Set-Cookie: a=1", "X-Forwarded-Proto: https", "Via: 1.1 inner", ours]);
    }

    #[test]
    fn what_the_client_says_of_its_origin_is_replaced() {
        let fields = relayed(
            &[
                ("x-forwarded-for", "10.0.0.1"),
                ("X-Forwarded-Anything", "1"),
                ("x_forwarded_for", "10.0.0.1"),
                ("X_Forwarded-", "10.0.0.1"),
                ("forwarded", "for=10.0.0.1"),
                ("x-real-ip", "10.0.0.1"),
                ("x_real-ip", "10.0.0.1"),
            ],
            Upgrade::Strip,
        );
        assert_eq!(fields, ADDED);
        assert!(relayed(&[("x-real-ipx", "1")], Upgrade::Strip).contains(&"x-real-ipx: 1".to_owned()));
    }

    #[test]
    fn what_came_by_tls_is_said_to_be_https() {
        let mut head = RequestHead::default();
        request(&mut head, Upgrade::Strip, &Origin { peer: "::1", secure: true, host: "a" }, &us());
        assert_eq!(head.fields.get(Name::XForwardedProto), Some(&b"https"[..]));
    }

    #[test]
    fn te_trailers_is_kept() {
        let fields = relayed(&[("te", "gzip, trailers;q=0.5"), ("connection", "te")], Upgrade::Strip);
        assert!(fields.contains(&"te: trailers".to_owned()) && fields.contains(&"connection: te".to_owned()));
    }

    #[test]
    fn a_real_upgrade_is_kept_without_h2c() {
        let lines = &[("Upgrade", "h2c, websocket"), ("Connection", "Upgrade")];
        for fields in [relayed(lines, Upgrade::Keep), answered(lines, Upgrade::Keep)] {
            assert!(fields.contains(&"upgrade: websocket".to_owned()), "{fields:?}");
            assert!(fields.contains(&"connection: upgrade".to_owned()), "{fields:?}");
        }
    }

    /// With or without a version: RFC 9110 section 7.8.
    #[test]
    fn no_form_of_http_is_what_an_upgrade_goes_on_with() {
        for protocol in ["h2", "H2C", "h2c/1", "h2-14", "HTTP/2.0", "http", "HTTP/3"] {
            let lines = [("Upgrade", protocol), ("Connection", "Upgrade")];
            assert!(!asks_for_upgrade(&request_head(Version::HTTP_11, &lines)), "{protocol}");
            for fields in [relayed(&lines, Upgrade::Keep), answered(&lines, Upgrade::Keep)] {
                assert!(!fields.iter().any(|line| line.starts_with("upgrade")), "{protocol}: {fields:?}");
            }
        }
        let lines = [("Upgrade", "h2c/1, websocket/13, HTTP/2.0, httpx, h3"), ("Connection", "Upgrade")];
        let fields = relayed(&lines, Upgrade::Keep);
        assert!(fields.contains(&"upgrade: websocket/13, httpx, h3".to_owned()), "{fields:?}");
    }

    #[test]
    fn only_http_1_1_can_ask_for_an_upgrade() {
        let asks = |version, connection: &str, upgrade: &str| {
            asks_for_upgrade(&request_head(version, &[("connection", connection), ("upgrade", upgrade)]))
        };
        assert!(asks(Version::HTTP_11, "keep-alive, Upgrade", "websocket"));
        assert!(!asks(Version::HTTP_10, "upgrade", "websocket"));
        assert!(!asks(Version::HTTP_11, "close", "websocket"));
        assert!(!asks(Version::HTTP_11, "upgrade, http2-settings", "h2c"));
        assert!(!asks(Version::HTTP_2, "upgrade", "websocket"));
    }

    #[test]
    fn the_crumbs_of_a_cookie_are_joined_where_the_first_was() {
        let crumbs = &[("cookie", "a=1"), ("accept", "x"), ("cookie", "b=2"), ("cookie", "c=3")];
        let fields = relayed_in(Version::HTTP_2, crumbs, Upgrade::Strip);
        assert_eq!(fields[..2], ["cookie: a=1; b=2; c=3", "accept: x"]);
        assert_eq!(fields.last().map(String::as_str), Some("via: 2.0 weir-e92714c0274f"));
    }

    /// CGI and its heirs make one name of both.
    #[test]
    fn a_name_that_poses_as_another_by_an_underscore_goes_no_further() {
        let aliases = &[
            ("Transfer_Encoding", "chunked"),
            ("content_length", "5"),
            ("Proxy_Connection", "x"),
            ("KEEP_ALIVE", "1"),
            ("HTTP2_Settings", "x"),
            ("Max_Forwards", "0"),
            ("X_Forwarded_For", "10.0.0.1"),
            ("X-Forwarded_Host", "a"),
            ("x_forwarded-proto", "https"),
            ("X_Real_IP", "10.0.0.1"),
            ("x-real_ip", "10.0.0.1"),
        ];
        assert_eq!(relayed(aliases, Upgrade::Strip), ADDED);
        assert_eq!(answered(aliases, Upgrade::Strip), ["via: 1.1 weir-e92714c0274f"]);
        let mut trailers = fields(aliases);
        clean_trailers(&mut trailers);
        assert_eq!(lines(&trailers), [""; 0]);
        for other in ["Content_Lengths", "x_other", "ContentLength", "content__length", "user_agent"] {
            let fields = relayed(&[(other, "1")], Upgrade::Strip);
            assert!(fields.contains(&format!("{other}: 1")), "{fields:?}");
        }
    }

    #[test]
    fn trailers_cannot_pose_as_headers() {
        let mut trailers = fields(&[
            ("x-sum", "1"),
            ("Host", "evil"),
            ("content-length", "9"),
            ("transfer-encoding", "chunked"),
            ("Authorization", "x"),
            ("X-Forwarded-For", "10.0.0.1"),
            ("upgrade", "x"),
            ("grpc-status", "0"),
        ]);
        clean_trailers(&mut trailers);
        assert_eq!(lines(&trailers), ["x-sum: 1", "grpc-status: 0"]);
    }
}
