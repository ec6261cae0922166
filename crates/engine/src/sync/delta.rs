//! What a returning client lacks.
//!
//! [`plan`] reads the cursor. [`row_delta`] then says, edge by edge, what the client must receive to hold the current
//! friend list. Versions are revisions, so "changed since the cursor" is one comparison.

use crate::model::{Cursor, Lineage, ListedEdge, Revision};

/// Why a client must sync in full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Because {
    /// The client showed no cursor.
    NoCursor,
    /// The client showed a text that is no cursor.
    Malformed,
    /// The cursor belongs to another history: another store, or this one before it was restored.
    Foreign,
    /// The cursor is ahead of this store.
    FromFuture,
    /// Tombstones of removals after the cursor may have been dropped.
    Expired,
}

impl Because {
    /// Every reason.
    pub const ALL: [Self; 5] = [Self::NoCursor, Self::Malformed, Self::Foreign, Self::FromFuture, Self::Expired];

    /// Returns the word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NoCursor => "NO_CURSOR",
            Self::Malformed => "CURSOR_MALFORMED",
            Self::Foreign => "CURSOR_FOREIGN",
            Self::FromFuture => "CURSOR_FROM_FUTURE",
            Self::Expired => "CURSOR_EXPIRED",
        }
    }
}

/// How a client is brought up to date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// By everything, which replaces what it holds.
    Full(Because),
    /// By what changed after this revision.
    Since(Revision),
}

impl Plan {
    /// Returns the revision after which tombstones matter; a full sync needs none.
    #[must_use]
    pub fn since(self) -> Option<Revision> {
        match self {
            Self::Full(_) => None,
            Self::Since(revision) => Some(revision),
        }
    }
}

/// Decides how to sync a client by its cursor, and by the store's lineage and last revision in the snapshot that is read.
///
/// The last revision, and not the watermark of this node: the client may come from a node that was ahead.
#[must_use]
pub fn plan(cursor: Option<&str>, lineage: Lineage, head: Revision) -> Plan {
    let Some(text) = cursor else {
        return Plan::Full(Because::NoCursor);
    };
    match text.parse::<Cursor>() {
        Err(()) => Plan::Full(Because::Malformed),
        Ok(c) if c.epoch != lineage.epoch => Plan::Full(Because::Foreign),
        Ok(c) if c.watermark > head => Plan::Full(Because::FromFuture),
        Ok(c) if c.watermark < lineage.compacted => Plan::Full(Because::Expired),
        Ok(c) => Plan::Since(c.watermark),
    }
}

/// What a client must receive because of one edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowDelta {
    /// Nothing: it holds the newest state.
    Nothing,
    /// The friend's newer profile.
    EncodedProfile,
    /// The edge, and the whole profile however old.
    Friend,
    /// The removal of the friend from the list.
    Removal,
}

/// Decides what a client must receive because of `edge` under `plan`.
#[must_use]
pub fn row_delta(plan: Plan, edge: &ListedEdge, profile_version: u64) -> RowDelta {
    let new = |version| plan.since().is_none_or(|since| version > since);
    match (edge.removed, new(edge.version)) {
        (true, _) if plan.since().is_none() => RowDelta::Nothing,
        (true, true) => RowDelta::Removal,
        (false, true) => RowDelta::Friend,
        (false, false) if new(profile_version) => RowDelta::EncodedProfile,
        (_, false) => RowDelta::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Account, Edge, Epoch};
    use crate::sync::digest::Digest;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const LINEAGE: Lineage = Lineage { epoch: Epoch(7), compacted: 10 };

    #[test]
    fn a_cursor_that_cannot_be_answered_says_why() {
        let cursor = |epoch, watermark| Cursor { epoch: Epoch(epoch), watermark }.to_string();
        for (shown, expected) in [
            (None, Plan::Full(Because::NoCursor)),
            (Some("what".to_owned()), Plan::Full(Because::Malformed)),
            (Some(cursor(8, 15)), Plan::Full(Because::Foreign)),
            (Some(cursor(7, 21)), Plan::Full(Because::FromFuture)),
            (Some(cursor(7, 9)), Plan::Full(Because::Expired)),
            (Some(cursor(7, 10)), Plan::Since(10)),
            (Some(cursor(7, 20)), Plan::Since(20)),
        ] {
            assert_eq!(plan(shown.as_deref(), LINEAGE, 20), expected, "{shown:?}");
        }
    }

    #[test]
    fn a_full_sync_needs_no_tombstones_and_has_a_documented_reason() {
        assert_eq!((Plan::Since(5).since(), Plan::Full(Because::Expired).since()), (Some(5), None));
        let gone =
            ListedEdge::from(Edge::tombstone(Account::stored("a").unwrap(), Account::stored("b").unwrap(), 7, 0));
        assert_eq!(row_delta(Plan::Full(Because::Expired), &gone, 0), RowDelta::Nothing);
        assert_eq!(row_delta(Plan::Since(5), &gone, 0), RowDelta::Removal);
        let protocol = include_str!("../../../../docs/protocol.md");
        for because in Because::ALL {
            let word = because.word();
            assert!(!word.is_empty() && protocol.contains(&format!("`{word}`")), "{because:?}");
        }
    }

    type List = BTreeMap<u8, (u64, u64)>;

    fn digest(list: &List) -> u32 {
        let mut digest = Digest::default();
        for (name, (edge, profile)) in list {
            digest.add(&name.to_string(), *edge, *profile);
        }
        digest.value()
    }

    proptest! {
        /// A client that stopped anywhere in a random history and receives its delta holds exactly the final state. It
        /// receives nothing that it holds, and its digest proves it.
        #[test]
        fn state_plus_delta_is_the_new_state(
            history in prop::collection::vec((0..6u8, 0..3u8), 1..80), stop: prop::sample::Index,
        ) {
            let account = |n: u8| Account::stored(&n.to_string()).unwrap();
            let mut edges: BTreeMap<u8, ListedEdge> = BTreeMap::new();
            let mut profiles: BTreeMap<u8, u64> = (0..6).map(|n| (n, 0)).collect();
            let live = |edges: &BTreeMap<u8, ListedEdge>, profiles: &BTreeMap<u8, u64>| -> List {
                edges.iter().filter(|(_, e)| !e.removed).map(|(n, e)| (*n, (e.version, profiles[n]))).collect()
            };
            let stop = stop.index(history.len());
            let (mut held, mut since) = (List::new(), 0);
            for (at, (peer, what)) in history.iter().enumerate() {
                let revision = at as u64 + 1;
                match what {
                    0 => drop(profiles.insert(*peer, revision)),
                    1 => drop(edges.insert(*peer, Edge::new(account(9), account(*peer), revision, 0).into())),
                    _ if edges.contains_key(peer) => drop(edges.insert(*peer, Edge::tombstone(account(9), account(*peer), revision, 0).into())),
                    _ => {}
                }
                if at == stop {
                    (held, since) = (live(&edges, &profiles), revision);
                }
            }
            let target = live(&edges, &profiles);
            for plan in [Plan::Since(since), Plan::Full(Because::NoCursor)] {
                let mut client = if plan.since().is_some() { held.clone() } else { List::new() };
                for (peer, edge) in &edges {
                    let before = client.get(peer).copied();
                    match row_delta(plan, edge, profiles[peer]) {
                        RowDelta::Nothing => {}
                        RowDelta::EncodedProfile => client.get_mut(peer).expect("a profile alone is sent only for a friend that is held").1 = profiles[peer],
                        RowDelta::Friend => drop(client.insert(*peer, (edge.version, profiles[peer]))),
                        RowDelta::Removal => drop(client.remove(peer)),
                    }
                    if row_delta(plan, edge, profiles[peer]) != RowDelta::Nothing && !edge.removed {
                        prop_assert_ne!(before, client.get(peer).copied(), "received what it held");
                    }
                }
                prop_assert_eq!(&client, &target);
                prop_assert_eq!(digest(&client), digest(&target));
            }
        }
    }
}
