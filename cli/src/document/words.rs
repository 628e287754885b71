//! How the values of the contract's enums are written in files, and shown.

use weir_proto::v1;

/// The ways to write `RetryOn`: as Envoy does.
pub(crate) const RETRY_ON: [(&str, v1::RetryOn); 13] = [
    ("connect-failure", v1::RetryOn::ConnectFailure),
    ("refused-stream", v1::RetryOn::RefusedStream),
    ("reset-before-response", v1::RetryOn::ResetBeforeResponse),
    ("per-try-timeout", v1::RetryOn::PerTryTimeout),
    ("gateway-error", v1::RetryOn::GatewayError),
    ("5xx", v1::RetryOn::RetryOn5xx),
    ("retriable-4xx", v1::RetryOn::Retriable4xx),
    ("retriable-status-codes", v1::RetryOn::RetriableStatusCodes),
    ("cancelled", v1::RetryOn::GrpcCancelled),
    ("deadline-exceeded", v1::RetryOn::GrpcDeadlineExceeded),
    ("internal", v1::RetryOn::GrpcInternal),
    ("resource-exhausted", v1::RetryOn::GrpcResourceExhausted),
    ("unavailable", v1::RetryOn::GrpcUnavailable),
];

/// The ways to write `ListenerProtocol`.
pub(crate) const LISTENER_PROTOCOL: [(&str, v1::ListenerProtocol); 3] = [
    ("auto", v1::ListenerProtocol::Auto),
    ("http1", v1::ListenerProtocol::Http1),
    ("http2", v1::ListenerProtocol::Http2),
];

/// The ways to write `ServiceProtocol`.
pub(crate) const SERVICE_PROTOCOL: [(&str, v1::ServiceProtocol); 2] =
    [("http1", v1::ServiceProtocol::Http1), ("http2", v1::ServiceProtocol::Http2)];

/// The ways to write `TlsVersion`.
pub(crate) const TLS_VERSION: [(&str, v1::TlsVersion); 2] =
    [("1.2", v1::TlsVersion::TlsVersion12), ("1.3", v1::TlsVersion::TlsVersion13)];

/// The ways to write `ClientCertificateMode`.
pub(crate) const CLIENT_CERTIFICATE_MODE: [(&str, v1::ClientCertificateMode); 2] =
    [("optional", v1::ClientCertificateMode::Optional), ("required", v1::ClientCertificateMode::Required)];

/// How a value is written; None if it was left to its default, or if this version does not know it.
pub(crate) fn written<E: Copy + PartialEq>(known: &[(&'static str, E)], value: E) -> Option<&'static str> {
    known.iter().find(|(_, of)| *of == value).map(|(word, _)| *word)
}
