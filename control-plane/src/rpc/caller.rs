//! Who calls: by what the call says and where it comes from.

use tonic::Request;
use weir_proto::CALLER;

use super::visible;
use crate::{caller::Caller, incoming::Peer};

/// The caller of this request. A name that cannot be meant counts as none: it is for the history, and no call fails for
/// it.
pub(super) fn caller<T>(request: &Request<T>) -> Caller {
    let name = request.metadata().get(CALLER).and_then(|name| name.to_str().ok());
    let name = name.filter(|name| visible("", name, 253).is_ok()).unwrap_or_default();
    Caller::new(name, request.extensions().get::<Peer>().map(|peer| peer.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_counts_if_it_can_be_meant() {
        for (said, counts) in [("alice@laptop", "alice@laptop"), ("a b", ""), (&"a".repeat(254), "")] {
            let mut request = Request::new(());
            request.metadata_mut().insert(CALLER, said.parse().expect("ascii"));
            assert_eq!(caller(&request).wire().name, counts);
        }
        assert_eq!(caller(&Request::new(())).wire().name, "");
    }
}
