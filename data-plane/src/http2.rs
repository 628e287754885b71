//! HTTP/2 as clients and backends speak it: what both sides of the proxy share. RFC 9113.

pub(crate) mod budget;
pub(crate) mod fields;
pub(crate) mod frames;
pub(crate) mod hpack;
