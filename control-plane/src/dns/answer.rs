//! One question, one answer: bytes in, bytes out.
//!
//! As RFC 1035, 2308 (negative answers), 2782 (SRV), 6891 (EDNS), 8482 (ANY) and 9619 (one question) say.

use std::{net::IpAddr, time::Duration};

use hickory_proto::{
    op::{Edns, Header, Message, MessageType, Metadata, OpCode, Query, ResponseCode},
    rr::{DNSClass, Name, RecordType},
    serialize::binary::{BinDecodable, BinDecoder},
};

use super::{DnsDomain, fit, node, records, view::View};

/// What is sent over UDP at most, and told to askers as what we take: it passes almost every path in one piece.
pub(crate) const MOST_UDP_ANSWER: u16 = 1232;
/// What every asker takes over UDP.
const LEAST_UDP_ANSWER: u16 = 512;
/// Records beside the question that are looked at, for EDNS among them.
const MOST_ADDITIONALS: u16 = 16;
/// How long negative answers hold at most, in seconds: a service that is new is soon found.
const MOST_NEGATIVE_TTL: u32 = 5;

/// What all answers have in common.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    domain: DnsDomain,
    ttl: u32,
    name_server: Name,
    name_server_ip: Option<IpAddr>,
    hostmaster: Name,
}

/// How a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Udp,
    Tcp,
}

/// What becomes of a message.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is answered.
    Answer(Answer),
    /// It is not, for this reason.
    Dropped(&'static str),
}

/// An answer, and how it is counted.
#[derive(Debug)]
pub(crate) struct Answer {
    pub bytes: Vec<u8>,
    pub kind: &'static str,
    pub code: &'static str,
}

impl Settings {
    /// Answers for `domain`, from `address`.
    pub(crate) fn new(domain: DnsDomain, ttl: Duration, address: IpAddr) -> Self {
        let below = |label| domain.below(&[label]).unwrap_or_default();
        Self {
            ttl: u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX),
            name_server: below("ns"),
            name_server_ip: Some(address).filter(|ip| !ip.is_unspecified()),
            hostmaster: below("hostmaster"),
            domain,
        }
    }

    pub(super) fn domain(&self) -> &DnsDomain {
        &self.domain
    }

    /// In seconds.
    pub(super) fn ttl(&self) -> u32 {
        self.ttl
    }

    /// In seconds.
    pub(super) fn negative_ttl(&self) -> u32 {
        self.ttl.min(MOST_NEGATIVE_TTL)
    }

    pub(super) fn name_server(&self) -> &Name {
        &self.name_server
    }

    /// None if DNS is answered on every address.
    pub(super) fn name_server_ip(&self) -> Option<IpAddr> {
        self.name_server_ip
    }

    pub(super) fn hostmaster(&self) -> &Name {
        &self.hostmaster
    }
}

/// Answers a message; `view` is absent until the store is loaded.
///
/// What is no message, and what is an answer itself, is dropped: else two servers could talk to each other for ever.
pub(crate) fn answer(
    packet: &[u8],
    transport: Transport,
    view: Option<&View>,
    settings: &Settings,
) -> Outcome {
    let mut decoder = BinDecoder::new(packet);
    let Ok(header) = Header::read(&mut decoder) else { return Outcome::Dropped("malformed") };
    if header.metadata.message_type == MessageType::Response {
        return Outcome::Dropped("response");
    }
    let mut message = Message::response(header.metadata.id, header.metadata.op_code);
    message.metadata = Metadata::response_from_request(&header.metadata);
    let code = match read(&header, &mut decoder, &mut message) {
        Ok(()) => respond(&mut message, view, settings),
        Err(code) => code,
    };
    message.metadata.response_code = code;
    let most = most_bytes(&message, transport);
    if let Some(edns) = &mut message.edns {
        edns.set_version(0).set_max_payload(MOST_UDP_ANSWER);
    }
    let kind = message.queries.first().map_or("none", |query| kind_word(query.query_type));
    match fit::encode(message, most) {
        Ok(bytes) => Outcome::Answer(Answer { bytes, kind, code: code_word(code) }),
        Err(error) => {
            weir_proto::seldom!(warn, %error, "cannot encode a DNS answer");
            Outcome::Dropped("not_encoded")
        }
    }
}

/// Reads the question and what is said of EDNS into the answer.
fn read(header: &Header, decoder: &mut BinDecoder<'_>, into: &mut Message) -> Result<(), ResponseCode> {
    if header.metadata.op_code != OpCode::Query {
        return Err(ResponseCode::NotImp);
    }
    let counts = &header.counts;
    if counts.queries != 1 {
        return Err(ResponseCode::FormErr);
    }
    let query = Query::read(decoder).map_err(|_| ResponseCode::FormErr)?;
    let kind = query.query_type;
    into.add_query(query);
    if matches!(kind, RecordType::AXFR | RecordType::IXFR) {
        return Err(ResponseCode::Refused);
    }
    if counts.answers > 0 || counts.authorities > 0 || counts.additionals > MOST_ADDITIONALS {
        return Err(ResponseCode::FormErr);
    }
    let additionals = Message::read_records(decoder, counts.additionals.into(), true, OpCode::Query);
    let (_, edns, _) = additionals.map_err(|_| ResponseCode::FormErr)?;
    let Some(theirs) = edns else { return Ok(()) };
    let version = theirs.version();
    let mut ours = Edns::new();
    ours.set_dnssec_ok(theirs.flags().dnssec_ok).set_max_payload(theirs.max_payload());
    into.set_edns(ours);
    if version > 0 { Err(ResponseCode::BADVERS) } else { Ok(()) }
}

/// Fills in the records.
fn respond(message: &mut Message, view: Option<&View>, settings: &Settings) -> ResponseCode {
    let Some(query) = message.queries.first() else { return ResponseCode::FormErr };
    let (name, kind) = (query.name.clone(), query.query_type);
    if query.query_class != DNSClass::IN {
        return ResponseCode::Refused;
    }
    if !settings.domain().contains(&name) {
        return ResponseCode::Refused;
    }
    let Some(view) = view else { return ResponseCode::ServFail };
    message.metadata.authoritative = true;
    // The low half: serial numbers of zones wrap around.
    let serial = u32::try_from(view.snapshot.revision().0 & u64::from(u32::MAX)).unwrap_or_default();
    let node = settings.domain().labels(&name).and_then(|labels| node::find(&labels, view));
    let code = if node.is_some() { ResponseCode::NoError } else { ResponseCode::NXDomain };
    let found = node.map(|node| records::of(node, kind, &name, serial, settings)).unwrap_or_default();
    if found.answers.is_empty() {
        message.add_authority(records::soa(serial, settings));
    }
    message.add_answers(found.answers).add_additionals(found.additionals);
    code
}

fn most_bytes(message: &Message, transport: Transport) -> u16 {
    match (transport, &message.edns) {
        (Transport::Tcp, _) => u16::MAX,
        (Transport::Udp, None) => LEAST_UDP_ANSWER,
        (Transport::Udp, Some(edns)) => edns.max_payload().clamp(LEAST_UDP_ANSWER, MOST_UDP_ANSWER),
    }
}

/// The label of a metric: a fixed set, whatever is asked for.
fn kind_word(kind: RecordType) -> &'static str {
    match kind {
        RecordType::A => "A",
        RecordType::AAAA => "AAAA",
        RecordType::SRV => "SRV",
        RecordType::SOA => "SOA",
        RecordType::NS => "NS",
        RecordType::ANY => "ANY",
        RecordType::AXFR | RecordType::IXFR => "XFR",
        _ => "other",
    }
}

fn code_word(code: ResponseCode) -> &'static str {
    match code {
        ResponseCode::NoError => "NOERROR",
        ResponseCode::FormErr => "FORMERR",
        ResponseCode::ServFail => "SERVFAIL",
        ResponseCode::NXDomain => "NXDOMAIN",
        ResponseCode::NotImp => "NOTIMP",
        ResponseCode::Refused => "REFUSED",
        ResponseCode::BADVERS => "BADVERS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::RecordType as Type;

    use super::*;
    use crate::dns::testing::{asked, name, question, settings, texts, view};

    fn web() -> View {
        view(&[("web/a", "10.0.0.1:80")])
    }

    fn many(count: u16) -> View {
        let backends: Vec<_> =
            (0..count).map(|i| (format!("web/{i}"), format!("10.0.{}.{}:80", i / 250, i % 250))).collect();
        let named: Vec<_> = backends.iter().map(|(key, address)| (key.as_str(), address.as_str())).collect();
        view(&named)
    }

    fn udp(message: &Message) -> Message {
        asked(message, Transport::Udp, Some(&web())).1
    }

    #[test]
    fn an_answer_is_authoritative_holds_for_the_ttl_and_repeats_the_question_as_it_was_spelt() {
        let mut asked_for = question("wEb.SVC.Weir.", Type::A, None);
        asked_for.metadata.recursion_desired = true;
        let told = udp(&asked_for);
        let head = &told.metadata;
        assert_eq!((head.id, head.message_type), (asked_for.metadata.id, MessageType::Response));
        assert!(head.authoritative && head.recursion_desired && !head.recursion_available);
        assert!(!head.truncation && !head.authentic_data);
        assert!(told.queries[0].name.eq_case(&name("wEb.SVC.Weir.")));
        assert!(told.answers[0].name.eq_case(&name("wEb.SVC.Weir.")));
        assert_eq!((told.answers[0].ttl, texts(&told.answers)), (5, vec!["10.0.0.1".to_owned()]));
        assert!(told.edns.is_none(), "who says nothing of EDNS gets none");
    }

    #[test]
    fn negative_answers_say_how_long_they_hold() {
        for (of, code) in [("web.svc.weir.", ResponseCode::NoError), ("no.svc.weir.", ResponseCode::NXDomain)]
        {
            let told = udp(&question(of, Type::AAAA, None));
            assert_eq!(told.metadata.response_code, code);
            assert!(told.answers.is_empty() && told.metadata.authoritative);
            let soa = &told.authorities[0];
            assert_eq!((soa.name.to_string().as_str(), soa.ttl), ("weir.", 5));
            assert_eq!(texts(&told.authorities), ["SOA ns.weir. hostmaster.weir. 1 3600 600 86400 5"]);
        }
        let long = Settings::new(DnsDomain::default(), Duration::from_mins(1), IpAddr::from([0, 0, 0, 0]));
        assert_eq!((long.ttl(), long.negative_ttl(), long.name_server_ip()), (60, 5, None));
    }

    #[test]
    fn the_apex_names_its_server_and_the_server_its_address() {
        assert_eq!(texts(&udp(&question("weir.", Type::SOA, None)).answers).len(), 1);
        let told = udp(&question("weir.", Type::NS, None));
        assert_eq!(texts(&told.answers), ["NS ns.weir."]);
        assert_eq!(texts(&told.additionals), ["127.0.0.1"]);
        assert_eq!(texts(&udp(&question("ns.weir.", Type::A, None)).answers), ["127.0.0.1"]);
    }

    #[test]
    fn services_come_with_the_addresses_of_their_targets() {
        let told = udp(&question("web.svc.weir.", Type::SRV, None));
        assert_eq!(texts(&told.answers), ["0 1 80 10-0-0-1.addr.weir."]);
        assert_eq!(told.additionals[0].name, name("10-0-0-1.addr.weir."));
        assert_eq!(texts(&told.additionals), ["10.0.0.1"]);
    }

    #[test]
    fn whoever_asks_for_everything_gets_little() {
        let told = udp(&question("web.svc.weir.", Type::ANY, None));
        assert_eq!(told.answers.len(), 1);
        assert_eq!(told.answers[0].record_type(), Type::HINFO);
        let none = udp(&question("no.svc.weir.", Type::ANY, None));
        assert_eq!((none.metadata.response_code, none.answers.len()), (ResponseCode::NXDomain, 0));
    }

    #[test]
    fn what_is_not_ours_is_refused() {
        let refused = |message: &Message| {
            let told = udp(message);
            assert_eq!(told.metadata.response_code, ResponseCode::Refused, "{message}");
            assert!(!told.metadata.authoritative);
            assert_eq!(told.answers.len() + told.authorities.len() + told.additionals.len(), 0);
        };
        for of in ["example.com.", ".", "xweir.", "weir.example."] {
            refused(&question(of, Type::A, None));
        }
        for kind in [Type::AXFR, Type::IXFR] {
            refused(&question("weir.", kind, None));
        }
        let mut chaos = question("version.bind.", Type::TXT, None);
        chaos.queries[0].query_class = DNSClass::CH;
        refused(&chaos);
        chaos.queries[0].name = name("weir.");
        refused(&chaos);
    }

    #[test]
    fn what_cannot_be_answered_is_told_so() {
        let code = |message: &Message| udp(message).metadata.response_code;
        let mut update = question("weir.", Type::SOA, None);
        update.metadata.op_code = OpCode::Update;
        assert_eq!(code(&update), ResponseCode::NotImp);
        let mut two = question("weir.", Type::SOA, None);
        two.add_query(two.queries[0].clone());
        assert_eq!(code(&two), ResponseCode::FormErr);
        two.queries.clear();
        assert_eq!(code(&two), ResponseCode::FormErr);
        let mut newer = question("weir.", Type::SOA, Some(1232));
        newer.edns.as_mut().expect("EDNS").set_version(1);
        let told = udp(&newer);
        // BADVERS and BADSIG are the same number.
        assert_eq!(u16::from(told.metadata.response_code), u16::from(ResponseCode::BADVERS));
        assert_eq!(told.edns.as_ref().map(Edns::version), Some(0), "what would be right");
        let early = asked(&question("web.svc.weir.", Type::A, None), Transport::Udp, None).1;
        assert_eq!(early.metadata.response_code, ResponseCode::ServFail, "the store is not loaded");
    }

    #[test]
    fn no_answer_is_answered_nor_what_is_no_message() {
        let mut packet = question("web.svc.weir.", Type::A, None).to_vec().expect("encoded");
        let dropped = |packet: &[u8]| match answer(packet, Transport::Udp, Some(&web()), &settings()) {
            Outcome::Dropped(reason) => reason,
            Outcome::Answer(answer) => answer.code,
        };
        assert_eq!(dropped(&packet[..11]), "malformed");
        assert_eq!(dropped(&packet[..20]), "FORMERR");
        packet[2] |= 0x80;
        assert_eq!(dropped(&packet), "response");
    }

    #[test]
    fn what_does_not_fit_is_cut_off_at_what_the_asker_takes() {
        let view = many(300);
        for (payload, most) in [(None, 512), (Some(100), 512), (Some(800), 800), (Some(4096), 1232)] {
            let (bytes, told) =
                asked(&question("web.svc.weir.", Type::A, payload), Transport::Udp, Some(&view));
            assert!(bytes.len() <= most && bytes.len() > most - 16 - 11, "{payload:?}: {}", bytes.len());
            assert!(told.metadata.truncation, "{payload:?}");
            assert_eq!(told.edns.as_ref().map(Edns::max_payload), payload.map(|_| MOST_UDP_ANSWER));
        }
        let (_, all) = asked(&question("web.svc.weir.", Type::A, None), Transport::Tcp, Some(&view));
        assert_eq!((all.answers.len(), all.metadata.truncation), (300, false));
    }

    #[test]
    fn addresses_of_targets_are_left_out_before_an_answer_is_cut_off() {
        let view = many(12);
        let (bytes, told) =
            asked(&question("web.svc.weir.", Type::SRV, Some(600)), Transport::Udp, Some(&view));
        assert!(bytes.len() <= 600);
        assert_eq!((told.answers.len(), told.metadata.truncation), (12, false));
        assert!(told.additionals.len() < 12 && told.edns.is_some());
    }

    #[test]
    fn a_thousand_of_many_are_told_each_time_others() {
        let view = many(5_000);
        for kind in [Type::A, Type::SRV] {
            let (_, told) = asked(&question("web.svc.weir.", kind, None), Transport::Tcp, Some(&view));
            assert_eq!((told.answers.len(), told.metadata.truncation), (records::MOST_RECORDS, false));
            let (_, others) = asked(&question("web.svc.weir.", kind, None), Transport::Tcp, Some(&view));
            assert_ne!(texts(&told.answers), texts(&others.answers));
        }
    }
}
