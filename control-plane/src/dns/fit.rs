//! Messages as bytes, not more of them than the asker takes.

use hickory_proto::{
    ProtoError,
    op::{Header, Message, emit_message_parts},
    serialize::binary::BinEncoder,
};

/// An OPT record without options.
const OPT_BYTES: u16 = 11;

/// Encodes what fits into `most` bytes, which are at least 512. Additional records that do not fit are left out; if
/// answers are, the message says so (TC), and the asker comes again over TCP.
pub(super) fn encode(mut message: Message, most: u16) -> Result<Vec<u8>, ProtoError> {
    let (bytes, header) = emit(&message, most)?;
    if !header.metadata.truncation {
        return Ok(bytes);
    }
    // Once more without OPT, which would be left out first and must not be, to count what there is room for.
    let edns = message.edns.take();
    let (_, room) = emit(&message, most.saturating_sub(OPT_BYTES))?;
    message.edns = edns;
    message.metadata.truncation = usize::from(room.counts.answers) < message.answers.len()
        || usize::from(room.counts.authorities) < message.authorities.len();
    message.answers.truncate(room.counts.answers.into());
    message.authorities.truncate(room.counts.authorities.into());
    message.additionals.truncate(room.counts.additionals.into());
    Ok(emit(&message, most)?.0)
}

fn emit(message: &Message, most: u16) -> Result<(Vec<u8>, Header), ProtoError> {
    let mut bytes = Vec::with_capacity(512);
    let mut encoder = BinEncoder::new(&mut bytes);
    encoder.set_max_size(most);
    let header = emit_message_parts(
        &message.metadata,
        &mut message.queries.iter(),
        &mut message.answers.iter(),
        &mut message.authorities.iter(),
        &mut message.additionals.iter(),
        message.edns.as_ref(),
        None,
        &mut encoder,
    )?;
    Ok((bytes, header))
}
