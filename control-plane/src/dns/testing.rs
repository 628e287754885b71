//! What tests of DNS are made of.

use std::{net::IpAddr, sync::Arc, time::Duration};

use hickory_proto::{
    op::{Edns, Message, Query, ResponseCode},
    rr::{Name, RData, Record, RecordType},
};
use weir_proto::{Backend, Epoch, ProxyId, v1};

use super::{
    DnsDomain,
    answer::{Outcome, Settings, Transport, answer},
    view::View,
};
use crate::{
    fleet::Routable,
    registry::testing,
    snapshot::{Draft, Object, Snapshot},
};

/// Backends (`service/id`, address) with their services.
pub(super) fn view(backends: &[(&str, &str)]) -> View {
    let backends = backends.iter().map(|(key, address)| backend(key, address));
    view_of(backends.collect())
}

pub(super) fn backend(key: &str, address: &str) -> Backend {
    Backend { address: address.parse().expect("an address"), ..testing::backend(key) }
}

pub(super) fn view_of(backends: Vec<Backend>) -> View {
    let mut draft = Draft::new(&Snapshot::empty(Epoch(1)), 0);
    for backend in backends {
        draft.put(Object::default_service(&backend.key.service), v1::ObjectMeta::default());
        draft.put(Object::backend(backend), v1::ObjectMeta::default());
    }
    View { snapshot: Arc::new(draft.finish().0), proxies: Arc::default(), unhealthy: Arc::default() }
}

/// Proxies (zone, address) that take traffic, beside what there is.
pub(super) fn with_proxies(view: View, proxies: &[(&str, &str)]) -> View {
    let proxies = proxies.iter().enumerate().map(|(i, (zone, address))| {
        let id = ProxyId::try_from(format!("proxy-{i}").as_str()).expect("an id");
        let addresses = [address.parse().expect("an address")].into();
        Arc::new(Routable { id, zone: (*zone).into(), addresses })
    });
    View { proxies: Arc::new(proxies.collect()), ..view }
}

/// For `weir`, from 127.0.0.1.
pub(super) fn settings() -> Settings {
    Settings::new(DnsDomain::default(), Duration::from_secs(5), IpAddr::from([127, 0, 0, 1]))
}

pub(super) fn name(text: &str) -> Name {
    Name::from_ascii(text).expect("a name")
}

/// A question, with EDNS if there is a payload size.
pub(super) fn question(of: &str, kind: RecordType, payload: Option<u16>) -> Message {
    let mut message = Message::query();
    message.add_query(Query::query(name(of), kind));
    if let Some(payload) = payload {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
    }
    message
}

/// What is answered; the bytes and what they say.
pub(super) fn asked(message: &Message, transport: Transport, view: Option<&View>) -> (Vec<u8>, Message) {
    let packet = message.to_vec().expect("encoded");
    match answer(&packet, transport, view, &settings()) {
        Outcome::Answer(answer) => {
            let message = Message::from_vec(&answer.bytes).expect("a message");
            (answer.bytes, message)
        }
        Outcome::Dropped(reason) => panic!("dropped: {reason}"),
    }
}

/// The answers over UDP with EDNS: the code, and what the records say, in order.
pub(super) fn ask(view: &View, of: &str, kind: RecordType) -> (ResponseCode, Vec<String>) {
    let (_, message) = asked(&question(of, kind, Some(1232)), Transport::Udp, Some(view));
    let mut told = texts(&message.answers);
    told.sort();
    (message.metadata.response_code, told)
}

pub(super) fn texts(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| match &record.data {
        RData::A(a) => a.0.to_string(),
        RData::AAAA(a) => a.0.to_string(),
        RData::SRV(s) => format!("{} {} {} {}", s.priority, s.weight, s.port, s.target),
        other => format!("{} {other}", record.record_type()),
    };
    records.iter().map(text).collect()
}
