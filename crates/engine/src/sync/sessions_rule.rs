//! Says which sessions of an account may stay, so that every node that applies it to the same list ends the same ones.

use crate::model::{CloseReason, Millis, SessionId, SessionsPolicy};

/// One session of an account, on whichever node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlacedSession<'a> {
    /// Its id.
    pub id: SessionId,
    /// When it logged in, by the database's clock.
    pub connected_at: Millis,
    /// What it said of its device.
    pub device_id: &'a str,
    /// What kind of device it said it was.
    pub device_type: &'a str,
}

impl PlacedSession<'_> {
    /// Whether this one may not stay beside a newer one.
    fn is_replaced_by(&self, newer: &Self, policy: SessionsPolicy) -> bool {
        match policy {
            SessionsPolicy::All => false,
            SessionsPolicy::OnePerDeviceType => self.device_type == newer.device_type,
            // Sessions without an id say nothing about their device.
            SessionsPolicy::OnePerDeviceId => !newer.device_id.is_empty() && self.device_id == newer.device_id,
            SessionsPolicy::One => true,
        }
    }
}

/// Returns the sessions that may not stay, with the reason: as if all of them had logged in one after the other, in the order
/// of their times and ids.
#[must_use]
pub fn losers(sessions: &[PlacedSession<'_>], policy: SessionsPolicy, max: usize) -> Vec<(SessionId, CloseReason)> {
    let mut order: Vec<_> = sessions.iter().collect();
    order.sort_by_key(|session| (session.connected_at, session.id.0));
    let (mut stay, mut lost): (Vec<&PlacedSession<'_>>, Vec<_>) = (Vec::new(), Vec::new());
    for newest in order {
        stay.retain(|other| {
            let is_replaced = other.is_replaced_by(newest, policy);
            if is_replaced {
                lost.push((other.id, CloseReason::Kicked));
            }
            !is_replaced
        });
        let beyond = (stay.len() + 1).saturating_sub(max);
        lost.extend(stay.drain(..beyond).map(|other| (other.id, CloseReason::SessionLimit)));
        stay.push(newest);
    }
    lost
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn placed(
        id: u64,
        connected_at: Millis,
        device_id: &'static str,
        device_type: &'static str,
    ) -> PlacedSession<'static> {
        PlacedSession { id: SessionId(id), connected_at, device_id, device_type }
    }

    #[test]
    fn each_policy_ends_what_it_says() {
        let list = [placed(3, 10, "a", "web"), placed(1, 20, "b", "ios"), placed(2, 20, "a", "web")];
        let ids = |policy, max| losers(&list, policy, max).into_iter().map(|(id, why)| (id.0, why)).collect::<Vec<_>>();
        assert_eq!(ids(SessionsPolicy::All, 3), []);
        assert_eq!(ids(SessionsPolicy::All, 2), [(3, CloseReason::SessionLimit)]);
        assert_eq!(ids(SessionsPolicy::OnePerDeviceType, 9), [(3, CloseReason::Kicked)]);
        assert_eq!(ids(SessionsPolicy::OnePerDeviceId, 9), [(3, CloseReason::Kicked)]);
        // In the same millisecond the id decides.
        assert_eq!(ids(SessionsPolicy::One, 9), [(3, CloseReason::Kicked), (1, CloseReason::Kicked)]);
    }

    proptest! {
        /// In whichever order the nodes hear of the sessions, they agree, and what stays may stay.
        #[test]
        fn all_nodes_agree(times in prop::collection::vec((0u64..5, 0usize..3), 1..8), turn in 0usize..8, max in 1usize..4) {
            let list: Vec<_> = times.iter().enumerate().map(|(id, (at, kind))| {
                placed(id as u64, *at, ["", "a", "b"][*kind], ["web", "ios", "web"][*kind])
            }).collect();
            for policy in [SessionsPolicy::All, SessionsPolicy::OnePerDeviceType, SessionsPolicy::OnePerDeviceId, SessionsPolicy::One] {
                let lost = losers(&list, policy, max);
                let mut turned = list.clone();
                turned.rotate_left(turn % list.len());
                prop_assert_eq!(&losers(&turned, policy, max), &lost);
                let stay: Vec<_> = list.iter().filter(|s| lost.iter().all(|(id, _)| *id != s.id)).cloned().collect();
                prop_assert!(!stay.is_empty() && stay.len() <= max);
                prop_assert_eq!(losers(&stay, policy, max), []);
            }
        }
    }
}
