//! A resolver as a client has one: it asks for the proxies, and keeps the answer for as long as that holds.

use std::{net::SocketAddr, time::Duration};

use hickory_proto::{
    op::{Message, Query},
    rr::{Name, RData, RecordType},
};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout},
};

/// How long an answer may take before the question is sent again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

pub(super) struct Stub {
    server: SocketAddr,
    kept: Vec<SocketAddr>,
    until: Instant,
}

impl Stub {
    pub(super) fn new(server: SocketAddr) -> Self {
        Self { server, kept: Vec::new(), until: Instant::now() }
    }

    /// One of the proxies, as the answer has it that is kept, or a new one.
    pub(super) async fn proxy(&mut self) -> SocketAddr {
        if self.kept.is_empty() || Instant::now() >= self.until {
            // It holds from when it was asked for, which is on the safe side.
            let asked = Instant::now();
            let (proxies, ttl) = proxies(self.server).await;
            (self.kept, self.until) = (proxies, asked + ttl);
        }
        self.kept.rotate_left(1);
        *self.kept.first().expect("DNS names no proxy")
    }
}

/// The proxies, and how long that holds.
pub(in super::super) async fn proxies(server: SocketAddr) -> (Vec<SocketAddr>, Duration) {
    let mut question = Message::query();
    question.add_query(Query::query(Name::from_ascii("proxies.weir.").unwrap(), RecordType::SRV));
    let socket = UdpSocket::bind(("127.0.0.1", 0)).await.unwrap();
    socket.connect(server).await.unwrap();
    let mut bytes = [0; 512];
    let length = loop {
        socket.send(&question.to_vec().unwrap()).await.unwrap();
        if let Ok(received) = timeout(RETRY_AFTER, socket.recv(&mut bytes)).await {
            break received.unwrap();
        }
    };
    let told = Message::from_vec(&bytes[..length]).unwrap();
    assert!(!told.metadata.truncation);
    let ttl = told.answers.iter().chain(&told.authorities).map(|record| record.ttl).min().unwrap();
    let found = told.answers.iter().filter_map(|record| match &record.data {
        RData::SRV(srv) => {
            let address = told.additionals.iter().find(|a| a.name == srv.target).unwrap();
            Some(SocketAddr::new(address.data.ip_addr().unwrap(), srv.port))
        }
        _ => None,
    });
    (found.collect(), Duration::from_secs(ttl.into()))
}
