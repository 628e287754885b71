//! What the load generators, the backends and the floor share: safe epoll, a table by descriptor, just enough HTTP/1.1.

mod chunks;
mod clock;
mod descriptors;
mod head;
mod poller;
mod system;

pub use self::{
    chunks::chunked,
    clock::now,
    descriptors::Descriptors,
    head::{end_of_head, field, find, number},
    poller::{Events, Interest, Poller},
    system::{accept, prepare},
};
