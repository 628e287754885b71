//! A response's body, as it comes from an HTTP/2 backend.

use std::{
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use h2::RecvStream;

use super::{super::Attempt, is_bodyless, pool::Place, watch::Stream};
use crate::{
    admission::Stalls,
    body::Length,
    headers,
    http2::fields,
    message::{Fields, ResponseHead},
    reason::Reason,
};

/// The backend may send more only when what came was consumed. Holds a place on the connection until it is dropped.
#[derive(Debug)]
pub(crate) struct Body {
    /// None where there is no body: what comes nevertheless is refused.
    incoming: Option<RecvStream>,
    stream: Rc<Stream>,
    length: Length,
    /// What came and was not consumed.
    current: Bytes,
    trailers: Option<Fields>,
    /// How many of those there may be.
    most_fields: usize,
    ended: bool,
    place: Place,
}

impl Body {
    pub(super) fn new(
        attempt: &Attempt<'_>,
        head: &mut ResponseHead,
        incoming: RecvStream,
        stream: Rc<Stream>,
        place: Place,
    ) -> Result<Self, Reason> {
        let declared = fields::content_length(&mut head.fields).map_err(|_| Reason::BackendMalformed)?;
        let length = match declared {
            _ if is_bodyless(&attempt.head.method, head.status) || incoming.is_end_stream() => Length::Empty,
            Some(n) => Length::Sized(n),
            None => Length::Unknown,
        };
        let ended = length == Length::Empty;
        let incoming = (!ended).then_some(incoming);
        let most_fields = attempt.service.service.response_limits.max_headers as usize;
        Ok(Self {
            incoming,
            stream,
            length,
            current: Bytes::new(),
            trailers: None,
            most_fields,
            ended,
            place,
        })
    }

    /// Requests that wait for a place like that of this body, and those that have one for a client that takes nothing.
    pub(crate) fn stalls(&self) -> &Arc<Stalls> {
        self.place.stalls()
    }

    pub(crate) fn length(&self) -> Length {
        self.length
    }

    pub(crate) fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<&[u8], Reason>> {
        ready!(self.poll_current(cx))?;
        Poll::Ready(Ok(&self.current))
    }

    pub(crate) fn consume(&mut self, n: usize) {
        let n = n.min(self.current.len());
        self.current.advance(n);
        if let Some(incoming) = &mut self.incoming {
            // It fails only where more is released than came.
            let _ = incoming.flow_control().release_capacity(n);
        }
    }

    /// As [`ResponseBody::is_last`](crate::body::ResponseBody::is_last).
    pub(crate) fn is_last(&self) -> bool {
        self.ended || self.incoming.as_ref().is_none_or(RecvStream::is_end_stream)
    }

    pub(crate) fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    pub(crate) fn is_ended(&self) -> bool {
        let came = self.incoming.as_ref().is_none_or(RecvStream::is_end_stream);
        self.current.is_empty() && (self.ended || came)
    }

    fn poll_current(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        let Some(incoming) = &mut self.incoming else { return Poll::Ready(Ok(())) };
        while self.current.is_empty() && !self.ended {
            match ready!(incoming.poll_data(cx)) {
                Some(Ok(data)) => self.current = data,
                Some(Err(_)) => return Poll::Ready(Err(Reason::BodyTruncated)),
                None => {
                    let trailers = ready!(incoming.poll_trailers(cx)).map_err(|_| Reason::BodyTruncated)?;
                    if trailers.is_some() && self.stream.has_malformed_trailers() {
                        return Poll::Ready(Err(Reason::BackendMalformed));
                    }
                    self.trailers = trailers.map(|map| checked(&map, self.most_fields)).transpose()?;
                    self.ended = true;
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn checked(map: &http::HeaderMap, most: usize) -> Result<Fields, Reason> {
    if map.len() > most {
        return Err(Reason::BodyTruncated);
    }
    let mut trailers = Fields::default();
    fields::from_map(map, &mut trailers).map_err(|_| Reason::BodyTruncated)?;
    headers::clean_trailers(&mut trailers);
    Ok(trailers)
}
