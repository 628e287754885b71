//! What the load generator, the backend and the floor share: safe epoll, a table by descriptor, just enough HTTP/1.1.

mod chunks;
mod descriptors;
mod head;
mod poller;
mod system;

pub use self::{
    chunks::chunked,
    descriptors::Descriptors,
    head::{end_of_head, field, find, number},
    poller::{Events, Interest, Poller},
    system::{accept, prepare},
};
