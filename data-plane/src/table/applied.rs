//! What is in force, as others are told of it.

use std::{collections::BTreeMap, net::SocketAddr};

use weir_proto::{Invalid, v1};

use crate::{
    objects::{Position, ReceivedKey},
    worker::Terms,
};

/// What is in force, for those who tell others.
#[derive(Debug, Clone, Default)]
pub(crate) struct Applied {
    /// None before the first state.
    pub(crate) position: Option<Position>,
    /// The objects that keep their previous form.
    pub(crate) refused: BTreeMap<ReceivedKey, Invalid>,
    /// The addresses that are open.
    pub(crate) open: BTreeMap<SocketAddr, Terms>,
}

impl Applied {
    /// The refusals, as an acknowledgement carries them: so many, and so much of each text, that the message is not too
    /// large for the control plane, which keeps fewer.
    pub(crate) fn refused_wire(&self) -> Vec<v1::Refused> {
        const MOST: usize = 10_000;
        const MOST_TEXT: usize = 300;
        let cut = |text: &str| text[..text.floor_char_boundary(MOST_TEXT)].to_owned();
        let refused = self.refused.iter();
        refused
            .take(MOST)
            .map(|(key, Invalid { field, reason })| v1::Refused {
                object: Some(key.wire()),
                field: cut(field),
                reason: cut(reason),
            })
            .collect()
    }
}
