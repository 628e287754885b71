//! The records of a name: pure, but for the order, which is another one in each answer.

use std::{collections::HashSet, net::IpAddr};

use hickory_proto::rr::{
    Name, RData, Record, RecordType,
    rdata::{A, AAAA, HINFO, NS, SOA, SRV},
};

use super::{
    answer::Settings,
    node::{Endpoint, Node, address_label},
};

/// Records of one answer. Of more there is a random choice: no client needs them all, and 64 KiB hold about so many.
pub(crate) const MOST_RECORDS: usize = 1_000;

/// How often another server of the zone would look for changes, try again and give up, in seconds. There is none: zones
/// are not transferred.
const REFRESH: i32 = 3_600;
const RETRY: i32 = 600;
const EXPIRE: i32 = 86_400;

/// What answers a question about a name that exists.
#[derive(Debug, Default)]
pub(crate) struct Records {
    /// Empty if the name has no record of that type.
    pub answers: Vec<Record>,
    /// The addresses of what the answers point at.
    pub additionals: Vec<Record>,
}

/// The records of `node` of that type, as `name` has them.
pub(crate) fn of(node: Node, kind: RecordType, name: &Name, serial: u32, settings: &Settings) -> Records {
    let answer = |data| Record::from_rdata(name.clone(), settings.ttl(), data);
    let answers = match (node, kind) {
        // RFC 8482: whoever asks for everything gets something, and not much.
        (_, RecordType::ANY) => vec![answer(RData::HINFO(HINFO::new("RFC8482".into(), String::new())))],
        (Node::Apex, RecordType::SOA) => vec![soa(serial, settings)],
        (Node::Apex, RecordType::NS) => {
            let additionals = addresses(settings.name_server_ip(), settings.name_server(), settings);
            return Records {
                answers: vec![answer(RData::NS(NS(settings.name_server().clone())))],
                additionals,
            };
        }
        (Node::NameServer, kind) => {
            ip_data(settings.name_server_ip(), kind).map(answer).into_iter().collect()
        }
        (Node::Address(ip), kind) => ip_data(Some(ip), kind).map(answer).into_iter().collect(),
        (Node::Hosts(hosts), RecordType::A | RecordType::AAAA) => {
            spread(nearest(&hosts)).into_iter().filter_map(|ip| ip_data(Some(ip), kind)).map(answer).collect()
        }
        (Node::Hosts(hosts) | Node::Service(hosts), RecordType::SRV) => {
            return services(&hosts, name, settings);
        }
        _ => Vec::new(),
    };
    Records { answers, additionals: Vec::new() }
}

/// The zone's own record. In negative answers it says how long they hold.
pub(crate) fn soa(serial: u32, settings: &Settings) -> Record {
    let (server, person) = (settings.name_server().clone(), settings.hostmaster().clone());
    let minimum = settings.negative_ttl();
    let soa = SOA::new(server, person, serial, REFRESH, RETRY, EXPIRE, minimum);
    Record::from_rdata(settings.domain().name().clone(), minimum, RData::SOA(soa))
}

/// The addresses that get the traffic first: A and AAAA know no priorities, so backups are not among them.
fn nearest(hosts: &[Endpoint]) -> impl Iterator<Item = IpAddr> {
    let first = hosts.iter().map(|host| host.priority).min();
    hosts.iter().filter(move |host| Some(host.priority) == first).map(|host| host.ip)
}

fn services(hosts: &[Endpoint], name: &Name, settings: &Settings) -> Records {
    let (mut records, mut named) = (Records::default(), HashSet::new());
    for host in spread(hosts.iter().copied().filter(|host| host.port != 0)) {
        let Some(target) = settings.domain().below(&[&address_label(host.ip), "addr"]) else { continue };
        if named.insert(host.ip) {
            records.additionals.extend(addresses(Some(host.ip), &target, settings));
        }
        let data = RData::SRV(SRV::new(host.priority, host.weight, host.port, target));
        records.answers.push(Record::from_rdata(name.clone(), settings.ttl(), data));
    }
    records
}

fn addresses(ip: Option<IpAddr>, name: &Name, settings: &Settings) -> Vec<Record> {
    let data = [RecordType::A, RecordType::AAAA].into_iter().filter_map(|kind| ip_data(ip, kind));
    data.map(|data| Record::from_rdata(name.clone(), settings.ttl(), data)).collect()
}

fn ip_data(ip: Option<IpAddr>, kind: RecordType) -> Option<RData> {
    match (ip?, kind) {
        (IpAddr::V4(ip), RecordType::A) => Some(RData::A(A(ip))),
        (IpAddr::V6(ip), RecordType::AAAA) => Some(RData::AAAA(AAAA(ip))),
        _ => None,
    }
}

/// Each once, in random order, and not too many: clients take the first, and are to spread.
fn spread<T: Copy + Eq + std::hash::Hash>(of: impl Iterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    let mut all: Vec<T> = of.filter(|each| seen.insert(*each)).collect();
    fastrand::shuffle(&mut all);
    all.truncate(MOST_RECORDS);
    all
}
