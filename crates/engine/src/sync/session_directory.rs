//! Knows the sessions on other nodes, and so which accounts are there.
//!
//! Each node numbers the changes of its own sessions, and the others read them in that order. A node that stops keeps its
//! accounts for a while, because their clients are on their way to other nodes; a node that died loses them at once, and
//! their offline grace begins.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};

use crate::model::{Account, Millis, NodeId, SessionId};

/// A change of one session of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionChange<D> {
    /// Its number among the changes of the node; of each session only the last change counts.
    pub number: u64,
    /// The session.
    pub id: SessionId,
    /// Its account.
    pub account: Account,
    /// What became of it.
    pub state: SessionState<D>,
}

/// Whether a session is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionState<D> {
    /// It logged in.
    Live {
        /// When.
        connected_at: Millis,
        /// Since when its account has been online.
        since: Millis,
        /// On which device.
        device: D,
    },
    /// It ended.
    Ended {
        /// When.
        at: Millis,
    },
}

/// An account that has come, gone, or other sessions, somewhere else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryChange {
    /// The account.
    pub account: Account,
    /// When it was last there, if a session of it has ended.
    pub left_at: Option<Millis>,
}

/// A session on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedSession<D> {
    /// The node.
    pub node: NodeId,
    /// The session.
    pub id: SessionId,
    /// When it logged in.
    pub connected_at: Millis,
    /// Its device.
    pub device: D,
}

/// The sessions of all other nodes.
#[derive(Debug)]
pub struct SessionDirectory<D> {
    nodes: BTreeMap<NodeId, NodeSessions<D>>,
    accounts: HashMap<Account, AccountPlaces>,
}

#[derive(Debug)]
struct NodeSessions<D> {
    /// The number of the last change that was read.
    read: u64,
    sessions: BTreeMap<u64, HeldSession<D>>,
    /// Since when it stops, if it does, and the accounts that it keeps meanwhile.
    stopping: Option<(Millis, BTreeMap<Account, KeptAccount<D>>)>,
}

#[derive(Debug)]
struct HeldSession<D> {
    account: Account,
    connected_at: Millis,
    since: Millis,
    device: D,
}

/// An account that a node keeps while it stops.
#[derive(Debug)]
struct KeptAccount<D> {
    /// When its last session there ended.
    ended: Option<Millis>,
    /// The devices of its sessions there that ended meanwhile.
    devices: Vec<D>,
}

/// Where an account is.
#[derive(Debug, Default)]
struct AccountPlaces {
    sessions: Vec<(NodeId, u64)>,
    /// The nodes that stop and keep it.
    kept_by: Vec<NodeId>,
}

impl AccountPlaces {
    fn is_empty(&self) -> bool {
        self.sessions.is_empty() && self.kept_by.is_empty()
    }
}

impl<D> Default for KeptAccount<D> {
    fn default() -> Self {
        Self { ended: None, devices: Vec::new() }
    }
}

impl<D> Default for NodeSessions<D> {
    fn default() -> Self {
        Self { read: 0, sessions: BTreeMap::new(), stopping: None }
    }
}

impl<D> Default for SessionDirectory<D> {
    fn default() -> Self {
        Self { nodes: BTreeMap::new(), accounts: HashMap::new() }
    }
}

impl<D: Clone> SessionDirectory<D> {
    /// Returns how far each node was read.
    #[must_use]
    pub fn read(&self) -> Vec<(NodeId, u64)> {
        self.nodes.iter().map(|(node, sessions)| (*node, sessions.read)).collect()
    }

    /// Returns whether an account is on another node.
    #[must_use]
    pub fn is_there(&self, account: &Account) -> bool {
        self.accounts.contains_key(account)
    }

    /// Returns since when an account has been online, if it has a session on another node.
    #[must_use]
    pub fn since(&self, account: &Account) -> Option<Millis> {
        let places = self.accounts.get(account)?;
        places.sessions.iter().filter_map(|(node, id)| Some(self.nodes.get(node)?.sessions.get(id)?.since)).min()
    }

    /// Returns the nodes where an account has a session.
    #[must_use]
    pub fn nodes_of(&self, account: &Account) -> Vec<NodeId> {
        let places = self.accounts.get(account).into_iter().flat_map(|places| &places.sessions);
        let mut nodes: Vec<_> = places.map(|(node, _)| *node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes
    }

    /// Returns the sessions of an account on other nodes.
    #[must_use]
    pub fn sessions_of(&self, account: &Account) -> Vec<ListedSession<D>> {
        let places = self.accounts.get(account).into_iter().flat_map(|places| &places.sessions);
        let listed = places.filter_map(|(node, id)| {
            let HeldSession { connected_at, device, .. } = self.nodes.get(node)?.sessions.get(id)?;
            let (connected_at, device) = (*connected_at, device.clone());
            Some(ListedSession { node: *node, id: SessionId(*id), connected_at, device })
        });
        listed.collect()
    }

    /// Returns the devices of an account on other nodes, with those that nodes keep while they stop.
    pub fn devices_of(&self, account: &Account) -> impl Iterator<Item = &D> {
        let places = self.accounts.get(account);
        let live = places.into_iter().flat_map(|places| &places.sessions).filter_map(|(node, id)| {
            let session = self.nodes.get(node)?.sessions.get(id)?;
            Some(&session.device)
        });
        let kept = places.into_iter().flat_map(|places| &places.kept_by).filter_map(|node| {
            let (_, kept) = self.nodes.get(node)?.stopping.as_ref()?;
            Some(&kept.get(account)?.devices)
        });
        live.chain(kept.flatten())
    }

    /// Takes changes of a node in the order of their numbers; those that are known change nothing.
    pub fn take(&mut self, node: NodeId, changes: Vec<SessionChange<D>>) -> Vec<DirectoryChange> {
        let Self { nodes, accounts } = self;
        let held = nodes.entry(node).or_default();
        let mut followed = Vec::new();
        for SessionChange { number, id, account, state } in changes {
            if number <= held.read {
                continue;
            }
            held.read = number;
            let left_at = match state {
                SessionState::Live { connected_at, since, device } => {
                    if let Entry::Vacant(place) = held.sessions.entry(id.0) {
                        place.insert(HeldSession { account: account.clone(), connected_at, since, device });
                        accounts.entry(account.clone()).or_default().sessions.push((node, id.0));
                    }
                    None
                }
                SessionState::Ended { at } => {
                    if let Some((since, kept)) = &mut held.stopping
                        && at >= *since
                    {
                        let kept = kept.entry(account.clone()).or_insert_with(|| {
                            accounts.entry(account.clone()).or_default().kept_by.push(node);
                            KeptAccount::default()
                        });
                        kept.ended = kept.ended.max(Some(at));
                        kept.devices.extend(held.sessions.get(&id.0).map(|session| session.device.clone()));
                    }
                    if held.sessions.remove(&id.0).is_some() {
                        leave(accounts, &account, |places| places.sessions.retain(|place| *place != (node, id.0)));
                    }
                    Some(at)
                }
            };
            followed.push(DirectoryChange { account, left_at });
        }
        followed
    }

    /// Notes that a node stops since then: it keeps its accounts until it is forgotten, even those whose sessions it ends.
    pub fn stops(&mut self, node: NodeId, since: Millis) {
        let held = self.nodes.entry(node).or_default();
        if held.stopping.is_none() {
            let kept = held.sessions.values().map(|session| (session.account.clone(), KeptAccount::default()));
            let kept: BTreeMap<_, _> = kept.collect();
            for account in kept.keys() {
                self.accounts.entry(account.clone()).or_default().kept_by.push(node);
            }
            held.stopping = Some((since, kept));
        }
    }

    /// Forgets accounts of a node that is no more, at most so many; none if nothing is left of it. They were last there at
    /// `left_at`.
    pub fn forget_some(&mut self, node: NodeId, left_at: Millis, most: usize) -> Vec<DirectoryChange> {
        let Self { nodes, accounts } = self;
        let Some(held) = nodes.get_mut(&node) else { return Vec::new() };
        let mut names: BTreeMap<Account, Millis> = BTreeMap::new();
        while names.len() < most
            && let Some((id, HeldSession { account, .. })) = held.sessions.pop_first()
        {
            leave(accounts, &account, |places| places.sessions.retain(|place| *place != (node, id)));
            names.insert(account, left_at);
        }
        while names.len() < most
            && let Some((account, KeptAccount { ended, .. })) =
                held.stopping.as_mut().and_then(|(_, kept)| kept.pop_first())
        {
            leave(accounts, &account, |places| places.kept_by.retain(|place| *place != node));
            names.entry(account).or_insert(ended.unwrap_or(left_at));
        }
        if names.is_empty() {
            nodes.remove(&node);
        }
        names.into_iter().map(|(account, left)| DirectoryChange { account, left_at: Some(left) }).collect()
    }
}

fn leave(accounts: &mut HashMap<Account, AccountPlaces>, account: &Account, withdraw: impl FnOnce(&mut AccountPlaces)) {
    if let Some(places) = accounts.get_mut(account) {
        withdraw(places);
        if places.is_empty() {
            accounts.remove(account);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    fn name(n: usize) -> Account {
        Account::parse(&format!("u{n}"), "account").unwrap()
    }

    fn came(number: u64, id: u64, n: usize) -> SessionChange<u64> {
        let state = SessionState::Live { connected_at: number, since: number, device: id };
        SessionChange { number, id: SessionId(id), account: name(n), state }
    }

    fn ended(number: u64, id: u64, n: usize, at: Millis) -> SessionChange<u64> {
        SessionChange { number, id: SessionId(id), account: name(n), state: SessionState::Ended { at } }
    }

    /// What a node has, and what it has told of it.
    struct TrueNode {
        id: NodeId,
        /// By place, the session and whose it is.
        live: BTreeMap<u64, (u64, usize)>,
        log: Vec<SessionChange<u64>>,
    }

    impl TrueNode {
        fn new(at: u64) -> Self {
            Self { id: NodeId(at), live: BTreeMap::new(), log: Vec::new() }
        }

        /// A session comes, or the one in its place ends.
        fn change(&mut self, id: u64, slot: u64, n: usize) {
            let number = self.log.len() as u64 + 1;
            if let Some((id, n)) = self.live.remove(&slot) {
                self.log.push(ended(number, id, n, number));
            } else {
                self.live.insert(slot, (id, n));
                self.log.push(came(number, id, n));
            }
        }

        /// Some of the changes that are not read.
        fn page(&self, directory: &SessionDirectory<u64>, most: usize) -> Vec<SessionChange<u64>> {
            let read = directory.read().into_iter().find(|(id, _)| *id == self.id).map_or(0, |(_, read)| read);
            self.log.iter().filter(|change| change.number > read).take(most).cloned().collect()
        }

        fn join_again(&mut self, id: NodeId, keeps: bool) {
            self.id = id;
            if !keeps {
                self.live.clear();
            }
            let again = self.live.values().enumerate().map(|(at, (id, n))| came(at as u64 + 1, *id, *n));
            self.log = again.collect();
        }
    }

    #[test]
    fn a_node_that_stops_keeps_its_accounts_until_it_is_forgotten_and_lists_no_session_that_ended() {
        let mut directory = SessionDirectory::default();
        directory.take(A, vec![came(1, 10, 1), came(2, 11, 2), came(3, 12, 3), ended(4, 12, 3, 40)]);
        assert!(!directory.is_there(&name(3)));
        directory.stops(A, 50);
        directory.take(A, vec![ended(5, 10, 1, 60)]);
        // What a node reads that came later: this session ended while the node stopped, that one before.
        directory.take(A, vec![ended(6, 13, 4, 70), ended(7, 14, 5, 45)]);
        for (n, there, sessions) in [(1, true, 0), (2, true, 1), (3, false, 0), (4, true, 0), (5, false, 0)] {
            assert_eq!(directory.is_there(&name(n)), there, "{n}");
            // It keeps the device of a session that ended while it stopped, if it knew that.
            let devices: &[u64] = [&[][..], &[10], &[11], &[], &[], &[]][n];
            assert!(directory.devices_of(&name(n)).eq(devices), "{n}");
            assert_eq!(directory.sessions_of(&name(n)).len(), sessions, "{n}");
        }
        directory.take(B, vec![came(1, 20, 1)]);
        let mut gone = Vec::new();
        loop {
            let some = directory.forget_some(A, 99, 2);
            assert!(some.len() <= 2);
            if some.is_empty() {
                break;
            }
            gone.extend(some);
        }
        assert_eq!(gone.len(), 4, "u2 once for its session and once for its place: {gone:?}");
        assert!(directory.is_there(&name(1)) && !directory.is_there(&name(2)) && !directory.is_there(&name(4)));
        assert_eq!(directory.read(), [(B, 1)]);
    }

    proptest! {
        /// However the changes of a node are cut into pages, and however often a page is read again, the directory holds what
        /// the node has.
        #[test]
        fn it_holds_what_the_nodes_have(acts in prop::collection::vec((0u64..6, 0usize..3), 1..60), cuts in prop::collection::vec(1usize..9, 60)) {
            let (mut live, mut log, mut next) = (BTreeMap::new(), Vec::new(), 100);
            for (at, (slot, n)) in acts.iter().enumerate() {
                let number = at as u64 + 1;
                if let Some((id, n)) = live.remove(slot) {
                    log.push(ended(number, id, n, number));
                } else {
                    next += 1;
                    live.insert(*slot, (next, *n));
                    log.push(came(number, next, *n));
                }
            }
            let mut directory = SessionDirectory::default();
            let mut at = 0;
            for cut in cuts {
                let end = (at + cut).min(log.len());
                // From somewhere before, as after an answer that was lost.
                directory.take(A, log[at.saturating_sub(cut)..end].to_vec());
                at = end;
            }
            directory.take(A, log[at..].to_vec());
            for n in 0..3 {
                let mut held: Vec<_> = directory.sessions_of(&name(n)).into_iter().map(|s| s.id.0).collect();
                held.sort_unstable();
                let mut wanted: Vec<_> = live.values().filter(|(_, of)| *of == n).map(|(id, _)| *id).collect();
                wanted.sort_unstable();
                prop_assert_eq!(&held, &wanted);
                prop_assert_eq!(directory.is_there(&name(n)), !wanted.is_empty());
                let mut devices: Vec<_> = directory.devices_of(&name(n)).copied().collect();
                devices.sort_unstable();
                prop_assert_eq!(&devices, &wanted);
            }
            while !directory.forget_some(A, 1, 3).is_empty() {}
            prop_assert!(directory.accounts.is_empty() && directory.nodes.is_empty());
        }

        /// Nodes change, stop, are called dead and join again under other ids, while pages are read late, in part, twice or
        /// not at all: once everything is read, the directory holds what the nodes have, and nothing of those that are no more.
        #[test]
        fn it_is_the_truth_at_rest(acts in prop::collection::vec((0usize..3, 0u8..12, 0u64..5, 0usize..4), 1..120)) {
            let mut nodes: Vec<TrueNode> = (0..3).map(TrueNode::new).collect();
            let mut directory = SessionDirectory::default();
            let (mut ids, mut late) = (100, Vec::new());
            for (at, act, slot, n) in acts {
                ids += 1;
                let node = &mut nodes[at];
                match act {
                    0..5 => node.change(ids, slot, n),
                    5..8 => {
                        // What is read comes now, or after later ones, or never.
                        let page = node.page(&directory, 1 + n);
                        if act == 5 { late.push((node.id, page)) } else { drop(directory.take(node.id, page)) }
                    }
                    8 => {
                        if let Some((id, page)) = late.pop().filter(|(id, _)| nodes.iter().any(|node| node.id == *id)) {
                            directory.take(id, page.clone());
                            directory.take(id, page);
                        }
                    }
                    9 => directory.stops(node.id, ids),
                    _ => {
                        // Called dead. If it stands still only, it tells everything again under another id.
                        while !directory.forget_some(node.id, ids, 2).is_empty() {}
                        node.join_again(NodeId(ids), act == 10);
                    }
                }
            }
            for node in &mut nodes {
                // One that stops keeps its accounts: it ends, and is started again.
                if directory.nodes.get(&node.id).is_some_and(|held| held.stopping.is_some()) {
                    while !directory.forget_some(node.id, 1, 3).is_empty() {}
                    ids += 1;
                    node.join_again(NodeId(ids), true);
                }
            }
            for node in &nodes {
                while directory.read().iter().all(|(id, read)| *id != node.id || *read < node.log.len() as u64) {
                    let page = node.page(&directory, 2);
                    if page.is_empty() {
                        break;
                    }
                    directory.take(node.id, page);
                }
            }
            for n in 0..4 {
                let mut held: Vec<_> = directory.sessions_of(&name(n)).into_iter().map(|s| (s.node, s.id.0)).collect();
                held.sort_unstable();
                let of = |node: &TrueNode| {
                    let own = node.live.values().filter(|(_, of)| *of == n);
                    own.map(|(session, _)| (node.id, *session)).collect::<Vec<_>>()
                };
                let mut wanted: Vec<_> = nodes.iter().flat_map(of).collect();
                wanted.sort_unstable();
                prop_assert_eq!(&held, &wanted);
                prop_assert_eq!(directory.is_there(&name(n)), !wanted.is_empty());
            }
        }
    }
}
