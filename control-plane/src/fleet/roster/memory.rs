//! What outlasts the control plane: who belongs to the fleet. That is who is connected, and who clients are sent to.

use weir_proto::{ProxyId, v1};

use super::{
    super::member::{Member, Now},
    MOST_PROXIES, Roster,
};
use crate::journal::ProxyWrite;

impl Roster {
    /// Enters those who belonged to the fleet before the control plane started, as lost at this moment.
    pub(crate) fn remember(&mut self, remembered: &[v1::ProxyInfo], now: Now) {
        for info in remembered.iter().take(MOST_PROXIES) {
            let Ok(id) = ProxyId::try_from(info.id.as_str()) else { continue };
            self.members.entry(id.clone()).or_insert_with(|| Member::remembered(id.clone(), info, now));
            self.touch(&id);
        }
        self.is_stale = true;
    }

    /// Whether the store is to learn something.
    pub(crate) fn has_unwritten(&self) -> bool {
        !self.unwritten.is_empty()
    }

    /// What the store is to learn that it was not told yet.
    pub(crate) fn writes(&mut self) -> Vec<ProxyWrite> {
        let ids = std::mem::take(&mut self.unwritten);
        let writes = ids.into_iter().map(|id| match self.members.get(&id) {
            Some(member) if member.is_connected() || member.listed => ProxyWrite::Put(member.info()),
            _ => ProxyWrite::Remove(id),
        });
        writes.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::tests::{at, join, roster},
        *,
    };

    fn stored(roster: &mut Roster) -> Vec<(String, bool)> {
        let writes = roster.writes().into_iter();
        writes.map(|write| (write.id().to_owned(), matches!(write, ProxyWrite::Put(_)))).collect()
    }

    fn yes(id: &str) -> (String, bool) {
        (id.to_owned(), true)
    }

    #[test]
    fn who_belongs_to_the_fleet_is_stored_and_who_does_not_is_removed() {
        let (mut roster, now) = roster();
        let (a, on_a, _) = join(&mut roster, "a", 1, now);
        let (b, on_b, _) = join(&mut roster, "b", 1, now);
        let (_c, _, _) = join(&mut roster, "c", 1, now);
        let (_d, _, _) = join(&mut roster, "d", 1, now);
        for (id, stream) in [(&a, on_a), (&b, on_b)] {
            roster.acknowledge(id, stream, at(5), Vec::new(), now);
        }
        roster.relisted(now.instant);
        assert_eq!(stored(&mut roster), [yes("a"), yes("b"), yes("c"), yes("d")]);
        assert_eq!(stored(&mut roster), [], "once");
        roster.disconnect(&a, on_a, now);
        roster.relisted(now.instant);
        assert_eq!(stored(&mut roster), [yes("a")], "clients are still sent to it");
        let later = now.instant + std::time::Duration::from_secs(30);
        roster.elapsed();
        roster.relisted(later);
        assert_eq!(stored(&mut roster), [("a".to_owned(), false)]);
    }

    #[test]
    fn those_remembered_are_lost_since_the_start_and_clients_are_sent_to_them() {
        let (mut before, now) = roster();
        let (id, stream, _) = join(&mut before, "a", 1, now);
        before.acknowledge(&id, stream, at(5), Vec::new(), now);
        let written = before.writes().into_iter().filter_map(|write| match write {
            ProxyWrite::Put(info) => Some(v1::ProxyInfo { peer_address: "10.0.0.1:9".to_owned(), ..info }),
            ProxyWrite::Remove(_) => None,
        });
        let (mut roster, now) = super::super::tests::roster();
        roster.remember(&written.collect::<Vec<_>>(), now);
        let list = roster.relisted(now.instant).expect("a list");
        assert_eq!(
            list.iter().map(|proxy| proxy.addresses[0].to_string()).collect::<Vec<_>>(),
            ["10.0.0.1:0"]
        );
        let info = roster.member(&id).expect("remembered").info();
        assert!(!info.connected && info.behind_since.is_some() && info.disconnected_at.is_some(), "{info:?}");
        assert_eq!(info.revision, 0, "nobody knows");
    }
}
