//! Any endpoint, in proportion to the weights.

use std::sync::Arc;

use super::{Balance, GroupMember, Pick, urn::Urn};
use crate::endpoint::Endpoint;

#[derive(Debug)]
pub(super) struct Random(Urn);

impl Random {
    pub(super) fn new(members: &Arc<[GroupMember]>) -> Self {
        Self(Urn::new(members))
    }
}

impl Balance for Random {
    fn pick(&self, pick: &Pick<'_>) -> Option<&Arc<Endpoint>> {
        let index = self.0.draw(|index| pick.admits(&self.0.member(index).endpoint))?;
        Some(&self.0.member(index).endpoint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        balance::testing::{counts, fits, members},
        endpoint::Marks,
    };

    #[test]
    fn shares_are_the_weights() {
        fastrand::seed(3);
        let members = members(&[1, 2, 5]);
        let counts = counts(&Random::new(&members), &members, 40_000);
        assert!(fits(&counts, &[1.0, 2.0, 5.0]), "{counts:?}");
    }

    #[test]
    fn who_is_out_leaves_its_share_to_the_others_by_weight() {
        fastrand::seed(4);
        let members = members(&[1, 2, 5]);
        let balance = Random::new(&members);
        members[1].endpoint.set_retired(Marks::GONE);
        let counts = counts(&balance, &members, 40_000);
        assert!(fits(&counts, &[1.0, 0.0, 5.0]), "{counts:?}");
    }
}
