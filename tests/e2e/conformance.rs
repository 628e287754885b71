//! What HTTP/1 messages get, good and bad: RFC 9110 and 9112, the strict side where they leave a choice. Every test
//! is a table; all rows that fail are told together.

mod absolute_form;
mod bodiless;
mod chunks;
mod content_length;
mod desync;
mod expect;
mod forwards;
mod gone;
mod hop_by_hop;
mod host;
mod incomplete;
mod interim;
mod limits;
mod lines;
mod order;
mod programs;
mod request_line;
mod responses;
mod reuse;
mod slow;
mod stage;
mod trailers;
mod transfer_encoding;
mod upgrade;
mod varnishtest;
