//! A client's copy of its records: its own profile, profiles of others, friends, requests, blocks, and presence.
//!
//! It follows the rules of the protocol: apply a record only if its version is greater, stage a full sync and swap it in
//! at `synced`, check count and digest. Presence is sent anew at every login.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rosterd_engine::sync::repair::{BucketDigests, BucketSet, ListDigest};
use rosterd_protocol::v1;

use crate::Records;

/// The friend list held does not have the count and digest of `synced`, so the client must repair it or sync in full.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("synced says {count} friends with digest {digest:#010x}, held are {held_count} with {held_digest:#010x}")]
pub struct SyncError {
    count: u32,
    digest: u32,
    held_count: u32,
    held_digest: u32,
}

/// The records of an account, presence aside. A clone is a picture of this moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Lists {
    pub(crate) me: Option<Arc<v1::User>>,
    pub(crate) users: Records<v1::User>,
    pub(crate) friends: Records<v1::Friend>,
    /// By peer and direction. Closed requests stay, so that an older record does not open them again.
    pub(crate) requests: Arc<BTreeMap<(String, i32), v1::Request>>,
    /// The blocks in force.
    pub(crate) blocks: Records<v1::BlockRecord>,
    /// The versions at which blocks ended, for the same reason.
    pub(crate) ended: Arc<BTreeMap<String, u64>>,
}

/// One client's copy, which survives reconnects: its cursor says how far it has come.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replica {
    lists: Lists,
    /// The records of an unfinished full sync or repair; `lists` does not change before it is complete.
    staged: Option<Lists>,
    presence: Records<v1::Presence>,
    /// The presence received since the login; `presence` does not change before the catch-up is complete.
    staged_presence: Option<Records<v1::Presence>>,
    sessions: Arc<Vec<v1::Session>>,
    /// Strangers whose profiles the gateway is asked for on each connection.
    watched: Arc<BTreeSet<String>>,
    cursor: Option<String>,
    /// The last `synced` did not match, so no cursor would be true.
    doubtful: bool,
    synced: bool,
}

impl Replica {
    /// The account's own profile, once received.
    #[must_use]
    pub fn me(&self) -> Option<&v1::User> {
        self.lists.me.as_deref()
    }

    /// The friends, by account.
    #[must_use]
    pub fn friends(&self) -> &Records<v1::Friend> {
        &self.lists.friends
    }

    /// The profiles held, by account.
    #[must_use]
    pub fn users(&self) -> &Records<v1::User> {
        &self.lists.users
    }

    /// The open requests, in order of the peer.
    pub fn requests(&self) -> impl Iterator<Item = &v1::Request> {
        self.lists.requests.values().filter(|request| request.state == v1::RequestState::Open as i32)
    }

    /// The blocks in force, in order of the account.
    pub fn blocks(&self) -> impl Iterator<Item = &v1::BlockRecord> {
        self.lists.blocks.values()
    }

    /// The version of the block of an account, or of the end of the last one that this replica knows of; else 0. It is
    /// what `block` and `unblock` rest on.
    #[must_use]
    pub fn block_version(&self, account: &str) -> u64 {
        self.lists.block_version(account)
    }

    /// The presence of friends and of the account itself, by account. An account without an entry was never online.
    #[must_use]
    pub fn presence(&self) -> &Records<v1::Presence> {
        &self.presence
    }

    /// All sessions of the account; empty while this is the only one.
    #[must_use]
    pub fn sessions(&self) -> &[v1::Session] {
        &self.sessions
    }

    /// The cursor to send with the next login.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// Returns whether the catch-up of this connection is complete.
    #[must_use]
    pub fn is_synced(&self) -> bool {
        self.synced
    }

    /// The accounts of the last [`Replica::watch`].
    #[must_use]
    pub fn watched(&self) -> &BTreeSet<String> {
        &self.watched
    }

    /// Notes which strangers are watched, on later connections too, and drops the profiles of those that are no more.
    ///
    /// Watched strangers stay in [`Replica::users`] over a login: the gateway sends them again, or names them as missing,
    /// once the client has sent the list again.
    pub fn watch(&mut self, accounts: BTreeSet<String>) {
        let gone: Vec<_> = self.watched.difference(&accounts).cloned().collect();
        self.watched = Arc::new(accounts);
        for lists in [&mut self.lists].into_iter().chain(&mut self.staged) {
            lists.forget_strangers(&gone);
        }
    }

    /// Starts the catch-up that follows a login's reply.
    pub fn begin(&mut self, reply: &v1::LoginReply) {
        self.synced = false;
        self.staged = (reply.sync == v1::SyncMode::Full as i32).then(Lists::default);
        // Nothing keeps strangers up to date before this connection watches them, and one may have been deleted.
        let Lists { users, friends, .. } = &mut self.lists;
        users.retain(|account, _| friends.contains_key(account) || self.watched.contains(account));
        self.staged_presence = Some(Records::default());
        // A session that is alone receives no list.
        self.sessions = Arc::default();
    }

    /// Applies a frame of any kind; a frame without records changes nothing.
    ///
    /// # Errors
    /// The frame is a `synced` that does not match. The cursor is dropped, so that the next login syncs in full unless a
    /// repair succeeds first.
    pub fn apply(&mut self, frame: &v1::ServerFrame) -> Result<(), SyncError> {
        if let Some(changes) = &frame.changes {
            self.changes(changes);
        }
        let changed = frame.update_my_info_reply.as_ref().and_then(|reply| reply.user.as_ref());
        let muted = frame.set_muted_reply.as_ref().and_then(|reply| reply.user.as_ref());
        if let Some(user) = changed.or(muted) {
            self.current().own(user);
        }
        for user in frame.get_users_reply.iter().flat_map(|reply| &reply.users) {
            self.current().refresh(user);
        }
        if let Some(update) = &frame.presence {
            let presence = self.staged_presence.as_mut().unwrap_or(&mut self.presence);
            update.users.iter().for_each(|user| presence.insert(user.account.clone(), Arc::new(user.clone())));
        }
        if let Some(list) = &frame.sessions {
            self.sessions = Arc::new(list.sessions.clone());
        }
        if let Some(reply) = &frame.watch_reply {
            self.current().forget_strangers(&reply.missing);
        }
        if let Some(reply) = &frame.repair_reply {
            self.staged = Some(self.lists.without(BucketSet::of(&reply.parts)));
        }
        match &frame.synced {
            Some(synced) => self.synced(synced),
            None => Ok(()),
        }
    }

    /// Computes the digest of the friend list.
    #[must_use]
    pub fn digest(&self) -> u32 {
        self.lists.sum().digest.value()
    }

    /// Computes the bucket digests of the friend list, to send with `repair` after a `synced` that does not match.
    #[must_use]
    pub fn leaves(&self) -> Vec<u32> {
        let mut buckets = BucketDigests::default();
        for (account, friend, user) in self.lists.versions() {
            buckets.add(account, friend, user);
        }
        buckets.leaves().to_vec()
    }

    fn changes(&mut self, changes: &v1::Changes) {
        let presence = self.staged_presence.as_mut().unwrap_or(&mut self.presence);
        for account in &changes.removed {
            presence.remove(account);
        }
        self.current().apply(changes);
        if let Some(cursor) = changes.cursor.as_ref().filter(|_| !self.doubtful) {
            self.cursor = Some(cursor.clone());
        }
    }

    /// Returns the lists that records are applied to: during a full sync the staged ones, because after a restored backup
    /// even lower versions are right.
    fn current(&mut self) -> &mut Lists {
        self.staged.as_mut().unwrap_or(&mut self.lists)
    }

    fn synced(&mut self, synced: &v1::Synced) -> Result<(), SyncError> {
        if let Some(mut staged) = self.staged.take() {
            staged.keep_watched(&self.watched, &self.lists);
            self.lists = staged;
        }
        if let Some(staged) = self.staged_presence.take() {
            self.presence = staged;
        } else {
            // A repair brings no presence, and may have removed friends.
            let friends = &self.lists.friends;
            self.presence.retain(|account, presence| friends.contains_key(account) || presence.invisible.is_some());
        }
        let ListDigest { count: held_count, digest } = self.lists.sum();
        let held_digest = digest.value();
        if (held_count, held_digest) != (synced.count, synced.digest) {
            self.cursor = None;
            self.doubtful = true;
            return Err(SyncError { count: synced.count, digest: synced.digest, held_count, held_digest });
        }
        self.cursor = Some(synced.cursor.clone());
        self.doubtful = false;
        self.synced = true;
        Ok(())
    }
}

/// What the live client needs beyond that: pictures of the lists, for snapshots and for the cache.
impl Replica {
    /// Makes a copy that holds what a cache has kept.
    #[cfg(feature = "cache")]
    pub(crate) fn restored(lists: Lists, cursor: Option<String>) -> Self {
        Self { lists, cursor, ..Self::default() }
    }

    /// Returns the lists, which are whole unless a catch-up is under way.
    pub(crate) fn lists(&self) -> &Lists {
        &self.lists
    }

    pub(crate) fn shared_sessions(&self) -> &Arc<Vec<v1::Session>> {
        &self.sessions
    }

    pub(crate) fn shared_watched(&self) -> &Arc<BTreeSet<String>> {
        &self.watched
    }

    /// Takes the lists as they are although they do not match: nothing better is to be had. No cursor belongs to them.
    pub(crate) fn accept(&mut self) {
        self.synced = true;
    }
}

impl Lists {
    pub(crate) fn block_version(&self, account: &str) -> u64 {
        let ended = || self.ended.get(account).copied().unwrap_or(0);
        self.blocks.get(account).map_or_else(ended, |block| block.version)
    }

    /// Applies a frame's records, each only if it is newer than the one held.
    fn apply(&mut self, changes: &v1::Changes) {
        changes.me.iter().for_each(|me| self.own(me));
        for account in &changes.removed {
            self.friends.remove(account);
            self.users.remove(account);
        }
        for friend in &changes.friends {
            if newer(&mut self.friends, &friend.account, friend, |held| held.version) {
                // The profile is in this frame too, perhaps as another view with versions of its own.
                self.users.remove(&friend.account);
            }
        }
        for user in &changes.users {
            newer(&mut self.users, &user.account, user, |held| held.version);
        }
        for request in &changes.requests {
            let key = (request.account.clone(), request.direction);
            if self.requests.get(&key).is_none_or(|held| request.version > held.version) {
                Arc::make_mut(&mut self.requests).insert(key, request.clone());
            }
        }
        changes.blocks.iter().for_each(|block| self.block(block));
    }

    fn block(&mut self, block: &v1::BlockRecord) {
        let account = &block.account;
        if block.version <= self.block_version(account) {
            return;
        }
        if block.removed {
            self.blocks.remove(account);
            Arc::make_mut(&mut self.ended).insert(account.clone(), block.version);
        } else {
            self.blocks.insert(account.clone(), Arc::new(block.clone()));
        }
    }

    fn own(&mut self, user: &v1::User) {
        if self.me.as_ref().is_none_or(|me| user.version > me.version) {
            self.me = Some(Arc::new(user.clone()));
        }
    }

    /// Takes a profile that was looked up, if an older one is held.
    fn refresh(&mut self, user: &v1::User) {
        if self.users.contains_key(&user.account) {
            newer(&mut self.users, &user.account, user, |held| held.version);
        }
    }

    fn forget_strangers(&mut self, accounts: &[String]) {
        for account in accounts.iter().filter(|account| !self.friends.contains_key(account)) {
            self.users.remove(account);
        }
    }

    /// Keeps watched strangers until they come again, with any version: this may be another history.
    fn keep_watched(&mut self, watched: &BTreeSet<String>, before: &Self) {
        for account in watched.iter().filter(|account| !before.friends.contains_key(account)) {
            if let Some(user) = before.users.get(account).filter(|_| !self.users.contains_key(account)) {
                self.users.insert(account.clone(), Arc::new(v1::User { version: 0, ..user.clone() }));
            }
        }
    }

    /// Copies the lists without the friends in these buckets and their profiles.
    fn without(&self, buckets: BucketSet) -> Self {
        let mut copy = self.clone();
        copy.users.retain(|account, _| !(buckets.hold(account) && self.friends.contains_key(account)));
        copy.friends.retain(|account, _| !buckets.hold(account));
        copy
    }

    fn sum(&self) -> ListDigest {
        let mut sum = ListDigest::default();
        for (account, friend, user) in self.versions() {
            sum.add(account, friend, user);
        }
        sum
    }

    /// Every friend, with the versions of the relation and of the profile; 0 for a profile that is missing.
    fn versions(&self) -> impl Iterator<Item = (&str, u64, u64)> {
        let user = |account: &String| self.users.get(account).map_or(0, |user| user.version);
        self.friends.unordered().map(move |(account, friend)| (account.as_str(), friend.version, user(account)))
    }
}

/// Replaces the record held if the new one has a greater version, and returns whether it did.
fn newer<R: Clone>(held: &mut Records<R>, account: &str, record: &R, version: impl Fn(&R) -> u64) -> bool {
    let newer = held.get(account).is_none_or(|held| version(record) > version(held));
    if newer {
        held.insert(account.to_owned(), Arc::new(record.clone()));
    }
    newer
}
