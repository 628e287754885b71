//! A request that probes, in the protocol of the service, and what its answer says.

use std::net::SocketAddr;

use ::http::StatusCode;
use memchr::memmem;
use weir_proto::{HttpProbe, ServiceProtocol};

use super::{Fault, Outcome, Question, http1, http2};
use crate::stream::Stream;

/// Of the answer's body, what is looked at.
const MAX_BODY: usize = 64 * 1024;

pub(super) async fn ask(
    question: &Question,
    probe: &HttpProbe,
    backend: SocketAddr,
    stream: Stream,
) -> Result<Outcome, Fault> {
    let host = probe.host.clone().unwrap_or_else(|| backend.to_string());
    match question.protocol {
        ServiceProtocol::Http1 => http1::ask(probe, &host, stream).await,
        ServiceProtocol::Http2 => http2::get(probe, &host, stream).await,
    }
}

/// What the status says. `Passed` only as far as the body has nothing to say.
pub(super) fn judge(status: StatusCode, probe: &HttpProbe) -> Outcome {
    let code = status.as_u16();
    if probe.expected_statuses.iter().any(|(start, end)| (*start..=*end).contains(&code)) {
        return Outcome::Passed;
    }
    let reason = format!("status {code}");
    if status == StatusCode::TOO_MANY_REQUESTS { Outcome::Loaded(reason) } else { Outcome::Failed(reason) }
}

/// Looks for a text in a body that comes in pieces, and keeps no more of it than it needs.
#[derive(Debug)]
pub(super) struct Search<'a> {
    wanted: &'a str,
    /// The end of what was looked at: the text may have begun there.
    tail: Vec<u8>,
    seen: usize,
    found: bool,
}

impl<'a> Search<'a> {
    pub(super) fn new(wanted: &'a str) -> Self {
        Self { wanted, tail: Vec::new(), seen: 0, found: wanted.is_empty() }
    }

    /// Whether the rest of the body can change nothing.
    pub(super) fn is_over(&self) -> bool {
        self.found || self.seen == MAX_BODY
    }

    /// Takes the next piece of the body.
    pub(super) fn take(&mut self, piece: &[u8]) {
        let piece = &piece[..piece.len().min(MAX_BODY - self.seen)];
        self.seen += piece.len();
        self.tail.extend_from_slice(piece);
        self.found |= memmem::find(&self.tail, self.wanted.as_bytes()).is_some();
        let done = self.tail.len().saturating_sub(self.wanted.len().saturating_sub(1));
        self.tail.drain(..done);
    }

    /// What came of it, when nothing more comes.
    pub(super) fn outcome(self) -> Outcome {
        if self.found {
            Outcome::Passed
        } else {
            Fault::backend(format_args!("body lacks {:?}", self.wanted)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn finds(wanted: &str, pieces: &[&[u8]]) -> bool {
        let mut search = Search::new(wanted);
        for piece in pieces {
            search.take(piece);
        }
        search.outcome() == Outcome::Passed
    }

    #[test]
    fn a_text_is_found_wherever_the_pieces_are_cut_and_nowhere_beyond_the_bound() {
        assert!(finds("", &[]) && finds("ok", &[b"o", b"k"]) && !finds("ok", &[b"o", b"o"]));
        let mut body = vec![b'.'; MAX_BODY];
        body[MAX_BODY - 2..].copy_from_slice(b"ok");
        assert!(finds("ok", &[&body]));
        body.insert(0, b'.');
        assert!(!finds("ok", &[&body]), "its end is beyond the bound");
        let mut search = Search::new("ok");
        search.take(&body);
        assert!(search.is_over() && search.tail.len() < 2);
        assert_eq!(search.outcome(), Outcome::Failed("body lacks \"ok\"".to_owned()));
    }

    #[test]
    fn the_status_is_expected_or_says_that_there_is_too_much_or_is_none() {
        let outcome = |probe: &HttpProbe, status| judge(StatusCode::from_u16(status).unwrap(), probe);
        let probe = HttpProbe::default();
        for good in [200, 204, 302, 399] {
            assert_eq!(outcome(&probe, good), Outcome::Passed);
        }
        for bad in [199, 400, 404, 503] {
            assert_eq!(outcome(&probe, bad), Outcome::Failed(format!("status {bad}")));
        }
        assert_eq!(outcome(&probe, 429), Outcome::Loaded("status 429".to_owned()));
        let probe = HttpProbe { expected_statuses: vec![(200, 200), (429, 429)], ..probe };
        assert_eq!(outcome(&probe, 429), Outcome::Passed);
        assert_eq!(outcome(&probe, 201), Outcome::Failed("status 201".to_owned()));
    }

    proptest! {
        #[test]
        fn a_search_in_pieces_is_a_search_in_the_whole(
            wanted in "[ab]{0,4}",
            pieces in proptest::collection::vec("[ab]{0,5}", 0..8),
        ) {
            let bytes: Vec<_> = pieces.iter().map(String::as_bytes).collect();
            prop_assert_eq!(finds(&wanted, &bytes), pieces.concat().contains(&wanted));
        }
    }
}
