//! The rows of one batch in memory: those that its commands need, with what the batch puts over them.
//!
//! Decisions are made on these, without waiting for the database between two commands, and each row is written once, as it
//! is at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::Arc;

use crate::store::commit::Rows;
use crate::store::{AuditEntry, erased_subject};
use rosterd_engine::model::{
    Account, Block, Credential, Edge, Millis, Profile, Request, RequestSide, RequestState, Revision, Row, SeenPresence,
};
use rosterd_engine::sync::decide::{CurrentRows, Reads, RelationCounts, StoredPresence};

/// The row of an account.
#[derive(Debug, Clone)]
pub struct UserRow {
    /// Its profile.
    pub profile: Arc<Profile>,
    /// How it is seen.
    pub presence: StoredPresence,
}

/// Two accounts.
pub(super) type Pair = (Account, Account);

/// The rows of a table that are known, and which of them the batch has put.
pub struct StagedTable<K, V> {
    rows: BTreeMap<K, V>,
    put: BTreeSet<K>,
}

impl<K, V> Default for StagedTable<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), put: BTreeSet::new() }
    }
}

impl<K: Ord + Clone, V: Clone> StagedTable<K, V> {
    /// Adds a row as the database has it.
    pub fn load(&mut self, key: K, row: V) {
        self.rows.insert(key, row);
    }

    fn get(&self, key: &K) -> Option<&V> {
        self.rows.get(key)
    }

    /// Puts a row or removes it, and returns what was there.
    fn set(&mut self, key: &K, row: Option<V>) -> RowBefore<V> {
        let was_put = !self.put.insert(key.clone());
        RowBefore { row: self.replace(key, row), was_put }
    }

    /// Makes a row what it was before. One that only this put is not written then: it may never have been read.
    fn restore(&mut self, key: &K, before: RowBefore<V>) {
        if !before.was_put {
            self.put.remove(key);
        }
        self.replace(key, before.row);
    }

    fn replace(&mut self, key: &K, row: Option<V>) -> Option<V> {
        match row {
            Some(row) => self.rows.insert(key.clone(), row),
            None => self.rows.remove(key),
        }
    }

    /// Returns the rows that were put, as they are now.
    #[must_use]
    pub fn puts(&self) -> Vec<V> {
        self.put.iter().filter_map(|key| self.rows.get(key).cloned()).collect()
    }

    /// Returns the rows that were put with their keys, and the keys of those that were removed.
    #[must_use]
    pub fn changes(&self) -> (Vec<(K, V)>, Vec<K>) {
        let (mut put, mut removed) = (Vec::new(), Vec::new());
        for key in &self.put {
            match self.rows.get(key) {
                Some(row) => put.push((key.clone(), row.clone())),
                None => removed.push(key.clone()),
            }
        }
        (put, removed)
    }
}

/// A row before it was put, and whether the batch had put it already.
struct RowBefore<V> {
    row: Option<V>,
    was_put: bool,
}

/// What a row was before it was put, to take a write back that is refused half way.
enum Undo {
    User(Account, RowBefore<UserRow>),
    Edge(Pair, RowBefore<Edge>),
    Request((Account, Account, RequestSide), RowBefore<Request>),
    Block(Pair, RowBefore<Block>),
    Frozen(Pair, RowBefore<Arc<Profile>>),
    Credential(Account, RowBefore<Credential>),
    Count(Account, RelationCounts),
    Gone(Account, Option<Revision>),
    Subjects(Vec<(usize, String)>),
    Audit,
}

/// The rows of a batch.
#[derive(Default)]
pub struct Staged {
    /// The accounts.
    pub users: StagedTable<Account, UserRow>,
    /// By owner and peer.
    pub edges: StagedTable<Pair, Edge>,
    /// By sender, receiver and whose copy it is.
    pub requests: StagedTable<(Account, Account, RequestSide), Request>,
    /// By owner and peer.
    pub blocks: StagedTable<Pair, Block>,
    /// By viewer and account.
    pub frozen: StagedTable<Pair, Arc<Profile>>,
    /// An empty credential has no entry.
    pub credentials: StagedTable<Account, Credential>,
    /// Read only: triggers keep them in the database.
    pub counts: BTreeMap<Account, RelationCounts>,
    /// The accounts that were deleted, each with the version of the last deletion.
    pub gone: BTreeMap<Account, Revision>,
    /// New entries of the audit log, with what stands for the account.
    pub audit: Vec<(AuditEntry, String)>,
    /// Goes into what stands for deleted accounts.
    pub salt: Arc<[u8]>,
    undo: Vec<Undo>,
}

impl Staged {
    /// Makes a batch that knows no rows yet.
    #[must_use]
    pub fn new(salt: Arc<[u8]>) -> Self {
        Self { salt, ..Self::default() }
    }

    /// Begins a write that [`Self::take_back`] may undo.
    pub fn begin(&mut self) {
        self.undo.clear();
    }

    /// Undoes everything since [`Self::begin`].
    pub fn take_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::User(key, before) => self.users.restore(&key, before),
                Undo::Edge(key, before) => self.edges.restore(&key, before),
                Undo::Request(key, before) => self.requests.restore(&key, before),
                Undo::Block(key, before) => self.blocks.restore(&key, before),
                Undo::Frozen(key, before) => self.frozen.restore(&key, before),
                Undo::Credential(key, before) => self.credentials.restore(&key, before),
                Undo::Count(account, counts) => drop(self.counts.insert(account, counts)),
                Undo::Gone(account, None) => drop(self.gone.remove(&account)),
                Undo::Gone(account, Some(version)) => drop(self.gone.insert(account, version)),
                Undo::Subjects(subjects) => {
                    for (at, subject) in subjects {
                        if let Some(entry) = self.audit.get_mut(at) {
                            entry.1 = subject;
                        }
                    }
                }
                Undo::Audit => drop(self.audit.pop()),
            }
        }
    }

    /// Returns whether nothing is to be written.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        let no_relation = self.edges.put.is_empty() && self.requests.put.is_empty() && self.blocks.put.is_empty();
        let no_account = self.users.put.is_empty() && self.credentials.put.is_empty() && self.gone.is_empty();
        no_relation && no_account && self.frozen.put.is_empty() && self.audit.is_empty()
    }

    fn put_user(&mut self, account: &Account, row: Option<UserRow>) {
        let before = self.users.set(account, row);
        self.undo.push(Undo::User(account.clone(), before));
    }

    /// Changes what is known of an account that exists.
    fn change_user(&mut self, account: &Account, change: impl FnOnce(&mut UserRow)) {
        if let Some(mut row) = self.users.get(account).cloned() {
            change(&mut row);
            self.put_user(account, Some(row));
        }
    }

    fn put_edge(&mut self, edge: &Edge) {
        let key = (edge.owner.clone(), edge.peer.clone());
        let before = self.edges.set(&key, Some(edge.clone()));
        let was_live = before.row.as_ref().is_some_and(|before| !before.removed);
        self.count(&edge.owner, |counts| &mut counts.friends, was_live, !edge.removed);
        self.undo.push(Undo::Edge(key, before));
    }

    fn put_request(&mut self, request: &Request) {
        let key = (request.sender.clone(), request.receiver.clone(), request.side);
        let before = self.requests.set(&key, Some(request.clone()));
        if request.side == RequestSide::Sender {
            let was_open = before.row.as_ref().is_some_and(|before| before.state == RequestState::Open);
            let is_open = request.state == RequestState::Open;
            self.count(&request.sender, |counts| &mut counts.sent, was_open, is_open);
            self.count(&request.receiver, |counts| &mut counts.received, was_open, is_open);
        }
        self.undo.push(Undo::Request(key, before));
    }

    fn put_block(&mut self, block: &Block, frozen: Option<&Arc<Profile>>) {
        let key = (block.owner.clone(), block.peer.clone());
        let before = self.blocks.set(&key, Some(block.clone()));
        let was_live = before.row.as_ref().is_some_and(|before| !before.removed);
        self.count(&block.owner, |counts| &mut counts.blocks, was_live, !block.removed);
        self.undo.push(Undo::Block(key, before));
        let key = (block.peer.clone(), block.owner.clone());
        let before = self.frozen.set(&key, frozen.cloned());
        self.undo.push(Undo::Frozen(key, before));
    }

    /// Counts a relation of an account that was there or not, and is now or not.
    fn count(&mut self, account: &Account, which: fn(&mut RelationCounts) -> &mut u64, was: bool, is: bool) {
        if was == is {
            return;
        }
        let counts = self.counts.entry(account.clone()).or_default();
        let before = *counts;
        let number = which(counts);
        *number = if is { *number + 1 } else { number.saturating_sub(1) };
        self.undo.push(Undo::Count(account.clone(), before));
    }

    /// Erases what is kept of a deleted account, in the rows that are known here. The others are erased in the database.
    fn erase(&mut self, account: &Account, version: Revision) {
        let before = self.gone.insert(account.clone(), version);
        self.undo.push(Undo::Gone(account.clone(), before));
        self.put_user(account, None);
        let copies: Vec<Pair> =
            self.frozen.rows.keys().filter(|(viewer, of)| viewer == account || of == account).cloned().collect();
        for key in copies {
            let before = self.frozen.set(&key, None);
            self.undo.push(Undo::Frozen(key, before));
        }
        let is_theirs = |request: &&Request| request.sender == *account || request.receiver == *account;
        let theirs: Vec<Request> = self.requests.rows.values().filter(is_theirs).cloned().collect();
        for request in theirs.into_iter().filter(|request| !request.message.is_empty()) {
            self.put_request(&Request { message: Box::default(), ..request });
        }
        let hashed = erased_subject(&self.salt, account);
        let mut subjects = Vec::new();
        for (at, (_, subject)) in self.audit.iter_mut().enumerate() {
            if subject == account.as_str() {
                subjects.push((at, std::mem::replace(subject, hashed.clone())));
            }
        }
        self.undo.push(Undo::Subjects(subjects));
    }

    /// Adds all live edges, open requests and live blocks by an account and of it.
    fn all_of(&self, account: &Account, current: &mut CurrentRows) {
        let from = (account.clone(), Account::none());
        let own = self.edges.rows.range(from..).map(|(_, edge)| edge).take_while(|edge| edge.owner == *account);
        current.edges = own.filter(|edge| !edge.removed).cloned().collect();
        let requests = self.requests.rows.values();
        let theirs = requests.filter(|request| request.sender == *account || request.receiver == *account);
        current.requests = theirs.filter(|request| request.state == RequestState::Open).cloned().collect();
        let blocks = self.blocks.rows.values().filter(|block| !block.removed);
        current.blocks = blocks.filter(|block| block.owner == *account || block.peer == *account).cloned().collect();
        let blocked = current.blocks.iter().filter(|block| block.owner == *account);
        let theirs = blocked.filter_map(|block| self.edges.get(&(block.peer.clone(), account.clone())));
        current.edges.extend(theirs.filter(|edge| !edge.removed).cloned());
    }
}

impl Rows for Staged {
    type Error = Infallible;

    fn current(&self, reads: Reads) -> Result<CurrentRows, Infallible> {
        let profiles = reads.users.iter().filter_map(|account| self.users.get(account));
        let mut current =
            CurrentRows { users: profiles.map(|row| row.profile.clone()).collect(), ..CurrentRows::default() };
        if let Some((a, b)) = &reads.pair {
            for (one, other) in [(a, b), (b, a)] {
                let key = (one.clone(), other.clone());
                current.edges.extend(self.edges.get(&key).cloned());
                current.blocks.extend(self.blocks.get(&key).cloned());
                for side in [RequestSide::Sender, RequestSide::Receiver] {
                    current.requests.extend(self.requests.get(&(one.clone(), other.clone(), side)).cloned());
                }
            }
        }
        if let Some(account) = &reads.all_of {
            self.all_of(account, &mut current);
        }
        if let Some(row) = reads.presence.as_ref().and_then(|account| self.users.get(account)) {
            current.presence = row.presence.clone();
        }
        if let Some((owner, peer)) = reads.frozen {
            current.frozen = self.frozen.get(&(peer, owner)).cloned();
        }
        if let Some(credential) = reads.credential.as_ref().and_then(|account| self.credentials.get(account)) {
            current.credential = credential.clone();
        }
        for account in reads.counts {
            let counts = self.counts.get(&account).copied().unwrap_or_default();
            current.counts.push((account, counts));
        }
        Ok(current)
    }

    fn put(&mut self, row: &Row) -> Result<(), Infallible> {
        match row {
            Row::Profile(profile) => {
                let presence =
                    self.users.get(&profile.account).map_or_else(StoredPresence::default, |row| row.presence.clone());
                self.put_user(&profile.account, Some(UserRow { profile: profile.clone(), presence }));
            }
            Row::Gone { account, version } => self.erase(account, *version),
            Row::Edge(edge) => self.put_edge(edge),
            Row::Request(request) => self.put_request(request),
            Row::Block { block, frozen } => self.put_block(block, frozen.as_ref()),
            Row::Presence { account, chosen, .. } => {
                self.change_user(account, |row| row.presence.chosen = chosen.clone());
            }
            Row::Credential { account, credential } => {
                let row = Some(credential.clone()).filter(|credential| *credential != Credential::default());
                let before = self.credentials.set(account, row);
                self.undo.push(Undo::Credential(account.clone(), before));
            }
        }
        Ok(())
    }

    fn put_last_seen(&mut self, account: &Account, last_seen: Millis) -> Result<(), Infallible> {
        self.change_user(account, |row| row.presence.seen = SeenPresence { online: false, last_seen });
        Ok(())
    }

    fn record(&mut self, entry: &AuditEntry) -> Result<(), Infallible> {
        self.audit.push((entry.clone(), entry.subject.to_string()));
        self.undo.push(Undo::Audit);
        Ok(())
    }
}
