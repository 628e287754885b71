//! HTTP/2 through real sockets: clients that say exactly what they are told, frame by frame, and good ones beside them.

mod backend_floods;
mod backends;
mod client;
mod drain;
mod floods;
mod frames;
mod grpc;
mod holds;
mod limits;
mod pseudo;
mod relaying;
mod replay;
mod retries;
mod rules;
mod server;
mod sizes;
mod stalls;
mod starving;
