//! Whatever comes over the network: nothing panics, and what is answered can be read and is no larger than allowed.

use bolero::check;
use hickory_proto::{
    op::{Message, MessageType},
    rr::RecordType as Type,
};

use super::{
    answer::{MOST_UDP_ANSWER, Outcome, Transport, answer},
    testing::{question, settings, view, with_proxies},
    view::View,
};

#[test]
fn any_bytes() {
    let view = world();
    check!().for_each(|packet: &[u8]| holds(packet, &view));
}

/// Good questions in which some bytes are others, some bits turned, and some bytes more or less at the end.
#[test]
fn questions_that_were_damaged() {
    let (view, seeds) = (world(), seeds());
    check!().with_type::<(u8, Vec<(u16, u8)>, Vec<u8>, u16)>().for_each(|(seed, damage, more, length)| {
        let mut packet = seeds[usize::from(*seed) % seeds.len()].clone();
        for (at, with) in damage {
            let at = usize::from(*at) % packet.len();
            packet[at] ^= with;
        }
        packet.extend(more);
        packet.truncate(usize::from(*length).max(12));
        holds(&packet, &view);
    });
}

fn holds(packet: &[u8], view: &View) {
    for (transport, most) in [(Transport::Udp, usize::from(MOST_UDP_ANSWER)), (Transport::Tcp, 65_535)] {
        for view in [Some(view), None] {
            let Outcome::Answer(answer) = answer(packet, transport, view, &settings()) else { continue };
            assert!(answer.bytes.len() <= most);
            let told = Message::from_vec(&answer.bytes).expect("an answer that can be read");
            assert_eq!(told.metadata.message_type, MessageType::Response);
            assert_eq!(answer.bytes[..2], packet[..2], "the id");
            assert!(packet[2] & 0x80 == 0, "an answer to an answer");
        }
    }
}

fn world() -> View {
    let view = view(&[("web/a", "10.0.0.1:80"), ("web/b", "[fd00::1]:80"), ("a.b/c", "10.0.0.2:80")]);
    with_proxies(view, &[("a", "10.0.1.1:80"), ("b.c", "10.0.1.2:80")])
}

fn seeds() -> Vec<Vec<u8>> {
    let names =
        ["weir.", "web.svc.weir.", "_http._tcp.web.svc.weir.", "proxies.weir.", "10-0-0-1.addr.weir."];
    let kinds = [Type::A, Type::SRV, Type::SOA, Type::NS, Type::ANY, Type::AXFR];
    let messages = names.iter().flat_map(|name| kinds.map(|kind| (name, kind)));
    let messages =
        messages.flat_map(|(name, kind)| [None, Some(1232)].map(|payload| question(name, kind, payload)));
    messages.map(|message| message.to_vec().expect("encoded")).collect()
}
