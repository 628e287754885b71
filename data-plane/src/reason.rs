//! Why a request ended as it did: one word for the answer, the log, the metrics and `explain`.

use http::StatusCode;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $error:literal, $sentence:literal;)*) => {
        /// Names, numbers and sentences of the outcomes. The codes are for ever: dashboards are built on them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(crate) enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// In the order of their numbers: `ALL[reason as usize] == reason`.
            pub(crate) const ALL: &[Self] = &[$(Self::$name),*];

            /// `connect_refused`
            pub(crate) fn code(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The status of our own answer. For what has none, because the answer was under way or nobody was left
            /// to get one, the one that logs show by custom.
            pub(crate) fn status(self) -> StatusCode {
                let number: u16 = match self { $(Self::$name => $status,)* };
                StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
            }

            /// The error type of `Proxy-Status` (RFC 9209 section 2.3).
            pub(crate) fn proxy_error(self) -> &'static str {
                match self { $(Self::$name => $error,)* }
            }

            /// For people; without a full stop.
            pub(crate) fn sentence(self) -> &'static str {
                match self { $(Self::$name => $sentence,)* }
            }
        }
    };
}

reasons! {
    /// Relayed: the status is the backend's.
    Ok = "ok", 200, "proxy_internal_response", "the answer is the backend's";
    /// `Max-Forwards: 0` on OPTIONS.
    AnsweredHere = "answered_here", 200, "proxy_internal_response", "the request asked the proxy itself";

    NothingConfigured = "nothing_configured", 503, "destination_unavailable",
        "nothing is configured yet; register a backend or check the connection to the control plane";
    NoRoute = "no_route", 404, "destination_not_found", "no route matches this host and path";
    NoService = "no_service", 503, "destination_unavailable", "the route's service does not exist";
    NoBackends = "no_backends", 503, "destination_unavailable", "the service has no backends";
    NoRoutableBackend = "no_routable_backend", 503, "destination_unavailable",
        "every backend of the service is draining, disabled or expired";

    Shed = "shed", 503, "connection_limit_reached", "the proxy has more work than it can do";
    RateLimited = "rate_limited", 429, "http_request_denied", "there were too many such requests";
    ClientShare = "client_share", 429, "http_request_denied",
        "the client has as many requests under way as one may have";
    CircuitOpen = "circuit_open", 503, "destination_unavailable",
        "the service failed too often; it is tried again soon";
    Overflow = "overflow", 503, "connection_limit_reached", "too many requests wait for the service already";
    QueueTimeout = "queue_timeout", 503, "connection_limit_reached",
        "no backend of the service had room for the request in time";
    /// By the service's own settings.
    FaultInjected = "fault_injected", 503, "http_request_denied", "the service's settings ask for failures";

    /// So did every other backend that was asked: a request of which one got further has the reason of that.
    ConnectRefused = "connect_refused", 503, "connection_refused", "the backend refused the connection";
    /// The same.
    ConnectFailed = "connect_failed", 503, "destination_unavailable", "the backend cannot be reached";
    ConnectTimeout = "connect_timeout", 504, "connection_timeout", "the backend did not accept the connection in time";
    /// The same.
    BackendForbidden = "backend_forbidden", 502, "destination_ip_prohibited",
        "the backend's address is the proxy's own admin page, or one where nobody may serve";
    BackendTls = "backend_tls", 502, "tls_protocol_error", "the TLS handshake with the backend failed";
    BackendReset = "backend_reset", 502, "connection_terminated", "the backend closed the connection before it answered";
    BackendMalformed = "backend_malformed", 502, "http_protocol_error", "the backend's answer is not valid HTTP";
    BackendHeaderTooLarge = "backend_header_too_large", 502, "http_response_header_section_size",
        "the header of the backend's answer is too large";
    UpgradeUnexpected = "upgrade_unexpected", 502, "http_upgrade_failed", "the backend changed protocols unasked";
    ResponseTimeout = "response_timeout", 504, "http_response_timeout", "the backend did not answer in time";
    TryTimeout = "try_timeout", 504, "http_response_timeout", "the backend did not answer in the time for one try";
    /// After the head: the client's message is cut short too.
    BackendDrainTimeout = "backend_drain_timeout", 503, "destination_unavailable",
        "the backend is being removed, and the request was not done in the time for that";
    /// After the head: the client's message is cut short too.
    BodyTruncated = "body_truncated", 502, "http_response_incomplete", "the backend's answer ended too early";
    /// After the head: the client's message is cut short too.
    BodyTimeout = "body_timeout", 504, "connection_read_timeout", "the backend stopped in the middle of its answer";

    ClientGone = "client_gone", 499, "connection_terminated", "the client closed the connection";
    ClientStalled = "client_stalled", 499, "connection_write_timeout", "the client stopped reading";
    /// After the head: the client's message is cut short.
    ClientDisplaced = "client_displaced", 499, "connection_write_timeout",
        "the client stopped reading while other requests waited for what its request held";
    HeaderTimeout = "header_timeout", 408, "http_request_error", "the request's header did not arrive in time";
    RequestBodyTimeout = "request_body_timeout", 408, "http_request_error", "the request's body did not arrive in time";
    RequestBodyMalformed = "request_body_malformed", 400, "http_request_error", "the request's body is not valid HTTP";

    RequestMalformed = "request_malformed", 400, "http_request_error", "the request is not valid HTTP";
    /// HTTP in the clear.
    TlsExpected = "tls_expected", 400, "http_request_error", "this address speaks TLS; write https";
    CodingUnknown = "coding_unknown", 501, "http_request_error", "chunked is the only transfer coding that is served";
    VersionUnsupported = "version_unsupported", 505, "http_request_error",
        "the request's version of HTTP is not served in this form";
    HostMissing = "host_missing", 400, "http_request_error", "the request has no Host";
    HostRepeated = "host_repeated", 400, "http_request_error", "the request has more than one Host";
    HostInvalid = "host_invalid", 400, "http_request_error", "the request's Host is not a host name or address";
    TargetInvalid = "target_invalid", 400, "http_request_error", "the request's target is not valid for its method";
    SchemeUnsupported = "scheme_unsupported", 400, "http_request_error", "only http and https targets are served";
    MethodNotAllowed = "method_not_allowed", 405, "http_request_denied", "CONNECT and TRACE are not served";
    UriTooLong = "uri_too_long", 414, "http_request_error", "the request's target is too long";
    RequestTooLarge = "request_too_large", 413, "http_request_error", "the request's body is too large";
    HeaderTooLarge = "header_too_large", 431, "http_request_error", "the request's header is too large";
    ExpectationFailed = "expectation_failed", 417, "http_request_error", "only 100-continue can be expected";
    LoopDetected = "loop_detected", 508, "proxy_loop_detected", "the request has passed here before";

    /// After the time for a graceful end.
    Stopped = "stopped", 503, "proxy_internal_error", "the proxy ended before the request did";
    Internal = "internal", 500, "proxy_internal_error", "the proxy failed on this request";
}

impl Reason {
    /// Whether what follows on the connection cannot be trusted to be a request: it is closed after the answer.
    pub(crate) fn closes(self) -> bool {
        matches!(self.status().as_u16(), 400 | 408 | 414 | 431 | 500 | 501 | 505)
    }

    /// What the client is told of a request whose last attempt ended so, and an earlier one like `before`: that there was
    /// no connection says nothing of what an earlier one may have done.
    pub(crate) fn after(self, before: Option<Self>) -> Self {
        if self.is_unconnected() { before.unwrap_or(self) } else { self }
    }

    /// Whether nobody had the request: there was no backend that could be reached.
    fn is_unconnected(self) -> bool {
        matches!(self, Self::ConnectRefused | Self::ConnectFailed | Self::BackendForbidden)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_reason_has_a_code_of_its_own_and_an_answer() {
        let codes: HashSet<_> = Reason::ALL.iter().map(|reason| reason.code()).collect();
        assert_eq!(codes.len(), Reason::ALL.len());
        for (number, reason) in Reason::ALL.iter().enumerate() {
            assert_eq!(*reason as usize, number);
            assert!(reason.code().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{}", reason.code());
            assert!(!reason.sentence().ends_with('.'), "{}", reason.code());
        }
    }
}
